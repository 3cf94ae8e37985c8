//! Choose a model: from this computer, the bundled one, or one that was kept.

mod lists;
mod page;
mod text;

pub(crate) use page::{ModelView, model_ui};
