//! The window without an engine: what each page shows in each state, and which commands a click sends.

mod hub;
mod methods;
mod paste;
mod rows;
mod run;
mod script;
mod trials;
mod window;
mod words;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use eframe::egui::{self, accesskit::Role};
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use pairtune::Error;
use pairtune::engine::protocol::*;
use pairtune::platform::{FoundModel, World};
use script::{Stage, problem, progress};
use serde_json::{Map, json};

#[test]
fn an_empty_app_begins_with_the_demo() {
    let mut stage = Stage::ready();
    assert_eq!(
        stage.sent(),
        [Command::Library(LibraryCommand::List), Command::Library(LibraryCommand::MeasureStorage)],
        "what it asks for at first"
    );
    stage.expect("Teach a small language model your taste");
    stage.expect("GPU: Apple M3");
    stage.expect("0 B of your data sent");
    for page in [
        "Find models",
        "1  Model",
        "2  Pairs",
        "3  Plan",
        "4  Run",
        "5  Compare",
        "6  Export",
        "Race",
        "Sweep",
        "Runs",
        "Help",
        "Start",
    ] {
        stage.go(page);
    }
}

#[test]
fn the_demo_starts_by_itself() {
    let mut stage = Stage::ready();
    stage.sent();
    stage.click("Try the 60-second demo");
    assert_eq!(stage.sent(), [Command::Model(ModelCommand::OpenDemo)], "only the demo");
    stage.say(Event::ModelProgress(progress("reading weights", 1, 2)));
    stage.say(Event::ModelOpened(Box::new(script::demo_model())));
    stage.say_pairs(48);
    stage.wait(1.0);
    assert_eq!(stage.sent(), [], "it waits for the demo's plan");
    let settings = json!({"beta": 0.05, "num_train_epochs": 3.0}).as_object().cloned().expect("an object");
    stage.say(Event::Planned(Box::new(PlanInfo { settings: settings.clone(), ..script::plan() })));
    stage.run();
    let sent = stage.sent();
    let [Command::Run(RunCommand::Start(request))] = sent.as_slice() else { panic!("a run begins, not {sent:?}") };
    assert_eq!(request.settings, settings, "with the demo's settings");
    assert_eq!(request.watch.prompts.len(), 3, "and sample prompts");
    assert!(request.watch.keep_best && request.watch.save_seconds == 60.0, "and the usual care");
}

#[test]
fn without_a_gpu_the_reason_and_the_fix_are_told() {
    let mut stage = Stage::in_environment(script::environment(World::Browser), Vec::new());
    stage.say(script::ready_with(Err(problem("navigator.gpu is missing", "Switch WebGPU on"))));
    stage.expect("This browser offers no GPU to train on");
    stage.expect("navigator.gpu is missing");
    assert!(!stage.shows("Switch WebGPU on"), "what helps is said for this browser");
    stage.expect("No GPU was found, which it needs");
    stage.expect("chrome://flags");
    stage.expect("What still works");
    stage.expect("Copy the command of the desktop app");
    stage.click("Copy report");
    stage.expect("Copied");
    stage.go("3  Plan");
    stage.click("Training needs a GPU: see why");
    stage.expect("This browser offers no GPU");
}

#[test]
fn a_software_adapter_is_named() {
    let mut stage = Stage::new();
    stage.expect("Starting the engine…");
    stage.expect("Try the 60-second demo");
    let gpu = GpuInfo { name: "llvmpipe".into(), software: true, ..script::gpu() };
    stage.say(script::ready_with(Ok(gpu)));
    stage.expect("Try the demo: a few minutes here");
    stage.expect("No GPU: running on the CPU");
    stage.expect("llvmpipe (software)");
}

#[test]
fn the_gpu_is_named_with_its_interface_as_people_know_it() {
    let mut stage = Stage::in_environment(script::environment(World::Browser), Vec::new());
    for (backend, shown) in
        [(Backend::BrowserWebGpu, "WebGPU"), (Backend::Dx12, "DirectX 12"), (Backend::Vulkan, "Vulkan")]
    {
        let name = "NVIDIA GeForce RTX 3060".to_owned();
        stage.say(script::ready_with(Ok(GpuInfo { name, backend, ..script::gpu() })));
        stage.expect(&format!("GPU: NVIDIA GeForce RTX 3060, {shown} · f16"));
    }
}

#[test]
fn interrupted_runs_are_continued_from_the_start_page() {
    let mut stage = Stage::ready();
    stage.sent();
    let runs = vec![script::record("r9", "tone-v2", Status::Paused), script::record("r8", "old", Status::Finished)];
    stage.say(Event::Runs { runs });
    stage.expect("Continue \"tone-v2\", step 120/300");
    assert!(!stage.shows("Continue \"old\""), "a finished run is not continued");
    stage.expect("Paused: Qwen3-0.6B with tone.jsonl");
    let timed = |round_seconds| RunRecord {
        step_seconds: Some(2.0),
        round_seconds,
        model_name: "the demo model".into(),
        ..script::record("r9", "tone-v2", Status::Paused)
    };
    stage.say(Event::Runs { runs: vec![timed(None)] });
    stage.expect("Paused, about 6 min left: the demo model with tone.jsonl");
    stage.say(Event::Runs { runs: vec![timed(Some(30.0))] });
    // Evaluations after steps 130, 140 … 290 and the last one.
    stage.expect("Paused, about 15 min left: ");
    stage.click("Continue: tone-v2");
    let resume = Command::Run(RunCommand::Resume { run_id: "r9".into(), settings: Settings::new() });
    assert_eq!(stage.sent(), [resume], "the run goes on");
}

#[test]
fn interrupted_runs_are_discarded_from_the_start_page() {
    let mut stage = Stage::ready();
    stage.say(Event::Runs { runs: vec![script::record("r9", "tone-v2", Status::Paused)] });
    stage.sent();
    stage.click("Discard this run… tone-v2");
    stage.click("Keep it");
    assert_eq!(stage.sent(), [], "nothing is discarded without an answer");
    stage.click("Discard this run… tone-v2");
    stage.click("Discard");
    assert_eq!(stage.sent(), [Command::Run(RunCommand::Discard { run_id: "r9".into() })]);
    stage.say(Event::Discarded { run_id: "r9".into() });
    assert!(!stage.shows("Continue \"tone-v2\""), "it is gone");
}

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

#[test]
fn a_model_that_loads_can_be_cancelled() {
    let mut stage = Stage::ready();
    stage.go("1  Model");
    stage.say(Event::ModelProgress(progress("reading weights", 900_000_000, 1_500_000_000)));
    stage.expect("0.9/1.5 GB");
    stage.expect("225 MB/s");
    stage.sent();
    stage.click("Cancel");
    assert_eq!(stage.sent(), [Command::Cancel], "the engine is told");
    stage.say(Event::Cancelled { subject: Subject::Model });
    assert!(!stage.shows("0.9/1.5 GB"), "nothing loads any more");
}

#[test]
fn a_refused_model_says_what_would_work() {
    let mut stage = Stage::ready();
    stage.go("1  Model");
    let problem = problem("This is a GGUF file", "Open the model as model.safetensors");
    stage.say(Event::Refused { subject: Subject::Model, problem });
    stage.expect("This model can't be used");
    stage.expect("Open the model as model.safetensors");
    stage.click("Dismiss");
    assert!(!stage.shows("This model can't be used"), "it was read");
}

#[test]
fn a_refused_model_leaves_the_open_one_with_its_plan_and_run() {
    let folder = Folder::new(&["config.json", "tokenizer.json", "model.safetensors"]);
    let mut stage = Stage::planned();
    stage.say(Event::RunOpened(Box::new(script::run())));
    stage.go("1  Model");
    stage.harness.input_mut().dropped_files = vec![Arc::new(Dropped(folder.0.clone()))];
    stage.run();
    stage.expect("Opening the model");
    let problem = problem("The model is of type \"gemma3\"", "Use a Llama model");
    stage.say(Event::Refused { subject: Subject::Model, problem });
    stage.expect("This model can't be used");
    stage.expect("\"Qwen3-0.6B\" stays open");
    stage.expect("28 layers, all supported");
    stage.go("3  Plan");
    stage.expect("Steps: 278");
    stage.go("6  Export");
    stage.expect("Which adapter");
    stage.go("1  Model");
    stage.click("Dismiss");
    assert!(!stage.shows("This model can't be used"), "it was read");
    stage.expect("28 layers, all supported");
}

#[test]
fn an_open_model_shows_what_it_is() {
    let mut stage = Stage::ready();
    stage.go("1  Model");
    stage.say(Event::ModelOpened(Box::new(script::model())));
    for part in ["Qwen3-0.6B", "28 layers, all supported", "Chat template", "fits", "apache-2.0", "596 M"] {
        stage.expect(part);
    }
    stage.click("Next: choose pairs");
    stage.expect("JSON Lines, or a JSON array");
}

