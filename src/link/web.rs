//! The engine in a dedicated Web Worker, with its own WebGPU device. Commands and events are JSON; files travel beside.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use js_sys::{Array, Function, Object, Promise, Reflect};
use wasm_bindgen::prelude::{Closure, JsCast as _, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{DedicatedWorkerGlobalScope, Event as DomEvent, File, MessageEvent, Worker};

use super::engine::{Engine, Incoming};
use crate::engine::protocol::{BUILD, Command, Event, Level};
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
    /// Messages sent before the worker listens, which would otherwise be lost.
    waiting: Vec<JsValue>,
    worker: Option<Running>,
    wake: Rc<dyn Fn()>,
}

/// A worker and what listens to it.
struct Running {
    worker: Worker,
    /// Exists as long as the worker is wanted.
    _wanted: Rc<()>,
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
            && let Event::Ready(ready) = event.as_ref()
            && ready.build == BUILD
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
        let wanted = Rc::new(());
        let (still, mut heard) = (Rc::downgrade(&wanted), false);
        let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
            let data = event.data();
            if let Some(lock) = get(&data, LOCK).as_string() {
                let (said, wake, still) = (said.clone(), wake.clone(), still.clone());
                return when_free(&lock, move || {
                    // A worker that was ended from here has not crashed.
                    if still.upgrade().is_some() {
                        said.borrow_mut().push_back(Incoming::Crashed("The browser ended the worker".to_owned()));
                        wake();
                    }
                });
            }
            let incoming = match (get(&data, CRASHED).as_string(), data.as_string()) {
                (Some(text), _) => Incoming::Crashed(text),
                (None, Some(text)) => match serde_json::from_str::<Event>(&text) {
                    Ok(event) => {
                        heard |= matches!(event, Event::Ready(_));
                        Incoming::Event(Box::new(event))
                    }
                    // The worker may be of another build.
                    Err(_) if !heard => Incoming::Crashed(text),
                    Err(e) => {
                        let beginning: String = text.chars().take(SHOWN_CHARS).collect();
                        let text = format!("an event cannot be read: {e}: {beginning}");
                        Incoming::Event(Box::new(Event::Log { level: Level::Error, text }))
                    }
                },
                (None, None) => return,
            };
            said.borrow_mut().push_back(incoming);
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
        Ok(Running { worker, _wanted: wanted, _on_message: on_message, _on_error: on_error })
    }
}

/// The key of a message that names the lock which the worker holds for as long as it lives.
const LOCK: &str = "lock";
/// The key of a message that says why the engine is gone.
const CRASHED: &str = "crashed";
/// Number of characters shown of an event that cannot be read.
const SHOWN_CHARS: usize = 200;

/// Calls `done` once a lock is free: once the worker that holds it is gone.
fn when_free(lock: &str, done: impl FnOnce() + 'static) {
    drop(request(lock, Closure::once_into_js(move |_lock: JsValue| done())));
}

/// Asks the browser for a lock; `held` is called once it is free, and the lock is held until the promise of `held`
/// resolves.
fn request(lock: &str, held: JsValue) -> Result<Promise, JsValue> {
    let locks = get(&get(&js_sys::global(), "navigator"), "locks");
    let request: Function = get(&locks, "request").dyn_into()?;
    request.call2(&locks, &lock.into(), &held)?.dyn_into()
}

/// Holds a lock for as long as this worker lives, and tells the page its name: a browser that ends a worker tells
/// nobody, but frees its locks.
async fn hold_lock() {
    let lock = format!("pairtune-engine-{}", js_sys::Math::random());
    let mut asked = None;
    let held = Promise::new(&mut |resolve: Function, _reject: Function| {
        let keep = Closure::once_into_js(move |_lock: JsValue| -> JsValue {
            drop(resolve.call0(&JsValue::UNDEFINED));
            // The browser keeps the lock until this promise resolves: never.
            Promise::new(&mut |_, _| {}).into()
        });
        asked = request(&lock, keep).ok();
    });
    // A browser that refuses the lock is no reason not to begin.
    let Some(asked) = asked else { return };
    if JsFuture::from(Promise::race(&Array::of2(&asked, &held))).await.is_ok() {
        let message = Object::new();
        set(&message, LOCK, &lock.into());
        post(&message);
    }
}

/// Sends something from the worker to its page.
fn post(message: &JsValue) {
    let scope: DedicatedWorkerGlobalScope = js_sys::global().unchecked_into();
    // Texts and plain objects can always be sent.
    drop(scope.post_message(message));
}

fn post_event(event: &Event) {
    post(&serde_json::to_string(event).unwrap_or_default().into());
}

/// Passes the log's lines on to the page.
struct PageLog;

impl log::Log for PageLog {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            let level = if record.level() == log::Level::Error { Level::Error } else { Level::Warn };
            post_event(&Event::Log { level, text: record.args().to_string() });
        }
    }

    fn flush(&self) {}
}

/// The worker's address, which the page makes: it carries the page's build and its content security policy.
fn worker_url() -> Result<String, JsValue> {
    let page = get(&js_sys::global(), "pairtune");
    let make: Function = get(&page, "workerUrl").dyn_into()?;
    make.call0(&page)?.as_string().ok_or(JsValue::UNDEFINED)
}

/// Runs the engine; called once, in the worker.
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
    if log::set_logger(&PageLog).is_ok() {
        log::set_max_level(log::LevelFilter::Warn);
    }
    // A panic ends the engine but not the worker: the page must hear of it.
    std::panic::set_hook(Box::new(|info| {
        console_error_panic_hook::hook(info);
        let message = Object::new();
        set(&message, CRASHED, &format!("The engine stopped by a bug: {info}").into());
        post(&message);
    }));
    spawn_local(async move {
        hold_lock().await;
        Session::open(inbox, Box::new(|event| post_event(&event)), "", None).await.run().await;
    });
}

fn set(object: &Object, key: &str, value: &JsValue) {
    // A plain object takes every key.
    drop(Reflect::set(object, &key.into(), value));
}

fn get(object: &JsValue, key: &str) -> JsValue {
    Reflect::get(object, &key.into()).unwrap_or(JsValue::UNDEFINED)
}
