//! The plan page: settings of a run, its needs (memory, time, disk), and the reason if it cannot begin.

mod fields;
mod losses;
mod method;
mod page;
mod share;
mod take;
mod text;
mod watch;

pub(crate) use page::{PlanView, plan_ui};
