//! The engine in a dedicated Web Worker, with its own WebGPU device. Commands and events are JSON; files travel beside.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use js_sys::{Array, Function, Object, Reflect};
use wasm_bindgen::prelude::{Closure, JsCast as _, JsValue};
use web_sys::{DedicatedWorkerGlobalScope, Event as DomEvent, File, MessageEvent, Worker};

use super::engine::{Engine, Incoming};
use crate::engine::protocol::{Command, Event};
use crate::engine::{Message, Session, channel};
use crate::platform::host::PickedFile;

/// Starts the worker; `wake` is called whenever it says something.
pub fn connect(wake: impl Fn() + 'static) -> Box<dyn Engine> {
    let wake: Rc<dyn Fn()> = Rc::new(wake);
    let link = Link { said: Rc::default(), ready: false, waiting: Vec::new(), worker: None, wake };
    let mut link = Box::new(link);
    link.restart();
    link
}

/// The worker, from the page.
struct Link {
    said: Rc<RefCell<VecDeque<Incoming>>>,
    ready: bool,
    /// What was sent before the worker listened: early messages would be lost.
    waiting: Vec<JsValue>,
    worker: Option<Running>,
    wake: Rc<dyn Fn()>,
}

/// A worker and what listens to it.
struct Running {
    worker: Worker,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    _on_error: Closure<dyn FnMut(DomEvent)>,
}

impl Engine for Link {
    fn send(&mut self, command: Command, files: Vec<PickedFile>) {
        let json = serde_json::to_string(&command).unwrap_or_default();
        let list = Array::new();
        for file in &files {
            let entry = Object::new();
            set(&entry, "file", file.file());
            set(&entry, "folder", &file.folder().into());
            list.push(&entry);
        }
        let message = Object::new();
        set(&message, "command", &json.into());
        set(&message, "files", &list);
        if self.ready {
            self.post(&message);
        } else {
            self.waiting.push(message.into());
        }
    }

    fn poll(&mut self) -> Option<Incoming> {
        let incoming = self.said.borrow_mut().pop_front()?;
        if let Incoming::Event(event) = &incoming
            && let Event::Ready(_) = event.as_ref()
        {
            self.ready = true;
            for message in std::mem::take(&mut self.waiting) {
                self.post(&message);
            }
        }
        Some(incoming)
    }

    fn restart(&mut self) {
        if let Some(running) = self.worker.take() {
            running.worker.terminate();
        }
        self.said.borrow_mut().clear();
        self.ready = false;
        self.waiting.clear();
        match self.start() {
            Ok(running) => self.worker = Some(running),
            Err(e) => self.said.borrow_mut().push_back(Incoming::Crashed(format!("The worker did not start: {e:?}"))),
        }
    }
}

impl Link {
    fn post(&self, message: &JsValue) {
        if let Some(running) = &self.worker
            && let Err(e) = running.worker.post_message(message)
        {
            log::error!("a message did not reach the worker: {e:?}");
        }
    }

    fn start(&self) -> Result<Running, JsValue> {
        let worker = Worker::new(&worker_url()?)?;
        let (said, wake) = (self.said.clone(), self.wake.clone());
        let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
            let Some(text) = event.data().as_string() else { return };
            said.borrow_mut().push_back(match serde_json::from_str(&text) {
                Ok(event) => Incoming::Event(Box::new(event)),
                Err(_) => Incoming::Crashed(text),
            });
            wake();
        });
        worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        let (said, wake) = (self.said.clone(), self.wake.clone());
        let on_error = Closure::<dyn FnMut(DomEvent)>::new(move |event: DomEvent| {
            let text = Reflect::get(&event, &"message".into()).ok().and_then(|text| text.as_string());
            let text = text.unwrap_or_else(|| "The worker could not be loaded".to_owned());
            said.borrow_mut().push_back(Incoming::Crashed(text));
            wake();
        });
        worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
        Ok(Running { worker, _on_message: on_message, _on_error: on_error })
    }
}

/// The worker's address, which the page makes: it carries the page's build and its content security policy.
fn worker_url() -> Result<String, JsValue> {
    let page = get(&js_sys::global(), "pairtune");
    let make: Function = get(&page, "workerUrl").dyn_into()?;
    make.call0(&page)?.as_string().ok_or(JsValue::UNDEFINED)
}

/// Is the engine: called once, in the worker.
pub fn serve() {
    let scope: DedicatedWorkerGlobalScope = js_sys::global().unchecked_into();
    let (sender, inbox) = channel();
    let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
        let data = event.data();
        let command = get(&data, "command").as_string().unwrap_or_default();
        let files = Array::from(&get(&data, "files"))
            .iter()
            .map(|entry| {
                let file: File = get(&entry, "file").unchecked_into();
                PickedFile::from_file(file).in_folder(get(&entry, "folder").as_string().unwrap_or_default())
            })
            .collect();
        match serde_json::from_str(&command) {
            Ok(command) => drop(sender.unbounded_send(Message { command, files })),
            Err(e) => log::error!("a command cannot be read: {e}"),
        }
    });
    scope.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    // The worker lives as long as its page.
    on_message.forget();
    let posting = scope.clone();
    let out = Box::new(move |event: Event| {
        let json = serde_json::to_string(&event).unwrap_or_default();
        if let Err(e) = posting.post_message(&json.into()) {
            log::error!("an event did not reach the page: {e:?}");
        }
    });
    // A panic ends the engine but not the worker: the page must hear of it.
    std::panic::set_hook(Box::new(move |info| {
        console_error_panic_hook::hook(info);
        drop(scope.post_message(&format!("The engine stopped by a bug: {info}").into()));
    }));
    wasm_bindgen_futures::spawn_local(async move {
        Session::open(inbox, out, "", None).await.run().await;
    });
}

fn set(object: &Object, key: &str, value: &JsValue) {
    // A plain object takes every key.
    drop(Reflect::set(object, &key.into(), value));
}

fn get(object: &JsValue, key: &str) -> JsValue {
    Reflect::get(object, &key.into()).unwrap_or(JsValue::UNDEFINED)
}
