#![allow(unsafe_code)]
#![allow(dead_code, missing_docs)]
#[path = "../benches/train.rs"]
mod b;
fn main() {
    b::prof();
}
