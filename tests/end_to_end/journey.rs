//! The short journey in the page, in each browser: a few pairs, a few steps, a pause and a reload between them, and the
//! adapter as a download. Every change has to pass it.

use pairtune::files::Adapter;
use pairtune::platform::MemoryFolder;

use crate::browser::{Browser, BrowserKind, BrowserOptions};
use crate::page::{
    LONG, assert_heap, assert_quiet, continue_run, losses, open_with_few_pairs, reach, read_archive, serve, step,
    wait_for_step, write_files,
};
use crate::ui::{PATIENCE, Ui as _};

/// Enough that a pause comes before the end.
const STEPS: usize = 6;

#[test]
fn short_journey_in_chromium() {
    short_journey(BrowserKind::Chromium);
}

#[test]
fn short_journey_in_firefox() {
    short_journey(BrowserKind::Firefox);
}

fn short_journey(kind: BrowserKind) {
    let server = serve();
    let browser = open_with_few_pairs(&server, &BrowserOptions::new(kind), STEPS);
    wait_for_step(&browser, 1);
    browser.click("Pause");
    browser.wait_for("Resume", LONG);
    let (paused, _) = step(&browser).expect("the step is shown");
    assert!(paused < STEPS as u64, "the run was paused on its way");
    browser.reload();
    assert!(continue_run(&browser) >= paused, "from step {paused} on");
    browser.wait_that("the end", LONG, || browser.find("button", "Train more"));

    browser.click("6  Export");
    browser.wait_for("Write files", PATIENCE);
    browser.click_starting("Run archive");
    write_files(&browser);
    assert_exports(&browser, "few-pairs", STEPS as u64);
    assert_heap(&browser);
    assert_quiet(&browser, &server);
}

/// Downloads the run's archive and its adapter: the archive has each step once, the adapter is a PEFT folder of finite
/// numbers.
pub(crate) fn assert_exports(browser: &Browser, name: &str, steps: u64) {
    reach(browser, "Download: Run archive (.run)");
    let archive = read_archive(&browser.wait_download(&format!("{name}.run"), PATIENCE));
    let logged: Vec<u64> = losses(&archive).iter().map(|(step, _)| *step).collect();
    assert_eq!(logged, (1..=steps).collect::<Vec<u64>>(), "every step once, through pauses and reloads");
    reach(browser, "Download: Adapter (PEFT)");
    let adapter = read_archive(&browser.wait_download(&format!("{name}-adapter.zip"), PATIENCE));
    let file = |(name, bytes): (String, Vec<u8>)| (name.rsplit('/').next().unwrap_or("").to_owned(), bytes);
    let folder = MemoryFolder { name: "download".to_owned(), files: adapter.into_iter().map(file).collect() };
    let adapter = pollster::block_on(Adapter::read(&folder)).expect("the download is a PEFT adapter");
    assert!(adapter.tensors.values().flat_map(|t| &t.data).all(|value| value.is_finite()), "of numbers");
}
