//! The whole journey in the page: tuned by clicks, paused, reloaded, continued, compared and exported; and the same
//! with files of one's own.

use std::path::{Path, PathBuf};

use pairtune::files::Adapter;
use pairtune::platform::MemoryFolder;

use crate::browser::{Browser, BrowserOptions};
use crate::page::{
    A_RUN, LONG, assert_quiet, losses, open, picture, reach, read_archive, serve, step, wait_for_step, wait_for_text,
    wait_until_done,
};
use crate::ui::{PATIENCE, Ui as _};

/// Bytes of WebAssembly memory that a page or worker may take.
const HEAP: u64 = 512 << 20;

#[test]
fn the_page_tunes_the_demo_by_clicks() {
    let server = serve();
    let browser = open(&server, &BrowserOptions::default(), "");
    picture(&browser, "browser-start");
    browser.click("Try the 60-second demo");
    let (_, total) = wait_for_step(&browser, 2);
    assert_eq!(total, 40, "the demo's steps");

    // Paused and reloaded: the run is where it was.
    browser.click("Pause");
    browser.wait_for("Resume", LONG);
    picture(&browser, "browser-paused");
    let (paused, _) = step(&browser).expect("the step is shown");
    browser.reload();
    continue_run(&browser);
    let (resumed, _) = wait_for_step(&browser, paused + 1);
    assert!(resumed > paused, "it goes on");

    // Reloaded in the middle of a run, as if the tab had been closed: it goes on from what was saved.
    browser.execute("window.addEventListener('beforeunload', event => event.stopImmediatePropagation(), true)", &[]);
    browser.reload();
    continue_run(&browser);
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

/// Continues the run that the start page offers.
fn continue_run(browser: &Browser) {
    browser.wait_for("Try the 60-second demo", LONG);
    browser.wait_that("a run to continue", PATIENCE, || browser.find("button", "Continue"));
    browser.click_role("button", "Continue");
}

/// The worker's memory is small, for all that went through it.
pub(crate) fn assert_heap(browser: &Browser) {
    let worker = browser.worker("blob:");
    let bytes = browser.execute_in(&worker, "self.pairtuneMemory.buffer.byteLength").as_u64().expect("a number");
    assert!(bytes < HEAP, "the engine's memory is {} MB", bytes >> 20);
}

#[test]
fn a_model_and_pairs_come_from_files() {
    let server = serve();
    let browser = open(&server, &BrowserOptions::default(), "");
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo");
    browser.click("Open a model folder…");
    browser.send_files("#pick-model-folder", &[&demo.join("model")]);
    browser.wait_for("Choose another model", LONG);
    browser.click("2  Pairs");
    browser.click_starting("Open a pairs file");
    browser.send_files("#pick-pairs", &[&demo.join("pairs.jsonl")]);
    browser.wait_for_starting("pairs.jsonl", LONG);
    picture(&browser, "browser-pairs");
    browser.click("3  Plan");
    browser.click("Load file…");
    let settings = short_settings(3);
    browser.send_files("#pick-settings", &[&settings]);
    wait_for_text(&browser, "Steps: 3,");
    picture(&browser, "browser-plan");
    reach(&browser, "Start training");
    browser.wait_that("the end", A_RUN, || browser.find("button", "Train more"));
    assert_heap(&browser);
    assert_quiet(&browser, &server);
}

/// A settings file of the demo, for so many steps.
pub(crate) fn short_settings(steps: usize) -> PathBuf {
    let settings = crate::session::demo_settings(steps);
    let path = std::env::temp_dir().join(format!("pairtune-settings-{}-{steps}.json", std::process::id()));
    std::fs::write(&path, serde_json::to_vec(&settings).expect("settings are JSON")).expect("a file");
    path
}

#[test]
fn a_gigabyte_of_pairs_streams_through_the_page() {
    let server = serve();
    let browser = open(&server, &BrowserOptions::default(), "");
    let path = std::env::temp_dir().join(format!("pairtune-gigabyte-{}.jsonl", std::process::id()));
    write_pairs(&path, 1 << 30);
    browser.click_starting("Open a pairs file");
    browser.send_files("#pick-pairs", &[&path]);
    // Rows are there long before the end.
    wait_for_text(&browser, "Question 7");
    assert!(browser.find("button", "Cancel").is_some(), "and the rest is still being read");
    browser.wait_that("all rows", LONG, || browser.find_starting("", "pairtune-gigabyte"));
    assert_heap(&browser);
    std::fs::remove_file(&path).expect("it is there");
    assert_quiet(&browser, &server);
}

#[test]
fn other_scripts_than_latin_are_shown() {
    let server = serve();
    let browser = open(&server, &BrowserOptions::default(), "");
    let path = std::env::temp_dir().join(format!("pairtune-scripts-{}.jsonl", std::process::id()));
    let rows = [
        ("潮水什么时候来？", "上午九点，祝您愉快！", "不知道。"),
        ("満潮は何時ですか。", "午前九時です。どうぞお気をつけて。", "知りません。"),
        ("متى المد العالي؟", "في التاسعة صباحا، أهلا بك.", "لا أعرف."),
        ("만조는 언제인가요?", "오전 아홉 시입니다. 좋은 하루 되세요!", "몰라요."),
        ("ज्वार कब आता है?", "सुबह नौ बजे, स्वागत है।", "पता नहीं।"),
        ("High tide? 🌊", "At nine 😀 👋🏽 👨‍👩‍👧", "No. 🙄"),
    ];
    let pair = |(prompt, chosen, rejected)| {
        serde_json::json!({"prompt": prompt, "chosen": chosen, "rejected": rejected}).to_string()
    };
    std::fs::write(&path, rows.map(pair).join("\n")).expect("a file");
    browser.click_starting("Open a pairs file");
    browser.send_files("#pick-pairs", &[&path]);
    for (prompt, ..) in rows {
        wait_for_text(&browser, prompt);
    }
    picture(&browser, "browser-scripts");
    std::fs::remove_file(&path).expect("it is there");
    assert_quiet(&browser, &server);
}

/// A pairs file of about so many bytes.
fn write_pairs(path: &Path, bytes: usize) {
    use std::io::Write as _;
    let long = "All work and no play makes a dull answer. ".repeat(24);
    let mut block = Vec::new();
    for row in 0..500 {
        let row = serde_json::json!({"prompt": format!("Question {row}"), "chosen": long, "rejected": "No."});
        block.extend(row.to_string().into_bytes());
        block.push(b'\n');
    }
    let mut file = std::fs::File::create(path).expect("a file");
    for _ in 0..bytes / block.len() {
        file.write_all(&block).expect("there is room on the disk");
    }
}
