//! The kernels against their twins in the WebGPU of each browser, whose compilers of shaders have nothing in common:
//! `tests/kernels.rs`, built for the browser, in a page that wasm-bindgen's runner serves.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::browser::{Browser, BrowserKind, BrowserOptions};
use crate::process::{end_group, own_group, program, wait_for_line};

/// Several times what the slower browser takes for all kernels.
const ALL_KERNELS: Duration = Duration::from_secs(1200);

#[test]
fn kernels_in_chromium() {
    kernels_in(BrowserKind::Chromium);
}

#[test]
fn kernels_in_firefox() {
    kernels_in(BrowserKind::Firefox);
}

fn kernels_in(kind: BrowserKind) {
    let served = Served::start(&build());
    let browser = Browser::start(&BrowserOptions::new(kind));
    browser.goto(&served.address);
    let result = "/^test result: .*$/m.exec(document.getElementById('output').textContent)?.[0]";
    let result = browser.wait_js(result, ALL_KERNELS);
    let output = browser.execute("return document.getElementById('output').textContent", &[]);
    // The page must run as many tests as the source has, so that none is left out unseen.
    let tests = include_str!("../kernels.rs").matches("everywhere! {\n").count();
    let wanted = format!("test result: ok. {tests} passed; 0 failed; 0 ignored");
    let output = output.as_str().unwrap_or_default();
    assert!(result.as_str().is_some_and(|told| told.starts_with(&wanted)), "{wanted}, not:\n{output}");
}

/// Builds the tests as the page was built last, whose dependencies they share, and gives the wasm.
fn build() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("wasm32-unknown-unknown");
    let built =
        |profile: &&str| target.join(profile).join("pairtune.wasm").metadata().and_then(|of| of.modified()).ok();
    let profile = ["page", "release"].into_iter().max_by_key(built).unwrap_or("page");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["test", "--locked", "--profile", profile, "--target", "wasm32-unknown-unknown", "--test", "kernels"]);
    cargo.args(["--no-run", "--message-format", "json-render-diagnostics"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let built = cargo.stderr(Stdio::inherit()).output().expect("cargo runs");
    assert!(built.status.success(), "the kernels' tests can be built for the browser");
    let lines = built.stdout.split(|byte| *byte == b'\n');
    let mut artifacts = lines.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    let wasm = artifacts.find_map(|told| {
        let is_it = told["target"]["name"] == "kernels" && told["reason"] == "compiler-artifact";
        is_it.then(|| told["executable"].as_str().map(PathBuf::from)).flatten()
    });
    wasm.expect("cargo tells where the tests are")
}

/// wasm-bindgen's runner, which serves a page that runs the tests. It ends when this is dropped.
struct Served {
    runner: Child,
    address: String,
}

impl Served {
    fn start(wasm: &Path) -> Self {
        let how = "cargo install wasm-bindgen-cli, in the version of Cargo.lock";
        let mut command = own_group(&program(&["wasm-bindgen-test-runner"], how));
        command.arg(wasm).env("NO_HEADLESS", "1").env("WASM_BINDGEN_TEST_ADDRESS", "127.0.0.1:0");
        let mut runner = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().expect("the runner starts");
        let output = runner.stdout.take().expect("its output is piped");
        let address = wait_for_line(output, "tests are now available at ");
        Self { runner, address }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        end_group(&mut self.runner);
    }
}
