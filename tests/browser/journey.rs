//! The whole journey in the page: tuned by clicks, paused, reloaded, continued, compared and exported.

use std::path::{Path, PathBuf};
use std::time::Duration;

use pairtune::engine::protocol::Metrics;
use pairtune::files;

use crate::browser::{Browser, BrowserOptions};
use crate::server::{ServerOptions, StaticServer};
use crate::ui::{PATIENCE, Ui as _};

/// The built page.
pub(crate) fn dist() -> PathBuf {
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist");
    assert!(dist.join("index.html").exists(), "there is no dist/: run `trunk build --release` first");
    dist
}

/// Serves the page from a sub-folder, as GitHub Pages does.
pub(crate) fn serve() -> StaticServer {
    StaticServer::with(&dist(), ServerOptions { base: "/pairtune/".to_owned(), ..ServerOptions::default() })
}

/// A long wait, for work on a software GPU.
pub(crate) const LONG: Duration = Duration::from_secs(300);

/// Opens the page and waits until its engine is ready. `?nosw`: no service worker, but in the test that is about it.
pub(crate) fn open(server: &StaticServer, options: &BrowserOptions, fragment: &str) -> Browser {
    let browser = Browser::start(options);
    browser.goto(&server.url(&format!("?nosw{fragment}")));
    browser.wait_for("Try the 60-second demo", LONG);
    browser
}

/// The step that the page's title or header shows.
fn step(browser: &Browser) -> Option<(u64, u64)> {
    const FIND: &str = "const found = document.getElementById('mirror').textContent.match(/step (\\d+)\\/(\\d+)/);
                        return found && [Number(found[1]), Number(found[2])]";
    serde_json::from_value(browser.execute(FIND, &[])).ok()
}

/// Waits until the run has taken so many steps.
pub(crate) fn wait_for_step(browser: &Browser, wanted: u64) -> (u64, u64) {
    browser.wait_that(&format!("step {wanted}"), LONG, || step(browser).filter(|(done, _)| *done >= wanted))
}

/// No errors on the console, and nothing asked of any other place.
pub(crate) fn assert_quiet(browser: &Browser, server: &StaticServer) {
    assert!(browser.errors().is_empty(), "the console has errors: {:?}", browser.errors());
    let origin = server.origin();
    for sent in browser.network_log() {
        assert!(sent.url.starts_with(&origin), "a request left this machine: {}", sent.url);
    }
}

/// What an archive of a run holds.
pub(crate) fn read_archive(path: &Path) -> Vec<(String, Vec<u8>)> {
    let bytes = std::fs::read(path).expect("the archive was downloaded");
    files::unpack("archive", &bytes).expect("it is an archive")
}

/// The steps of an archive's log: step and loss.
pub(crate) fn losses(contents: &[(String, Vec<u8>)]) -> Vec<(u64, f64)> {
    let (_, log) = contents.iter().find(|(name, _)| name.ends_with("metrics.jsonl")).expect("there is a log");
    let lines = log.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let entries = lines.map(|line| serde_json::from_slice::<Metrics>(line).expect("a line is an object"));
    entries.filter_map(|entry| Some((entry.get("step")?.as_u64()?, entry.get("loss")?.as_f64()?))).collect()
}

#[test]
fn the_demo_is_tuned_by_clicks() {
    let server = serve();
    let browser = open(&server, &BrowserOptions::default(), "");
    browser.click("Try the 60-second demo");
    let (_, total) = wait_for_step(&browser, 3);
    assert_eq!(total, 40, "the demo's steps");

    // Paused and reloaded: the run is where it was.
    browser.click("Pause");
    browser.wait_for("Resume", LONG);
    let (paused, _) = step(&browser).expect("the step is shown");
    browser.reload();
    browser.wait_for_starting("Continue", LONG);
    browser.click_starting("Continue");
    let (resumed, _) = wait_for_step(&browser, paused + 1);
    assert!(resumed > paused, "it goes on");

    // Reloaded in the middle of a run, as if the tab had been closed.
    browser.wait_that("a save", LONG, || (step(&browser)?.0 >= paused + 4).then_some(()));
    browser.click("Pause");
    browser.wait_for("Resume", LONG);
    browser.click("Resume");
    wait_for_step(&browser, paused + 6);
    browser.execute("window.onbeforeunload = null", &[]);
    browser.reload();
    browser.wait_for_starting("Continue", LONG);
    browser.click_starting("Continue");
    wait_for_step(&browser, 40);
    browser.wait_for("Compare", LONG);
    browser.wait_for_starting("Held-out pairs won", PATIENCE);
    assert_quiet(&browser, &server);
}
