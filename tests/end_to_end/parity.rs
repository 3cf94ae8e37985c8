//! The same run natively and in the browser: the same losses, the same adapter; and runs that change places.

use std::path::PathBuf;

use pairtune::data::Method;
use pairtune::engine::plan::presets::demo_of;
use pairtune::engine::protocol::{
    Command, Event, Inputs, LibraryCommand, Metrics, PairsCommand, RunCommand, RunRequest, Settings,
};
use pairtune::files::parse;
use pairtune::model::{AdapterSettings, Architecture, fresh};
use pairtune::train::TrainConfig;

use crate::browser::{Browser, BrowserKind, BrowserOptions};
use crate::page::{
    FEW_PAIRS, LONG, choose, few_pairs, logged, losses, open_demo_with_few_pairs, open_with_few_pairs, reach,
    read_archive, serve, short_settings, start_with, wait_for_step, write_files,
};
use crate::session::{TestEngine, start_run, unwatched};
use crate::ui::{PATIENCE, Ui as _};

/// Enough that a run is still at work when it is told to pause.
const STEPS: usize = 8;
const A_FEW_STEPS: usize = 3;

/// Largest difference of a step's loss.
const LOSS: f64 = 1e-4;
/// Largest difference of adapters, relative to the L2 norm of the update.
const UPDATE: f64 = 1e-3;

type Contents = Vec<(String, Vec<u8>)>;

#[test]
fn a_short_run_is_the_same_in_both_worlds() {
    let mut engine = engine_with_few_pairs("parity-short");
    let (_, native) = whole_run(&mut engine, A_FEW_STEPS);
    let server = serve();
    let browser = open_with_few_pairs(&server, &BrowserOptions::new(BrowserKind::Chromium), A_FEW_STEPS);
    browser.wait_that("the end", LONG, || browser.find("button", "Train more"));
    let web = read_archive(&download_archive(&browser, &format!("{FEW_PAIRS}.run")));
    assert_same_run(&native, &web, A_FEW_STEPS);
}

#[test]
fn short_runs_of_a_judge_and_by_it_are_the_same_in_both_worlds() {
    methods_are_the_same(BrowserKind::Chromium, &[Method::Reward, Method::Grpo]);
}

#[test]
fn every_method_is_the_same_in_both_worlds_in_chromium() {
    let others = [Method::Sft, Method::Kto, Method::Orpo, Method::Cpo, Method::Rloo, Method::Ppo];
    methods_are_the_same(BrowserKind::Chromium, &others);
}

#[test]
fn every_method_is_the_same_in_both_worlds_in_firefox() {
    let methods = Method::ALL.into_iter().filter(|method| *method != Method::Dpo);
    methods_are_the_same(BrowserKind::Firefox, &methods.collect::<Vec<_>>());
}

/// Rule for rewards in these tests: some answers meet it, others do not.
const RULE: &str = "contains:W";

/// The demo's settings of a method, for so few and short steps.
fn method_settings(method: Method) -> Settings {
    let mut settings = demo_of(method);
    let mut set = |key: &str, value: serde_json::Value| drop(settings.insert(key.to_owned(), value));
    set("per_device_train_batch_size", 2.into());
    match method {
        Method::Ppo => {
            set("total_episodes", (2 * A_FEW_STEPS).into());
            set("response_length", 6.into());
        }
        _ => set("max_steps", A_FEW_STEPS.into()),
    }
    if matches!(method, Method::Grpo | Method::Rloo) {
        set("gradient_accumulation_steps", 2.into());
        set("num_generations", 4.into());
        set("max_completion_length", 6.into());
    }
    settings
}

