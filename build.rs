//! Gives the page's build its identifier: the page and its worker compare theirs, so that an upgraded page never talks
//! to a worker of yesterday's. The desktop's program is one file and has its version only: an edit of its command line
//! or of the demo would compile the whole library anew otherwise.

#![allow(clippy::disallowed_methods, reason = "this runs on the machine that builds, not in the browser")]

use std::collections::BTreeMap;
use std::path::Path;

fn main() {
    let version = std::env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let mut build = version.clone();
    if std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "wasm32") {
        build = format!("{version}-{:08x}", hash_of_sources());
    } else {
        println!("cargo::rerun-if-changed=build.rs");
    }
    println!("cargo::rustc-env=PAIRTUNE_BUILD={build}");
}

/// A hash of all that the page is built from.
fn hash_of_sources() -> u32 {
    let mut files = BTreeMap::new();
    for root in ["src", "shaders", "assets/demo", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={root}");
        collect(Path::new(root), &mut files);
    }
    // FNV-1a, 64 bits.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in files.iter().flat_map(|(path, bytes)| path.bytes().chain(bytes.iter().copied())) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash as u32
}

fn collect(path: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
    if let Ok(bytes) = std::fs::read(path) {
        files.insert(path.display().to_string(), bytes);
    }
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        collect(&entry.path(), files);
    }
}
