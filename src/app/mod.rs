//! The user interface: draws what it knows of the engine, and asks for what a person wants. Never waits.
//!
//! [`App`] folds events into a state without any egui in it, the panels draw that state and push actions, and the
//! shell carries the actions out. Sees of the engine only its protocol and pure functions; never a file by its path.

mod actions;
mod blind_ui;
mod charts;
mod compare_ui;
mod diff;
mod drops;
mod export_ui;
mod fields;
mod frame_ui;
mod held_out_ui;
mod help_ui;
mod method_ui;
mod methods;
mod mirror;
mod model_ui;
mod pairs_ui;
mod plan_ui;
mod rollouts_ui;
mod run_ui;
mod runs_ui;
mod shell;
mod start_ui;
mod state;
mod template_ui;
mod text;
mod theme;
mod widgets;

pub use shell::{App, AskForFiles, OpenDrop};
