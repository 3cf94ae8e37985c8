//! Models: open, kept, fetched.

pub(super) mod commands;
#[cfg(feature = "app")]
pub(super) mod fetch;
pub mod open_model;
#[cfg(feature = "app")]
pub(super) mod place;