#[test]
fn models_of_the_browser_are_fetched_kept_and_forgotten() {
    let mut stage = Stage::in_environment(script::environment(World::Browser), Vec::new());
    stage.say(script::ready());
    stage.go("1  Model");
    stage.click("or find one on Hugging Face");
    stage.sent();
    stage.click("HuggingFaceTB/SmolLM2-135M-Instruct");
    stage.click("Get");
    let sent = stage.sent();
    assert!(
        matches!(&sent[..], [Command::Hub(HubCommand::Fetch { repo, endpoint }), Command::Library(_)]
            if repo == "HuggingFaceTB/SmolLM2-135M-Instruct" && endpoint == "https://huggingface.co"),
        "{sent:?}"
    );
    stage.say(Event::Storage(StorageInfo { used: 0, quota: Some(48_000_000_000), persisted: true }));
    stage.say(Event::ModelOpened(Box::new(script::model())));
    stage.click("Save for next time (1.2 GB of 48.0 GB)");
    assert_eq!(stage.sent(), [Command::Model(ModelCommand::Keep)], "it is kept");
    let kept = StoredModel { name: "Qwen/Qwen3-0.6B".into(), bytes: 1_200_000_000, complete: true, origin: None };
    stage.say(Event::Models { models: vec![kept] });
    stage.click("Saved models (1)");
    stage.click("Use Qwen/Qwen3-0.6B");
    let source = ModelSource::Stored { name: "Qwen/Qwen3-0.6B".into() };
    assert_eq!(stage.sent(), [Command::Model(ModelCommand::Open { source })], "it is used");
    stage.click("Remove Qwen/Qwen3-0.6B");
    stage.click("Keep it");
    assert_eq!(stage.sent(), [], "nothing is forgotten without an answer");
    stage.click("Remove Qwen/Qwen3-0.6B");
    stage.click("Remove it");
    assert_eq!(
        stage.sent(),
        [Command::Model(ModelCommand::Forget { name: "Qwen/Qwen3-0.6B".into() })],
        "it is forgotten"
    );
}

#[test]
fn the_window_fetches_a_model_at_a_click_alone() {
    let mut stage = Stage::in_environment(script::environment(World::Desktop), Vec::new());
    stage.say(script::ready());
    stage.click("or get one from Hugging Face");
    stage.expect("at your click only");
    stage.sent();
    stage.type_into("Name", "org/tiny");
    stage.click("Get");
    let sent = stage.sent();
    assert!(matches!(&sent[..], [Command::Hub(HubCommand::Fetch { repo, .. })] if repo == "org/tiny"), "{sent:?}");
    stage.say(Event::ModelProgress(progress("fetching model.safetensors", 3, 9)));
    stage.expect("fetching model.safetensors");
    stage.click("Cancel");
    assert_eq!(stage.sent(), [Command::Cancel], "it can be cancelled");
}

#[test]
fn models_on_this_computer_are_opened_by_their_folder() {
    let folder = Folder::new(&["config.json", "tokenizer.json", "model.safetensors"]);
    let path = folder.0.display().to_string();
    let found = FoundModel { name: "org/m".into(), folder: path.clone(), bytes: 9, licence: Some("mit".into()) };
    let mut stage = Stage::in_environment(script::environment(World::Desktop), vec![found]);
    stage.say(script::ready());
    stage.go("1  Model");
    let source = ModelSource::Picked { name: "org/m".into(), path: Some(path) };
    let measure = Command::Model(ModelCommand::Measure { source: source.clone() });
    assert!(stage.sent().contains(&measure), "the engine is asked what it needs");
    stage.say(Event::ModelMeasured { source: source.clone(), needs: Ok(7_000_000_000) });
    assert!(!stage.sent().contains(&measure), "once");
    stage.expect("needs 7.0 GB, has 6.0 GB");
    stage.say(Event::ModelMeasured { source: source.clone(), needs: Err(problem("It is an adapter", "Use its base")) });
    stage.expect("cannot be tuned");
    stage.say(Event::ModelMeasured { source: source.clone(), needs: Ok(2_000_000_000) });
    stage.expect("fits");
    stage.click("Use org/m");
    let files = ["config.json", "model.safetensors", "tokenizer.json"].map(str::to_owned).to_vec();
    assert_eq!(
        stage.sent_with_files(),
        [(Command::Model(ModelCommand::Open { source }), files)],
        "its files are sent along"
    );
}

#[test]
fn steps_that_were_chosen_for_a_file_are_left_out_for_another() {
    let mut stage = Stage::planned();
    stage.go("3  Plan");
    stage.click("More settings");
    stage.wait(1.0);
    stage.type_into("Max steps", "40");
    stage.wait(1.0);
    let steps = |stage: &Stage| match stage.sent().as_slice() {
        [.., Command::Plan(PlanCommand::Estimate { settings, .. })] => settings.get("max_steps").cloned(),
        sent => panic!("it is planned, not {sent:?}"),
    };
    assert_eq!(steps(&stage), Some(json!(40)));
    // The same file with other rows, as after a change of its columns.
    stage.say_pairs(20);
    stage.wait(1.0);
    assert_eq!(steps(&stage), Some(json!(40)), "chosen for this file");
    stage.say(Event::PairsOpened(Box::new(PairsInfo { name: "other.jsonl".into(), ..script::pairs(20) })));
    stage.expect("Max steps 40 was chosen for tone.jsonl and is left out here");
    stage.wait(1.0);
    assert_eq!(steps(&stage), None, "not for this one");
}

#[test]
fn a_model_that_cannot_be_tuned_is_not_offered() {
    let model = |name: &str| FoundModel { name: name.into(), folder: format!("/{name}"), bytes: 9, licence: None };
    let mut stage =
        Stage::in_environment(script::environment(World::Desktop), vec![model("org/t5"), model("org/llama")]);
    stage.say(script::ready());
    let source = |name: &str| ModelSource::Picked { name: name.into(), path: Some(format!("/{name}")) };
    let refused = || Err(problem("Models of type t5 are not supported", "Use another"));
    let is_disabled = |stage: &Stage, label: &str| stage.harness.get_by_label(label).accesskit_node().is_disabled();
    stage.go("1  Model");
    assert!(!is_disabled(&stage, "Use org/t5"), "nothing is known yet");
    stage.say(Event::ModelMeasured { source: source("org/t5"), needs: refused() });
    assert!(is_disabled(&stage, "Use org/t5"), "it would be refused");
    stage.expect("Models of type t5 are not supported");
    assert!(!is_disabled(&stage, "Use org/llama"), "the other one is not known to be");
    stage.go("Start");
    stage.click("Found on this computer");
    stage.expect("org/t5  9 B  (cannot be tuned)");
    assert!(is_disabled(&stage, "org/t5  9 B  (cannot be tuned)"), "nor can it be chosen");
    stage.harness.key_press(egui::Key::Escape);
    stage.run();
    stage.sent();
    stage.click("Use this model");
    let sent = stage.sent();
    assert!(
        matches!(&sent[..], [Command::Model(ModelCommand::Open { source: opened })] if *opened == source("org/llama")),
        "{sent:?}"
    );
    let mut stage = Stage::in_environment(script::environment(World::Desktop), vec![model("org/t5")]);
    stage.say(script::ready());
    stage.say(Event::ModelMeasured { source: source("org/t5"), needs: refused() });
    stage.expect("Models of type t5 are not supported");
    assert!(is_disabled(&stage, "Use this model"), "there is no other");
}

#[test]
fn lengths_are_drawn_as_a_histogram() {
    let mut stage = Stage::planned();
    stage.harness.ctx.set_theme(egui::Theme::Light);
    stage.go("2  Pairs");
    stage.click("Lengths");
    stage.wait(1.0);
    stage.looks_like("lengths");
}

#[test]
fn what_a_file_is_called_and_the_scores_of_its_rows_are_shown() {
    let mut stage = Stage::planned();
    let shape = "UltraFeedback, binarized: the prompt is what both conversations begin with".to_owned();
    stage.say(Event::PairsOpened(Box::new(PairsInfo { shape: Some(shape.clone()), ..script::pairs(24) })));
    let mut rows = script::rows(24);
    rows[0].scores = Some([8.5, 3.0]);
    stage.say(Event::PairRows { first: 0, rows });
    stage.go("2  Pairs");
    stage.expect(&shape);
    stage.click("Inspect");
    stage.expect("scored 8.5 and 3 in the file");
    stage.click("Next");
    assert!(!stage.shows("scored 8.5"), "others have none");
}

#[test]
fn pairs_are_counted_while_they_are_read() {
    let mut stage = Stage::ready();
    stage.go("2  Pairs");
    let progress = progress("reading rows", 40_000_000, 100_000_000);
    stage.say(Event::PairsProgress { progress, rows: 1200, problems: 3 });
    stage.say(Event::PairRows { first: 0, rows: script::rows(50) });
    stage.expect("1200 usable so far, 3 with problems");
    stage.expect("How do I reset my password? (case 1)");
    stage.sent();
    stage.click("Cancel");
    assert_eq!(stage.sent(), [Command::Cancel], "reading ends");
}

