//! The engine as the user interface sees it: it takes commands and gives events.

use crate::engine::protocol::{Command, Event};
use crate::platform::host::PickedFile;

/// The other end of the wire.
pub trait Engine {
    /// Sends a command with the files that it is about. Commands are kept until the engine is ready.
    fn send(&mut self, command: Command, files: Vec<PickedFile>);
    /// The next thing the engine said, if there is one.
    fn poll(&mut self) -> Option<Incoming>;
    /// Ends the engine, whatever it is doing, and starts another.
    fn restart(&mut self);
}

/// A message from the engine's side.
#[derive(Debug, Clone, PartialEq)]
pub enum Incoming {
    /// The engine said something.
    Event(Box<Event>),
    /// The engine is gone; the text says why, as far as is known.
    Crashed(String),
}
