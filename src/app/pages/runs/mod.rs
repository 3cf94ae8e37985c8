//! The stored runs: what each was and came to, what changed from one to the next, their curves together.

mod details;
mod page;
mod table;
mod text;

pub(crate) use page::{RunsView, runs_ui};
