//! Files: dropped, chosen, typed as paths, opened before.

use std::path::Path;
use std::sync::Arc;

use eframe::egui;
use egui_kittest::kittest::Queryable as _;
use pairtune::Error;
use pairtune::engine::protocol::*;
use pairtune::platform::World;

use super::script::{self, Stage};
use super::{Dropped, Folder};

#[test]
fn hovering_files_say_what_they_will_do() {
    let folder = Folder::new(&["tone.jsonl", "model.bin", "model.gguf"]);
    let mut stage = Stage::ready();
    stage.harness.input_mut().hovered_files = vec![hovered(&folder.0.join("tone.jsonl"))];
    stage.wait(0.5);
    stage.expect("Open as a pairs file");
    stage.harness.input_mut().hovered_files = vec![hovered(&folder.0.join("model.gguf"))];
    stage.wait(0.5);
    stage.expect("Open as a model");
    stage.harness.input_mut().hovered_files = vec![hovered(&folder.0.join("model.bin"))];
    stage.wait(0.5);
    stage.expect("This cannot be opened");
    stage.expect("PyTorch's old format");
    stage.harness.input_mut().hovered_files = vec![hovered(&folder.0.join("tone.jsonl"))];
    stage.harness.key_press(egui::Key::Escape);
    stage.wait(0.5);
    assert!(!stage.shows("Open as a pairs file"), "Esc sends the target away");
    stage.sent();
    stage.harness.input_mut().hovered_files = Vec::new();
    stage.harness.input_mut().dropped_files = vec![Arc::new(Dropped(folder.0.join("tone.jsonl")))];
    stage.run();
    assert_eq!(stage.sent(), [], "and what is let go of then is not opened");
    stage.harness.input_mut().dropped_files = vec![Arc::new(Dropped(folder.0.join("tone.jsonl")))];
    stage.run();
    assert_eq!(stage.sent(), [Command::Pairs(PairsCommand::Open { mapping: None })], "but the next time");
}

#[test]
fn dropped_files_are_opened_as_what_they_are() {
    let folder = Folder::new(&["tone.jsonl"]);
    let model = Folder::new(&["config.json", "tokenizer.json", "model.safetensors"]);
    let mut stage = Stage::ready();
    stage.sent();
    stage.harness.input_mut().dropped_files = vec![Arc::new(Dropped(folder.0.join("tone.jsonl")))];
    stage.run();
    let sent = stage.sent_with_files();
    assert_eq!(sent, [(Command::Pairs(PairsCommand::Open { mapping: None }), vec!["tone.jsonl".to_owned()])], "pairs");
    stage.harness.input_mut().dropped_files = vec![Arc::new(Dropped(model.0.clone()))];
    stage.run();
    let sent = stage.sent_with_files();
    let [(Command::Model(ModelCommand::Open { source: ModelSource::Picked { path, .. } }), files)] = sent.as_slice()
    else {
        panic!("a model is opened, not {sent:?}")
    };
    assert_eq!(path.as_deref(), Some(&*model.0.display().to_string()), "its folder is known");
    assert_eq!(files, &["config.json", "model.safetensors", "tokenizer.json"], "its files");
}

#[test]
fn without_dialogs_a_path_is_asked_for() {
    let folder = Folder::new(&["tone.jsonl"]);
    let none = Error::device("This desktop shows no file dialog", "Type the path");
    let mut stage = Stage::with_dialogs(vec![None, Some(Err(none))]);
    stage.say(script::ready());
    stage.sent();
    stage.click("Open a pairs file…");
    assert!(!stage.shows("shows no file dialog"), "what a person closes is no failure");
    stage.click("Open a pairs file…");
    stage.expect("This desktop shows no file dialog");
    stage.expect("Choose a file with preference pairs");
    let path = folder.0.join("tone.jsonl").display().to_string();
    let mut fields = stage.harness.query_all_by_label("Path of a pairs file").collect::<Vec<_>>();
    let field = fields.pop().expect("the question has a field");
    field.focus();
    field.set_text_value_accesskit(&path);
    drop(fields);
    stage.run();
    let mut buttons = stage.harness.query_all_by_label("Open the pairs at this path").collect::<Vec<_>>();
    buttons.pop().expect("and a button").click();
    drop(buttons);
    stage.run();
    let sent = stage.sent_with_files();
    assert_eq!(
        sent,
        [(Command::Pairs(PairsCommand::Open { mapping: None }), vec!["tone.jsonl".to_owned()])],
        "it is opened"
    );
    assert!(!stage.shows("shows no file dialog"), "the question is answered");
}