#[test]
fn rows_with_problems_are_listed_and_must_be_agreed_to() {
    let mut stage = Stage::planned();
    stage.say(Event::PairsOpened(Box::new(script::pairs_with_problems(24))));
    stage.wait(1.0);
    stage.say(Event::Planned(Box::new(script::plan())));
    stage.go("3  Plan");
    stage.sent();
    stage.click("6 rows cannot be used: look at them");
    stage.expect("30 rows: 24 used");
    stage.click("Problems 6");
    stage.expect("6 rows: \"rejected\" is missing");
    stage.expect("Lines 77, 78, 79, 80, 81, 82");
    stage.expect("Add it, or map another column to it");
    stage.click("Train on the 24 usable rows; 6 have problems and are skipped");
    stage.go("3  Plan");
    stage.click("Start training");
    assert!(matches!(stage.sent()[..], [Command::Run(RunCommand::Start(_))]), "after that, a run begins");
}

#[test]
fn rows_are_skipped_and_sides_swapped() {
    let mut stage = Stage::planned();
    stage.go("2  Pairs");
    stage.sent();
    assert!(stage.harness.query_all_by_label("held out").count() > 0, "every tenth row is marked");
    stage.click("Skip line 3");
    assert_eq!(stage.sent(), [Command::Pairs(PairsCommand::Skip { rows: vec![2], skip: true })], "one row");
    stage.click("Swap chosen and rejected");
    assert_eq!(stage.sent(), [Command::Pairs(PairsCommand::Swap)], "all rows");
    stage.say(Event::PairsOpened(Box::new(PairsInfo { swapped: true, ..script::pairs(24) })));
    stage.expect("chosen and rejected swapped");
    stage.wait(1.0);
    assert!(matches!(stage.sent()[..], [Command::Plan(PlanCommand::Estimate { .. })]), "the plan is worked out again");
}

#[test]
fn the_chat_template_is_shown_and_changed() {
    let mut stage = Stage::planned();
    stage.go("2  Pairs");
    stage.sent();
    stage.click("Chat template");
    stage.click("Thinking off");
    let off = Map::from_iter([("enable_thinking".to_owned(), json!(false))]);
    assert_eq!(
        stage.sent(),
        [Command::Pairs(PairsCommand::SetChat(Chat { template: None, kwargs: off.clone() }))],
        "its own template"
    );
    stage.say(Event::ChatSet(Box::new(ChatInfo { kwargs: off.clone(), ..script::chat() })));
    stage.type_into("Text of the template", "{{ x");
    stage.click("Use this template");
    let [Command::Pairs(PairsCommand::SetChat(Chat { template: Some(template), kwargs }))] = &stage.sent()[..] else {
        panic!("the edited template is set")
    };
    assert!(template.contains("{{ x") && *kwargs == off, "what was typed, and thinking as it was: {template}");
    let refused = problem("The chat template failed: unexpected end", "Correct it");
    stage.say(Event::Refused { subject: Subject::Chat, problem: refused });
    stage.expect("This template cannot be used");
    let changed = ChatInfo { template: Some("other".into()), kwargs: off.clone(), ..script::chat() };
    stage.say(Event::ChatSet(Box::new(changed)));
    assert!(stage.harness.query_by_label("This template cannot be used").is_none(), "the next one can");
    stage.expect("not the model's own");
    stage.click("Back to the model's own");
    assert_eq!(
        stage.sent(),
        [Command::Pairs(PairsCommand::SetChat(Chat { template: None, kwargs: off }))],
        "its own again"
    );
}

#[test]
fn a_flag_shows_its_rows_and_skips_them_only_when_asked_to() {
    let mut stage = Stage::planned();
    stage.go("2  Pairs");
    stage.sent();
    let chip = stage.harness.get_by_label("Show the rows with the flag \"long\"").rect();
    assert!(chip.height() >= 24.0, "its text has room: {chip:?}");
    stage.click("Show the rows with the flag \"long\"");
    assert_eq!(stage.sent(), [], "nothing is skipped by looking");
    assert_eq!(stage.harness.query_all_by_label_contains("Inspect line").count(), 3, "only they are in the table");
    stage.expect("Only \"long\": 3 rows");
    stage.click("Skip line 11");
    assert_eq!(
        stage.sent(),
        [Command::Pairs(PairsCommand::Skip { rows: vec![10], skip: true })],
        "the row that was clicked"
    );
    stage.click("Skip these 2 rows");
    assert_eq!(stage.sent(), [Command::Pairs(PairsCommand::Skip { rows: vec![3, 17], skip: true })], "the others");
    stage.say(Event::PairsOpened(Box::new(PairsInfo { skipped: 3, ..script::pairs(24) })));
    stage.expect("24 rows: 21 used (4 truncated), 3 skipped");
    stage.expect("Only \"long\": 3 rows, 3 skipped");
    stage.wait(1.0);
    stage.sent();
    stage.click("Take 3 rows back in");
    assert_eq!(
        stage.sent(),
        [Command::Pairs(PairsCommand::Skip { rows: vec![3, 10, 17], skip: false })],
        "and back in"
    );
    stage.click("Show all rows");
    assert!(stage.harness.query_all_by_label_contains("Inspect line").count() > 3, "all rows are there");
}

#[test]
fn a_file_without_a_usable_row_leads_nowhere() {
    let mut stage = Stage::ready();
    stage.say(Event::ModelOpened(Box::new(script::model())));
    stage.go("2  Pairs");
    let problems = script::pairs_with_problems(24);
    let first = LineProblem { line: 2, ..problems.problems[0].clone() };
    let kind = ProblemKind { count: 300, lines: vec![2, 15, 44], first };
    let purpose = Some(problem("This is a file for KTO", "Put a good and a bad answer into one row"));
    stage.say(Event::PairsOpened(Box::new(PairsInfo {
        lines: 300,
        usable: 0,
        problem_count: 300,
        problem_kinds: vec![kind],
        purpose,
        flags: Vec::new(),
        ..problems
    })));
    stage.expect("300 rows, none of which can be used");
    stage.expect("This is a file for KTO");
    stage.expect("300 rows: \"rejected\" is missing");
    stage.expect("Lines 2, 15, 44 and 297 more");
    for absent in ["Next: plan the run", "is the longer one in", "Held out", "Swap chosen"] {
        assert!(!stage.shows(absent), "nothing is said or done with no pairs: {absent}");
    }
    stage.go("3  Plan");
    stage.expect("No pair can be used: see why");
}

#[test]
fn planning_counts_pairs_and_not_bytes() {
    let mut stage = Stage::planned();
    stage.go("2  Pairs");
    stage.say(Event::PairsProgress { progress: progress("reading pairs as tokens", 120, 297), rows: 120, problems: 0 });
    stage.expect("120/297 pairs");
    assert!(!stage.shows("usable so far"), "they are known to be usable");
    stage.say(Event::Planned(Box::new(script::plan())));
    stage.expect("Held out: 30 pairs (10 %");
}

#[test]
fn a_share_that_nobody_set_is_not_called_nothing() {
    let mut stage = Stage::planned();
    stage.go("2  Pairs");
    let (settings, held_out) = (Settings::from_iter([("eval_split".to_owned(), json!(0.0))]), (0..24).collect());
    stage.say(Event::Planned(Box::new(PlanInfo { settings, held_out, n_train: 72, ..script::plan() })));
    stage.expect("Held out: 24 pairs (25 %");
}

#[test]
fn a_run_at_work_counts_its_steps_once() {
    let mut stage = Stage::running();
    let phase = |phase, done, total| {
        let progress = progress("something", done, total);
        Event::Phase { run_id: "r1".into(), phase, progress }
    };
    stage.go("2  Pairs");
    stage.say(phase(Phase::Training, 1, 278));
    stage.expect("Training, step 1/278, 0 %");
    stage.say(phase(Phase::Loading, 634_200_000, 1_192_000_000));
    stage.expect("Reading weights 0.6/1.2 GB, step 1/278");
}

#[test]
fn a_plan_has_no_figures_without_its_pairs() {
    let mut stage = Stage::planned();
    stage.go("3  Plan");
    stage.expect("Steps: 278");
    stage.say(Event::ModelClosed);
    assert!(!stage.shows("Steps: 278"), "they were of the model that is gone");
    stage.expect("Memory, time and checks appear here");
}

