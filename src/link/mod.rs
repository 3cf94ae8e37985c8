//! Carries commands to the engine and events back: a thread natively, a Web Worker in the browser.
//!
//! The user interface sees the [`Engine`] trait, which tests implement with a script. Nothing here waits.

mod engine;
#[cfg(not(target_arch = "wasm32"))]
mod native;
#[cfg(target_arch = "wasm32")]
mod web;

pub use engine::{Engine, Incoming};
#[cfg(not(target_arch = "wasm32"))]
pub use native::{connect, connect_with};
#[cfg(target_arch = "wasm32")]
pub use web::{connect, serve};
