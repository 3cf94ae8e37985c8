//! The page that writes files: which adapter, how strong, in which shapes, where to; and what came of it.

mod page;
mod text;

pub(crate) use page::{ExportView, export_ui};
