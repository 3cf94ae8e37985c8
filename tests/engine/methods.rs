//! Every method behind the engine's protocol: it trains, evaluates, is paused and goes on with the same numbers, and
//! its adapters serve the methods that come after it.

use std::path::{Path, PathBuf};

use pairtune::data::Method;
use pairtune::engine::plan::presets::demo_of;
use pairtune::engine::protocol::{
    Command, CompareCommand, Event, ExportKind, ExportRequest, Inputs, LibraryCommand, Metrics, RunCommand, RunRequest,
    Settings, Subject, Summary, Watch, WhichAdapter,
};
use serde_json::json;

use crate::session::{TestEngine, unwatched};

/// Steps of a run.
const STEPS: usize = 8;

/// The demo's settings of a method, for a few short steps.
fn settings(method: Method) -> Settings {
    let mut settings = demo_of(method);
    let mut set = |key: &str, value: serde_json::Value| drop(settings.insert(key.to_owned(), value));
    set("per_device_train_batch_size", json!(4));
    set("gradient_accumulation_steps", json!(2));
    set("eval_split", json!(0.2));
    match method {
        Method::Ppo => {
            set("total_episodes", json!(8 * STEPS));
            set("response_length", json!(6));
        }
        Method::Grpo | Method::Rloo => {
            set("max_steps", json!(STEPS));
            set("max_completion_length", json!(6));
            // One batch of answers serves two steps, so that a pause comes between them too.
            set("steps_per_generation", json!(4));
        }
        _ => set("max_steps", json!(STEPS)),
    }
    settings
}

fn request(method: Method, name: &str, inputs: Inputs) -> Command {
    let watch = Watch { eval_steps: 4, keep_best: true, ..unwatched() };
    Command::Run(RunCommand::Start(Box::new(RunRequest {
        name: name.to_owned(),
        settings: settings(method),
        watch,
        inputs,
    })))
}

/// Rules that answers of random words can meet.
fn rules(method: Method) -> Inputs {
    let rewards = if method.is_online() { vec!["length:4".to_owned(), "contains:e".to_owned()] } else { Vec::new() };
    Inputs { rewards, start_from: None }
}

/// The metrics of a run's steps and evaluations by step: the base model is measured when there is time for it.
fn metrics(said: &[Event]) -> Vec<Metrics> {
    let mut all: Vec<Metrics> = said
        .iter()
        .filter_map(|event| match event {
            Event::Step { metrics, .. } | Event::Evaluated { metrics, .. } => Some(metrics.clone()),
            _ => None,
        })
        .collect();
    all.sort_by_key(|metrics| (metrics["step"].as_u64(), metrics.keys().any(|key| key.starts_with("eval_"))));
    all
}

/// Waits for the end of a run that goes well.
#[track_caller]
fn finished(engine: &mut TestEngine) -> Summary {
    match engine.wait(|event| matches!(event, Event::Finished(_) | Event::Failed { .. } | Event::Refused { .. })) {
        Event::Finished(summary) => *summary,
        other => panic!("the run ends well: {other:?}"),
    }
}

/// Trains, says what was measured, and what it came to.
#[track_caller]
fn train(engine: &mut TestEngine, command: Command) -> (Vec<Metrics>, Summary) {
    let from = engine.said.len();
    engine.send(command);
    let summary = finished(engine);
    (metrics(&engine.said[from..]), summary)
}

