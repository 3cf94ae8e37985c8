//! Ctrl+V while no text field has the keyboard: rows and paths are opened.

use eframe::egui;
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use pairtune::engine::protocol::*;
use pairtune::platform::World;
use serde_json::json;

use crate::Folder;
use crate::script::{self, Stage};

const CANNOT: &str = "What was pasted cannot be opened.";

fn paste(stage: &mut Stage, text: &str) {
    stage.harness.event(egui::Event::Paste(text.to_owned()));
    stage.run();
}

/// Commands that a paste sends, with the names of their files; what is being opened is then given up.
fn pasted(stage: &mut Stage, text: &str) -> Vec<(Command, Vec<String>)> {
    stage.sent();
    paste(stage, text);
    let sent = stage.sent_with_files();
    for subject in [Subject::Model, Subject::Pairs] {
        stage.say(Event::Cancelled { subject });
    }
    sent
}

#[test]
fn pasted_rows_are_opened_as_a_pairs_file() {
    let mut stage = Stage::ready();
    for (text, name) in [
        ("{\"prompt\": \"a\", \"chosen\": \"b\", \"rejected\": \"c\"}\n", "pasted.jsonl"),
        ("\n[{\"prompt\": \"a\", \"chosen\": \"b\", \"rejected\": \"c\"}]", "pasted.json"),
        ("prompt,chosen,rejected\na,b,c\n", "pasted.csv"),
        ("prompt\tchosen\trejected\na\tb\tc\n", "pasted.tsv"),
    ] {
        stage.go("Start");
        let sent = pasted(&mut stage, text);
        assert_eq!(sent, [(Command::Pairs(PairsCommand::Open { mapping: None }), vec![name.to_owned()])], "{text}");
        stage.expect("Each pair is a prompt with two answers");
    }
    paste(&mut stage, "prompt,chosen,rejected\na,b,c\n");
    stage.say(Event::PairRows { first: 0, rows: script::rows(1) });
    stage.say(Event::PairsOpened(Box::new(PairsInfo { name: "pasted.csv".into(), ..script::pairs(1) })));
    stage.expect("pasted.csv");
    let mut again = Stage::again(stage.remembered());
    again.say(script::ready());
    assert!(!again.shows("Open again: pasted.csv"), "it has no path to be found at again");
}

#[test]
fn pasted_rows_wait_for_a_run_at_work() {
    let mut stage = Stage::running();
    stage.sent();
    paste(&mut stage, "prompt,chosen,rejected\na,b,c\n");
    let opened = stage.sent().iter().any(|command| matches!(command, Command::Pairs(PairsCommand::Open { .. })));
    assert!(!opened, "they would end it");
    stage.expect("A run is at work: pause it first");
}

#[test]
fn a_pasted_path_is_opened_as_what_is_there() {
    let folder = Folder::new(&["my tone.jsonl", "rows.txt", "m.gguf", "tone.run"]);
    let model = Folder::new(&["config.json", "tokenizer.json", "model.safetensors"]);
    let adapter = Folder::new(&["adapter_config.json", "adapter_model.safetensors"]);
    let mut stage = Stage::ready();
    let at = |name: &str| folder.0.join(name).display().to_string();
    let address = format!("file://{}\n", at("my%20tone.jsonl"));
    for (text, name) in [
        (at("my tone.jsonl"), "my tone.jsonl"),
        (format!(" \"{}\"", at("my tone.jsonl")), "my tone.jsonl"),
        (address, "my tone.jsonl"),
        (at("rows.txt"), "rows.txt"),
    ] {
        let sent = pasted(&mut stage, &text);
        assert_eq!(sent, [(Command::Pairs(PairsCommand::Open { mapping: None }), vec![name.to_owned()])], "{text}");
    }
    for (text, path, n_files) in
        [(model.0.display().to_string(), &model.0, 3), (at("m.gguf"), &folder.0.join("m.gguf"), 1)]
    {
        let sent = pasted(&mut stage, &text);
        let [(Command::Model(ModelCommand::Open { source: ModelSource::Picked { path: opened, .. } }), files)] =
            sent.as_slice()
        else {
            panic!("a model is opened, not {sent:?}")
        };
        assert_eq!(opened.as_deref(), Some(&*path.display().to_string()), "its place is known");
        assert_eq!(files.len(), n_files, "its files");
    }
    std::fs::create_dir(folder.0.join("more")).expect("a folder of models");
    std::fs::create_dir(folder.0.join("more/tiny")).expect("a model's folder");
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        std::fs::write(folder.0.join("more/tiny").join(file), "{}").expect("a file");
    }
    assert_eq!(pasted(&mut stage, &at("more")), [], "it is no model itself");
    stage.expect("tiny");
    let sent = pasted(&mut stage, &at("tone.run"));
    assert_eq!(sent.first(), Some(&(Command::Library(LibraryCommand::Import), vec!["tone.run".to_owned()])), "a run");
    let sent = pasted(&mut stage, &adapter.0.display().to_string());
    assert!(
        matches!(sent.first(), Some((Command::Library(LibraryCommand::ImportAdapter), files)) if files.len() == 2),
        "an adapter: {sent:?}"
    );
}

#[test]
fn a_pasted_link_brings_settings() {
    let mut stage = Stage::planned();
    for (link, beta) in [("https://example.org/tune/#s=%7B%22beta%22:0.3%7D", 0.3), ("#s=%7B%22beta%22:0.4%7D\n", 0.4)]
    {
        stage.go("Start");
        stage.sent();
        paste(&mut stage, link);
        stage.wait(1.0);
        let sent = stage.sent();
        let [Command::Plan(PlanCommand::Estimate { settings, .. })] = sent.as_slice() else {
            panic!("it is planned, not {sent:?}")
        };
        assert_eq!(settings["beta"], json!(beta), "as {link} says");
        stage.expect("What the run will do");
    }
    paste(&mut stage, "https://example.org/tune/#demo");
    stage.expect(CANNOT);
    stage.expect("a link to settings");
}

#[test]
fn other_texts_are_told_what_can_be_pasted() {
    let mut stage = Stage::ready();
    stage.sent();
    paste(&mut stage, "hello, world");
    assert_eq!(stage.sent(), [], "nothing is opened");
    stage.expect(CANNOT);
    stage.expect("or the path of a model");
    let folder = Folder::new(&["tone.jsonl"]);
    let mut page = Stage::in_environment(script::environment(World::Browser), Vec::new());
    page.say(script::ready());
    page.sent();
    paste(&mut page, &folder.0.join("tone.jsonl").display().to_string());
    assert_eq!(page.sent(), [], "a page opens no paths");
    page.expect(CANNOT);
    assert!(!page.shows("or the path of a model"), "nor offers to");
    page.go("2  Pairs");
    page.expect("Ctrl+V opens rows that you have copied");
}

#[test]
fn a_paste_into_a_field_stays_one() {
    const LABEL: &str = "Path of a pairs file";
    let mut stage = Stage::ready();
    stage.go("2  Pairs");
    stage.expect("Ctrl+V opens rows that you have copied from somewhere else, or a path.");
    stage.harness.get_by_label(LABEL).focus();
    stage.run();
    stage.sent();
    paste(&mut stage, "{\"prompt\": 1}");
    assert_eq!(stage.sent(), [], "nothing is opened");
    let value = stage.harness.get_by_label(LABEL).accesskit_node().value();
    assert_eq!(value.as_deref(), Some("{\"prompt\": 1}"), "the field has it");
    assert!(!stage.shows(CANNOT), "and nobody complains");
    stage.go("Help");
    stage.expect("Open pasted rows, or a pasted path");
}
