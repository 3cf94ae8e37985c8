//! The whole journey in the page: the demo tuned by clicks, paused, reloaded, continued, compared and exported. By far
//! the longest test, and so the first by name.

use pairtune::files::Adapter;
use pairtune::platform::MemoryFolder;

use crate::browser::{Browser, BrowserOptions};
use crate::page::{
    A_RUN, DEMO, LONG, assert_heap, assert_quiet, continue_run, losses, open, picture, reach, read_archive, serve,
    step, wait_for_step, wait_until_done,
};
use crate::ui::{PATIENCE, Ui as _};

/// Counts the locks on the screen in `window.awake`; a browser without a screen may give none.
const COUNT_LOCKS: &str = "
    window.awake = 0;
    const request = async () => {
        awake += 1;
        return { release: async () => { awake -= 1; } };
    };
    Object.defineProperty(navigator, 'wakeLock', { value: { request } });";

#[test]
fn the_page_tunes_the_demo_by_clicks() {
    let server = serve();
    let browser = open(&server, &BrowserOptions { before_load: COUNT_LOCKS, ..BrowserOptions::default() });
    picture(&browser, "browser-start");
    browser.click(DEMO);
    let (_, total) = wait_for_step(&browser, 2);
    assert_eq!(total, 40, "the demo's steps");
    assert!(asks_before_leaving(&browser), "a run at work is not left by mistake");
    assert_eq!(browser.execute("return awake", &[]), 1, "the computer stays awake");
    assert!(browser.title().ends_with("% · pairtune"), "the tab tells how far it is: {}", browser.title());

    // Paused and reloaded: the run is where it was.
    browser.click("Pause");
    browser.wait_for("Resume", LONG);
    picture(&browser, "browser-paused");
    let (paused, _) = step(&browser).expect("the step is shown");
    assert!(!asks_before_leaving(&browser), "nothing would be lost");
    assert_eq!(browser.execute("return awake", &[]), 0, "the computer may sleep");
    assert!(browser.title().starts_with("Paused "), "the tab tells it: {}", browser.title());
    browser.reload();
    assert!(continue_run(&browser) >= paused, "from step {paused} on");
    wait_for_step(&browser, paused + 1);

    // Reloaded in the middle of a run, as if the tab had been closed: it goes on from what was saved.
    browser.execute("window.addEventListener('beforeunload', event => event.stopImmediatePropagation(), true)", &[]);
    browser.reload();
    assert!(continue_run(&browser) >= paused, "from step {paused} on");
    wait_for_step(&browser, paused + 2);
    picture(&browser, "browser-run");
    browser.wait_that("the end", A_RUN, || browser.find("button", "Train more"));
    picture(&browser, "browser-finished");

    browser.click_role("button", "Compare");
    browser.click("Write both");
    wait_until_done(&browser, "Write both");
    picture(&browser, "browser-compare");

    browser.click("6  Export");
    browser.wait_for("Write files", PATIENCE);
    browser.click_starting("Run archive");
    reach(&browser, "Write files");
    browser.wait_for("Written and checked", LONG);
    picture(&browser, "browser-export");
    reach(&browser, "Download: Run archive (.run)");
    let archive = read_archive(&browser.wait_download("demo-pairs.run", PATIENCE));
    let steps: Vec<u64> = losses(&archive).iter().map(|(step, _)| *step).collect();
    assert_eq!(steps, (1..=40).collect::<Vec<u64>>(), "every step once, through a pause and two reloads");
    reach(&browser, "Download: Adapter (PEFT)");
    let adapter = read_archive(&browser.wait_download("demo-pairs-adapter.zip", PATIENCE));
    let file = |(name, bytes): (String, Vec<u8>)| (name.rsplit('/').next().unwrap_or("").to_owned(), bytes);
    let folder = MemoryFolder { name: "download".to_owned(), files: adapter.into_iter().map(file).collect() };
    let adapter = pollster::block_on(Adapter::read(&folder)).expect("the download is a PEFT adapter");
    assert!(adapter.tensors.values().flat_map(|t| &t.data).all(|value| value.is_finite()), "of numbers");

    assert_heap(&browser);
    assert_quiet(&browser, &server);
}

/// True if the browser would ask a person who leaves the page.
fn asks_before_leaving(browser: &Browser) -> bool {
    browser.execute("return !dispatchEvent(new Event('beforeunload', { cancelable: true }))", &[]) == true
}
