//! Platform facade: bytes of files, the clock. Knows nothing of the layers above.
//!
//! The same names exist natively and in the browser; only this file (with `link/`, `main.rs` and `bin/worker.rs`) may
//! ask which of the two it is.

mod bytes;
#[cfg(not(target_arch = "wasm32"))]
pub mod native;

pub use bytes::{ByteSource, Folder, LocalFuture, MemorySource, read_all, short_read};
