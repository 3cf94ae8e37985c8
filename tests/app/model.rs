//! The model: opened, refused, fetched, kept.

use std::sync::Arc;

use eframe::egui;
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use pairtune::engine::protocol::*;
use pairtune::platform::{FoundModel, World};

use super::script::{self, Stage, problem, progress};
use super::{Dropped, Folder};

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
