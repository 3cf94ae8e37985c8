//! Settings of a run, and what it would take: memory, time, disk, and why it cannot begin, if so.

mod fields;
mod method;
mod page;
mod share;
mod take;
mod text;
mod watch;

pub(crate) use page::{PlanView, plan_ui};
