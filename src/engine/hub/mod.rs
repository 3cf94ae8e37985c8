//! Models on the Hugging Face Hub: searched for and fetched.

pub(super) mod commands;
#[cfg(feature = "app")]
mod fetch;
#[cfg(feature = "app")]
mod place;
#[cfg(feature = "app")]
mod requests;
#[cfg(feature = "app")]
mod search;
