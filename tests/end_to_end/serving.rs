//! The page as its host serves it: without a network, with files of two builds, in two tabs, with a model of the Hub.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use pairtune::engine::protocol::BUILD;
use sha2::{Digest as _, Sha256};

use crate::browser::{Browser, BrowserKind, BrowserOptions};
use crate::hub::Repository;
use crate::page::{DEMO, LONG, assert_quiet, dist, open, serve, wait_enabled, wait_for_text};
use crate::server::StaticServer;
use crate::ui::{PATIENCE, Ui as _};

#[test]
fn a_worker_of_another_build_is_noticed() {
    let folder = copy_of_dist("stale");
    let worker = folder.path().join("worker_bg.wasm");
    let mut bytes = std::fs::read(&worker).expect("the worker");
    // The page's builds are a version and a hash; the one that these tests are built with has the version alone.
    let build = format!("{BUILD}-");
    // An optimised page may hold it more than once.
    let places = bytes.windows(build.len()).enumerate().filter(|(_, window)| *window == build.as_bytes());
    let places: Vec<usize> = places.map(|(at, _)| at + BUILD.len()).collect();
    assert!(!places.is_empty(), "the worker names its build: dist/ is of this version");
    for at in places {
        bytes[at] = b'+';
    }
    std::fs::write(&worker, bytes).expect("it can be written");
    let server = StaticServer::start(folder.path());
    let browser = Browser::start(&BrowserOptions::new(BrowserKind::Chromium));
    browser.goto(&server.url("?nosw"));
    browser.wait_for_starting("The page and its engine are of different versions", LONG);
    browser.wait_for("Reload the page", PATIENCE);
}

#[test]
fn the_page_works_offline_after_the_first_load_in_chromium() {
    the_page_works_offline(BrowserKind::Chromium);
}

#[test]
fn the_page_works_offline_after_the_first_load_in_firefox() {
    the_page_works_offline(BrowserKind::Firefox);
}

fn the_page_works_offline(kind: BrowserKind) {
    let server = serve();
    let browser = open_with_service_worker(&server, kind);
    drop(server);
    browser.reload();
    wait_enabled(&browser, DEMO);
}

#[test]
fn an_upgrade_waits_for_the_next_load_in_chromium() {
    an_upgrade_waits_for_the_next_load(BrowserKind::Chromium);
}

#[test]
fn an_upgrade_waits_for_the_next_load_in_firefox() {
    an_upgrade_waits_for_the_next_load(BrowserKind::Firefox);
}

fn an_upgrade_waits_for_the_next_load(kind: BrowserKind) {
    let folder = copy_of_dist("upgrade");
    let server = StaticServer::start(folder.path());
    let browser = open_with_service_worker(&server, kind);
    let (old, app) = (build(&browser), app_name(&browser));
    let new: String = old.chars().rev().collect();
    upgrade(folder.path(), &[(&old, &new), (&app, "next")]);

    // The page that is open keeps its files, also those that the host has no more.
    browser.execute_async("await (await navigator.serviceWorker.getRegistration()).update()", &[]);
    browser.wait_js("navigator.serviceWorker.getRegistration().then(found => found.waiting)", LONG);
    assert_eq!(build(&browser), old, "nothing changes under a page");
    let kept = "return (await fetch(document.getElementById('app-js').href)).ok";
    assert_eq!(browser.execute_async(kept, &[]), true, "what it may still load is there");

    // The next load is new, with its engine.
    browser.forget();
    browser.reload();
    wait_enabled(&browser, DEMO);
    assert_eq!(build(&browser), new, "the next load gets the new build");
    let sent = browser.network_log();
    for file in ["next.js".to_owned(), "next_bg.wasm".to_owned(), format!("worker_bg.wasm?v={new}")] {
        assert!(sent.iter().any(|one| one.url.ends_with(&file)), "{file} is in {sent:#?}");
    }
    assert!(!sent.iter().any(|one| one.url.contains(&old) || one.url.contains(&app)), "no old file is in {sent:#?}");
    assert_quiet(&browser, &server);

    // Once no page is left, the new service worker takes over, and the old files go.
    browser.goto("about:blank");
    browser.goto(&server.url(""));
    wait_enabled(&browser, DEMO);
    let caches = "caches.keys().then(names => names.length === 1 && names[0])";
    let left = browser.wait_js(caches, LONG);
    assert!(left.as_str().is_some_and(|name| name.ends_with(&new)), "only the new build's: {left}");
}

#[test]
fn a_second_tab_leaves_the_gpu_to_the_first_in_chromium() {
    a_second_tab_leaves_the_gpu_to_the_first(BrowserKind::Chromium);
}

#[test]
fn a_second_tab_leaves_the_gpu_to_the_first_in_firefox() {
    a_second_tab_leaves_the_gpu_to_the_first(BrowserKind::Firefox);
}

fn a_second_tab_leaves_the_gpu_to_the_first(kind: BrowserKind) {
    let server = serve();
    let browser = Browser::start(&BrowserOptions::new(kind));
    // The address alone begins the demo.
    browser.goto(&server.url("?nosw#demo"));
    browser.wait_for("Pause", LONG);
    let first = browser.window();
    let second = browser.new_window();
    browser.goto(&server.url("?nosw"));
    browser.wait_for("Another tab or window is using the GPU", LONG);
    browser.click("3  Plan");
    browser.wait_for("Another tab or window is using the GPU: see why", LONG);
    assert!(browser.find("button", "Start training").is_none(), "nothing begins here");

    // Without the first one this tab has the GPU, from the next load on.
    browser.switch_window(&first);
    browser.close_window();
    browser.switch_window(&second);
    browser.reload();
    wait_enabled(&browser, DEMO);
    browser.click("3  Plan");
    browser.wait_for("Choose a model", PATIENCE);
    assert_quiet(&browser, &server);
}

