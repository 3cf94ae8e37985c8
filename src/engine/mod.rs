//! Runs as people see them: a session that opens models and pairs, trains, compares and exports, driven by commands.
//!
//! Sees everything below and nothing of windows, threads or workers. [`protocol`] is plain data; [`Session`] is the
//! state machine behind it; the command line uses the same [`run`] and [`writing`] without the protocol.

pub mod answers;
pub mod export;
pub mod gguf;
pub mod models;
pub mod pairs;
pub mod presets;
pub mod protocol;
pub mod race;
pub mod rewards;
pub mod run;
pub mod runs;
pub mod stats;
pub mod sweep;
pub mod trl;
pub mod warnings;
pub mod writing;

mod between;
mod compare;
#[cfg(feature = "app")]
mod fetch;
mod imports;
mod inbox;
mod inputs;
mod live;
mod open_run;
#[cfg(feature = "app")]
mod place;
mod planning;
mod session;

pub use inbox::{Inbox, Message, Outbox, channel};
pub use session::Session;
