//! The command that trains a model, and what it reads and keeps.

pub(super) mod reference;
pub(super) mod rewards;
pub(super) mod run_folder;
pub(super) mod start;
pub(super) mod train;
pub(super) mod watch;
