//! Choose a model: from this computer, from the Hub, the bundled one, or one that was kept.

mod hub;
mod lists;
mod page;
mod text;

pub(crate) use page::{ModelView, model_ui};