#[test]
fn the_next_run_gets_a_name_of_its_own() {
    let mut stage = Stage::planned();
    let begun = |stage: &mut Stage| {
        stage.go("3  Plan");
        stage.sent();
        stage.click("Start training");
        let sent = stage.sent();
        let [Command::Run(RunCommand::Start(request))] = sent.as_slice() else { panic!("a run begins, not {sent:?}") };
        stage.say(Event::Refused { subject: Subject::Run, problem: problem("Not now", "Try later") });
        request.name.clone()
    };
    assert_eq!(begun(&mut stage), "tone", "named after its pairs");
    stage.say(Event::Runs { runs: vec![script::record("r1", "tone", Status::Finished)] });
    assert_eq!(begun(&mut stage), "tone 2", "which is taken by now");
    stage.go("Runs");
    stage.click("Details of tone");
    stage.click("Duplicate");
    stage.wait(1.0);
    stage.say(Event::Planned(Box::new(script::plan())));
    assert_eq!(begun(&mut stage), "tone 2", "nor does a duplicate take it");
    stage.go("3  Plan");
    stage.harness.get_by_label("Name").focus();
    stage.harness.get_by_label("Name").set_text_value_accesskit("mine");
    stage.run();
    let runs = ["tone", "tone 2"].map(|name| script::record(name, name, Status::Finished)).to_vec();
    stage.say(Event::Runs { runs });
    assert_eq!(begun(&mut stage), "mine", "what a person typed stays");
}

#[test]
fn own_settings_come_back_with_an_own_model() {
    let mut stage = Stage::ready();
    stage.click("Try the 60-second demo");
    stage.say(Event::ModelOpened(Box::new(script::demo_model())));
    stage.say_pairs(48);
    let settings = json!({"beta": 0.05, "learning_rate": 0.0015}).as_object().cloned().expect("an object");
    stage.say(Event::Planned(Box::new(PlanInfo { settings, ..script::plan() })));
    stage.say(Event::Refused { subject: Subject::Run, problem: problem("Not now", "Try later") });
    stage.sent();
    // A stored run that is continued opens its own model in the same way.
    stage.say(Event::ModelOpened(Box::new(script::model())));
    stage.wait(1.0);
    let sent = stage.sent();
    let [Command::Plan(PlanCommand::Estimate { settings, .. })] = sent.as_slice() else {
        panic!("it is planned, not {sent:?}")
    };
    assert_eq!(settings["learning_rate"], json!(2e-5), "not the demo's");
}

#[test]
fn a_run_that_is_closed_with_its_pairs_is_told() {
    let mut stage = Stage::planned();
    stage.say(Event::RunOpened(Box::new(script::run())));
    stage.say(Event::RunClosed { run_id: "r1".into() });
    stage.expect("The open run was closed");
    stage.say(Event::PairRows { first: 0, rows: script::rows(2) });
    stage.say(Event::PairsOpened(Box::new(PairsInfo { usable: 24, ..script::pairs(24) })));
    stage.go("2  Pairs");
    stage.expect("(case 5)");
}

#[test]
fn settings_without_a_plan_have_no_figures() {
    let mut stage = Stage::planned();
    let blocked = Some(problem("beta is -1", "Set it above 0"));
    let info = PlanInfo { blocked, n_train: 0, held_out: Vec::new(), n_steps: 0, memory: [0; 4], ..script::plan() };
    stage.say(Event::Planned(Box::new(info)));
    stage.go("3  Plan");
    stage.expect("Set it above 0");
    assert!(!stage.shows("Steps: 0"), "zeros are no figures");
}

#[test]
fn columns_are_mapped_by_hand() {
    let folder = Folder::new(&["tone.jsonl"]);
    let mut stage = Stage::ready();
    stage.harness.input_mut().dropped_files = vec![Arc::new(Dropped(folder.0.join("tone.jsonl")))];
    stage.run();
    stage.say_pairs(24);
    stage.sent();
    stage.click("Edit columns");
    stage.harness.get_by_role_and_label(Role::ComboBox, "Rejected from").click();
    stage.run();
    stage.click("note");
    stage.click("Apply");
    let sent = stage.sent_with_files();
    let [(Command::Pairs(PairsCommand::Open { mapping: Some(mapping) }), files)] = sent.as_slice() else {
        panic!("the file is read again, not {sent:?}")
    };
    assert_eq!(mapping.rejected, "note", "with the other column");
    assert_eq!(files, &["tone.jsonl"], "the same file");
}

#[test]
fn thumbs_become_pairs_by_a_click() {
    let folder = Folder::new(&["tone.jsonl"]);
    let mut stage = Stage::ready();
    stage.harness.input_mut().dropped_files = vec![Arc::new(Dropped(folder.0.join("tone.jsonl")))];
    stage.run();
    stage.say_pairs(24);
    assert!(!stage.shows("pairs of them"), "they are pairs already");
    let thumbs = PairsInfo { kind: Kind::Labelled, to_make: 12, ..script::pairs(24) };
    stage.harness.input_mut().dropped_files = vec![Arc::new(Dropped(folder.0.join("tone.jsonl")))];
    stage.run();
    stage.say(Event::PairRows { first: 0, rows: script::rows(24) });
    stage.say(Event::PairsOpened(Box::new(thumbs)));
    stage.expect("Edit columns");
    stage.type_into("Search", "password");
    stage.harness.key_press(egui::Key::Enter);
    stage.run();
    stage.say(Event::RowsFound { text: "password".into(), rows: vec![4, 20] });
    stage.sent();
    stage.click("Make 12 pairs of them");
    assert_eq!(stage.sent(), [Command::Pairs(PairsCommand::Make)]);
    stage.say(Event::PairRows { first: 0, rows: script::rows(12) });
    stage.say(Event::PairsOpened(Box::new(PairsInfo { edits: 1, ..script::pairs(12) })));
    assert!(!stage.shows("pairs of them") && !stage.shows("in 2 rows"), "the rows that were found are others");
    assert!(!stage.shows("Edit columns"), "the columns of the file are not those of the pairs");
    stage.expect("12 rows: 12 used");
    stage.expect("Save rows…");
}

#[test]
fn a_file_goes_and_comes_back_with_its_pairs() {
    let folder = Folder::new(&["tone.jsonl", "other.jsonl"]);
    let mut stage = Stage::ready();
    stage.harness.input_mut().dropped_files = vec![Arc::new(Dropped(folder.0.join("tone.jsonl")))];
    stage.run();
    stage.say_pairs(24);
    stage.click("Edit columns");
    stage.harness.input_mut().dropped_files = vec![Arc::new(Dropped(folder.0.join("other.jsonl")))];
    stage.run();
    stage.say(Event::Refused { subject: Subject::Pairs, problem: problem("No row can be used", "Map the columns") });
    stage.sent();
    assert!(!stage.shows("Apply"), "columns of another file are not edited any more");
    stage.click("Edit columns");
    stage.click("Apply");
    let sent = stage.sent_with_files();
    assert!(matches!(&sent[..], [(_, files)] if files == &["tone.jsonl"]), "the pairs that are open: {sent:?}");
}

#[test]
fn the_command_line_names_columns_that_are_not_trls() {
    let mut stage = Stage::planned();
    stage.go("3  Plan");
    stage.click("Command line");
    let copied = |stage: &mut Stage| {
        stage.harness.get_by_label("Copy command line").click_accesskit();
        let text = (0..8).find_map(|_| {
            stage.harness.step();
            stage.harness.output().platform_output.commands.iter().find_map(|command| match command {
                egui::OutputCommand::CopyText(text) => Some(text.clone()),
                _ => None,
            })
        });
        text.expect("a command line was copied")
    };
    let text = copied(&mut stage);
    let command = "pairtune train --model /models/Qwen3-0.6B --pairs tone.jsonl --output tone";
    let settings = text.strip_prefix(command).expect("model, pairs and output come first");
    let evaluations = " --eval-steps 27 --load-best-model-at-end --early-stopping-patience 3";
    let settings = settings.strip_suffix(evaluations).expect("evaluations as they are planned come last");
    assert_eq!(settings, " --num-train-epochs 5 --eval-split 0.1", "and nothing that the command has by itself");
    stage.type_into("on at most", "64");
    stage.run();
    let text = copied(&mut stage);
    let fewer = format!(" --max-eval-pairs 64{evaluations}");
    assert!(text.ends_with(&fewer), "it scores as many pairs as the app: {text}");
    let mapping = Mapping { rejected: "note".into(), ..script::pairs(24).mapping };
    stage.say(Event::PairsOpened(Box::new(PairsInfo { mapping, ..script::pairs(24) })));
    let text = copied(&mut stage);
    assert!(text.contains("--columns prompt=instruction,chosen=accepted,rejected=note"), "chosen by hand: {text}");
    stage.say(Event::PairsOpened(Box::new(PairsInfo { swapped: true, ..script::pairs(24) })));
    let text = copied(&mut stage);
    assert!(text.contains("chosen=rejected,rejected=accepted"), "swapped: {text}");
    // A known file appears with its whole path, as a shell reads it.
    let folder = Folder::new(&["it's mine.jsonl"]);
    stage.harness.input_mut().dropped_files = vec![Arc::new(Dropped(folder.0.join("it's mine.jsonl")))];
    stage.run();
    stage.say_pairs(24);
    stage.wait(1.0);
    stage.go("3  Plan");
    let text = copied(&mut stage);
    let path = format!("--pairs '{}/it'\\''s mine.jsonl' ", folder.0.display());
    assert!(text.contains(&path), "{path} is in {text}");
}

