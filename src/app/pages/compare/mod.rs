//! The page that compares the tuned model with the one it came from: prompts side by side, one or many, held-out pairs,
//! a blind test, and what another beta would make of the same figures.

mod blind;
mod held_out;
mod list;
mod page;
mod prompts;
mod sampling;
mod text;
mod what_if;

pub(crate) use page::{CompareView, compare_ui};
