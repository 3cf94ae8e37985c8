//! Modules that need neither a GPU nor files: archives, audits, losses, presets, figures, event files,
//! warnings.

mod archive;
mod flags;
mod presets;
mod stats;
mod sweep;
mod tensorboard;
mod warnings;