#[test]
fn a_preset_tells_what_was_changed_and_takes_it_back() {
    let mut stage = Stage::planned();
    stage.go("3  Plan");
    stage.expect("a good first run");
    assert!(!stage.shows("change"), "nothing was changed");
    stage.click("More settings");
    stage.wait(1.0);
    stage.type_into("Max steps", "3");
    stage.type_into("Weight decay", "0.01");
    stage.type_into("Max length (tokens)", "256");
    stage.expect("Standard + 3 changes");
    assert!(!stage.shows("a good first run"), "it is not the preset any more");
    let mut stage = Stage::again(stage.remembered());
    stage.say(script::ready());
    stage.go("3  Plan");
    stage.expect("Standard + 2 changes");
    assert_eq!(stage.harness.query_all_by_label("Max length (tokens)").count(), 1, "what was changed is in sight");
    assert_eq!(stage.harness.query_all_by_label("Max steps").count(), 0, "steps are not kept for another file");
    assert_eq!(stage.harness.query_all_by_label("Warm-up steps").count(), 0, "the others are folded away");
    stage.click("Reset Max length (tokens) to 1024");
    stage.expect("Standard + 1 change");
    stage.type_into("Beta (β)", "0.3");
    stage.click("Reset to Standard");
    stage.expect("a good first run");
    assert_eq!(stage.harness.query_all_by_label("Max steps").count(), 0, "nothing is changed");
    stage.click("Strong");
    stage.expect("For a clear change");
    assert!(!stage.shows(" + "), "a preset's own values are no changes");
}

#[test]
fn a_pair_is_read_as_the_model_sees_it() {
    let mut stage = Stage::planned();
    stage.go("2  Pairs");
    stage.sent();
    stage.click("Inspect");
    assert_eq!(stage.sent(), [Command::Pairs(PairsCommand::Read { index: 0, max_length: 1024 })], "the first pair");
    let sequence = SeenSequence {
        tokens: ["<|im_start|>", "user", "\n", "Refund", "?", "Of", " course", "."].map(str::to_owned).to_vec(),
        prompt_len: 5,
        cut: 1,
    };
    let parts = ["Refund?", "Of course.", "No."].map(script::passage);
    let view = PairView { index: 0, line: 1, parts, seen: Ok(vec![sequence.clone(), sequence]) };
    stage.say(Event::PairView(Box::new(view)));
    stage.expect("<|im_start|>");
    stage.expect("Of\u{2009}·course.");
    assert_eq!(stage.harness.query_all_by_label_contains("8 tokens, 2 scored, 1 truncated").count(), 2, "both sides");
    stage.click("Raw");
    stage.expect("Refund?");
    stage.click("Next");
    assert_eq!(stage.sent(), [Command::Pairs(PairsCommand::Read { index: 1, max_length: 1024 })], "the next pair");
}

#[test]
fn the_start_button_says_what_is_missing_and_leads_there() {
    let mut stage = Stage::ready();
    stage.go("3  Plan");
    stage.click("Choose a model");
    stage.expect("A language model in the Hugging Face format");
    stage.say(Event::ModelOpened(Box::new(script::model())));
    stage.go("3  Plan");
    stage.click("Choose a pairs file");
    stage.expect("Each pair is a prompt with two answers");
    stage.say_pairs(24);
    stage.wait(1.0);
    stage.go("3  Plan");
    let blocked = Some(problem("max_length must be 2 or more", "Raise it"));
    stage.say(Event::Planned(Box::new(PlanInfo { blocked, ..script::plan() })));
    stage.click("max_length must be 2 or more");
    stage.expect("What the run will do");
    assert!(stage.harness.get_by_label("Max length (tokens)").is_focused(), "the field is ready to be changed");
}

#[test]
fn a_run_begins_with_the_edited_settings() {
    let mut stage = Stage::planned();
    stage.go("3  Plan");
    stage.sent();
    stage.click("Strong");
    stage.wait(1.0);
    let sent = stage.sent();
    assert!(
        matches!(&sent[..], [Command::Plan(PlanCommand::Estimate { settings, .. })] if settings["r"] == json!(32)),
        "the plan follows: {sent:?}"
    );
    stage.say(Event::Planned(Box::new(script::plan())));
    stage.click("Start training");
    let sent = stage.sent();
    let [Command::Run(RunCommand::Start(request))] = sent.as_slice() else { panic!("a run begins, not {sent:?}") };
    assert_eq!(request.name, "tone", "named after its pairs");
    assert_eq!(request.settings["learning_rate"], json!(5e-5), "with the preset");
    assert_eq!(request.settings["eval_split"], json!(0.1), "with some pairs held out");
    assert_eq!(request.watch.eval_steps, 27, "scored some ten times");
}

#[test]
fn what_does_not_fit_is_fixed_by_a_click() {
    let mut stage = Stage::planned();
    stage.go("3  Plan");
    stage.say(Event::Planned(Box::new(script::plan_that_does_not_fit())));
    stage.expect("Memory: 8.8 GB of 6.0 GB, does not fit");
    stage.sent();
    stage.click("Max tokens 1024 → 384: −3.7 GB");
    stage.wait(1.0);
    let sent = stage.sent();
    assert!(
        matches!(&sent[..], [Command::Plan(PlanCommand::Estimate { settings, .. })] if settings["max_length"] == 384),
        "the fix is applied and planned: {sent:?}"
    );
}

#[test]
fn a_limit_that_is_no_number_is_told() {
    let mut stage = Stage::planned();
    stage.go("3  Plan");
    stage.click("Set the limit myself");
    stage.harness.get_by_label("Memory in GB").focus();
    stage.harness.get_by_label("Memory in GB").set_text_value_accesskit("much");
    stage.run();
    stage.expect("Needs a number above 0");
    stage.harness.get_by_label("Memory in GB").set_text_value_accesskit("7,5");
    stage.run();
    stage.sent();
    stage.click("Set");
    stage.wait(1.0);
    let sent = stage.sent();
    assert!(matches!(sent[..], [Command::Plan(PlanCommand::Estimate { limit: Some(7_500_000_000), .. })]), "{sent:?}");
}

#[test]
fn without_a_limit_only_a_trial_says_that_it_fits() {
    let mut stage = Stage::new();
    stage.say(script::ready_with(Ok(GpuInfo { memory: None, ..script::gpu() })));
    stage.say(Event::ModelOpened(Box::new(script::model())));
    stage.say_pairs(24);
    stage.say(Event::Planned(Box::new(PlanInfo { limit: None, ..script::plan() })));
    stage.go("3  Plan");
    stage.expect("Whether it fits is not known: measure with 2 trial steps");
    stage.say(tried(Some(2.0)));
    stage.expect("Memory: 2.8 GB, fits (measured)");
    let blocked = Some(problem("max_length must be 2 or more", "Raise it"));
    stage.say(Event::Planned(Box::new(PlanInfo { blocked, n_steps: 0, memory: [0; 4], ..script::plan() })));
    assert!(!stage.shows("Memory: 0 B") && !stage.shows("Steps: 0"), "no figures are made up");
}

#[test]
fn a_plan_that_was_cancelled_is_worked_out_at_a_click() {
    let mut stage = Stage::ready();
    stage.say(Event::ModelOpened(Box::new(script::model())));
    stage.say_pairs(24);
    stage.wait(1.0);
    stage.go("3  Plan");
    stage.say(Event::Cancelled { subject: Subject::Plan });
    stage.sent();
    stage.click("Work out the plan");
    stage.wait(1.0);
    assert!(matches!(stage.sent()[..], [Command::Plan(PlanCommand::Estimate { .. })]), "it is asked for again");
    stage.expect("Working out the plan");
}

#[test]
fn help_opens_at_a_click_and_is_told_to_screen_readers() {
    let mut stage = Stage::planned();
    stage.go("3  Plan");
    assert!(!stage.shows("Typical: "), "nothing is explained yet");
    stage.click("About: Max length (tokens)");
    stage.expect("Typical: ");
}

