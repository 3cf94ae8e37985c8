//! The start page: the demo, the GPU, runs to continue.

use pairtune::engine::protocol::*;
use pairtune::platform::World;
use serde_json::json;

use super::script::{self, Stage, problem, progress};

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
