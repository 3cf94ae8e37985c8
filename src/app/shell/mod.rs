//! The window: takes in what the engine says, lays out rail, pages and status, and carries out what pages ask for.

mod answers;
mod app;
mod commands;
mod draw;
mod drops;
mod events;
mod files;
mod frame;
mod mirror;
mod paste;
mod plan;
mod prefs;
mod text;
mod trials;

pub use app::{App, AskForFiles, OpenDrop, OpenFolder};
