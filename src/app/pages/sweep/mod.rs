//! The page of the sweep: several values of a setting, from too low to too high, and the one to train with.

mod figures;
mod page;
mod text;

pub(crate) use page::{SweepView, sweep_ui};
