//! Models on the Hugging Face Hub.

pub(super) mod commands;
#[cfg(feature = "app")]
mod fetch;
#[cfg(feature = "app")]
mod place;
#[cfg(feature = "app")]
mod requests;
