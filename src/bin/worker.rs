//! The browser's worker: the engine, apart from the page. Natively the engine is a thread, and this file is empty.

#[cfg(target_arch = "wasm32")]
fn main() {
    pairtune::link::serve();
}

#[cfg(not(target_arch = "wasm32"))]
fn main() {}