#[test]
fn sample_prompts_may_have_several_lines() {
    let mut stage = Stage::ready();
    stage.say(Event::ModelOpened(Box::new(script::model())));
    let mut rows = script::rows(3);
    rows[0] = PairRow { prompt: "Translate:\nGood day".into(), chars: [19, 86, 23], ..rows[0].clone() };
    rows[1].chars[0] = 4000;
    stage.say(Event::PairRows { first: 0, rows });
    stage.say(Event::PairsOpened(Box::new(script::pairs(3))));
    stage.wait(1.0);
    stage.say(Event::Planned(Box::new(script::plan())));
    stage.go("3  Plan");
    stage.click("Remove sample prompt 2");
    stage.click("Add a prompt");
    stage.harness.get_by_label("Sample prompt 2").focus();
    stage.harness.get_by_label("Sample prompt 2").set_text_value_accesskit("One\nTwo");
    stage.run();
    stage.sent();
    stage.click("Start training");
    let sent = stage.sent();
    let [Command::Run(RunCommand::Start(request))] = sent.as_slice() else { panic!("a run begins, not {sent:?}") };
    assert_eq!(request.watch.prompts, ["Translate:\nGood day", "One\nTwo"], "whole, the shortened one left out");
}

#[test]
fn a_field_takes_what_is_typed_and_refuses_what_is_wrong() {
    let mut stage = Stage::planned();
    stage.go("3  Plan");
    stage.sent();
    let field = stage.harness.get_by_label("Max length (tokens)");
    field.focus();
    field.set_text_value_accesskit("512");
    stage.run();
    stage.wait(1.0);
    let sent = stage.sent();
    assert!(
        matches!(&sent[..], [Command::Plan(PlanCommand::Estimate { settings, .. })] if settings["max_length"] == 512),
        "{sent:?}"
    );
    stage.harness.get_by_label("Max length (tokens)").set_text_value_accesskit("none");
    stage.run();
    stage.expect("Needs a whole number, 2 or more");
    stage.wait(1.0);
    assert_eq!(stage.sent(), [], "nothing is planned with it");
}

#[test]
fn two_steps_are_measured() {
    let mut stage = Stage::planned();
    stage.go("3  Plan");
    stage.sent();
    stage.expect("Measure with 2 trial steps");
    stage.click("Measure: run 2 trial steps");
    assert!(matches!(stage.sent()[..], [Command::Plan(PlanCommand::Trial { .. })]), "it is measured");
    stage.expect("Preparing 2 trial steps (not kept)");
    stage.say(Event::Trying { step: 2 });
    stage.expect("Running 2 trial steps (not kept): step 2 of 2, ");
    stage.say(tried(Some(2.0)));
    // 278 steps, a third of a sixteenth of a step for each of 267 pairs, and twelve rounds of 30 of them with answers.
    stage.expect("Time: about 15 min: 14 min training, 17 s reference scores of the base model, ");
    stage.expect("24 s sample answers (3.0 s per step)");
    stage.say(tried(None));
    stage.expect("; sample answers come on top");
    stage.expect("2.9 GB of memory (planned 2.8 GB)");
}

#[test]
fn a_plan_that_was_not_measured_guesses_its_time_from_a_run_like_it() {
    let mut stage = Stage::planned();
    stage.go("3  Plan");
    stage.expect("Time: unknown. Measure with 2 trial steps");
    let record = script::record("r0", "tone-v1", Status::Finished);
    let watch = Watch { prompts: vec!["Why?".into()], ..record.watch.clone() };
    // An evaluation of the thirty pairs held out takes 1.875 s of this, by the seconds of a step.
    let like = RunRecord { step_seconds: Some(3.0), round_seconds: Some(3.875), watch, ..record };
    let mut other = RunRecord { step_seconds: Some(9.0), ..like.clone() };
    other.settings.insert("r".into(), json!(64));
    stage.say(Event::Runs { runs: vec![other.clone()] });
    stage.expect("Time: unknown");
    let untimed = RunRecord { step_seconds: None, ..like.clone() };
    stage.say(Event::Runs { runs: vec![untimed, other, like] });
    stage.expect("Time: about 15 min: 14 min training, 17 s reference scores of the base model, ");
    stage.expect("24 s sample answers (3.0 s per step). A guess, from run \"tone-v1\"");
    stage.say(tried(Some(2.0)));
    assert!(!stage.shows("A guess"), "it was measured");
}

/// The end of a trial.
fn tried(answers_seconds: Option<f64>) -> Event {
    let (device_bytes, planned_bytes) = (2_900_000_000, 2_800_000_000);
    Event::Tried { step_seconds: 3.0, answers_seconds, device_bytes, planned_bytes }
}

#[test]
fn rows_that_a_plan_skips_or_cuts_are_told_alike_everywhere() {
    let mut stage = Stage::planned();
    let dropped = vec![(2, SkipReason::TooLong), (6, SkipReason::TooLong), (8, SkipReason::Template)];
    stage.say(Event::Planned(Box::new(PlanInfo { dropped, lengths: vec![900, 1500], ..script::plan() })));
    stage.go("2  Pairs");
    stage.sent();
    stage.expect("24 rows: 21 used (4 truncated), 3 skipped");
    stage.click("Problems");
    stage.expect("With this model and these settings, 4 truncated and 3 skipped.");
    stage.click("Show the rows with the flag \"too long\"");
    stage.expect("Only \"too long\": 2 rows");
    assert_eq!(stage.harness.query_all_by_label_contains("Inspect line").count(), 2, "only they are in the table");
    stage.click("Skip these 2 rows");
    assert_eq!(stage.sent(), [Command::Pairs(PairsCommand::Skip { rows: vec![2, 6], skip: true })], "those rows");
    stage.click("Show the rows with the flag \"truncated\"");
    stage.click("Raise max length to 1500");
    stage.wait(1.0);
    let sent = stage.sent();
    let [Command::Plan(PlanCommand::Estimate { settings, .. })] = &sent[..] else {
        panic!("it is planned again, not {sent:?}")
    };
    assert_eq!(settings["max_length"], json!(1500), "as long as the longest row");
    stage.go("3  Plan");
    stage.expect("4 truncated, 3 skipped");
}

#[test]
fn untouched_settings_suit_the_rows_and_the_device() {
    let mut stage = Stage::ready();
    stage.say(Event::ModelOpened(Box::new(script::model())));
    stage.say_pairs(24);
    stage.wait(1.0);
    let settings = Settings::from_iter([
        ("per_device_train_batch_size".to_owned(), json!(1)),
        ("gradient_accumulation_steps".to_owned(), json!(16)),
    ]);
    let label = "Batch size 1 × 16 instead of 4 × 4: 1.6 GB instead of 6.2 GB".to_owned();
    let suited = vec![Fix { label: label.clone(), settings: settings.clone(), saves: 4_600_000_000 }];
    stage.sent();
    stage.say(Event::Planned(Box::new(PlanInfo { suited: suited.clone(), ..script::plan() })));
    stage.wait(1.0);
    let sent = stage.sent();
    let [Command::Plan(PlanCommand::Estimate { settings: planned, .. })] = &sent[..] else {
        panic!("it is planned again, not {sent:?}")
    };
    assert!(settings.iter().all(|(key, value)| planned.get(key) == Some(value)), "with them: {planned:?}");
    stage.say(Event::Planned(Box::new(script::plan())));
    stage.go("3  Plan");
    stage.expect(&label);
    assert!(!stage.shows("Standard + "), "what was suited is no change of the user's");
    stage.click("Use the values of Standard all the same");
    stage.wait(1.0);
    let sent = stage.sent();
    let [Command::Plan(PlanCommand::Estimate { settings: planned, .. })] = &sent[..] else {
        panic!("it is planned again, not {sent:?}")
    };
    assert!(settings.keys().all(|key| !planned.contains_key(key)), "without them: {planned:?}");
    let again = suited.clone();
    stage.say(Event::Planned(Box::new(PlanInfo { suited, ..script::plan() })));
    stage.wait(1.0);
    assert!(stage.sent().is_empty() && !stage.shows(&label), "the user has said no");
    stage.say(Event::PairsOpened(Box::new(PairsInfo { skipped: 1, ..script::pairs(24) })));
    stage.wait(1.0);
    stage.sent();
    stage.say(Event::Planned(Box::new(PlanInfo { suited: again, ..script::plan() })));
    stage.wait(1.0);
    assert!(stage.sent().is_empty() && !stage.shows(&label), "also with a row less");
}

#[test]
fn rows_are_searched_and_sorted() {
    let mut stage = Stage::planned();
    stage.go("2  Pairs");
    stage.sent();
    stage.type_into("Search", "password");
    stage.harness.key_press(egui::Key::Enter);
    stage.run();
    assert_eq!(
        stage.sent(),
        [Command::Pairs(PairsCommand::Find { text: "password".into() })],
        "the engine has the whole texts"
    );
    stage.say(Event::RowsFound { text: "password".into(), rows: vec![4, 9] });
    stage.expect("in 2 rows");
    stage.say(Event::PairsOpened(Box::new(PairsInfo { skipped: 1, ..script::pairs(24) })));
    stage.expect("in 2 rows");
    stage.wait(1.0);
    stage.sent();
    assert_eq!(stage.harness.query_all_by_label_contains("Inspect line").count(), 2, "only they are in the table");
    stage.click("clear");
    assert!(stage.harness.query_all_by_label_contains("Inspect line").count() > 3, "all rows are there");
    let line = |stage: &Stage| {
        let rows = stage.harness.query_all_by_label_contains("Inspect line");
        rows.map(|row| (row.rect().top() as i32, row.accesskit_node().label().unwrap_or_default()))
            .min()
            .expect("a row")
            .1
    };
    let first = line(&stage);
    stage.click("Order");
    stage.click("Longest first");
    let longest = line(&stage);
    assert_ne!(first, longest, "another row comes first");
    stage.click("Order");
    stage.click("Shortest first");
    assert_ne!(longest, line(&stage), "and not the longest now");
}

