//! The run page: the state of the run and what can be done about it, the figures that decide, the model's answers.

mod branch;
mod curves;
mod failed;
mod figures;
mod header;
mod page;
mod resting;
mod rollouts;
mod samples;
mod text;
mod warnings;

pub(crate) use page::{RunView, run_ui, when_paused};
