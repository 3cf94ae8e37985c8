//! Faults in the page, and the data that they must not lose.

use crate::browser::{Browser, BrowserKind, BrowserOptions};
use crate::page::{
    FEW_PAIRS, LONG, N_PAIRS, assert_quiet, continue_run, few_pairs, open_with_few_pairs, picture, reach, serve, step,
    wait_for_step, wait_for_text,
};
use crate::ui::{PATIENCE, Ui as _};

#[test]
fn a_lost_device_full_storage_and_a_dead_worker_lose_nothing_in_chromium() {
    let server = serve();
    let browser = open_with_few_pairs(&server, &BrowserOptions::new(BrowserKind::Chromium), 40);
    let done = lose_the_device(&browser);

    // Storage is really full when the run is saved: that is told, and there is a way on.
    browser.chromium().set_quota(&server.origin(), Some(1 << 10));
    browser.click("Pause");
    browser.wait_for("Storage is full: this run is only in memory", LONG);
    browser.wait_for("Resume", LONG);
    browser.click("Resume");
    wait_for_step(&browser, done + 1);
    browser.chromium().set_quota(&server.origin(), None);
    crash_the_engine(&browser);

    // The browser ends the worker, and tells nobody.
    let worker = browser.chromium().worker("blob:");
    browser.chromium().execute_in(&worker, "self.close()");
    browser.click("Start");
    browser.wait_for("Restart the engine", LONG);
}

#[test]
fn a_lost_device_and_a_dead_worker_lose_nothing_in_firefox() {
    let server = serve();
    let browser = open_with_few_pairs(&server, &BrowserOptions::new(BrowserKind::Firefox), 40);
    lose_the_device(&browser);
    crash_the_engine(&browser);
}

/// Destroys the device: the page stays alive, says so, and the run goes on by itself. Gives the step that it reached.
fn lose_the_device(browser: &Browser) -> u64 {
    wait_for_step(browser, 1);
    test_failure(browser, "Lose the GPU");
    browser.click("4  Run");
    wait_for_text(browser, "The graphics driver reset. The run went on by itself");
    browser.wait_for("Stop and save", LONG);
    let (again, _) = step(browser).expect("the step is shown");
    wait_for_step(browser, again + 1).0
}

/// Saves a run and has the worker die: the page says so, restarts it, and the run continues from what was saved.
fn crash_the_engine(browser: &Browser) {
    browser.click("Pause");
    browser.wait_for("Resume", LONG);
    let (saved, _) = step(browser).expect("the step is shown");
    browser.click("Resume");
    wait_for_step(browser, saved + 1);
    test_failure(browser, "Crash the engine");
    browser.click("Start");
    browser.wait_for("Restart the engine", LONG);
    browser.click("Restart the engine");
    let first = continue_run(browser);
    assert!(first >= saved, "from step {saved} on, not from {first}");
    wait_for_step(browser, saved + 1);
}

fn test_failure(browser: &Browser, failure: &str) {
    browser.click("Help");
    reach(browser, failure);
}

#[test]
fn a_driver_that_resets_is_told_and_the_run_goes_on_after_a_reload() {
    let server = serve();
    let browser = open_with_few_pairs(&server, &BrowserOptions::new(BrowserKind::Chromium), 40);
    wait_for_step(&browser, 1);
    browser.click("Pause");
    browser.wait_for("Resume", LONG);
    let (saved, _) = step(&browser).expect("the step is shown");
    browser.click("Resume");
    wait_for_step(&browser, saved + 1);
    // It takes the device of the engine, and the canvas that the app draws on.
    browser.chromium().crash_gpu();
    let told = "document.querySelector('#crash:not([hidden]) h2')?.textContent.startsWith('The graphics driver reset')";
    browser.wait_js(told, LONG);
    browser.execute("document.querySelector('#crash .reload').click()", &[]);
    browser.wait_js("document.querySelector('#crash[hidden]')", LONG);
    // The address may hold settings, which lead to the plan.
    browser.wait_for("Start", LONG);
    browser.click("Start");
    let first = continue_run(&browser);
    assert!(first >= saved, "from step {saved} on, not from {first}");
    wait_for_step(&browser, saved + 1);
}

#[test]
fn a_hidden_tab_goes_on_in_chromium() {
    a_hidden_tab_goes_on(BrowserKind::Chromium);
}

#[test]
fn a_hidden_tab_goes_on_in_firefox() {
    a_hidden_tab_goes_on(BrowserKind::Firefox);
}

fn a_hidden_tab_goes_on(kind: BrowserKind) {
    let server = serve();
    let options = BrowserOptions { throttle: true, ..BrowserOptions::new(kind) };
    let browser = open_with_few_pairs(&server, &options, 40);
    wait_for_step(&browser, 1);
    let first = browser.window();
    browser.new_window();
    assert_eq!(browser.evaluate_in_window(&first, "document.hidden"), true, "nobody looks");
    let steps = || browser.evaluate_in_window(&first, "told.step").as_u64().expect("a number");
    let before = steps();
    browser.wait_that("steps in a hidden tab", LONG, || (steps() >= before + 3).then_some(()));
    browser.switch_window(&first);
    wait_for_step(&browser, before + 3);
    assert_quiet(&browser, &server);
}

#[test]
fn without_a_gpu_pairs_can_still_be_checked() {
    let server = serve();
    let browser = Browser::start(&BrowserOptions { webgpu: false, ..BrowserOptions::new(BrowserKind::Chromium) });
    browser.goto(&server.url("?nosw"));
    browser.wait_for("This browser offers no GPU to train on", LONG);
    picture(&browser, "browser-no-gpu");
    assert!(
        browser.find_starting("button", "Try the ").is_some_and(|demo| demo.disabled),
        "nothing begins that cannot be done"
    );
    let (x, y) = (640.0, 400.0);
    browser.chromium().hold_files(&[&few_pairs()], x, y);
    wait_for_text(&browser, "Open as a model, pairs or a run");
    browser.chromium().drop_files(&[&few_pairs()], x, y);
    browser.wait_for_starting(FEW_PAIRS, LONG);
    wait_for_text(&browser, &format!("{N_PAIRS} rows: {N_PAIRS} used"));
    browser.click("3  Plan");
    browser.wait_for("Training needs a GPU: see why", PATIENCE);
    assert_quiet(&browser, &server);
}
