//! Parquet: rows of a table whose columns are stored apart, read page by page through ranges of the file.
//!
//! Ours, because the `parquet` crate panics on damaged files (one in 300 with a few bytes changed), takes zstd from C,
//! which no browser has, and is larger than the formats that people's pairs are stored in ask for.

mod footer;
mod levels;
mod page;
mod rows;
mod schema;
mod thrift;
mod values;

pub use rows::{Parquet, Row, RowGroup};
