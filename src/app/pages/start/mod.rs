//! The start page: the demo, a model, pairs, a run to continue, and what this machine can do.

mod page;
mod text;

pub(crate) use page::{StartView, start_ui};
