//! A model and pairs of one's own, given through the page's file inputs.

use std::path::Path;

use pairtune::bench::{RandomModel, Sizes};
use pairtune::platform::Folder as _;

use crate::browser::{BrowserKind, BrowserOptions};
use crate::page::{
    FEW_PAIRS, LONG, assert_heap, assert_quiet, choose, demo_as_gguf, few_pairs, open, picture, reach, serve,
    start_with_settings, wait_for_text, write_files,
};
use crate::ui::{PATIENCE, Ui as _};

#[test]
fn a_model_and_pairs_come_from_files_in_chromium() {
    a_model_and_pairs_come_from_files(BrowserKind::Chromium);
}

#[test]
fn a_model_and_pairs_come_from_files_in_firefox() {
    a_model_and_pairs_come_from_files(BrowserKind::Firefox);
}

fn a_model_and_pairs_come_from_files(kind: BrowserKind) {
    let server = serve();
    let browser = open(&server, &BrowserOptions::new(kind));
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo");
    browser.click("Open a model folder…");
    choose(&browser, "pick-model-folder", &[&demo.join("model")]);
    browser.wait_for("Choose another model", LONG);
    browser.click("2  Pairs");
    browser.click_starting("Open a pairs file");
    choose(&browser, "pick-pairs", &[&demo.join("pairs.jsonl")]);
    // The last line to come, which moves what is below it.
    wait_for_text(&browser, "Held out: 38 pairs");
    picture(&browser, "browser-pairs");
    browser.click("Open another file…");
    choose(&browser, "pick-pairs", &[&few_pairs()]);
    browser.wait_for_starting(FEW_PAIRS, LONG);
    start_with_settings(&browser, 3);
    browser.wait_that("the end", LONG, || browser.find("button", "Train more"));
    assert_heap(&browser);
    assert_quiet(&browser, &server);
}

#[test]
fn a_gguf_file_is_tuned_in_chromium() {
    a_gguf_file_is_tuned(BrowserKind::Chromium);
}

#[test]
fn a_gguf_file_is_tuned_in_firefox() {
    a_gguf_file_is_tuned(BrowserKind::Firefox);
}

fn a_gguf_file_is_tuned(kind: BrowserKind) {
    let folder = tempfile::tempdir().expect("a folder");
    let model = demo_as_gguf(folder.path());
    let server = serve();
    let browser = open(&server, &BrowserOptions::new(kind));
    browser.click("1  Model");
    browser.click("Open model files…");
    choose(&browser, "pick-model-files", &[&model]);
    browser.wait_for("Choose another model", LONG);
    browser.click("2  Pairs");
    browser.click_starting("Open a pairs file");
    choose(&browser, "pick-pairs", &[&few_pairs()]);
    browser.wait_for_starting(FEW_PAIRS, LONG);
    start_with_settings(&browser, 3);
    browser.wait_that("the end", LONG, || browser.find("button", "Train more"));
    browser.click("6  Export");
    browser.wait_for("Write files", PATIENCE);
    browser.click_starting("Whole model (GGUF, Q8_0)");
    write_files(&browser);
    reach(&browser, "Download: Whole model (GGUF, Q8_0)");
    // The browser gets file by file: a model is too large to be packed.
    let downloaded = |name: &str| std::fs::read(browser.wait_download(name, PATIENCE)).expect("it was downloaded");
    let gguf = downloaded(&format!("{FEW_PAIRS}-gguf-q8_0.gguf"));
    assert!(gguf.starts_with(b"GGUF") && gguf.len() > 200_000, "{} bytes", gguf.len());
    // Chromium asks before a click downloads a second file, and without a window nobody can answer.
    if matches!(kind, BrowserKind::Firefox) {
        let modelfile = String::from_utf8(downloaded("Modelfile")).expect("a text");
        assert!(modelfile.contains(&format!("FROM ./{FEW_PAIRS}-gguf-q8_0.gguf")), "{modelfile}");
    }
    assert_quiet(&browser, &server);
}

#[test]
fn a_model_of_269_megabytes_is_tuned_in_little_memory_in_chromium() {
    a_model_of_269_megabytes_is_tuned_in_little_memory(BrowserKind::Chromium);
}

#[test]
fn a_model_of_269_megabytes_is_tuned_in_little_memory_in_firefox() {
    a_model_of_269_megabytes_is_tuned_in_little_memory(BrowserKind::Firefox);
}

/// SmolLM2-135M's shape. The weights go to the device without staying in the page or the worker.
fn a_model_of_269_megabytes_is_tuned_in_little_memory(kind: BrowserKind) {
    let folder = tempfile::tempdir().expect("a folder");
    write_large_model(folder.path());
    let server = serve();
    let browser = open(&server, &BrowserOptions::new(kind));
    browser.click("Open a model folder…");
    choose(&browser, "pick-model-folder", &[folder.path()]);
    browser.wait_for("Choose another model", LONG);
    assert_heap(&browser);
    browser.click("2  Pairs");
    browser.click_starting("Open a pairs file");
    choose(&browser, "pick-pairs", &[&few_pairs()]);
    browser.wait_for_starting(FEW_PAIRS, LONG);
    start_with_settings(&browser, 1);
    browser.wait_that("the end", LONG, || browser.find("button", "Train more"));
    assert_heap(&browser);
    assert_quiet(&browser, &server);
}

/// A model folder of SmolLM2-135M's shape with random weights and the demo's tokenizer.
fn write_large_model(folder: &Path) {
    let model = RandomModel::new(Sizes::SMOLLM2_135M).expect("a model");
    for file in model.files() {
        let source = model.open(&file).expect("a file");
        let mut out = std::fs::File::create(folder.join(&file)).expect("a file");
        let size = source.len();
        for at in (0..size).step_by(1 << 24) {
            let len = (size - at).min(1 << 24) as usize;
            let bytes = pollster::block_on(source.read_at(at, len)).expect("its bytes");
            std::io::Write::write_all(&mut out, &bytes).expect("room on the disk");
        }
    }
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo/model");
    for file in ["tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(demo.join(file), folder.join(file)).expect("the demo's tokenizer");
    }
}

#[test]
fn a_gigabyte_of_pairs_streams_through_the_page() {
    let server = serve();
    let browser = open(&server, &BrowserOptions::new(BrowserKind::Chromium));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("gigabyte.jsonl");
    write_pairs(&path, 1 << 30);
    browser.click_starting("Open a pairs file");
    choose(&browser, "pick-pairs", &[&path]);
    // Rows are there long before the end.
    wait_for_text(&browser, "Question 7");
    assert!(browser.find("button", "Cancel").is_some(), "and the rest is still being read");
    browser.wait_that("all rows", LONG, || browser.find_starting("", "gigabyte"));
    assert_heap(&browser);
    assert_quiet(&browser, &server);
}

#[test]
fn other_scripts_than_latin_are_shown() {
    let server = serve();
    let browser = open(&server, &BrowserOptions { size: (1280, 860), ..BrowserOptions::new(BrowserKind::Chromium) });
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("scripts.jsonl");
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
    choose(&browser, "pick-pairs", &[&path]);
    for (prompt, ..) in rows {
        wait_for_text(&browser, prompt);
    }
    picture(&browser, "browser-scripts");
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