#[test]
fn the_gpu_is_measured_from_help() {
    let mut stage = Stage::ready();
    stage.go("Help");
    stage.sent();
    stage.click("Measure this GPU");
    assert!(matches!(stage.sent()[..], [Command::Bench]), "it is measured");
    stage.say(Event::Measuring("a training step of demo".to_owned()));
    stage.expect("Measuring a training step of demo");
    stage.click("Cancel");
    assert!(matches!(stage.sent()[..], [Command::Cancel]), "it can be ended");
    stage.say(Event::Cancelled { subject: Subject::Bench });
    stage.click("Measure this GPU");
    stage.say(Event::Measured("multiply-add peak 149.0 GFLOP/s".to_owned()));
    stage.expect("multiply-add peak 149.0 GFLOP/s");
    stage.expect("Measure again");
}

#[test]
fn another_build_is_not_talked_to() {
    let mut stage = Stage::new();
    let Event::Ready(ready) = script::ready() else { panic!("the first event") };
    stage.say(Event::Ready(Box::new(Ready { build: "0.0.1-old".into(), ..*ready })));
    stage.expect("The page and its engine are of different versions");
    stage.expect("0.0.1-old");
    assert_eq!(stage.sent(), [], "nothing is asked of it");
    stage.go("3  Plan");
    stage.expect("The engine is not ready");
}

#[test]
fn a_crash_leaves_the_window_and_a_way_back() {
    let mut stage = Stage::running();
    stage.crash("index out of bounds at attention.rs:12");
    stage.expect("index out of bounds at attention.rs:12");
    stage.expect("What was saved is intact");
    stage.crash("the worker does not answer");
    stage.expect("index out of bounds at attention.rs:12");
    assert!(!stage.shows("the worker does not answer"), "that only follows from the first");
    stage.click("Copy log");
    stage.sent();
    stage.click("Restart the engine");
    assert_eq!(stage.restarts(), 1, "another engine starts");
    stage.say(script::ready());
    assert_eq!(
        stage.sent(),
        [Command::Library(LibraryCommand::List), Command::Library(LibraryCommand::MeasureStorage)],
        "and is asked for the runs"
    );
    stage.say(Event::Runs { runs: vec![script::record("r1", "tone", Status::Running)] });
    stage.go("Start");
    stage.expect("Continue \"tone\", step 120/300");
}

#[test]
fn a_stopped_engine_is_asked_for_nothing() {
    let folder = Folder::new(&["tone.jsonl"]);
    let mut stage = Stage::ready();
    stage.crash("index out of bounds at attention.rs:12");
    stage.sent();
    stage.harness.input_mut().dropped_files = vec![Arc::new(Dropped(folder.0.join("tone.jsonl")))];
    stage.run();
    stage.expect("The engine stopped: restart it first");
    assert!(!stage.shows("Reading pairs"), "nothing is on its way");
    assert_eq!(stage.sent(), [], "nobody would answer");
}

#[test]
fn with_another_tab_at_work_nothing_is_begun_here() {
    let mut stage = Stage::at_address("demo", false);
    assert_eq!(stage.sent(), [], "nor what the address asks for");
    stage.say(script::ready());
    stage.expect("Another tab or window is using the GPU");
    stage.say(Event::Runs { runs: vec![script::record("r9", "tone-v2", Status::Running)] });
    assert!(!stage.shows("Continue \"tone-v2\""), "it is at work there, not interrupted");
    stage.go("1  Model");
    stage.click("Demo");
    stage.sent();
    stage.click("Open the demo");
    stage.expect("close it first");
    assert_eq!(stage.sent(), [], "nothing is begun");
    stage.say(Event::ModelOpened(Box::new(script::model())));
    stage.go("2  Pairs");
    stage.say_pairs(24);
    stage.wait(1.0);
    assert!(matches!(stage.sent()[..], [Command::Plan(PlanCommand::Estimate { .. })]), "pairs can be looked at");
}

#[test]
fn an_address_begins_the_demo() {
    let mut stage = Stage::at_address("demo", true);
    assert_eq!(stage.sent(), [Command::Model(ModelCommand::OpenDemo)], "at once");
    stage.say(Event::Refused { subject: Subject::Model, problem: problem("The demo is damaged", "Load again") });
    stage.say(script::ready());
    stage.say(Event::ModelOpened(Box::new(script::demo_model())));
    stage.say_pairs(48);
    stage.wait(1.0);
    stage.say(Event::Planned(Box::new(script::plan())));
    let begun = stage.sent().into_iter().any(|command| matches!(command, Command::Run(RunCommand::Start(_))));
    assert!(!begun, "once refused, it does not begin by itself later");
}

#[test]
fn own_pairs_are_planned_after_a_demo_that_was_cancelled() {
    let mut stage = Stage::ready();
    stage.click("Try the 60-second demo");
    stage.say(Event::Cancelled { subject: Subject::Model });
    stage.say(Event::ModelOpened(Box::new(script::model())));
    stage.sent();
    stage.say_pairs(24);
    stage.wait(1.0);
    let sent = stage.sent();
    assert!(matches!(sent[..], [Command::Plan(PlanCommand::Estimate { .. })]), "{sent:?}");
}

#[test]
fn an_address_brings_settings() {
    let mut stage = Stage::at_address("s=%7B%22beta%22:0.2,%22output_dir%22:%22x%22%7D", true);
    stage.expect("without what a run here does not have: output_dir");
    stage.expect("What the run will do");
    stage.say(script::ready());
    stage.say(Event::Runs { runs: vec![script::record("r9", "tone-v2", Status::Paused)] });
    stage.expect("Continue \"tone-v2\"");
    stage.say(Event::ModelOpened(Box::new(script::model())));
    stage.sent();
    stage.say_pairs(24);
    stage.wait(1.0);
    let sent = stage.sent();
    let [Command::Plan(PlanCommand::Estimate { settings, .. })] = sent.as_slice() else {
        panic!("it is planned, not {sent:?}")
    };
    assert_eq!(settings["beta"], json!(0.2), "as the address says");
    assert_eq!(settings["eval_split"], json!(0.1), "some pairs are held out although it does not say so");
    assert!(!settings.contains_key("output_dir"), "what a run does not have is skipped");
}

#[test]
fn closing_the_window_on_a_run_asks_first() {
    let mut stage = Stage::running();
    stage.sent();
    close_requested(&mut stage, true);
    stage.run();
    close_requested(&mut stage, false);
    stage.run();
    stage.expect("A run is at work");
    stage.click("Keep running");
    assert!(!stage.shows("paused and saved, it continues"), "the dialog is gone");
    close_requested(&mut stage, true);
    stage.run();
    close_requested(&mut stage, false);
    stage.run();
    stage.click("Pause, save and quit");
    assert_eq!(stage.sent(), [Command::Run(RunCommand::Pause)], "the run is paused");
    stage.say(Event::Paused { run_id: "r1".into(), step: 2 });
    assert!(!stage.shows("The window closes by itself"), "the dialog is gone");
}

#[test]
fn closing_the_window_on_an_unsaved_run_says_what_would_be_lost() {
    let mut stage = Stage::running();
    let problem = problem("Could not write it", "Check the disk");
    stage.say(Event::NotSaved { run_id: "r1".into(), problem });
    let ask = |stage: &mut Stage| {
        close_requested(stage, true);
        stage.run();
        close_requested(stage, false);
        stage.run();
    };
    ask(&mut stage);
    stage.expect("It is only in memory; it could not be saved");
    assert!(!stage.shows("Pause, save and quit"), "that was tried");
    stage.click("Export…");
    stage.expect("Which adapter");
    ask(&mut stage);
    stage.expect("Quit and lose it");
    stage.click("Stay");
    assert!(!stage.shows("Quit and lose it"), "the dialog is gone");
}

#[test]
fn other_pages_show_the_run_at_work() {
    let mut stage = Stage::running();
    stage.go("2  Pairs");
    stage.expect("Training, step 1/278, 0 %");
    stage.sent();
    stage.click("Pause");
    assert_eq!(stage.sent(), [Command::Run(RunCommand::Pause)], "it can be paused from here");
    stage.expect("Pausing: finishing this step");
}