fn methods_are_the_same(kind: BrowserKind, methods: &[Method]) {
    let mut engine = engine_with_few_pairs(&format!("parity-methods-{kind:?}-{}", methods.len()));
    let server = serve();
    let browser = open_demo_with_few_pairs(&server, &BrowserOptions::new(kind));
    for (at, &method) in methods.iter().enumerate() {
        let settings = method_settings(method);
        let rewards = if method.is_online() { vec![RULE.to_owned()] } else { Vec::new() };
        let inputs = Inputs { rewards, start_from: None };
        let request = RunRequest { name: "native".to_owned(), settings: settings.clone(), watch: unwatched(), inputs };
        engine.send(Command::Run(RunCommand::Start(Box::new(request))));
        let run_id = finished(&mut engine);
        let native = read_archive(&engine.archive(&run_id));

        // The rules stay from one run to the next.
        let rule = method.is_online() && !methods[..at].iter().any(|method| method.is_online());
        start_with(&browser, &settings, A_FEW_STEPS, rule.then_some(RULE));
        browser.wait_that("the end", LONG, || browser.find("button", "Train more"));
        let number = if at == 0 { String::new() } else { format!("-{}", at + 1) };
        let web = read_archive(&download_archive(&browser, &format!("{FEW_PAIRS}{number}.run")));
        println!("{method}:");
        assert_same_metrics(&logged(&native), &logged(&web));
        let difference = relative_difference(&native, &web, &settings, A_FEW_STEPS);
        println!("adapters differ by {difference:.1e} of the update");
        assert!(difference <= UPDATE, "{method}: adapters differ by {difference:.1e} of the update");
    }
}

/// Every number of every step is the same but for rounding.
#[track_caller]
fn assert_same_metrics(expected: &[Metrics], found: &[Metrics]) {
    assert_eq!((expected.len(), found.len()), (A_FEW_STEPS, A_FEW_STEPS), "every step");
    for (expected, found) in expected.iter().zip(found) {
        assert!(expected.keys().eq(found.keys()), "the same names: {expected:?} and {found:?}");
        for (name, value) in expected {
            let [a, b] = [value, &found[name]].map(|value| value.as_f64().expect("a number"));
            assert!((a - b).abs() <= LOSS * a.abs().max(1.0), "{name}: {a} and {b}, in {expected:?}");
        }
    }
}

#[test]
fn a_run_is_the_same_in_both_worlds_and_moves_between_them_in_chromium() {
    a_run_is_the_same_and_moves(BrowserKind::Chromium);
}

#[test]
fn a_run_is_the_same_in_both_worlds_and_moves_between_them_in_firefox() {
    a_run_is_the_same_and_moves(BrowserKind::Firefox);
}

fn a_run_is_the_same_and_moves(kind: BrowserKind) {
    // Natively: whole, and once more, paused and written as an archive.
    let mut engine = engine_with_few_pairs(&format!("parity-{kind:?}"));
    let (first, native) = whole_run(&mut engine, STEPS);
    engine.send(start_run("native half", short_settings(STEPS), unwatched()));
    engine.wait(|event| matches!(event, Event::RunStarted(info) if info.record.name == "native half"));
    engine.wait(|event| matches!(event, Event::Step { run_id, .. } if *run_id != first));
    engine.send(Command::Run(RunCommand::Pause));
    let Event::Paused { run_id, step: native_pause } = engine.wait(|event| matches!(event, Event::Paused { .. }))
    else {
        unreachable!("it was waited for")
    };
    assert!((native_pause as u64) < STEPS as u64, "it was paused on the way");
    let native_half = engine.archive(&run_id);

    // In the browser: paused, written as an archive, continued, and written again.
    let server = serve();
    let browser = open_with_few_pairs(&server, &BrowserOptions::new(kind), STEPS);
    wait_for_step(&browser, 1);
    browser.click("Pause");
    browser.wait_for("Resume", LONG);
    let web_half = download_archive(&browser, &format!("{FEW_PAIRS}.run"));
    browser.click("4  Run");
    browser.click("Resume");
    browser.wait_that("the end", LONG, || browser.find("button", "Train more"));
    let web = read_archive(&download_archive(&browser, &format!("{FEW_PAIRS}.run")));
    assert_same_run(&native, &web, STEPS);

    // The browser's checkpoint continues natively.
    let mut other = TestEngine::start(&format!("parity-from-{kind:?}"));
    other.send_files(Command::Library(LibraryCommand::Import), &[web_half]);
    let imported = |event: &Event| matches!(event, Event::Runs { runs } if runs.len() == 1);
    let Event::Runs { runs } = other.wait(imported) else { unreachable!("it was waited for") };
    other.send(Command::Run(RunCommand::Resume { run_id: runs[0].run_id.clone(), settings: Metrics::new() }));
    let moved = finished(&mut other);
    let moved = read_archive(&other.archive(&moved));
    assert_same_run(&native, &moved, STEPS);

    // The native checkpoint continues in the browser.
    browser.click("Runs");
    browser.click("Import a .run archive…");
    choose(&browser, "pick-archive", &[&native_half]);
    browser.wait_for("Open native half", LONG);
    browser.click("Start");
    browser.wait_that("a run to continue", PATIENCE, || browser.find_starting("button", "Continue: "));
    browser.click_starting("Continue: ");
    browser.wait_that("the end", LONG, || browser.find("button", "Train more"));
    let moved = read_archive(&download_archive(&browser, "native-half.run"));
    assert_same_run(&native, &moved, STEPS);
}

