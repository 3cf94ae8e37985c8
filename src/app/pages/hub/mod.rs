//! Find a model on the Hugging Face Hub, and fetch it.

mod page;
mod results;
mod text;

pub(crate) use page::{HubView, hub_ui};
