//! The window: takes in what the engine says, lays out rail, pages and status, and carries out what pages ask for.

mod app;
mod drops;
mod frame;
mod mirror;
mod text;

pub use app::{App, AskForFiles, OpenDrop};
