//! Check the pairs: a table of them, one in full and as the model sees it, lengths, and rows that cannot be used.

mod columns;
mod edit;
mod lengths;
mod page;
mod problems;
mod read;
mod rows;
mod table;
mod template;
mod text;

pub(crate) use page::{PairsView, pairs_ui};
