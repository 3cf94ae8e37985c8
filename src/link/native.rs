//! The engine on a thread of its own, with its own GPU device.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel as events};

use futures_channel::mpsc::UnboundedSender;

use super::engine::{Engine, Incoming};
use crate::engine::protocol::{Command, Event};
use crate::engine::{Message, Session, channel};
use crate::platform::host::PickedFile;

/// Starts the engine; `wake` is called whenever it says something. `store` is the folder of runs, empty for the
/// system's place.
pub fn connect(store: String, adapter: Option<String>, wake: impl Fn() + Send + Sync + 'static) -> Box<dyn Engine> {
    let wake: Arc<dyn Fn() + Send + Sync> = Arc::new(wake);
    let (commands, incoming) = spawn(&store, adapter.clone(), &wake);
    Box::new(Thread { store, adapter, wake, commands, incoming, crashed: false })
}

/// The engine's thread, from outside.
struct Thread {
    store: String,
    adapter: Option<String>,
    wake: Arc<dyn Fn() + Send + Sync>,
    commands: UnboundedSender<Message>,
    incoming: Receiver<Event>,
    crashed: bool,
}

impl Engine for Thread {
    fn send(&mut self, command: Command, files: Vec<PickedFile>) {
        // A thread that is gone is reported by `poll`.
        drop(self.commands.unbounded_send(Message { command, files }));
    }

    fn poll(&mut self) -> Option<Incoming> {
        match self.incoming.try_recv() {
            Ok(event) => Some(Incoming::Event(Box::new(event))),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) if self.crashed => None,
            Err(TryRecvError::Disconnected) => {
                self.crashed = true;
                Some(Incoming::Crashed("The engine's thread ended; the log says why".to_owned()))
            }
        }
    }

    fn restart(&mut self) {
        (self.commands, self.incoming) = spawn(&self.store, self.adapter.clone(), &self.wake);
        self.crashed = false;
    }
}

/// Calls `wake` when it is dropped: also when the thread ends by a panic.
struct WakeAtEnd(Arc<dyn Fn() + Send + Sync>);

impl Drop for WakeAtEnd {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn spawn(
    store: &str,
    adapter: Option<String>,
    wake: &Arc<dyn Fn() + Send + Sync>,
) -> (UnboundedSender<Message>, Receiver<Event>) {
    let (commands, inbox) = channel();
    let (sender, receiver) = events();
    let (store, wake) = (store.to_owned(), wake.clone());
    let started = std::thread::Builder::new().name("engine".to_owned()).spawn(move || {
        // In this order: the channel closes first, then the window looks at it.
        let _at_end = WakeAtEnd(wake.clone());
        let out = Box::new(move |event| {
            // A window that is closed hears nothing.
            if sender.send(event).is_ok() {
                wake();
            }
        });
        pollster::block_on(async move {
            Session::open(inbox, out, &store, adapter).await.run().await;
        });
    });
    if let Err(e) = started {
        log::error!("the engine's thread does not start: {e}");
    }
    (commands, receiver)
}
