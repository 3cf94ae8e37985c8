//! Chat templates: the dialect of Jinja that models use, and variants for training.

pub(super) mod parts;
mod tags;
pub(super) mod template;
pub(super) mod training;
