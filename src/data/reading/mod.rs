//! Reading of files: formats, tables, columns, rows.

pub(super) mod columns;
pub(super) mod fields;
pub(super) mod file;
pub(super) mod reader;
pub(super) mod row;
pub(super) mod shapes;
pub(super) mod table;