/// The same run once at a stretch and once with a pause has the same numbers; and these metrics.
fn goes_on_with_the_same_numbers(method: Method, of_steps: &[&str], of_evaluations: &[&str]) {
    let mut engine = TestEngine::micro(&format!("methods-{method}"));
    let (whole, summary) = train(&mut engine, request(method, "whole", rules(method)));
    let has =
        |metrics: &Metrics, names: &[&str]| names.iter().all(|name| metrics.get(*name).is_some_and(|v| v.is_number()));
    let steps: Vec<&Metrics> =
        whole.iter().filter(|metrics| metrics.contains_key("num_tokens") || metrics.contains_key("episode")).collect();
    assert!(steps.len() >= STEPS, "{method} took its steps: {whole:?}");
    // Metrics of answers are told only in steps whose answers are new.
    let told = |name: &&str| steps.iter().any(|metrics| has(metrics, &[*name]));
    assert!(of_steps.iter().all(told), "{method}: {:?}", steps[0]);
    let evaluations: Vec<&Metrics> =
        whole.iter().filter(|metrics| metrics.keys().any(|key| key.starts_with("eval_"))).collect();
    assert_eq!(evaluations.len(), 3, "{method}: before, on the way, and after");
    assert!(evaluations.iter().all(|metrics| has(metrics, of_evaluations)), "{method}: {:?}", evaluations[0]);
    assert!(summary.record.best.is_some() && summary.record.best_step.is_some(), "{method}: the best is kept");

    let from = engine.said.len();
    engine.send(request(method, "paused", rules(method)));
    engine.wait(|event| matches!(event, Event::Step { metrics, .. } if metrics["step"].as_u64() >= Some(3)));
    engine.send(Command::Run(RunCommand::Pause));
    let (run_id, step) = expect_event!(engine, Event::Paused { run_id, step } => (run_id, step));
    assert!(step < steps.len(), "{method}: it is paused on its way, at {step}");
    engine.send(Command::Run(RunCommand::Resume { run_id, settings: Settings::new() }));
    finished(&mut engine);
    let again = metrics(&engine.said[from..]);
    if let Some(at) = (0..whole.len().max(again.len())).find(|at| whole.get(*at) != again.get(*at)) {
        panic!("{method}: not the same numbers at {at}: {:?} and {:?}", whole.get(at), again.get(at));
    }
    let answers = |event: &Event| match event {
        Event::Rollouts { rewards, answers, .. } => !answers.is_empty() && rewards.len() == 2,
        _ => false,
    };
    assert_eq!(engine.said.iter().any(answers), method.is_online(), "{method}: answers are shown");
}

#[test]
fn sft_goes_on_with_the_same_numbers() {
    goes_on_with_the_same_numbers(
        Method::Sft,
        &["loss", "mean_token_accuracy"],
        &["eval_loss", "eval_mean_token_accuracy"],
    );
}

#[test]
fn a_reward_model_goes_on_with_the_same_numbers() {
    goes_on_with_the_same_numbers(Method::Reward, &["loss", "margin"], &["eval_preference_accuracy", "eval_margin"]);
}

#[test]
fn kto_goes_on_with_the_same_numbers() {
    goes_on_with_the_same_numbers(
        Method::Kto,
        &["loss", "kl", "rewards/chosen"],
        &["eval_loss", "eval_rewards/margins"],
    );
}

#[test]
fn orpo_goes_on_with_the_same_numbers() {
    goes_on_with_the_same_numbers(
        Method::Orpo,
        &["loss", "log_odds_ratio"],
        &["eval_preference_accuracy", "eval_loss"],
    );
}

#[test]
fn cpo_goes_on_with_the_same_numbers() {
    goes_on_with_the_same_numbers(
        Method::Cpo,
        &["loss", "rewards/margins"],
        &["eval_preference_accuracy", "eval_loss"],
    );
}

#[test]
fn grpo_goes_on_with_the_same_numbers() {
    goes_on_with_the_same_numbers(Method::Grpo, &["reward", "kl", "completions/mean_length"], &["eval_reward"]);
}

#[test]
fn rloo_goes_on_with_the_same_numbers() {
    goes_on_with_the_same_numbers(Method::Rloo, &["reward", "kl", "completions/mean_length"], &["eval_reward"]);
}

#[test]
fn ppo_goes_on_with_the_same_numbers() {
    goes_on_with_the_same_numbers(
        Method::Ppo,
        &["objective/kl", "objective/scores", "loss/value_avg"],
        &["eval_reward"],
    );
}

