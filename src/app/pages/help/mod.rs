//! The help page: explanations, keys, network requests, the report for a bug, and tests of failures.

mod page;
mod text;

pub(crate) use page::help_ui;
