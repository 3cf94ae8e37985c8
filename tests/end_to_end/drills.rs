//! What goes wrong in the page, and what must not be lost by it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use pairtune::engine::protocol::BUILD;

use crate::browser::{Browser, BrowserOptions};
use crate::page::{LONG, dist, open, open_with_few_pairs, reach, serve, step, wait_for_step};
use crate::server::{ServerOptions, StaticServer};
use crate::ui::{PATIENCE, Ui as _};

#[test]
fn a_lost_device_full_storage_and_a_dead_worker_lose_nothing() {
    let server = serve();
    let browser = open_with_few_pairs(&server, &BrowserOptions::default(), 40);
    let (done, _) = wait_for_step(&browser, 1);

    // The device is destroyed: the page stays alive and the run goes on by itself.
    rehearse(&browser, "Lose the GPU");
    show_run(&browser);
    wait_for_step(&browser, done + 2);

    // Storage is full at the next save: the run goes on and says that it is not saved.
    rehearse(&browser, "Fill the storage");
    show_run(&browser);
    browser.wait_for_starting("Storage is full", LONG);
    let (done, _) = wait_for_step(&browser, done + 3);
    browser.click("Pause");
    browser.wait_for("Resume", LONG);
    browser.click("Resume");
    browser.wait_for("Pause", LONG);

    // The worker dies: the page says so, restarts it, and the run continues from what was saved.
    rehearse(&browser, "Crash the engine");
    browser.click("Start");
    browser.wait_for("Restart the engine", LONG);
    browser.click("Restart the engine");
    browser.wait_that("a run to continue", LONG, || browser.find_starting("button", "Continue: "));
    browser.click_starting("Continue: ");
    let (after, _) = wait_for_step(&browser, done);
    assert!(after >= done, "from step {done}, not from the beginning");
}

/// Goes to the run's page, and waits until it is there: other pages have a "Pause" too.
fn show_run(browser: &Browser) {
    browser.click("4  Run");
    browser.wait_for("Stop and keep", LONG);
}

fn rehearse(browser: &Browser, failure: &str) {
    browser.click("Help");
    reach(browser, failure);
}

#[test]
fn a_worker_of_another_build_is_noticed() {
    let folder = copy_of_dist("stale");
    let worker = folder.path().join("worker_bg.wasm");
    let mut bytes = std::fs::read(&worker).expect("the worker");
    let other: Vec<u8> = BUILD.bytes().map(|byte| if byte == b'-' { b'+' } else { byte }).collect();
    let at = bytes.windows(BUILD.len()).position(|window| window == BUILD.as_bytes());
    let at = at.expect("dist/ is of another build than this test: run `trunk build --release`");
    bytes[at..at + other.len()].copy_from_slice(&other);
    std::fs::write(&worker, bytes).expect("it can be written");
    let server = StaticServer::start(folder.path());
    let browser = Browser::start(&BrowserOptions::default());
    browser.goto(&server.url("?nosw"));
    browser.wait_for_starting("The page and its engine are of different versions", LONG);
    browser.wait_for("Reload the page", PATIENCE);
}

#[test]
fn a_hidden_tab_goes_on() {
    let server = serve();
    let browser = open_with_few_pairs(&server, &BrowserOptions { throttle: true, ..BrowserOptions::default() }, 40);
    let (before, _) = wait_for_step(&browser, 1);
    let first = browser.window();
    browser.new_window();
    std::thread::sleep(Duration::from_secs(20));
    browser.switch_window(&first);
    let (after, _) = browser.wait_that("the step", PATIENCE, || step(&browser));
    assert!(after > before, "steps were taken while nobody looked: {before} and {after}");
}

#[test]
fn the_page_works_offline_after_the_first_load() {
    let server = serve();
    let browser = Browser::start(&BrowserOptions::default());
    browser.goto(&server.url(""));
    browser.wait_for_starting("Try the ", LONG);
    browser.wait_js("navigator.serviceWorker.ready.then(ready => ready.active.state === 'activated')", LONG);
    drop(server);
    browser.reload();
    browser.wait_for_starting("Try the ", LONG);
}

#[test]
fn a_model_is_fetched_in_pieces_and_checked() {
    let folder = copy_of_dist("hub");
    let hub = folder.path().join("hub");
    let sha = "0123456789abcdef0123456789abcdef01234567";
    let api = hub.join("api/models/org/tiny");
    let files = hub.join(format!("org/tiny/resolve/{sha}"));
    let weights = format!("/hub/org/tiny/resolve/{sha}/model.safetensors");
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo/model");
    for folder in ["tree", "revision"] {
        std::fs::create_dir_all(api.join(folder)).expect("a folder");
    }
    std::fs::create_dir_all(&files).expect("a folder");
    let mut list = Vec::new();
    for name in
        ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
    {
        let size = std::fs::copy(demo.join(name), files.join(name)).expect("a copy");
        let mut entry = serde_json::json!({"type": "file", "path": name, "size": size});
        if name.ends_with(".safetensors") {
            entry["lfs"] = serde_json::json!({"oid": sha256(&demo.join(name))});
        }
        list.push(entry);
    }
    std::fs::write(api.join("tree").join(sha), serde_json::to_vec(&list).expect("JSON")).expect("a file");
    std::fs::write(api.join("revision/main"), format!(r#"{{"sha": "{sha}"}}"#)).expect("a file");
    let server = StaticServer::with(folder.path(), ServerOptions::default());
    // The connection breaks in the middle of the weights, once.
    server.cut_after(&weights, 600_000, 1);
    let browser = open(&server, &BrowserOptions::default(), "");
    browser.click("1  Model");
    browser.click("Hugging Face");
    browser.fill("Repository", "org/tiny");
    browser.click("Another server");
    browser.fill("Address", &server.url("hub"));
    browser.click("Get");
    browser.wait_that("the refusal", LONG, || server.asked_for(&weights).first().map(drop));
    browser.wait_that("the button again", LONG, || browser.find("button", "Get").filter(|node| !node.disabled));
    browser.click("Get");
    browser.wait_for("Choose another model", LONG);
    let asked = server.asked_for(&weights);
    let last = asked.last().expect("it was fetched");
    assert!(asked.len() >= 2, "in two pieces: {asked:?}");
    assert_eq!(last.status, 206, "the second time only the rest: {asked:?}");
    assert!(last.range.as_deref().is_some_and(|range| !range.starts_with("bytes=0-")), "from where it broke");
}

/// A copy of the built page that a test may change.
fn copy_of_dist(name: &str) -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix(&format!("pairtune-{name}-")).tempdir().expect("a folder");
    let files: Vec<PathBuf> = std::fs::read_dir(dist()).expect("dist/").flatten().map(|entry| entry.path()).collect();
    for file in files {
        let name = file.file_name().expect("files have names");
        std::fs::copy(&file, folder.path().join(name)).expect("a copy");
    }
    folder
}

fn sha256(path: &Path) -> String {
    let out = std::process::Command::new("sha256sum").arg(path).output().expect("coreutils");
    String::from_utf8_lossy(&out.stdout).split(' ').next().unwrap_or_default().to_owned()
}
