//! Platform facade: bytes of files, the app's storage, the clock, the window. Knows nothing of the layers above.
//!
//! The same names exist natively and in the browser (`host`); only this file (with `link/`, `main.rs` and
//! `bin/worker.rs`) may ask which of the two it is.

mod bytes;
#[cfg(all(feature = "app", not(target_arch = "wasm32")))]
mod dialogs;
mod gpu_name;
#[cfg(not(target_arch = "wasm32"))]
pub mod native;
#[cfg(not(target_arch = "wasm32"))]
mod native_app;
#[cfg(all(feature = "app", not(target_arch = "wasm32")))]
mod native_folders;
#[cfg(all(feature = "app", not(target_arch = "wasm32")))]
mod native_http;
#[cfg(not(target_arch = "wasm32"))]
mod native_hub;
#[cfg(not(target_arch = "wasm32"))]
mod native_memory;
#[cfg(not(target_arch = "wasm32"))]
mod native_models;
#[cfg(all(feature = "app", not(target_arch = "wasm32")))]
mod native_notice;
mod picked;
mod types;
#[cfg(target_arch = "wasm32")]
pub mod web;

pub use bytes::{
    ByteSource, Folder, FolderWriter, LocalFuture, MemoryFolder, MemorySource, missing_file, read_all, short_read,
};
pub use gpu_name::AdapterNames;
#[cfg(not(target_arch = "wasm32"))]
pub use native as host;
pub use picked::{FileSet, Pick};
pub use types::{
    Environment, FoundModel, NetworkEntry, Purpose, UiNode, Usage, World, browser_name, civil_date, file_name,
    hub_name, is_below, is_hub_name, is_storage_full, licence_in, system_name,
};
#[cfg(target_arch = "wasm32")]
pub use web as host;
