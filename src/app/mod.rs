//! The user interface: draws what it knows of the engine, and sends what the user asks for. It never waits.
//!
//! [`App`] folds events into a state without any egui in it, the panels draw that state and push actions, and the shell
//! carries the actions out. It uses only the engine's protocol and pure functions, and no file by its path.

mod actions;
mod charts;
mod fields;
mod methods;
mod pages;
mod records;
mod shell;
mod state;
mod text;
mod theme;
mod widgets;

pub use shell::{App, AskForFiles, OpenDrop, OpenFolder};
