//! The engine on a thread of its own, with its own GPU device.

use std::any::Any;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel as events};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_channel::mpsc::UnboundedSender;

use super::engine::{Engine, Incoming};
use crate::engine::protocol::{Command, Event};
use crate::engine::{Message, Session, channel};
use crate::platform::host::PickedFile;

/// Starts the engine; `wake` is called whenever it says something. `store` is the folder of runs, empty for the
/// system's place.
pub fn connect(store: String, adapter: Option<String>, wake: impl Fn() + Send + Sync + 'static) -> Box<dyn Engine> {
    connect_with(store, adapter, wake, |_| ())
}

/// Like `connect`, but `set_up` changes each session, such as its waits, before it takes its first command.
pub fn connect_with(
    store: String,
    adapter: Option<String>,
    wake: impl Fn() + Send + Sync + 'static,
    set_up: impl Fn(&mut Session) + Send + Sync + 'static,
) -> Box<dyn Engine> {
    let (wake, set_up): (Arc<dyn Fn() + Send + Sync>, SetUp) = (Arc::new(wake), Arc::new(set_up));
    let running = spawn(&store, adapter.clone(), &wake, &set_up);
    Box::new(Thread { store, adapter, wake, set_up, running, crashed: false })
}

/// Change to make to each new session.
type SetUp = Arc<dyn Fn(&mut Session) + Send + Sync>;

/// The engine's thread, from outside.
struct Thread {
    store: String,
    adapter: Option<String>,
    wake: Arc<dyn Fn() + Send + Sync>,
    set_up: SetUp,
    running: Running,
    crashed: bool,
}

/// A thread, and both ends of the wire to it.
struct Running {
    commands: UnboundedSender<Message>,
    incoming: Receiver<Event>,
    /// None if the thread did not start.
    thread: Option<JoinHandle<()>>,
}

impl Engine for Thread {
    fn send(&mut self, command: Command, files: Vec<PickedFile>) {
        // A thread that is gone is reported by `poll`.
        drop(self.running.commands.unbounded_send(Message { command, files }));
    }

    fn poll(&mut self) -> Option<Incoming> {
        match self.running.incoming.try_recv() {
            Ok(event) => Some(Incoming::Event(Box::new(event))),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) if self.crashed => None,
            Err(TryRecvError::Disconnected) => {
                self.crashed = true;
                Some(Incoming::Crashed(last_words(self.running.thread.take())))
            }
        }
    }

    fn restart(&mut self) {
        self.running = spawn(&self.store, self.adapter.clone(), &self.wake, &self.set_up);
        self.crashed = false;
    }
}

/// Seconds that the ending program waits for its engine: enough for a step and for saving it.
const END_SECONDS: u64 = 30;

impl Drop for Thread {
    /// Waits for the engine to save its work and release its device: a graphics driver crashes if the program ends
    /// while the device is in use.
    fn drop(&mut self) {
        self.running.commands.close_channel();
        let began = Instant::now();
        while self.running.thread.as_ref().is_some_and(|thread| !thread.is_finished()) {
            if began.elapsed() > Duration::from_secs(END_SECONDS) {
                return log::error!("the engine did not end in {END_SECONDS} s; the program ends without it");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        if let Some(Err(_)) = self.running.thread.take().map(JoinHandle::join) {
            log::error!("the engine ended by a bug");
        }
    }
}

/// Why a thread ended, as far as is known.
fn last_words(thread: Option<JoinHandle<()>>) -> String {
    let Some(thread) = thread else { return "The engine's thread did not start; the log says why".to_owned() };
    let said = |panic: &dyn Any| {
        panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
    };
    match thread.join() {
        Ok(()) => "The engine's thread ended".to_owned(),
        Err(panic) => match said(panic.as_ref()) {
            Some(text) => format!("The engine stopped by a bug: {text}"),
            None => "The engine stopped by a bug".to_owned(),
        },
    }
}

/// Calls `wake` when it is dropped: also when the thread ends by a panic.
struct WakeAtEnd(Arc<dyn Fn() + Send + Sync>);

impl Drop for WakeAtEnd {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn spawn(store: &str, adapter: Option<String>, wake: &Arc<dyn Fn() + Send + Sync>, set_up: &SetUp) -> Running {
    let (commands, inbox) = channel();
    let (sender, incoming) = events();
    let (store, wake, set_up) = (store.to_owned(), wake.clone(), set_up.clone());
    let started = std::thread::Builder::new().name("engine".to_owned()).spawn(move || {
        // The order matters: the channel closes first, then the window looks at it.
        let _at_end = WakeAtEnd(wake.clone());
        let out = Box::new(move |event| {
            // A window that is closed hears nothing.
            if sender.send(event).is_ok() {
                wake();
            }
        });
        pollster::block_on(async move {
            let mut session = Session::open(inbox, out, &store, adapter).await;
            set_up(&mut session);
            session.run().await;
        });
    });
    let thread = started.inspect_err(|e| log::error!("the engine's thread does not start: {e}")).ok();
    Running { commands, incoming, thread }
}