/// A native engine with the demo's model and the few pairs.
fn engine_with_few_pairs(test: &str) -> TestEngine {
    let mut engine = TestEngine::start(test);
    engine.open_demo();
    engine.send_files(Command::Pairs(PairsCommand::Open { mapping: None }), &[few_pairs()]);
    engine.wait(|event| matches!(event, Event::PairsOpened(_)));
    engine
}

/// A run of so many steps, to its end: its identifier, and what its archive holds.
fn whole_run(engine: &mut TestEngine, steps: usize) -> (String, Contents) {
    engine.send(start_run("native", short_settings(steps), unwatched()));
    let run_id = finished(engine);
    let contents = read_archive(&engine.archive(&run_id));
    (run_id, contents)
}

/// Waits for the end of a run; gives its identifier.
fn finished(engine: &mut TestEngine) -> String {
    let Event::Finished(summary) = engine.wait(|event| matches!(event, Event::Finished(_))) else {
        unreachable!("it was waited for")
    };
    summary.record.run_id
}

/// Both runs have the same losses, step by step, and the same adapter at their end.
#[track_caller]
fn assert_same_run(expected: &Contents, found: &Contents, steps: usize) {
    let (expected_losses, found_losses) = (losses(expected), losses(found));
    assert_eq!(found_losses.len(), steps, "every step");
    assert_same(&expected_losses, &found_losses);
    let difference = relative_difference(expected, found, &short_settings(steps), steps);
    println!("adapters differ by {difference:.1e} of the update");
    assert!(difference <= UPDATE, "adapters differ by {difference:.1e} of the update");
}

#[track_caller]
fn assert_same(expected: &[(u64, f64)], found: &[(u64, f64)]) {
    assert_eq!(expected.len(), found.len(), "the same steps");
    for ((step, a), (other, b)) in expected.iter().zip(found) {
        assert_eq!(step, other, "in order");
        assert!((a - b).abs() <= LOSS, "step {step}: {a} and {b}");
    }
}

/// The L2 norm of the difference of two runs' final adapters, relative to the first one's update.
fn relative_difference(a: &Contents, b: &Contents, settings: &Settings, steps: usize) -> f64 {
    let config = include_bytes!("../../assets/demo/model/config.json");
    let model = Architecture::from_bytes(config, "config.json").expect("the demo's model");
    let settings = TrainConfig::from_map(settings, "settings").expect("the demo's settings");
    let adapter = AdapterSettings::new(settings.adapter("demo"), &model).expect("targets of the model");
    let start = fresh(&adapter, &model, settings.seed);
    let tensors = |contents: &Contents| {
        let name = format!("checkpoint-{steps}/adapter_model.safetensors");
        let (_, bytes) = contents.iter().find(|(file, _)| *file == name).expect("the last checkpoint");
        parse("adapter", bytes).expect("tensors")
    };
    let (a, b) = (tensors(a), tensors(b));
    let (mut difference, mut update) = (0.0, 0.0);
    for (name, tensor) in &a {
        for ((a, b), start) in tensor.data.iter().zip(&b[name].data).zip(&start.tensors[name].data) {
            difference += f64::from(a - b).powi(2);
            update += f64::from(a - start).powi(2);
        }
    }
    (difference / update).sqrt()
}

/// Writes the open run as an archive by the page's Export step.
fn download_archive(browser: &Browser, name: &str) -> PathBuf {
    browser.click("6  Export");
    browser.wait_for("Write files", PATIENCE);
    let archive = "Run archive (.run)";
    if browser.find("checkbox", archive).is_some_and(|node| node.checked != Some(true)) {
        browser.click_role("checkbox", archive);
    }
    write_files(browser);
    reach(browser, "Download: Run archive (.run)");
    let file = browser.wait_download(name, PATIENCE);
    let kept = file.with_extension(format!("{}.kept", file.metadata().map_or(0, |meta| meta.len())));
    std::fs::rename(&file, &kept).expect("the download can be renamed");
    kept
}