#[test]
fn paths_are_typed_and_wrong_ones_are_told() {
    let folder = Folder::new(&["config.json", "tokenizer.json", "model.safetensors"]);
    let mut stage = Stage::ready();
    stage.sent();
    stage.type_into("Path of a model folder, or of a GGUF file", &folder.0.display().to_string());
    stage.click("Open the model at this path");
    let sent = stage.sent_with_files();
    let [(Command::Model(ModelCommand::Open { source: ModelSource::Picked { path, .. } }), files)] = sent.as_slice()
    else {
        panic!("a model is opened, not {sent:?}")
    };
    assert_eq!(path.as_deref(), Some(&*folder.0.display().to_string()), "by its folder");
    assert_eq!(files.len(), 3, "with its files");
    stage.say(Event::Cancelled { subject: Subject::Model });
    stage.type_into("Path of a model folder, or of a GGUF file", "/there/is/nothing");
    stage.click("Open the model at this path");
    stage.expect("There is nothing at this path");
    stage.expect("/there/is/nothing");
    stage.go("2  Pairs");
    stage.type_into("Path of a pairs file", &folder.0.display().to_string());
    stage.click("Open the pairs at this path");
    stage.expect("This is a folder");
    assert_eq!(stage.sent(), [], "nothing is opened");
    stage.say_pairs(24);
    stage.click("by its path");
    stage.type_into("Path of a pairs file", "/no/such.jsonl");
    stage.click("Open the pairs at this path");
    stage.expect("/no/such.jsonl");
    stage.expect("24 rows: 24 used");
    let browser = Stage::in_environment(script::environment(World::Browser), Vec::new());
    assert!(!browser.shows("Path of a model folder, or of a GGUF file"), "a page opens no paths");
}

#[test]
fn the_command_line_opens_a_model_and_pairs() {
    let folder = Folder::new(&["config.json", "tokenizer.json", "model.safetensors", "tone.jsonl"]);
    let place = folder.0.display().to_string();
    let mut stage = Stage::opening(Some(place.clone()), Some(format!("{place}/tone.jsonl")));
    assert_eq!(stage.sent(), [], "the engine does not listen yet");
    stage.say(script::ready());
    let sent = stage.sent();
    let opened = sent
        .iter()
        .filter(|c| matches!(c, Command::Model(ModelCommand::Open { .. }) | Command::Pairs(PairsCommand::Open { .. })))
        .count();
    assert_eq!(opened, 2, "both are opened: {sent:?}");
    let mut stage = Stage::opening(None, Some("/no/such.jsonl".into()));
    stage.say(script::ready());
    stage.expect("This file can't be used");
    stage.expect("/no/such.jsonl");
}

#[test]
fn what_was_opened_before_is_opened_again() {
    let folder = Folder::new(&["config.json", "tokenizer.json", "model.safetensors", "tone.jsonl"]);
    let mut stage = Stage::ready();
    let open = |stage: &mut Stage, what: &str, button: &str, path: &Path| {
        stage.go("Start");
        stage.type_into(what, &path.display().to_string());
        stage.click(button);
    };
    open(&mut stage, "Path of a model folder, or of a GGUF file", "Open the model at this path", &folder.0);
    let path = Some(folder.0.display().to_string());
    let source = ModelSource::Picked { name: "mine".into(), path };
    stage.say(Event::ModelOpened(Box::new(ModelInfo { name: "mine".into(), source, ..script::model() })));
    open(&mut stage, "Path of a pairs file", "Open the pairs at this path", &folder.0.join("tone.jsonl"));
    stage.say_pairs(24);
    let mut stage = Stage::again(stage.remembered());
    stage.say(script::ready());
    stage.sent();
    stage.click("Open again: tone.jsonl");
    assert!(matches!(stage.sent()[..], [Command::Pairs(PairsCommand::Open { .. })]), "the pairs");
    stage.go("1  Model");
    stage.click("Open again: mine");
    assert!(matches!(stage.sent()[..], [Command::Model(ModelCommand::Open { .. })]), "the model");
    stage.say(Event::Cancelled { subject: Subject::Model });
    let memory = stage.remembered();
    drop(folder);
    let mut stage = Stage::again(memory);
    stage.say(script::ready());
    stage.click("Open again: tone.jsonl");
    stage.expect("There is nothing at this path");
    stage.go("Start");
    assert!(!stage.shows("Open again: tone.jsonl"), "what is gone is not offered any more");
}

fn hovered(path: &Path) -> egui::HoveredFile {
    egui::HoveredFile { path: Some(path.to_owned()), mime: String::new() }
}