#[test]
fn a_stage_starts_from_the_one_before_and_is_judged_by_a_reward_model() {
    let mut engine = TestEngine::micro("methods-stages");
    let (_, imitated) = train(&mut engine, request(Method::Sft, "imitated", Inputs::default()));
    let start_from = Some(imitated.record.run_id.clone());
    let (_, judge) = train(
        &mut engine,
        request(Method::Reward, "judge", Inputs { start_from: start_from.clone(), ..Inputs::default() }),
    );
    let rewards = vec![Inputs::run_reward(&judge.record.run_id)];
    let (metrics, tuned) = train(
        &mut engine,
        request(Method::Ppo, "tuned", Inputs { rewards: rewards.clone(), start_from: start_from.clone() }),
    );
    assert!(
        metrics.iter().any(|metrics| metrics.contains_key("eval_rewards/judge/mean")),
        "named after its run: {metrics:?}"
    );
    assert_eq!(tuned.record.inputs, Inputs { rewards, start_from }, "the record says where it came from");

    // Rewards that were chosen for another method do not matter to one that has none.
    let left = Inputs { rewards: vec![Inputs::run_reward("gone")], start_from: None };
    let (_, unjudged) = train(&mut engine, request(Method::Sft, "unjudged", left));
    assert_eq!(unjudged.record.inputs, Inputs::default(), "nor are they kept");

    // An adapter that scores texts cannot write them.
    engine.send(request(Method::Sft, "wrong", Inputs { start_from: Some(judge.record.run_id), ..Inputs::default() }));
    let problem = expect_event!(engine, Event::Refused { subject: Subject::Run, problem } => problem);
    assert!(problem.what.contains("reward model"), "{problem}");
    // And an adapter that writes is no judge.
    let rewards = vec![Inputs::run_reward(&imitated.record.run_id)];
    engine.send(request(Method::Grpo, "wrong", Inputs { rewards, start_from: None }));
    let problem = expect_event!(engine, Event::Refused { subject: Subject::Run, problem } => problem);
    assert!(problem.what.contains("no reward model"), "{problem}");
    // An empty list of rewards is refused, and so is an unknown rule.
    for rewards in [Vec::new(), vec!["niceness".to_owned()]] {
        engine.send(request(Method::Grpo, "wrong", Inputs { rewards, start_from: None }));
        engine.wait(|event| matches!(event, Event::Refused { subject: Subject::Run, .. }));
    }
}

#[test]
fn a_reward_model_is_exported_as_an_adapter_alone() {
    let mut engine = TestEngine::micro("methods-export");
    let (_, judge) = train(&mut engine, request(Method::Reward, "judge", Inputs::default()));
    let run_id = judge.record.run_id;
    let folder = engine.store.join("exported");
    let export = |kind: ExportKind| {
        Command::Export(Box::new(ExportRequest {
            run_id: run_id.clone(),
            which: WhichAdapter::Last,
            strength: 1.0,
            kinds: vec![kind],
            folder: folder.display().to_string(),
            card: String::new(),
        }))
    };
    engine.send(export(ExportKind::Adapter));
    let files = expect_event!(engine, Event::Exported { files, .. } => files);
    let config = folder.join(&files[0].path).join("adapter_config.json");
    let config = std::fs::read_to_string(config).expect("it is there");
    assert!(config.contains("SEQ_CLS") && config.contains("score"), "as TRL writes it: {config}");
    engine.send(export(ExportKind::Trl));
    let files = expect_event!(engine, Event::Exported { files, .. } => files);
    let read = |name: &str| std::fs::read_to_string(folder.join(&files[0].path).join(name)).expect(name);
    assert!(read("train.py").contains("RewardTrainer"), "TRL's own trainer");
    assert_eq!((read("train.jsonl").lines().count(), read("eval.jsonl").lines().count()), (32, 8), "the run's rows");
    assert!(read("accelerate/zero3.yaml").contains("DEEPSPEED"), "for several machines, too");
    assert!(read("adapter/adapter_config.json").contains("SEQ_CLS"), "it starts from what was trained");
    engine.send(export(ExportKind::Merged));
    let problem = expect_event!(engine, Event::Refused { subject: Subject::Export, problem } => problem);
    assert!(problem.what.contains("reward model"), "{problem}");
    // Nor can it answer.
    engine.send(Command::Compare(CompareCommand::ScoreHeldOut { strength: 1.0 }));
    let problem = expect_event!(engine, Event::Refused { subject: Subject::Compare, problem } => problem);
    assert!(problem.what.contains("reward model"), "{problem}");
}

