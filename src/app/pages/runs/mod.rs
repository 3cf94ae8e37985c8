//! The page of the stored runs: settings and result of each, changes from one to the next, curves together.

mod details;
mod page;
mod table;
mod text;

pub(crate) use page::{RunsView, runs_ui};
