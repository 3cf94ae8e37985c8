//! The whole journey in the page, in each browser: the demo tuned by clicks, paused, reloaded, continued, compared and
//! exported. They are by far the longest tests, so the module's name puts them first.

use std::time::{Duration, Instant};

use crate::browser::{Browser, BrowserKind, BrowserOptions};
use crate::journey::assert_exports;
use crate::page::{
    DEMO, LONG, SCORES, THE_DEMO, assert_heap, assert_quiet, continue_run, open, picture, serve, step, wait_for_step,
    write_both, write_files,
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

const HALF_AN_HOUR: Duration = Duration::from_secs(1800);

#[test]
fn the_page_tunes_the_demo_by_clicks_in_chromium() {
    the_page_tunes_the_demo(BrowserKind::Chromium);
}

#[test]
fn the_page_tunes_the_demo_by_clicks_in_firefox() {
    the_page_tunes_the_demo(BrowserKind::Firefox);
}

fn the_page_tunes_the_demo(kind: BrowserKind) {
    let server = serve();
    let browser = open(&server, &BrowserOptions { before_load: COUNT_LOCKS, ..BrowserOptions::new(kind) });
    picture(&browser, "browser-start");
    browser.click(DEMO);
    let (_, total) = browser.wait_that("step 2", SCORES, || step(&browser).filter(|(done, _)| *done >= 2));
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
    browser.wait_that("the end", THE_DEMO, || browser.find("button", "Train more"));
    picture(&browser, "browser-finished");

    browser.click_role("button", "Compare");
    write_both(&browser);
    picture(&browser, "browser-compare");

    browser.click("6  Export");
    browser.wait_for("Write files", PATIENCE);
    browser.click_starting("Run archive");
    write_files(&browser);
    picture(&browser, "browser-export");
    assert_exports(&browser, "demo-pairs", 40);
    assert_heap(&browser);
    assert_quiet(&browser, &server);
}

/// Both on a device without a GPU, each within the half hour that a person may wait for an answer.
#[test]
fn the_page_races_and_sweeps_the_demo_by_one_click_in_firefox() {
    let server = serve();
    let browser = open(&server, &BrowserOptions::new(BrowserKind::Firefox));
    for (begin, end, name) in [
        ("DPO beside RLHF, on the demo", "Another race", "browser-race"),
        ("Beta from too low to too high, on the demo", "Another sweep", "browser-sweep"),
    ] {
        let began = Instant::now();
        browser.click(begin);
        browser.wait_that(&format!("the heading \"{end}\""), HALF_AN_HOUR, || browser.find("heading", end));
        println!("{begin}: {:.0} s", began.elapsed().as_secs_f64());
        picture(&browser, name);
        browser.click_role("tab", "Start");
    }
    assert_heap(&browser);
    assert_quiet(&browser, &server);
}

/// True if the browser would ask a person who leaves the page.
fn asks_before_leaving(browser: &Browser) -> bool {
    browser.execute("return !dispatchEvent(new Event('beforeunload', { cancelable: true }))", &[]) == true
}
