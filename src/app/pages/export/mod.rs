//! The page that writes files: choice of adapter, its scale, formats and folder, and the files written.

mod page;
mod text;

pub(crate) use page::{ExportView, export_ui};
