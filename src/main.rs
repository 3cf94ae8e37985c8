//! The `pairtune` program. In the browser the page is the program, and this file is empty.

#[cfg(not(target_arch = "wasm32"))]
mod cli;

/// Runs the command that was asked for.
#[cfg(not(target_arch = "wasm32"))]
fn main() -> std::process::ExitCode {
    cli::main()
}

#[cfg(target_arch = "wasm32")]
fn main() {}
