//! How it works, keys, what went over the network, the report for a bug, and failures to rehearse.

mod page;
mod text;

pub(crate) use page::help_ui;
