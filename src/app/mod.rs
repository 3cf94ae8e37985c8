//! The user interface: draws what it knows of the engine, and asks for what a person wants. Never waits.
//!
//! [`App`] folds events into a state without any egui in it, the panels draw that state and push actions, and the
//! shell carries the actions out. Sees of the engine only its protocol and pure functions; never a file by its path.

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

pub use shell::{App, AskForFiles, OpenDrop};
