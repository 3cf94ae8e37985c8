//! Takes the versions that are reported with the results from the lock file.

use std::fs;

fn main() {
    println!("cargo::rerun-if-changed=Cargo.lock");
    let lock = fs::read_to_string("Cargo.lock").expect("the lock file is there");
    for name in ["burn", "cubecl", "wgpu"] {
        let (_, after) = lock.split_once(&format!("name = \"{name}\"\nversion = \"")).expect("it is locked");
        let version = after.split('"').next().expect("a version");
        println!("cargo::rustc-env={}_VERSION={version}", name.to_uppercase());
    }
}