#[test]
fn failures_are_tested_while_a_run_is_at_work() {
    let mut stage = Stage::ready();
    stage.go("Help");
    stage.expect("Available while a run is training");
    let mut stage = Stage::running();
    stage.go("Help");
    stage.sent();
    stage.click("Lose the GPU");
    assert_eq!(stage.sent(), [Command::Drill(Drill::DestroyDevice)], "the device is destroyed");
}

#[test]
fn requests_are_listed() {
    let mut stage = Stage::ready();
    stage.say(Event::Request { url: "https://huggingface.co/a/b".into(), bytes: 5_000_000, purpose: Purpose::Model });
    stage.go("Help");
    stage.expect("1 request: 5.0 MB received, 0 B of your data sent");
    stage.expect("https://huggingface.co/a/b");
    stage.expect("Network: 0 B of your data sent, 5.0 MB received");
    assert!(!stage.shows("besides the app"), "the app was here before");
    let mut stage = Stage::in_environment(script::environment(World::Browser), Vec::new());
    stage.say(script::ready());
    stage.expect("Network: 0 B of your data sent, 0 B received besides the app");
    let url = "https://huggingface.co/api/models?search=smol".into();
    stage.say(Event::Request { url, bytes: 9_000, purpose: Purpose::ModelSearch });
    stage.expect("Network: the words of 1 search sent, 9 kB received besides the app");
}

#[test]
fn the_log_is_shown_and_copied() {
    let mut stage = Stage::ready();
    stage.say(Event::Log { level: Level::Warn, text: "shaders took long".into() });
    stage.click("Log");
    stage.expect("shaders took long");
    stage.click("Copy log");
    stage.expect("Copied");
}

#[test]
fn thousands_of_rows_are_drawn_as_few() {
    let mut stage = Stage::ready();
    stage.say(Event::PairRows { first: 0, rows: script::rows(20_000) });
    stage.say(Event::PairsOpened(Box::new(script::pairs(20_000))));
    stage.go("2  Pairs");
    let drawn = stage.harness.query_all_by_label_contains("Inspect line").count();
    assert!((5..80).contains(&drawn), "{drawn} rows are drawn");
}

fn hovered(path: &Path) -> egui::HoveredFile {
    egui::HoveredFile { path: Some(path.to_owned()), mime: String::new() }
}

fn close_requested(stage: &mut Stage, on: bool) {
    let events = &mut stage.harness.input_mut().viewports.entry(egui::ViewportId::ROOT).or_default().events;
    events.clear();
    if on {
        events.push(egui::ViewportEvent::Close);
    }
}

/// A folder with empty files that is taken away in the end.
struct Folder(PathBuf);

impl Folder {
    fn new(files: &[&str]) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("pairtune-ui-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a folder for the test");
        for file in files {
            std::fs::write(path.join(file), "{}").expect("a file for the test");
        }
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// Something dropped on the window.
#[derive(Debug)]
struct Dropped(PathBuf);

impl egui::DroppedFile for Dropped {
    fn path(&self) -> &Path {
        &self.0
    }

    fn bytes(&self) -> Result<Vec<u8>, String> {
        Err("the app opens files by their path".to_owned())
    }
}

/// Draws every page, light and dark, into the folder that PAIRTUNE_SHOTS names; for people to look at.
#[test]
fn pages_are_drawn_for_people_to_look_at() {
    let Some(folder) = std::env::var_os("PAIRTUNE_SHOTS").map(PathBuf::from) else { return };
    std::fs::create_dir_all(&folder).expect("the folder for the pictures");
    for (theme, suffix) in [(egui::Theme::Light, "light"), (egui::Theme::Dark, "dark")] {
        let shoot = |stage: &mut Stage, name: &str| {
            stage.harness.ctx.set_theme(theme);
            stage.wait(0.5);
            let picture = stage.harness.render().expect("the page is drawn");
            picture.save(folder.join(format!("{name}-{suffix}.png"))).expect("the picture is saved");
        };
        let mut stage = Stage::ready();
        shoot(&mut stage, "start");
        let runs = vec![script::record("r9", "tone-v2", Status::Paused)];
        stage.say(Event::Runs { runs });
        shoot(&mut stage, "start-continue");
        stage.go("1  Model");
        shoot(&mut stage, "model-none");
        stage.say(Event::ModelProgress(progress("reading weights", 900_000_000, 1_500_000_000)));
        shoot(&mut stage, "model-loading");
        let mut stage = Stage::planned();
        stage.go("1  Model");
        shoot(&mut stage, "model-open");
        stage.go("2  Pairs");
        shoot(&mut stage, "pairs-table");
        stage.click("Lengths");
        shoot(&mut stage, "pairs-lengths");
        stage.click("Inspect");
        let tokens = "<|im_start|> user \n How| do| I| reset| my| password? <|im_end|> \n Sure .| Open| Settings ,|";
        let mut tokens: Vec<String> = tokens.split_whitespace().map(|t| t.replace('|', " ")).collect();
        tokens.extend((0..60).map(|i| format!(" word{i}")));
        let seen = SeenSequence { tokens, prompt_len: 9, cut: 6 };
        let parts = ["How do I reset my password?", "Sure. Open Settings.", "No."].map(script::passage);
        let view = PairView { index: 0, line: 1, parts, seen: Ok(vec![seen.clone(), seen]) };
        stage.say(Event::PairView(Box::new(view)));
        shoot(&mut stage, "pairs-read");
        stage.say(Event::PairsOpened(Box::new(script::pairs_with_problems(24))));
        stage.click("Problems 6");
        shoot(&mut stage, "pairs-problems");
        let purpose = problem("This is a file for KTO: one answer to a prompt, with a verdict", "Put two into one row");
        let none = PairsInfo { usable: 0, purpose: Some(purpose), ..script::pairs_with_problems(24) };
        stage.say(Event::PairsOpened(Box::new(none)));
        shoot(&mut stage, "pairs-none");
        stage.go("3  Plan");
        shoot(&mut stage, "plan-blocked");
        let mut stage = Stage::planned();
        stage.go("2  Pairs");
        stage.click("Show the rows with the flag \"long\"");
        shoot(&mut stage, "pairs-flag");
        stage.go("3  Plan");
        stage.click("More settings");
        stage.wait(1.0);
        stage.type_into("Max steps", "3");
        stage.type_into("Seed", "7");
        shoot(&mut stage, "plan-changed-open");
        let mut stage = Stage::again(stage.remembered());
        stage.say(script::ready());
        stage.go("3  Plan");
        shoot(&mut stage, "plan-changed");
        let none = Error::device(
            "This desktop shows no file dialog: neither its portal nor zenity answers",
            "Type the path, drop the files on the window, or install zenity",
        );
        let mut stage = Stage::with_dialogs(vec![Some(Err(none))]);
        stage.say(script::ready());
        stage.click("Open a model folder…");
        shoot(&mut stage, "no-dialogs");
        let mut stage = Stage::planned();
        stage.go("1  Model");
        let refused = problem("The model is of type \"gemma3\"", "Choose another family. Supported: Llama, Qwen");
        stage.say(Event::Refused { subject: Subject::Model, problem: refused });
        shoot(&mut stage, "model-refused");
        let mut stage = Stage::planned();
        stage.go("3  Plan");
        shoot(&mut stage, "plan");
        stage.say(Event::Planned(Box::new(script::plan_that_does_not_fit())));
        stage.click("More settings");
        stage.wait(1.0);
        shoot(&mut stage, "plan-does-not-fit");
        let mut stage = Stage::running();
        stage.go("Help");
        shoot(&mut stage, "help-running");
        stage.crash("index out of bounds at attention.rs:12");
        stage.click("Log");
        shoot(&mut stage, "crash");
        let mut stage = Stage::in_environment(script::environment(World::Browser), Vec::new());
        stage.say(script::ready_with(Err(problem("navigator.gpu is missing", "Switch WebGPU on"))));
        shoot(&mut stage, "no-gpu");
        stage.go("Find models");
        stage.say(Event::Hub(HubEvent::Found { models: hub::models() }));
        for event in hub::measured() {
            stage.say(event);
        }
        shoot(&mut stage, "hub");
    }
    for (name, size, scale) in [("zoomed", [1280.0, 720.0], 2.0), ("large", [2560.0, 1440.0], 1.0)] {
        let mut stage = Stage::with_size(script::environment(World::Desktop), Vec::new(), size);
        stage.harness.set_pixels_per_point(scale);
        stage.say(script::ready());
        for page in ["Start", "1  Model", "2  Pairs", "3  Plan"] {
            stage.say(Event::ModelOpened(Box::new(script::model())));
            stage.say_pairs(24);
            stage.say(Event::Planned(Box::new(script::plan())));
            stage.go(page);
            stage.wait(0.5);
            let picture = stage.harness.render().expect("the page is drawn");
            picture.save(folder.join(format!("{name}-{}.png", page.trim()))).expect("the picture is saved");
        }
    }
}
