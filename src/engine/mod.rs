//! Runs as people see them: a session that opens models and pairs, trains, compares and exports, driven by commands.
//!
//! Sees everything below and nothing of windows, threads or workers. [`protocol`] is plain data; [`Session`] is the
//! state machine behind it; the command line uses the same [`run`] and [`compare::writing`] without the
//! protocol. Each topic has a folder, whose `commands` are the session's.

pub mod compare;
pub mod data;
pub mod export;
mod hub;
pub mod library;
pub mod model;
pub mod plan;
pub mod protocol;
pub mod race;
pub mod run;
pub mod stats;
pub mod sweep;

mod inbox;
mod session;

pub use inbox::{Inbox, Message, Outbox, channel};
pub use session::Session;
