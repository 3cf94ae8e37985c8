//! The command line: each command reads its inputs, drives the library, and says how it goes.
//!
//! Everything that touches paths, clocks, signals and terminals is here; the library below knows none of them.

mod args;
mod bench;
mod data;
mod doctor;
mod export;
mod export_trl;
mod generate;
mod merge;
mod output;
mod run;
mod score;
mod settings;
mod training;
mod trials;

pub(crate) use args::Window;
pub(crate) use run::main;
