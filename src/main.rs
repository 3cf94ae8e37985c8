//! The `pairtune` program.

fn main() {}