/// The files of a folder.
fn files_of(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.filter(|path| path.is_file()).collect()
}

#[test]
fn an_adapter_from_elsewhere_serves_like_a_run() {
    let mut engine = TestEngine::micro("methods-import");
    let (_, imitated) = train(&mut engine, request(Method::Sft, "imitated", Inputs::default()));
    let folder = engine.store.join("elsewhere");
    let export = |run_id: &str, which: WhichAdapter, folder: &Path| {
        Command::Export(Box::new(ExportRequest {
            run_id: run_id.to_owned(),
            which,
            strength: 1.0,
            kinds: vec![ExportKind::Adapter],
            folder: folder.display().to_string(),
            card: String::new(),
        }))
    };
    engine.send(export(&imitated.record.run_id, WhichAdapter::Best, &folder));
    let exported = expect_event!(engine, Event::Exported { files, .. } => folder.join(&files[0].path));
    let tensors = |folder: &Path| std::fs::read(folder.join("adapter_model.safetensors")).expect("tensors");
    let before = tensors(&exported);

    engine.send_files(Command::Library(LibraryCommand::ImportAdapter), &files_of(&exported));
    let run_id = expect_event!(engine, Event::AdapterImported { run_id } => run_id);
    let record = engine.said.iter().rev().find_map(|event| match event {
        Event::Runs { runs } => runs.iter().find(|run| run.run_id == run_id).cloned(),
        _ => None,
    });
    let record = record.expect("it is among the runs");
    assert_eq!(record.settings["r"], imitated.record.settings["r"], "its settings are its own");

    // Another run starts from it.
    let inputs = Inputs { start_from: Some(run_id.clone()), ..Inputs::default() };
    let (_, next) = train(&mut engine, request(Method::Dpo, "next", inputs.clone()));
    assert_eq!(next.record.inputs, inputs, "the record says from which");

    // It is opened with the rows that are open, compared, exported and archived.
    engine.send(Command::Library(LibraryCommand::Open { run_id: run_id.clone() }));
    engine.wait(|event| matches!(event, Event::RunOpened(_)));
    engine.send(Command::Compare(CompareCommand::ScoreHeldOut { strength: 1.0 }));
    let rows = expect_event!(engine, Event::HeldOut { pairs, .. } => pairs);
    assert!(!rows.is_empty(), "held-out pairs of the open file");
    let again = engine.store.join("again");
    engine.send(export(&run_id, WhichAdapter::Best, &again));
    let exported_again = expect_event!(engine, Event::Exported { files, .. } => again.join(&files[0].path));
    assert_eq!(tensors(&exported_again), before, "bit for bit what came in");
    let archive = engine.archive(&run_id);
    engine.send(Command::Library(LibraryCommand::Delete { run_id: run_id.clone() }));
    engine.send_files(Command::Library(LibraryCommand::Import), &[archive]);
    engine.wait(|event| matches!(event, Event::Runs { runs } if runs.iter().any(|run| run.run_id == run_id)));

    // A folder that is no adapter of this model is refused, and nothing is left of it.
    std::fs::remove_file(exported.join("adapter_model.safetensors")).expect("removed");
    engine.send_files(Command::Library(LibraryCommand::ImportAdapter), &files_of(&exported));
    let problem = expect_event!(engine, Event::Refused { subject: Subject::Runs, problem } => problem);
    assert!(problem.to_string().contains("adapter_model.safetensors"), "{problem}");
}
