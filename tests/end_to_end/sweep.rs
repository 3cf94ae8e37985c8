//! A sweep in the page, from its address to its verdicts: two learning rates on a few pairs, for a step or two.

use std::path::{Path, PathBuf};
use std::time::Duration;

use pairtune::engine::protocol::Settings;
use serde_json::json;

use crate::browser::{Browser, BrowserKind, BrowserOptions};
use crate::page::{
    LONG, N_PAIRS, assert_heap, assert_quiet, load_settings, open_at, open_demo_with, picture, serve, short_settings,
    texts, told, wait_for_text,
};
use crate::ui::{PATIENCE, Ui as _};

/// Steps of each run: one half way, and the last.
const STEPS: usize = 2;

/// Time for the runs and their measurements, in each of which the model writes sixteen answers.
const THE_SWEEP: Duration = Duration::from_secs(900);

/// A rate too low to change any answer, and one that moves the model in two steps.
const VALUES: [&str; 2] = ["1e-9", "0.01"];

#[test]
fn two_learning_rates_are_swept_and_judged_in_chromium() {
    two_learning_rates_are_swept_and_judged(BrowserKind::Chromium);
}

#[test]
fn two_learning_rates_are_swept_and_judged_in_firefox() {
    two_learning_rates_are_swept_and_judged(BrowserKind::Firefox);
}

fn two_learning_rates_are_swept_and_judged(kind: BrowserKind) {
    let folder = tempfile::tempdir().expect("a folder");
    let server = serve();
    // High enough for the picture and the verdicts below it.
    let options = BrowserOptions { size: (1280, 1080), ..BrowserOptions::new(kind) };
    let browser = open_at(&server, &options, "#sweep", "Beta from too low to too high, on the demo");
    browser.wait_for("From too low to too high", PATIENCE);
    open_demo_with(&browser, &write_pairs(folder.path()));
    load_settings(&browser, &settings());
    wait_for_text(&browser, &format!("Steps: {STEPS}, on 4 pairs with 4 held out"));

    browser.click_role("tab", "Sweep");
    browser.click_role("radio", "Learning rate");
    wait_for_text(&browser, "Learning rate in the plan: 0.0015");
    let values = VALUES.join(", ");
    browser.fill("Values", &values);
    wait_for_text(&browser, &values);
    browser.click("Try these values");
    browser.wait_for("Stop the sweep", PATIENCE);
    browser.wait_that("the sweep's first event", LONG, || (told(&browser, "sweep") > 0).then_some(()));
    browser.wait_that("the end of the sweep", THE_SWEEP, || {
        if browser.find("heading", "The sweep could not go on").is_some() {
            browser.fail("the sweep was refused");
        }
        browser.find("heading", "Another sweep")
    });
    assert_picture(&browser);
    assert_verdicts(&browser);
    picture(&browser, "browser-sweep-of-two");

    browser.click_role("tab", "Runs");
    for value in VALUES {
        browser.wait_for(&format!("Open Sweep: learning_rate {value}"), LONG);
    }
    assert_heap(&browser);
    assert_quiet(&browser, &server);
}

/// Each chart of the picture has a line, or a point, for each value.
fn assert_picture(browser: &Browser) {
    browser.wait_for("All values of learning rate in one picture", PATIENCE);
    let [low, high] = VALUES;
    for (title, end) in [
        ("Held-out accuracy", "at step 2"),
        ("What the drift buys, at the end", ""),
        ("Drift: KL to the starting model, nats per token", "at step 2"),
        ("Chosen answers: nats gained per answer", "at step 2"),
    ] {
        let start = format!("{title}. {low}: ");
        let chart =
            browser.wait_that(&format!("the chart \"{title}\""), PATIENCE, || browser.find_starting("figure", &start));
        let said = &chart.name;
        assert!(said.contains(&format!(". {high}: ")) && said.ends_with(end), "both values to their end: {said}");
        assert!(!said.contains("no values yet"), "all is measured: {said}");
    }
}

/// The low rate is too low beside one that moves the model; four held-out pairs leave open whether that one goes too
/// far. The advice follows from both.
fn assert_verdicts(browser: &Browser) {
    let [low, high] = VALUES;
    wait_for_text(browser, &format!("Learning rate {low} is too low: the model hardly moves"));
    let said = texts(browser);
    let is_right = said.contains(&format!("Learning rate {high} is about right: held-out accuracy "));
    let is_too_high = said.contains(&format!("Learning rate {high} is too high: the model drifts far"));
    assert!(is_right != is_too_high, "one verdict: {said}");
    browser.wait_for("What to train with", PATIENCE);
    let advice = match is_right {
        true => format!("Train with learning rate {high}: of the values that are about right it has the highest"),
        false => "One value goes too far and its neighbour not enough: try learning rate ".to_owned(),
    };
    wait_for_text(browser, &advice);
    browser.wait_that("a button for the value", PATIENCE, || browser.find_starting("button", "Use learning rate "));
}

/// The demo's settings for so few steps, at a rate that stays the same; half of the pairs are held out.
fn settings() -> Settings {
    let mut settings = short_settings(STEPS);
    let others = [("eval_split", json!(0.5)), ("lr_scheduler_type", json!("constant")), ("warmup_steps", json!(0))];
    settings.extend(others.map(|(key, value)| (key.to_owned(), value)));
    settings
}

/// Writes a few of the demo's pairs into a folder, with the prompts that a measurement asks.
fn write_pairs(folder: &Path) -> PathBuf {
    let path = folder.join("swept.jsonl");
    let rows: Vec<&str> = include_str!("../../assets/demo/pairs.jsonl").lines().take(N_PAIRS).collect();
    std::fs::write(&path, rows.join("\n")).expect("a file");
    path
}
