//! A run: what it has, its steps, what is measured and warned of.

pub mod answers;
pub mod best;
pub(super) mod between;
pub mod drive;
pub(super) mod inputs;
pub(super) mod open_run;
pub(super) mod reference;
pub mod rewards;
pub(super) mod train;
mod trend;
pub mod warnings;
