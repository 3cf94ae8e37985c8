//! The page that writes files: choice of adapter, strength, formats and folder, and the files written.

mod page;
mod text;

pub(crate) use page::{ExportView, export_ui};