#[test]
fn a_model_is_fetched_in_pieces_and_checked_in_chromium() {
    a_model_is_fetched_in_pieces_and_checked(BrowserKind::Chromium);
}

#[test]
fn a_model_is_fetched_in_pieces_and_checked_in_firefox() {
    a_model_is_fetched_in_pieces_and_checked(BrowserKind::Firefox);
}

fn a_model_is_fetched_in_pieces_and_checked(kind: BrowserKind) {
    let folder = copy_of_dist("hub");
    let repository = Repository::lay_out(&folder.path().join("hub"), "org/tiny");
    let weights = format!("hub/{}", repository.file("model.safetensors"));
    let sum = &repository.weights_sha256;
    repository.change_list(sum, &"0".repeat(64));
    let server = StaticServer::start(folder.path());
    // The connection breaks in the middle of the weights, once.
    server.cut_after(&weights, 600_000, 1);
    let browser = open(&server, &BrowserOptions::new(kind));
    browser.click("Find models");
    browser.click("Token and server");
    browser.fill("Address", &server.url("hub"));
    // A search says what the model needs before anything of it is fetched.
    repository.found(&[repository.listed("org/tiny")]);
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo/model/config.json");
    repository.put("org/tiny/resolve/main/config.json", &std::fs::read(config).expect("the demo's config"));
    browser.fill("Name", "tiny");
    browser.click("Search");
    browser.wait_for("Get org/tiny", LONG);
    wait_for_text(&browser, "needs ");
    assert_eq!(server.asked_for(&weights), [], "no weight was asked for");
    browser.fill("Name", "org/tiny");
    browser.click("Get");
    browser.wait_that("the refusal", LONG, || server.asked_for(&weights).first().map(drop));
    wait_enabled(&browser, "Get");
    // The rest arrives, and the whole is not what the Hub says: it is not taken.
    browser.click("Get");
    wait_for_text(&browser, &format!("The file that arrived has the SHA-256 {sum}"));
    let asked = server.asked_for(&weights);
    let last = asked.last().expect("it was fetched");
    assert!(asked.len() >= 2, "in two pieces: {asked:?}");
    assert_eq!(last.status, 206, "the second time only the rest: {asked:?}");
    assert!(last.range.as_deref().is_some_and(|range| !range.starts_with("bytes=0-")), "from where it broke");
    // The right hash makes the file acceptable: it is fetched again, from its first byte on.
    repository.change_list(&"0".repeat(64), sum);
    wait_enabled(&browser, "Get");
    browser.click("Get");
    browser.wait_for("Choose another model", LONG);
    let asked = server.asked_for(&weights);
    let size = repository.weights_bytes;
    assert_eq!(asked.last().map(|last| last.sent), Some(size), "what was wrong was thrown away: {asked:?}");
}

/// Opens the page and waits until its service worker keeps it for use without a network.
fn open_with_service_worker(server: &StaticServer, kind: BrowserKind) -> Browser {
    let browser = Browser::start(&BrowserOptions::new(kind));
    browser.goto(&server.url(""));
    wait_enabled(&browser, DEMO);
    browser.wait_js("navigator.serviceWorker.ready.then(ready => ready.active.state === 'activated')", LONG);
    browser
}

/// The build that the page says it is of.
fn build(browser: &Browser) -> String {
    browser.execute("return pairtune.build", &[]).as_str().unwrap_or_default().to_owned()
}

/// Start of the names of the page's own script and wasm, with the hash that trunk puts there.
fn app_name(browser: &Browser) -> String {
    let url = browser.execute("return document.getElementById('app-js').href", &[]);
    let name = url.as_str().and_then(|url| url.rsplit('/').next()?.strip_suffix(".js"));
    name.expect("the page names its script").to_owned()
}

/// Makes another build of the one in `folder`, with other names for its files, as a host does that replaces them all.
fn upgrade(folder: &Path, changes: &[(&str, &str)]) {
    let integrity = || {
        let hash = Sha256::digest(std::fs::read(folder.join("index.html")).expect("a page"));
        base64::engine::general_purpose::STANDARD.encode(hash)
    };
    let edit = |name: &str, changes: &[(&str, &str)]| {
        let text = std::fs::read_to_string(folder.join(name)).expect("a text");
        let changed = changes.iter().fold(text, |text, (old, new)| text.replace(old, new));
        std::fs::write(folder.join(name), changed).expect("it can be written");
    };
    for file in files_in(folder) {
        let name = file.file_name().expect("files have names").to_string_lossy().into_owned();
        let changed = changes.iter().fold(name, |name, (old, new)| name.replace(old, new));
        std::fs::rename(&file, folder.join(changed)).expect("it can be renamed");
    }
    let old = integrity();
    edit("index.html", changes);
    edit("sw.js", changes);
    edit("sw.js", &[(&old, &integrity())]);
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path()).collect()
}

/// A copy of the built page that a test may change.
fn copy_of_dist(name: &str) -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix(&format!("pairtune-{name}-")).tempdir().expect("a folder");
    for file in files_in(&dist()) {
        let name = file.file_name().expect("files have names");
        std::fs::copy(&file, folder.path().join(name)).expect("a copy");
    }
    folder
}
