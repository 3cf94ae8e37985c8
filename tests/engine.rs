//! The engine behind its protocol: commands in, events out. A failure must leave the run safe.
//!
//! Tests of what a run learns use the bundled demo; tests of what happens to a run use a micro model, whose steps are
//! short.

#[path = "common/random_llama.rs"]
mod random_llama;
#[macro_use]
#[path = "common/session.rs"]
mod session;
#[cfg(feature = "app")]
#[path = "engine/fetch.rs"]
mod fetch;
#[cfg(feature = "app")]
#[path = "common/hub.rs"]
mod hub;
#[path = "engine/methods.rs"]
mod methods;
#[path = "common/micro.rs"]
mod micro;
#[cfg(feature = "app")]
#[path = "common/server.rs"]
mod server;
#[path = "engine/trials.rs"]
mod trials;

use std::time::Duration;

use micro::{PAIRS, micro_run, micro_settings};
use pairtune::engine::protocol::{
    Chat, Command, CompareCommand, Drill, Event, ExportKind, ExportRequest, Exported, Failure, GenerateRequest,
    GgufForm, Inputs, Kind, LibraryCommand, Metrics, ModelCommand, ModelSource, PairsCommand, PlanCommand, RunCommand,
    Settings, SkipReason, Status, Subject, Turn, Watch, WhichAdapter,
};
use pairtune::engine::run::warnings::{Warning, WarningKind};
use pairtune::engine::{Message, Session, channel};
use pairtune::files::{pack, unpack};
use pairtune::link::Incoming;
use pairtune::platform::host::PickedFile;
use serde_json::json;
use session::{TestEngine, demo_settings, new_store, start_run, unwatched};

/// The losses of a run's steps, from its events.
fn losses(said: &[Event]) -> Vec<(u64, f64)> {
    let of = |metrics: &Metrics| Some((metrics.get("step")?.as_u64()?, metrics.get("loss")?.as_f64()?));
    said.iter().filter_map(|event| if let Event::Step { metrics, .. } = event { of(metrics) } else { None }).collect()
}

fn name_of(entry: &std::io::Result<std::fs::DirEntry>) -> String {
    entry.as_ref().expect("an entry").file_name().display().to_string()
}

fn is_finished(event: &Event) -> bool {
    matches!(event, Event::Finished(_) | Event::Failed { .. } | Event::Refused { .. })
}

fn is_step(step: u64) -> impl Fn(&Event) -> bool {
    let step = json!(step);
    move |event| matches!(event, Event::Step { metrics, .. } if metrics.get("step") == Some(&step))
}

/// Waits until the engine is gone, and returns what it says of that.
fn last_words(engine: &mut TestEngine) -> String {
    for _ in 0..2400 {
        match engine.engine.poll() {
            Some(Incoming::Crashed(text)) => return text,
            Some(Incoming::Event(event)) => engine.said.push(*event),
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    }
    panic!("the engine did not crash");
}

/// Steps of a run that is disturbed on its way: long enough that it is still going when it is to be.
const STEPS: usize = 12;

/// Runs the micro model without interruption, in an engine and a store of its own.
fn uninterrupted(test: &str, steps: usize) -> Vec<(u64, f64)> {
    let mut engine = TestEngine::micro(test);
    engine.send(micro_run("whole", steps, unwatched()));
    assert!(matches!(engine.wait(is_finished), Event::Finished(_)), "the run ends well");
    losses(&engine.said)
}

#[test]
fn a_paused_run_goes_on_with_the_same_numbers() {
    let whole = uninterrupted("whole", STEPS);
    let mut engine = TestEngine::micro("paused");
    engine.send(micro_run("paused", STEPS, Watch { eval_steps: 2, ..unwatched() }));
    engine.wait(is_step(2));
    // The held-out pairs would be scored now.
    engine.send(Command::Run(RunCommand::Pause));
    let (run_id, step) = expect_event!(engine, Event::Paused { run_id, step } => (run_id, step));
    assert!((2..STEPS).contains(&step), "it stopped on the way, at step {step}");
    engine.send(Command::Run(RunCommand::Resume { run_id, settings: Metrics::new() }));
    engine.wait(is_finished);
    assert_eq!(losses(&engine.said), whole, "the same losses, to the last bit");
    let evaluated = engine.said.iter().filter_map(|event| match event {
        Event::Evaluated { metrics, .. } => metrics.get("step").and_then(|step| step.as_u64()),
        _ => None,
    });
    let every_other = (0..=STEPS as u64).step_by(2).collect::<Vec<_>>();
    assert_eq!(evaluated.collect::<Vec<_>>(), every_other, "what the pause ended was made up for");
}

#[test]
fn a_run_survives_the_end_of_its_engine() {
    let whole = uninterrupted("reference", STEPS);
    let mut engine = TestEngine::micro("survivor");
    engine.send(micro_run("survivor", STEPS, Watch { save_seconds: 0.001, ..unwatched() }));
    engine.wait(is_step(3));
    engine.wait(|event| matches!(event, Event::Saved { .. }));
    // The crash stands for a closed window: another engine finds the run.
    let store = engine.store.clone();
    engine.send(Command::Drill(Drill::Crash));
    let words = last_words(&mut engine);
    assert!(words.contains("told to crash"), "it says why it is gone: {words}");
    let before = losses(&engine.said);
    let mut engine = TestEngine::on(&store);
    let runs = expect_event!(engine, Event::Runs { runs } => runs);
    assert_eq!(runs.len(), 1, "the run is listed");
    assert_eq!(runs[0].status, Status::Running, "as one that was interrupted");
    assert!(runs[0].step >= 1, "with the step that is safe");
    assert!(!runs[0].sparkline.is_empty(), "with its losses so far");
    let seconds = runs[0].step_seconds.expect("with the time of its steps");
    assert!(seconds > 0.0 && seconds * runs[0].step as f64 <= runs[0].seconds, "not with all that it has worked");
    engine.send(Command::Run(RunCommand::Resume { run_id: runs[0].run_id.clone(), settings: Metrics::new() }));
    assert!(matches!(engine.wait(is_finished), Event::Finished(_)), "it goes on by itself: its model has a path");
    let after = losses(&engine.said);
    assert_eq!(after[0].0, runs[0].step as u64 + 1, "from the step after the checkpoint");
    for (step, loss) in before.iter().chain(&after) {
        assert_eq!(*loss, whole[*step as usize - 1].1, "step {step} has the loss of an uninterrupted run");
    }
}

#[test]
fn a_lost_device_is_replaced_and_the_run_goes_on() {
    let whole = uninterrupted("steady", STEPS);
    let mut engine = TestEngine::micro("lost");
    engine.send(micro_run("lost", STEPS, Watch { save_seconds: 0.001, ..unwatched() }));
    engine.wait(is_step(2));
    engine.send(Command::Drill(Drill::DestroyDevice));
    let recovering = engine.wait(|event| matches!(event, Event::Recovering { .. }) || is_finished(event));
    let Event::Recovering { failure: Failure::DeviceLost { .. }, safe_step: Some(safe), .. } = recovering else {
        panic!("the loss is named, and the run goes on by itself: {recovering:?}")
    };
    assert!(safe >= 1, "from a checkpoint");
    let warning = expect_event!(engine, Event::Warned { warning, .. } => warning);
    assert_eq!((warning.kind, warning.step), (WarningKind::DeviceLost, safe), "who was away learns of it later");
    assert!(matches!(engine.wait(is_finished), Event::Finished(_)), "the run ends well");
    assert_eq!(losses(&engine.said).last(), whole.last(), "with the loss of an undisturbed run");
    engine.send(Command::Drill(Drill::DestroyDevice));
    engine.send(Command::Compare(CompareCommand::ScoreHeldOut { strength: 1.0 }));
    engine.wait(|event| matches!(event, Event::Refused { .. }));
    engine.send(Command::Compare(CompareCommand::ScoreHeldOut { strength: 1.0 }));
    engine.wait(|event| matches!(event, Event::HeldOut { .. }));
}

#[test]
fn a_person_may_decide_before_a_lost_device_is_tried_again() {
    let lost = |event: &Event| matches!(event, Event::Recovering { .. }) || is_finished(event);
    // Nobody waits for so long: whatever happens is what the person said.
    let mut engine = TestEngine::with(&new_store("decided"), |session| session.retry_seconds = 3600.0);
    engine.open_micro();
    engine.send(micro_run("decided", STEPS, Watch { save_seconds: 0.001, ..unwatched() }));
    engine.wait(is_step(2));
    engine.send(Command::Drill(Drill::DestroyDevice));
    let Event::Recovering { run_id, seconds, .. } = engine.wait(lost) else { panic!("it is to go on by itself") };
    assert_eq!(seconds, 3600.0, "the person is told how long there is to decide");
    engine.send(Command::Run(RunCommand::Stop));
    let stopped = engine.wait(is_finished);
    assert!(
        matches!(stopped, Event::Failed { failure: Failure::DeviceLost { .. }, safe_step: Some(1..), .. }),
        "it stays where it is safe: {stopped:?}"
    );
    let resume = Command::Run(RunCommand::Resume { run_id, settings: Metrics::new() });
    engine.send(resume.clone());
    engine.wait(is_step(4));
    engine.send(Command::Drill(Drill::DestroyDevice));
    assert!(matches!(engine.wait(lost), Event::Recovering { .. }), "continued by a person, it may be lost once more");
    engine.send(resume);
    // Long before the countdown ends, for no test waits so long.
    engine.wait(|event| matches!(event, Event::RunStarted(_)));
    assert!(matches!(engine.wait(is_finished), Event::Finished(_)), "the run ends well");
}

#[test]
fn a_run_is_exported_while_it_goes_on() {
    let steps = 2 * STEPS;
    let mut engine = TestEngine::micro("exported");
    engine.send(micro_run("exported", steps, unwatched()));
    // Another run is discarded while this one is prepared.
    engine.send(Command::Run(RunCommand::Discard { run_id: "another".to_owned() }));
    let run = expect_event!(engine, Event::RunStarted(run) => run);
    let export = |kind: ExportKind| {
        let (run_id, folder) = (run.record.run_id.clone(), std::env::temp_dir().join(&run.record.run_id));
        let (folder, card) = (folder.display().to_string(), String::new());
        let request =
            ExportRequest { run_id, which: WhichAdapter::Last, strength: 1.0, kinds: vec![kind], folder, card };
        Command::Export(Box::new(request))
    };
    engine.wait(is_step(1));
    engine.send(Command::Drill(Drill::FillStorage));
    engine.send(export(ExportKind::Adapter));
    let exported = engine.wait(|event| matches!(event, Event::Exported { .. }) || is_finished(event));
    let Event::Exported { files, .. } = exported else { panic!("it is written between two steps: {exported:?}") };
    assert!(files[0].check.contains("logits"), "and compared with the live model: {}", files[0].check);
    let full = engine.said.iter().any(|event| matches!(event, Event::NotSaved { problem, .. } if problem.is_full()));
    assert!(full, "although the run could not be saved");
    // A cancel is the export's, and not the run's.
    engine.send(export(ExportKind::Metrics));
    engine.send(Command::Cancel);
    let ended = |event: &Event| matches!(event, Event::Cancelled { .. } | Event::Paused { .. }) || is_finished(event);
    assert!(matches!(engine.wait(ended), Event::Cancelled { subject: Subject::Export }), "nothing is written");
    engine.send(export(ExportKind::Merged));
    let refused = engine.wait(|event| matches!(event, Event::Exported { .. }) || is_finished(event));
    assert!(
        matches!(refused, Event::Refused { subject: Subject::Export, .. }),
        "a second copy of the weights waits for a pause: {refused:?}"
    );
    assert!(matches!(engine.wait(is_finished), Event::Finished(_)), "the run ends well");
    assert_eq!(losses(&engine.said), uninterrupted("not-exported", steps), "and its numbers are the same");
}

#[test]
fn what_a_run_needs_waits_for_its_pause_and_the_rest_is_answered() {
    let mut engine = TestEngine::micro("aside");
    engine.send(micro_run("aside", 2 * STEPS, unwatched()));
    let run = expect_event!(engine, Event::RunStarted(run) => run);
    engine.wait(is_step(1));
    let answered =
        |event: &Event| matches!(event, Event::PairsWritten { .. } | Event::PairsOpened(_)) || is_finished(event);
    engine.send(Command::Pairs(PairsCommand::Write));
    assert!(matches!(engine.wait(answered), Event::PairsWritten { .. }), "the rows are read, not changed");
    engine.send(Command::Pairs(PairsCommand::Swap));
    let refused = engine.wait(answered);
    assert!(matches!(refused, Event::Refused { subject: Subject::Pairs, .. }), "it trains on them: {refused:?}");
    engine.send(Command::Run(RunCommand::Resume { run_id: run.record.run_id, settings: Metrics::new() }));
    let refused = engine.wait(answered);
    assert!(matches!(refused, Event::Refused { subject: Subject::Run, .. }), "it goes on already: {refused:?}");
    assert!(matches!(engine.wait(is_finished), Event::Finished(_)), "the run ends well");
}

#[test]
fn what_is_asked_of_a_run_is_answered_when_the_step_ends() {
    let folder = TestEngine::micro("asked").store.clone();
    let (commands, inbox) = channel();
    let (out, said) = std::sync::mpsc::channel();
    let ask = commands.clone();
    let store = folder.display().to_string();
    let thread = std::thread::spawn(move || {
        pollster::block_on(async {
            let out = Box::new(move |event: Event| {
                // Asked in the middle of the engine's work, so that it is there before another step begins.
                if is_step(2)(&event) {
                    let command = Command::Pairs(PairsCommand::Read { index: 0, max_length: 64 });
                    ask.unbounded_send(Message { command, files: Vec::new() }).expect("the engine is there");
                }
                drop(out.send(event));
            });
            Session::open(inbox, out, &store, None).await.run().await;
        });
    });
    let send = |command, paths: &[std::path::PathBuf]| {
        let files = paths.iter().map(PickedFile::at).collect();
        commands.unbounded_send(Message { command, files }).expect("the engine is there");
    };
    let path = Some(folder.join("micro").display().to_string());
    send(Command::Model(ModelCommand::Open { source: ModelSource::Picked { name: "micro".into(), path } }), &[]);
    send(Command::Pairs(PairsCommand::Open { mapping: None }), &[folder.join("micro.jsonl")]);
    send(micro_run("asked", 6, unwatched()), &[]);
    let mut order = Vec::new();
    loop {
        match said.recv_timeout(Duration::from_secs(120)).expect("it is said") {
            Event::Step { metrics, .. } => order.push(metrics["step"].as_u64().expect("a number").to_string()),
            Event::PairView(_) => order.push("answer".to_owned()),
            event if is_finished(&event) => {
                break assert!(matches!(event, Event::Finished(_)), "it ends well: {event:?}");
            }
            _ => {}
        }
    }
    assert_eq!(order, ["1", "2", "answer", "3", "4", "5", "6"], "the answer does not wait for another step");
    // The engine's own sender goes with its session.
    send(Command::Cancel, &[]);
    commands.close_channel();
    thread.join().expect("it ends when nobody can send any more");
}

#[test]
fn a_step_that_is_not_finite_stops_the_run_at_the_last_good_one() {
    let mut engine = TestEngine::micro("diverged");
    engine.send(micro_run("diverged", STEPS, unwatched()));
    engine.wait(is_step(2));
    engine.send(Command::Drill(Drill::Diverge));
    let failed = engine.wait(is_finished);
    let Event::Failed { run_id, failure: Failure::Diverged { pairs, .. }, .. } = failed else {
        panic!("the run stops and says why: {failed:?}")
    };
    assert_eq!(pairs.len(), 4, "the pairs of the step are named");
    let settings = Metrics::from_iter([("learning_rate".to_owned(), json!(0.0005))]);
    engine.send(Command::Run(RunCommand::Resume { run_id, settings }));
    let Event::Finished(summary) = engine.wait(is_finished) else { panic!("it goes on with another learning rate") };
    assert!(summary.record.name.ends_with(", continued"), "as a run of its own");
    assert_eq!(summary.record.settings["learning_rate"], json!(0.0005), "with its own settings");
}

#[test]
fn too_little_memory_is_told_with_what_would_help() {
    let mut engine = TestEngine::start("memory");
    engine.open_demo();
    engine.send(Command::Plan(PlanCommand::Estimate {
        settings: demo_settings(4),
        limit: Some(3 << 20),
        inputs: Inputs::default(),
    }));
    let plan = expect_event!(engine, Event::Planned(plan) => plan);
    let blocked = plan.blocked.expect("it does not fit");
    assert!(blocked.what.contains("needs"), "it says how much: {}", blocked.what);
    assert!(!plan.fixes.is_empty() && plan.fixes[0].saves >= plan.fixes[plan.fixes.len() - 1].saves, "best first");
    let needs: u64 = plan.memory.iter().sum();
    let mut settings = demo_settings(4);
    settings.extend(plan.fixes[0].settings.clone());
    engine.send(Command::Plan(PlanCommand::Estimate { settings, limit: Some(1 << 40), inputs: Inputs::default() }));
    let fixed = expect_event!(engine, Event::Planned(plan) => plan);
    assert_eq!(fixed.memory.iter().sum::<u64>() + plan.fixes[0].saves, needs, "the fix saves what it says");
}

#[test]
fn a_plan_says_what_suits_the_rows_and_the_device() {
    let mut engine = TestEngine::start("suited");
    engine.open_demo();
    let mut plan = |settings: Settings, limit: u64| {
        engine.send(Command::Plan(PlanCommand::Estimate { settings, limit: Some(limit), inputs: Inputs::default() }));
        expect_event!(engine, Event::Planned(plan) => plan)
    };
    let needs = |plan: &pairtune::engine::protocol::PlanInfo| plan.memory.iter().sum::<u64>();
    let roomy = plan(demo_settings(4), 1 << 40);
    assert!(roomy.suited.is_empty(), "nothing where all is well: {:?}", roomy.suited);
    let tight = plan(demo_settings(4), needs(&roomy) * 10 / 9);
    let [fix] = &tight.suited[..] else { panic!("one change: {:?}", tight.suited) };
    assert_eq!(fix.settings["per_device_train_batch_size"], json!(1), "{fix:?}");
    let mut settings = demo_settings(4);
    settings.extend(fix.settings.clone());
    let suited = plan(settings, 1 << 40);
    assert_eq!((needs(&suited) + fix.saves, suited.n_steps), (needs(&roomy), roomy.n_steps), "the same run in less");

    let mut short = demo_settings(4);
    short.insert("max_length".to_owned(), json!(40));
    let cut = plan(short, 1 << 40);
    let longer = cut.suited.iter().find_map(|fix| fix.settings.get("max_length")?.as_u64());
    let longest = cut.lengths.iter().copied().max().expect("rows");
    assert!(longer.is_some_and(|longer| longer > 40 && longer < u64::from(longest) + 64), "{:?}", cut.suited);
}

#[test]
fn a_plan_names_the_rows_that_it_cuts_and_skips() {
    let mut engine = TestEngine::start("rows");
    engine.open_demo();
    engine.send(Command::Pairs(PairsCommand::Find { text: "TIDE".to_owned() }));
    let found = expect_event!(engine, Event::RowsFound { rows, .. } => rows);
    assert!(!found.is_empty() && found.is_sorted(), "rows hold the word in other letters: {found:?}");
    let mut settings = demo_settings(4);
    settings.insert("max_length".to_owned(), json!(48));
    engine.send(Command::Plan(PlanCommand::Estimate { settings, limit: None, inputs: Inputs::default() }));
    let plan = expect_event!(engine, Event::Planned(plan) => plan);
    assert!(!plan.truncated.is_empty() && plan.truncated.is_sorted(), "{:?}", plan.truncated);
    assert_eq!(plan.truncated.len(), plan.lengths.iter().filter(|length| **length > 48).count());
    assert!(plan.dropped.iter().all(|(_, why)| *why == SkipReason::PromptTooLong), "{:?}", plan.dropped);
    assert!(plan.dropped.iter().all(|(row, _)| plan.truncated.binary_search(row).is_err()), "a row has one fate");
}

#[test]
fn two_steps_that_are_tried_take_what_was_planned() {
    let mut engine = TestEngine::start("tried");
    engine.open_demo();
    // Two steps take as much memory as all of them would.
    let tried = |event: &Event| matches!(event, Event::Tried { .. } | Event::Cancelled { .. } | Event::Refused { .. });
    let trial = || {
        Command::Plan(PlanCommand::Trial { settings: demo_settings(4), prompts: vec!["When is high tide?".to_owned()] })
    };
    engine.send(trial());
    engine.wait(|event| matches!(event, Event::Trying { step: 2 }));
    let Event::Tried { device_bytes, planned_bytes, answers_seconds, .. } = engine.wait(tried) else {
        panic!("two steps are tried")
    };
    assert!(answers_seconds.is_some_and(|seconds| seconds > 0.0), "answers take time, too: {answers_seconds:?}");
    assert!(device_bytes.abs_diff(planned_bytes) < planned_bytes / 10, "{device_bytes} of {planned_bytes} planned");
    engine.wait(|event| matches!(event, Event::Planned(_)));
    engine.send(trial());
    engine.send(Command::Cancel);
    let cancelled = engine.wait(tried);
    assert!(matches!(cancelled, Event::Cancelled { subject: Subject::Plan }), "not {cancelled:?}");
    engine.send(trial());
    engine.wait(|event| matches!(event, Event::Trying { step: 2 }));
    engine.send(Command::Cancel);
    let Event::Tried { step_seconds, answers_seconds, .. } = engine.wait(tried) else { panic!("one step was taken") };
    assert!(step_seconds > 0.0 && answers_seconds.is_none(), "what was measured is kept");
    let plan = expect_event!(engine, Event::Planned(plan) => plan);
    assert_eq!(plan.step_seconds, Some(step_seconds), "and planned with");
}

#[test]
fn measuring_the_gpu_can_be_ended() {
    let mut engine = TestEngine::start("bench");
    engine.send(Command::Bench);
    engine.wait(|event| matches!(event, Event::Measuring(_)));
    engine.send(Command::Cancel);
    let ended = engine.wait(|event| matches!(event, Event::Measured(_) | Event::Cancelled { .. }));
    assert!(matches!(ended, Event::Cancelled { subject: Subject::Bench }), "not {ended:?}");
}

#[test]
fn a_run_without_memory_is_told_what_would_fit() {
    let mut engine = TestEngine::micro("memory-lost");
    engine.send(micro_run("memory-lost", STEPS, unwatched()));
    engine.wait(is_step(1));
    engine.send(Command::Drill(Drill::OutOfMemory));
    let failed = engine.wait(is_finished);
    let Event::Failed { failure: Failure::OutOfMemory { fixes, .. }, .. } = failed else {
        panic!("it is not called a lost device: {failed:?}")
    };
    assert!(!fixes.is_empty(), "there are fixes to choose from");
}

#[test]
fn of_settings_that_cannot_be_read_the_others_are() {
    let mut engine = TestEngine::micro("unreadable");
    let mut wrong = micro_settings(4);
    wrong.insert("beta".to_owned(), json!(-1));
    engine.send(Command::Plan(PlanCommand::Estimate { settings: wrong, limit: None, inputs: Inputs::default() }));
    let plan = expect_event!(engine, Event::Planned(plan) => plan);
    assert!(plan.blocked.is_some() && plan.n_train == 0, "there are no figures: {plan:?}");
    assert_eq!((&plan.full_settings["max_steps"], &plan.full_settings["beta"]), (&json!(4), &json!(0.1)));
}

#[test]
fn full_storage_does_not_stop_a_run() {
    let mut engine = TestEngine::micro("full");
    engine.send(micro_run("full", STEPS, unwatched()));
    engine.wait(is_step(1));
    engine.send(Command::Drill(Drill::FillStorage));
    engine.send(Command::Run(RunCommand::Pause));
    engine.wait(|event| matches!(event, Event::NotSaved { problem, .. } if problem.is_full()));
    let run_id = expect_event!(engine, Event::Paused { run_id, .. } => run_id);
    engine.send(Command::Run(RunCommand::Resume { run_id, settings: Metrics::new() }));
    assert!(matches!(engine.wait(is_finished), Event::Finished(_)), "the state was kept in memory");
}

#[test]
fn a_run_that_cannot_be_written_is_kept_in_memory_until_it_can() {
    let mut engine = TestEngine::micro("unwritten");
    let (runs, out) = (engine.store.join("runs"), engine.store.join("out"));
    // No folder of a run can be made.
    std::fs::write(&runs, "in the way").expect("a file");
    engine.send(micro_run("unwritten", 4, unwatched()));
    engine.wait(|event| matches!(event, Event::NotSaved { problem, .. } if !problem.is_full()));
    let Event::Finished(summary) = engine.wait(is_finished) else { panic!("the run ends well") };
    let run_id = summary.record.run_id;
    let export = ExportRequest {
        run_id: run_id.clone(),
        which: WhichAdapter::Last,
        strength: 1.0,
        kinds: vec![ExportKind::Archive],
        folder: out.display().to_string(),
        card: String::new(),
    };
    engine.send(Command::Export(Box::new(export)));
    let exported = |event: &Event| matches!(event, Event::Exported { .. } | Event::Refused { .. });
    let written = engine.wait(exported);
    assert!(matches!(written, Event::Exported { .. }), "an archive is made from memory: {written:?}");
    engine.send(Command::Pairs(PairsCommand::Swap));
    engine.wait(|event| matches!(event, Event::Refused { .. }));

    // Once it can be written, it is, with everything that was owed.
    std::fs::remove_file(&runs).expect("the file goes");
    engine.send(Command::Run(RunCommand::Resume { run_id: run_id.clone(), settings: Metrics::new() }));
    engine.wait(|event| matches!(event, Event::Saved { step: 4, .. }));
    engine.wait(is_finished);
    let mut other = TestEngine::on(&engine.store.clone());
    other.send(Command::Library(LibraryCommand::Open { run_id: run_id.clone() }));
    let opened = |event: &Event| matches!(event, Event::RunOpened(_) | Event::Refused { .. });
    let Event::RunOpened(opened) = other.wait(opened) else { panic!("it opens") };
    assert_eq!((opened.record.step, opened.history.iter().filter(|entry| entry.contains_key("loss")).count()), (4, 4));
    let mut elsewhere = TestEngine::start("unwritten-elsewhere");
    elsewhere.send_files(Command::Library(LibraryCommand::Import), &[out.join("unwritten.run")]);
    elsewhere.wait(|event| matches!(event, Event::Runs { runs } if runs.len() == 1));
    elsewhere.send(Command::Library(LibraryCommand::Open { run_id }));
    let Event::RunOpened(opened) = elsewhere.wait(|event| matches!(event, Event::RunOpened(_) | Event::Refused { .. }))
    else {
        panic!("and so does the archive")
    };
    assert_eq!(opened.record.step, 4, "where it ended");
}

#[test]
fn a_run_that_rests_gives_the_memory_of_the_weights_back() {
    let mut engine = TestEngine::with(&new_store("rests"), |session| session.rest_seconds = 0.2);
    engine.open_micro();
    engine.send(micro_run("rests", 1, unwatched()));
    engine.wait(|event| matches!(event, Event::Finished(_)));
    engine.wait(|event| matches!(event, Event::Log { text, .. } if text.contains("is given back")));
    engine.send(Command::Compare(CompareCommand::ScoreHeldOut { strength: 1.0 }));
    engine.wait(|event| matches!(event, Event::HeldOut { .. }));
}

#[test]
fn a_template_is_set_kept_with_the_run_and_exported() {
    let mut engine = TestEngine::start("template");
    engine.open_micro();
    let template = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}";
    let chat = |template: &str| Chat { template: Some(template.to_owned()), ..Chat::default() };
    engine.send(Command::Pairs(PairsCommand::SetChat(chat("{% if %}"))));
    let refused = engine.wait(|event| matches!(event, Event::Refused { .. }));
    assert!(matches!(refused, Event::Refused { subject: Subject::Chat, .. }), "a template that does not compile");
    engine.send(Command::Pairs(PairsCommand::SetChat(chat(template))));
    let Event::ChatSet(info) = engine.wait(|event| matches!(event, Event::ChatSet(_))) else { unreachable!() };
    assert_eq!(info.template.as_deref(), Some(template));
    assert_ne!(info.own, info.template, "the model's own is another, if it has one");
    engine.send(micro_run("template", 1, unwatched()));
    let Event::Finished(summary) = engine.wait(is_finished) else { panic!("the run ends well") };
    assert_eq!(summary.record.chat, chat(template), "kept with the run");
    let run_id = summary.record.run_id.clone();
    let out = engine.store.join("out");
    let request = ExportRequest {
        run_id: run_id.clone(),
        which: WhichAdapter::Last,
        strength: 1.0,
        kinds: vec![ExportKind::Adapter, ExportKind::Merged],
        folder: out.display().to_string(),
        card: String::new(),
    };
    engine.send(Command::Export(Box::new(request)));
    let exported = engine.wait(|event| matches!(event, Event::Exported { .. } | Event::Refused { .. }));
    let Event::Exported { files, .. } = exported else { panic!("both are written: {exported:?}") };
    for file in files {
        let written = std::fs::read_to_string(std::path::Path::new(&file.path).join("chat_template.jinja"));
        assert_eq!(written.expect(&file.path), template, "{}", file.path);
    }
    // Another engine opens the run with it.
    let mut other = TestEngine::on(&engine.store.clone());
    other.send(Command::Library(LibraryCommand::Open { run_id }));
    let Event::ChatSet(info) = other.wait(|event| matches!(event, Event::ChatSet(_) | Event::Refused { .. })) else {
        panic!("it opens")
    };
    assert_eq!(info.template.as_deref(), Some(template), "the run's");
    other.wait(|event| matches!(event, Event::RunOpened(_)));
}

#[test]
fn the_demo_is_watched_and_learns() {
    let mut engine = TestEngine::start("journey");
    engine.open_demo();
    // Ten steps need only these pairs, and scoring the others first would take longer than to train.
    engine.send(Command::Pairs(PairsCommand::Skip { rows: (80..384).collect(), skip: true }));
    engine.wait(|event| matches!(event, Event::PairsOpened(info) if info.skipped > 0));
    let watch = Watch { eval_steps: 5, keep_best: true, ..Watch::default() };
    let mut settings = demo_settings(10);
    settings.insert("per_device_train_batch_size".to_owned(), json!(8));
    engine.send(start_run("journey", settings, watch));
    let Event::Finished(summary) = engine.wait(is_finished) else { panic!("the run ends well") };
    let (before, after) = (summary.before.expect("evaluated before"), summary.after.expect("and after"));
    assert_eq!((before.n, summary.record.n_held_out), (96, 96), "the demo's own held-out pairs");
    assert!(summary.improved && after.wins > before.wins, "ten steps teach something: {before:?} {after:?}");
    assert!(summary.device_bytes > 0 && summary.planned_bytes > 0, "memory was planned and measured");
    let evaluations = engine.said.iter().filter(|event| matches!(event, Event::Evaluated { .. })).count();
    assert_eq!(evaluations, 3, "before, on the way, and after");
    let losses = engine.said.iter().filter_map(|event| match event {
        Event::Evaluated { metrics, .. } => metrics["eval_loss"].as_f64(),
        _ => None,
    });
    let losses: Vec<f64> = losses.collect();
    assert!((losses[0] - 2f64.ln()).abs() < 1e-6 && losses[2] < losses[0], "the loss of pairs held out: {losses:?}");
    let likelier = summary.record.likelier_wins.expect("the base model has scored them");
    assert!((0.15..0.85).contains(&likelier), "both answers were in its lessons: {likelier}");
    let samples =
        engine.said.iter().filter(|event| matches!(event, Event::Samples { answers, .. } if answers.len() == 3));
    assert_eq!(samples.count(), 3, "three sample prompts each time");
    let answers = engine.said.iter().filter_map(|event| match event {
        Event::Samples { answers, .. } => Some(answers),
        _ => None,
    });
    assert!(answers.flatten().all(|answer| answer.cut), "four tokens are not enough for them");
}

#[test]
fn a_run_without_a_better_evaluation_stops_early_and_counts_on_after_a_pause() {
    let run = |name: &str, steps: usize, patience: usize| {
        let mut settings = micro_settings(steps);
        // Nothing changes, so the first evaluation after a step stays the best.
        settings.insert("learning_rate".to_owned(), json!(0.0));
        start_run(name, settings, Watch { eval_steps: 1, keep_best: true, patience, ..unwatched() })
    };
    let mut engine = TestEngine::micro("patience");
    engine.send(run("never", 5, 0));
    let Event::Finished(summary) = engine.wait(is_finished) else { panic!("the run ends well") };
    assert_eq!((summary.record.status, summary.record.step), (Status::Finished, 5), "0 takes every step");

    engine.send(run("patient", 20, 6));
    engine.wait(is_step(2));
    engine.send(Command::Run(RunCommand::Pause));
    let run_id = expect_event!(engine, Event::Paused { run_id, .. } => run_id);
    // Another engine knows only what is stored.
    let mut other = TestEngine::on(&engine.store.clone());
    other.send(Command::Run(RunCommand::Resume { run_id: run_id.clone(), settings: Metrics::new() }));
    let Event::Finished(summary) = other.wait(is_finished) else { panic!("the run ends well") };
    let record = summary.record;
    assert_eq!((record.status, record.step), (Status::Stopped, 7), "six evaluations after the first, the pause or not");
    assert_eq!(record.best_step, Some(1), "the best is kept");
    let text = "Stopped early: no better held-out result in 6 evaluations. The best adapter, of step 1, is kept.";
    let why = |warning: &Warning| warning.kind == WarningKind::StoppedEarly && warning.text == text;
    let warned = other.said.iter().filter(|event| matches!(event, Event::Warned { warning, .. } if why(warning)));
    assert_eq!(warned.count(), 1, "it says why");

    // A program that is killed after the last save leaves the record like this.
    let file = engine.store.join("runs").join(&run_id).join("run.json");
    let stored = std::fs::read(&file).expect("a record");
    let mut stored: serde_json::Value = serde_json::from_slice(&stored).expect("JSON");
    stored["status"] = json!("running");
    std::fs::write(&file, stored.to_string()).expect("written");
    let mut again = TestEngine::on(&engine.store.clone());
    again.send(Command::Library(LibraryCommand::Open { run_id }));
    let info = expect_event!(again, Event::RunOpened(info) => info);
    assert_eq!(info.record.status, Status::Stopped, "it does not wait to be continued");
    assert!(info.warnings.iter().any(why), "and so does the run when it is opened again: {:?}", info.warnings);
}

#[test]
fn held_out_pairs_are_scored_at_any_strength() {
    let (mut engine, summary) = TestEngine::finished_micro("strengths");
    let after = summary.after.expect("evaluated after");
    engine.send(Command::Compare(CompareCommand::ScoreHeldOut { strength: 0.0 }));
    let pairs = expect_event!(engine, Event::HeldOut { pairs, .. } => pairs);
    assert!(pairs.iter().all(|pair| pair.base == pair.tuned), "without the adapter nothing changes");
    engine.send(Command::Compare(CompareCommand::ScoreHeldOut { strength: 1.0 }));
    let pairs = expect_event!(engine, Event::HeldOut { pairs, .. } => pairs);
    let won = pairs.iter().filter(|pair| pair.tuned[0] > pair.tuned[1]).count() as u64;
    assert_eq!(won, after.wins, "the tuned model wins as many pairs as the evaluation said");

    // A pair token by token adds up to its sums.
    let pair = &pairs[0];
    engine.send(Command::Compare(CompareCommand::InspectPair { index: pair.index, strength: 1.0 }));
    let seen = expect_event!(engine, Event::Inspected(seen) => seen);
    for side in 0..2 {
        let sum: f64 = seen.sides[side].iter().map(|token| f64::from(token.tuned)).sum();
        assert!((sum - pair.tuned[side]).abs() < 1e-3, "{sum} and {}", pair.tuned[side]);
        assert_eq!(seen.sides[side].len(), pair.tokens[side], "every scored token");
    }
    let text: String = seen.sides[0].iter().map(|token| token.text.as_str()).collect();
    assert!(text.split_whitespace().count() > 3, "the tokens are its text: {text:?}");
}

#[test]
fn base_and_tuned_answer_with_the_same_seed() {
    let (mut engine, _) = TestEngine::finished_micro("answers");
    let request = GenerateRequest {
        others: Vec::new(),
        id: 7,
        prompt: "Question: When is high tide?\nAnswer:".to_owned(),
        system: String::new(),
        turns: Vec::new(),
        seed: 1,
        temperature: 0.0,
        max_new_tokens: 12,
        strengths: vec![0.0, 1.0],
        runs: Vec::new(),
    };
    engine.send(Command::Compare(CompareCommand::Generate(Box::new(request.clone()))));
    engine.wait(|event| matches!(event, Event::Text { id: 7, side: 1, end: true, .. }));
    let [base, tuned] = [0, 1].map(|side| written(&engine, 7, side));
    assert!(!base.is_empty() && !tuned.is_empty(), "both write: {base:?} {tuned:?}");

    let speeds = engine.said.iter().filter_map(|event| match event {
        Event::Text { id: 7, end: true, tokens, seconds, .. } => Some((*tokens, *seconds)),
        _ => None,
    });
    assert!(speeds.clone().all(|(tokens, seconds)| (1..=12).contains(&tokens) && seconds > 0.0), "with their speed");
    assert_eq!(speeds.count(), 2, "each side has one end");

    // Several prompts are answered together, each as by itself.
    let others = vec!["Question: Where is the library?\nAnswer:".to_owned(), "Hello".to_owned()];
    let list = GenerateRequest { id: 10, others: others.clone(), ..request.clone() };
    engine.send(Command::Compare(CompareCommand::Generate(Box::new(list))));
    for (id, prompt) in [(11, others[0].clone()), (12, others[1].clone())] {
        engine.send(Command::Compare(CompareCommand::Generate(Box::new(GenerateRequest {
            id,
            prompt,
            ..request.clone()
        }))));
    }
    engine.wait(|event| matches!(event, Event::Text { id: 12, side: 1, end: true, .. }));
    for (prompt, alone) in [7, 11, 12].into_iter().enumerate() {
        for model in 0..2 {
            let together = written(&engine, 10, 2 * prompt + model);
            assert_eq!(together, written(&engine, alone, model), "prompt {prompt}, model {model}");
        }
    }
    let ends = engine.said.iter().filter(|event| matches!(event, Event::Text { id: 10, end: true, .. }));
    assert_eq!(ends.count(), 6, "each text has one end");

    // A conversation takes a chat template, which is not for pairs of plain texts.
    let turn = Turn { prompt: "Hello".to_owned(), answers: vec!["Hi".to_owned(), "Good day".to_owned()] };
    let chat = GenerateRequest { id: 9, system: "Be kind.".to_owned(), turns: vec![turn], ..request.clone() };
    engine.send(Command::Compare(CompareCommand::Generate(Box::new(chat))));
    let refused = expect_event!(engine, Event::Refused { problem, .. } => problem);
    assert!(refused.what.contains("chat template"), "{refused}");

    // A text that is cut off has no end, and so is not taken for an answer.
    engine.send(Command::Compare(CompareCommand::Generate(Box::new(GenerateRequest {
        id: 8,
        strengths: vec![0.0],
        ..request
    }))));
    engine.send(Command::Cancel);
    engine.wait(|event| matches!(event, Event::Cancelled { subject: Subject::Compare }));
    assert!(!engine.said.iter().any(|event| matches!(event, Event::Text { id: 8, end: true, .. })), "it has no end");
}

/// Text that a request got on one side.
fn written(engine: &TestEngine, request: u64, side: usize) -> String {
    let pieces = engine.said.iter().filter_map(|event| match event {
        Event::Text { id, side: s, piece, .. } if (*id, *s) == (request, side) => Some(piece.as_str()),
        _ => None,
    });
    pieces.collect()
}

/// Contents that a GGUF file may have.
const FORMS: [GgufForm; 4] = [GgufForm::Lora, GgufForm::F16, GgufForm::Q8_0, GgufForm::Q4_0];

#[test]
fn everything_is_exported_and_verified() {
    let (mut engine, summary) = TestEngine::finished_micro("journey");
    let folder = engine.store.join("out");
    let request = ExportRequest {
        run_id: summary.record.run_id.clone(),
        which: WhichAdapter::Best,
        strength: 1.0,
        kinds: [ExportKind::Adapter, ExportKind::Merged, ExportKind::Metrics, ExportKind::Archive]
            .into_iter()
            .chain(FORMS.map(ExportKind::Gguf))
            .collect(),
        folder: folder.display().to_string(),
        card: "Tuned in a test.".to_owned(),
    };
    engine.send(Command::Export(Box::new(request.clone())));
    let exported = engine.wait(|event| matches!(event, Event::Exported { .. } | Event::Refused { .. }));
    let Event::Exported { files, .. } = exported else { panic!("everything is written: {exported:?}") };
    assert_eq!(files.len(), 8, "one entry each");
    let verified = |file: &Exported| file.bytes > 0 && file.check.starts_with("Verified: reloaded, ");
    assert!(files.iter().all(verified), "each was reloaded: {files:?}");
    let tells = |kind, part: &str| {
        let file = files.iter().find(|file| file.kind == kind).expect("it is written");
        file.snippets.iter().any(|snippet| snippet.contains(part))
    };
    assert!(tells(ExportKind::Adapter, "> Modelfile && ollama create"), "which takes adapters of Llamas");
    let gguf = ExportKind::Gguf;
    assert!(tells(gguf(GgufForm::Q8_0), "lms import --copy journey-gguf-q8_0.gguf"), "LM Studio takes it");
    assert!(!tells(gguf(GgufForm::Lora), "lms import"), "but no adapter");
    let own = folder.join("journey-adapter/README.md");
    let readme = std::fs::read_to_string(&own).expect("there is a model card");
    assert!(readme.contains("Tuned in a test."), "with the words that were given");
    let headings = readme.lines().filter(|line| line.starts_with("# ")).count();
    assert!(headings == 1 && !readme.contains("A LoRA adapter trained"), "one title, one purpose: {readme}");
    assert!(!readme.contains("base_model:"), "the bundled model has no name on the Hub: {readme}");
    for file in ["journey-adapter/adapter_model.safetensors", "journey-merged/model.safetensors", "journey.run"] {
        assert!(folder.join(file).exists(), "{file} is there");
    }
    for form in ["adapter", "f16", "q8_0", "q4_0"] {
        let place = folder.join(format!("journey-gguf-{form}"));
        let modelfile = std::fs::read_to_string(place.join("Modelfile")).expect("a Modelfile");
        assert!(modelfile.contains(&format!("./journey-gguf-{form}.gguf")), "{modelfile}");
        assert!(place.join(format!("journey-gguf-{form}.gguf")).exists(), "{form} is there");
    }

    // A file that is there already stays: nothing is written over it.
    std::fs::write(&own, "a person's own").expect("a file");
    engine.send(Command::Export(Box::new(ExportRequest { kinds: vec![ExportKind::Adapter], ..request })));
    let exported = engine.wait(|event| matches!(event, Event::Exported { .. } | Event::Refused { .. }));
    let Event::Exported { files, .. } = exported else { panic!("it is written beside it: {exported:?}") };
    assert!(files[0].path.ends_with("journey-adapter-2"), "{}", files[0].path);
    assert_eq!(std::fs::read_to_string(&own).expect("it is there"), "a person's own");

    // The run's own best adapter and checkpoint are whole, and nothing else is there.
    let run = engine.store.join("runs").join(&summary.record.run_id);
    let mut names: Vec<String> = std::fs::read_dir(run).expect("the run's folder").map(|e| name_of(&e)).collect();
    names.sort();
    let best = format!("best-{}", summary.record.best_step.expect("there is one"));
    assert_eq!(names, [&best, "checkpoint-2", "held_out.jsonl", "pairs.jsonl", "run.json", "settings.json"]);
}

/// Planned with less memory, trained, paused and scored in 4 bits; merged into the full weights, which the check of the
/// export compares with the adapter on those.
#[test]
fn a_quantised_base_is_planned_trained_and_merged_as_it_is_stored() {
    let mut engine = TestEngine::micro("load-in");
    let quantised = |load_in: &str, steps: usize| {
        let mut settings = micro_settings(steps);
        settings.insert("load_in".to_owned(), json!(load_in));
        settings
    };
    let mut planned = |load_in: &str| {
        engine.send(Command::Plan(PlanCommand::Estimate {
            settings: quantised(load_in, 4),
            limit: None,
            inputs: Inputs::default(),
        }));
        expect_event!(engine, Event::Planned(plan) => plan.memory[0])
    };
    let weights = ["stored", "int8", "nf4"].map(&mut planned);
    assert!(weights[0] > weights[1] && weights[1] > weights[2], "fewer bits, fewer bytes: {weights:?}");

    engine.send(start_run("quantised", quantised("nf4", STEPS), unwatched()));
    engine.wait(is_step(2));
    engine.send(Command::Run(RunCommand::Pause));
    let run_id = expect_event!(engine, Event::Paused { run_id, .. } => run_id);
    // The next plan does not change the settings of the run.
    engine.send(Command::Plan(PlanCommand::Estimate {
        settings: quantised("stored", 4),
        limit: None,
        inputs: Inputs::default(),
    }));
    engine.wait(|event| matches!(event, Event::Planned(_)));
    engine.send(Command::Run(RunCommand::Resume { run_id: run_id.clone(), settings: Settings::new() }));
    assert!(matches!(engine.wait(is_finished), Event::Finished(_)), "it goes on with the base that it began with");
    engine.send(Command::Compare(CompareCommand::ScoreHeldOut { strength: 1.0 }));
    engine.wait(|event| matches!(event, Event::HeldOut { .. }));
    let request = ExportRequest {
        run_id,
        which: WhichAdapter::Last,
        strength: 1.0,
        kinds: vec![ExportKind::Merged],
        folder: engine.store.join("out").display().to_string(),
        card: String::new(),
    };
    engine.send(Command::Export(Box::new(request)));
    let exported = engine.wait(|event| matches!(event, Event::Exported { .. } | Event::Refused { .. }));
    assert!(matches!(exported, Event::Exported { .. }), "merged and checked: {exported:?}");
}

#[test]
fn an_archive_opens_elsewhere_and_continues() {
    let (mut engine, summary) = TestEngine::finished_micro("archive");
    let archive = engine.archive(&summary.record.run_id);

    // The archive opens in another store and continues.
    let mut other = TestEngine::start("archive-elsewhere");
    other.send_files(Command::Library(LibraryCommand::Import), std::slice::from_ref(&archive));
    let runs = expect_event!(other, Event::Runs { runs } if runs.len() == 1 => runs);
    let more = Metrics::from_iter([("max_steps".to_owned(), json!(4))]);
    other.send(Command::Run(RunCommand::Resume { run_id: runs[0].run_id.clone(), settings: more }));
    let Event::Finished(summary) = other.wait(is_finished) else { panic!("it goes on elsewhere") };
    assert_eq!(summary.record.step, 4, "from step 2 to step 4");

    // The continued run is a run of its own: it is closed before its pairs change, and opens again with its best
    // adapter.
    let branch = summary.record.run_id;
    other.send(Command::Pairs(PairsCommand::Skip { rows: vec![0], skip: true }));
    other.wait(|event| matches!(event, Event::RunClosed { run_id } if *run_id == branch));
    let known = other.said.len();
    let info = expect_event!(other, Event::PairsOpened(info) => info);
    assert_eq!((info.skipped, other.said.len()), (1, known + 1), "the rows are known");
    let plan = |engine: &mut TestEngine| {
        engine.send(Command::Plan(PlanCommand::Estimate {
            settings: micro_settings(4),
            limit: None,
            inputs: Inputs::default(),
        }));
        expect_event!(engine, Event::Planned(plan) => plan.n_train + plan.held_out.len())
    };
    assert_eq!(plan(&mut other), PAIRS - 1, "one is left out");
    other.send(Command::Pairs(PairsCommand::Skip { rows: vec![0], skip: false }));
    assert_eq!(plan(&mut other), PAIRS, "and back again");
    other.send(Command::Library(LibraryCommand::Open { run_id: branch.clone() }));
    let opened = other.wait(|event| matches!(event, Event::RunOpened(_) | Event::Refused { .. }));
    let Event::RunOpened(opened) = opened else { panic!("the branch opens: {opened:?}") };
    assert_eq!((opened.record.run_id, opened.record.step), (branch, 4), "where it ended");
    assert!(opened.record.best_step.is_some(), "with the best adapter, though it may be from before");

    // The archive is older than what is there: it is not written over it.
    other.send_files(Command::Library(LibraryCommand::Import), &[archive]);
    let problem = expect_event!(other, Event::Refused { subject: Subject::Runs, problem } => problem);
    assert!(problem.what.contains("already here"), "{problem}");
}

#[test]
fn a_damaged_archive_leaves_nothing_behind() {
    let (mut engine, summary) = TestEngine::finished_micro("damaged");
    let archive = engine.archive(&summary.record.run_id);
    let mut other = TestEngine::start("damaged-elsewhere");
    // One that is not whole, or names a place of its own, leaves nothing behind.
    let files = unpack("damaged.run", &std::fs::read(&archive).expect("read")).expect("an archive");
    let damaged = other.store.join("damaged.run");
    std::fs::create_dir_all(&other.store).expect("a folder");
    let mut refused = |files: Vec<(String, Vec<u8>)>| {
        std::fs::write(&damaged, pack(&files).expect("packed")).expect("written");
        other.send_files(Command::Library(LibraryCommand::Import), std::slice::from_ref(&damaged));
        expect_event!(other, Event::Refused { subject: Subject::Runs, problem } => problem.to_string())
    };
    let without = |part: &str| files.iter().filter(|(name, _)| !name.ends_with(part)).cloned().collect::<Vec<_>>();
    let text = refused(without("optimizer.safetensors"));
    assert!(text.contains("optimizer.safetensors"), "its checkpoint is not whole: {text}");
    let text = refused(without("held_out.jsonl"));
    assert!(text.contains("no pairs"), "{text}");
    let mut elsewhere = without("run.json");
    let record = files.iter().find(|(name, _)| name == "run.json").expect("a record");
    let mut value: serde_json::Value = serde_json::from_slice(&record.1).expect("JSON");
    value["run_id"] = json!("../elsewhere");
    elsewhere.push((record.0.clone(), value.to_string().into_bytes()));
    let text = refused(elsewhere);
    assert!(text.contains("no name of a folder"), "{text}");
}

/// Waits for a run to be opened, or not.
fn opened(engine: &mut TestEngine) -> Event {
    engine.wait(|event| matches!(event, Event::RunOpened(_) | Event::Refused { .. }))
}

#[test]
fn a_run_is_opened_with_its_model_wherever_that_is() {
    let mut engine = TestEngine::start("moved");
    let demo = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo");
    let copy = |folder: &std::path::Path| {
        std::fs::create_dir_all(folder).expect("a folder");
        let files =
            std::fs::read_dir(demo.join("model")).expect("the demo's model").map(|entry| entry.expect("a file"));
        let copied = files.map(|file| std::fs::copy(file.path(), folder.join(file.file_name())).expect("copied"));
        assert!(copied.count() >= 4, "the model has its files");
    };
    let open = |engine: &mut TestEngine, folder: &std::path::Path| {
        let name = folder.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        let path = Some(folder.display().to_string());
        engine.send(Command::Model(ModelCommand::Open { source: ModelSource::Picked { name, path } }));
        engine.wait(|event| matches!(event, Event::ModelOpened(_)));
    };
    let [first, second, other] = ["first", "second", "other"].map(|name| engine.store.join(name));
    copy(&first);
    // The model's needs are known before it is opened, by the same figures.
    let source = ModelSource::Picked { name: "first".into(), path: Some(first.display().to_string()) };
    engine.send(Command::Model(ModelCommand::Measure { source: source.clone() }));
    let measured = engine.wait(|event| matches!(event, Event::ModelMeasured { .. }));
    open(&mut engine, &first);
    let Some(Event::ModelOpened(info)) = engine.said.last() else { panic!("its figures come last") };
    assert_eq!(measured, Event::ModelMeasured { source, needs: Ok(info.least_bytes) });
    let pairs = engine.store.join("pairs.jsonl");
    let few: Vec<&str> = include_str!("../assets/demo/held_out.jsonl").lines().take(8).collect();
    std::fs::write(&pairs, few.join("\n")).expect("written");
    engine.send_files(Command::Pairs(PairsCommand::Open { mapping: None }), &[pairs]);
    engine.wait(|event| matches!(event, Event::PairsOpened(_)));
    engine.send(start_run("moved", demo_settings(1), unwatched()));
    let Event::Finished(summary) = engine.wait(is_finished) else { panic!("the run ends well") };
    let run_id = summary.record.run_id;

    // Its folder is gone, and nothing is open.
    std::fs::rename(&first, &second).expect("moved");
    let mut engine = TestEngine::on(&engine.store.clone());
    engine.send(Command::Library(LibraryCommand::Open { run_id: run_id.clone() }));
    let Event::Refused { problem, .. } = opened(&mut engine) else { panic!("there is no model") };
    assert!(problem.wants_model(), "it is told what is missing: {problem}");
    assert!(problem.what.contains("\"first\" (2 MB of weights), which is not open"), "{problem}");

    // A model of the same kind, with other weights.
    copy(&other);
    let weights = other.join("model.safetensors");
    let mut bytes = std::fs::read(&weights).expect("weights");
    *bytes.last_mut().expect("bytes") ^= 1;
    std::fs::write(&weights, bytes).expect("changed");
    open(&mut engine, &other);
    engine.send(Command::Library(LibraryCommand::Open { run_id: run_id.clone() }));
    let Event::Refused { problem, .. } = opened(&mut engine) else { panic!("it is another model") };
    assert!(problem.what.contains("\"first\"") && problem.what.contains("\"other\" is another"), "{problem}");

    // The same content at another place, under another name.
    open(&mut engine, &second);
    engine.send(Command::Library(LibraryCommand::Open { run_id: run_id.clone() }));
    let Event::RunOpened(run) = opened(&mut engine) else { panic!("it is the run's model") };
    let place = ModelSource::Picked { name: "second".into(), path: Some(second.display().to_string()) };
    assert_eq!(run.record.model, place, "where it is found from now on");
    assert_eq!(run.record.model_name, "first", "it is called what it was");

    // Kept twice, it is there twice: files of two models are never mixed.
    let kept = |engine: &mut TestEngine, command: Command| {
        engine.send(command);
        let models = expect_event!(engine, Event::Models { models } => models);
        assert!(models.iter().all(|model| model.complete), "{models:?}");
        models.into_iter().map(|model| model.name).collect::<Vec<_>>()
    };
    assert_eq!(kept(&mut engine, Command::Model(ModelCommand::Keep)), ["second"]);
    assert_eq!(kept(&mut engine, Command::Model(ModelCommand::Keep)), ["second", "second-2"]);
    engine.send(Command::Model(ModelCommand::Open { source: ModelSource::Stored { name: "second-2".into() } }));
    let second = ModelSource::Stored { name: "second-2".into() };
    engine.wait(|event| matches!(event, Event::ModelOpened(info) if info.source == second));
    engine.said.clear();
    assert_eq!(kept(&mut engine, Command::Model(ModelCommand::Forget { name: "second-2".into() })), ["second"]);
    assert!(engine.said.contains(&Event::ModelClosed), "it is closed before its files go: {:?}", engine.said);
    // A name of Ollama's has a colon, which no path in the storage may have.
    let (name, path) = ("smollm2:135m".to_owned(), Some(other.display().to_string()));
    engine.send(Command::Model(ModelCommand::Open { source: ModelSource::Picked { name, path } }));
    engine.wait(|event| matches!(event, Event::ModelOpened(_)));
    assert_eq!(kept(&mut engine, Command::Model(ModelCommand::Keep)), ["second", "smollm2-135m"]);
}

#[test]
fn a_model_that_is_refused_leaves_the_open_one_with_its_run() {
    let (mut engine, _) = TestEngine::finished_micro("kept-open");
    engine.said.clear();
    let model = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo/model");
    let refused = |engine: &mut TestEngine, change: &dyn Fn(&std::path::Path)| {
        let folder = engine.store.join("bad");
        std::fs::create_dir_all(&folder).expect("a folder");
        for file in std::fs::read_dir(&model).expect("the demo's model").map(|entry| entry.expect("a file")) {
            std::fs::copy(file.path(), folder.join(file.file_name())).expect("copied");
        }
        change(&folder);
        let source = ModelSource::Picked { name: "bad".into(), path: Some(folder.display().to_string()) };
        engine.send(Command::Model(ModelCommand::Open { source }));
        let subject = expect_event!(engine, Event::Refused { subject, .. } => subject);
        assert_eq!(subject, Subject::Model, "the model is refused");
        std::fs::remove_dir_all(&folder).expect("removed");
    };
    refused(&mut engine, &|folder| {
        let config = std::fs::read_to_string(folder.join("config.json")).expect("a configuration");
        std::fs::write(folder.join("config.json"), config.replace("\"llama\"", "\"rwkv\"")).expect("changed");
    });
    // All is well with the next one, but there is no room for it.
    let settings = micro_settings(1);
    engine.send(Command::Plan(PlanCommand::Estimate {
        settings: settings.clone(),
        limit: Some(1000),
        inputs: Inputs::default(),
    }));
    refused(&mut engine, &|_| {});
    engine.send(Command::Plan(PlanCommand::Estimate { settings, limit: None, inputs: Inputs::default() }));
    let closed = |event: &Event| matches!(event, Event::ModelClosed | Event::RunClosed { .. });
    assert!(!engine.said.iter().any(closed), "nothing is closed: {:?}", engine.said);
    engine.send(Command::Compare(CompareCommand::ScoreHeldOut { strength: 1.0 }));
    let scored = engine.wait(|event| matches!(event, Event::HeldOut { .. } | Event::Refused { .. }));
    assert!(matches!(scored, Event::HeldOut { .. }), "the run is at hand with its model: {scored:?}");
}

#[test]
fn what_cannot_be_opened_is_refused_with_a_reason() {
    let mut engine = TestEngine::start("refused");
    let folder = engine.store.join("adapter");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("adapter_config.json"), "{}").expect("a file");
    let source = ModelSource::Picked { name: "adapter".to_owned(), path: None };
    engine.send_files(Command::Model(ModelCommand::Open { source }), &[folder.join("adapter_config.json")]);
    let Event::Refused { subject: Subject::Model, problem } = engine.wait(|e| matches!(e, Event::Refused { .. }))
    else {
        panic!("the model is refused")
    };
    assert!(problem.what.contains("adapter"), "it says what was found: {problem}");
    let source = ModelSource::Picked { name: "adapter".to_owned(), path: Some(folder.display().to_string()) };
    engine.send(Command::Model(ModelCommand::Measure { source }));
    let measured = engine.wait(|e| matches!(e, Event::ModelMeasured { .. }));
    let Event::ModelMeasured { needs: Err(why), .. } = measured else { panic!("it has no needs: {measured:?}") };
    assert!(why.what.contains("adapter"), "a list says the same: {why}");

    let pairs = engine.store.join("pairs.jsonl");
    std::fs::write(&pairs, "{\"q\": \"a\", \"better\": \"b\"}\n").expect("a file");
    engine.send_files(Command::Pairs(PairsCommand::Open { mapping: None }), std::slice::from_ref(&pairs));
    // Rows of other columns are shown, so that a person can say which is which.
    let info = expect_event!(engine, Event::PairsOpened(info) => info);
    assert_eq!((info.usable, info.problem_count, &info.columns[..]), (0, 1, &["q".into(), "better".into()][..]));
    assert!(info.problems[0].line == 1 && info.problems[0].what.contains("chosen"), "{:?}", info.problems);
    std::fs::write(&pairs, "[1, 2]").expect("a file");
    engine.send_files(Command::Pairs(PairsCommand::Open { mapping: None }), std::slice::from_ref(&pairs));
    let problem = expect_event!(engine, Event::Refused { subject: Subject::Pairs, problem } => problem);
    assert!(problem.at.contains("line 1"), "what has no columns is refused, with the line: {problem}");

    // A file of thumbs is one for KTO, and its broken rows are counted by what is wrong with them.
    let kto = |i: usize| format!("{{\"prompt\": \"{i}\", \"completion\": \"b\", \"label\": true}}\n");
    std::fs::write(&pairs, (0..30).map(kto).collect::<String>() + "{\n{\"a\": 1,}\n{\"abc\": 12,}\n").expect("a file");
    engine.send_files(Command::Pairs(PairsCommand::Open { mapping: None }), std::slice::from_ref(&pairs));
    let Event::PairsOpened(info) = engine.wait(|e| matches!(e, Event::PairsOpened(_))) else {
        unreachable!("it was waited for")
    };
    assert_eq!((info.usable, info.kind, &info.purpose), (30, Kind::Labelled, &None), "thumbs");
    let kinds: Vec<_> = info.problem_kinds.iter().map(|kind| (kind.count, &kind.lines[..])).collect();
    assert_eq!(kinds, [(2, &[32, 33][..]), (1, &[31])], "{:?}", info.problem_kinds);

    // A table's columns are its first row.
    let table = engine.store.join("pairs.csv");
    std::fs::write(&table, "question;accepted;rejected\nWhy?;\"So; that\";No\n").expect("a file");
    engine.send_files(Command::Pairs(PairsCommand::Open { mapping: None }), &[table]);
    let info = expect_event!(engine, Event::PairsOpened(info) => info);
    assert_eq!((info.usable, info.problem_count, info.mapping.prompt.as_str()), (1, 0, "question"));

    // So are those of a table that is no text.
    let table = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parquet/pairs_datasets.parquet");
    engine.send_files(Command::Pairs(PairsCommand::Open { mapping: None }), &[table]);
    let info = expect_event!(engine, Event::PairsOpened(info) => info);
    assert_eq!((info.usable, info.problem_count, info.columns.len()), (9, 0, 7), "{:?}", info.problems);
    assert!(info.shape.as_ref().is_some_and(|shape| shape.contains("UltraFeedback")), "{:?}", info.shape);
    assert!(info.conversations, "its lists are messages");

    // Other tools' columns are found, and can be chosen.
    let rows = "{\"instruction\": \"Say hi\", \"input\": \"now\", \"chosen\": \"Hi!\", \"rejected\": \"No\"}\n\
                {\"instruction\": \"Say bye\", \"input\": \"\", \"chosen\": \"Bye\", \"rejected\": \"Bye\"}\n\
                not a row\n";
    std::fs::write(&pairs, rows).expect("a file");
    engine.send_files(Command::Pairs(PairsCommand::Open { mapping: None }), std::slice::from_ref(&pairs));
    let info = expect_event!(engine, Event::PairsOpened(info) => info);
    assert_eq!((info.usable, info.problem_count, info.lines), (2, 1, 3), "two rows can be used");
    assert_eq!(info.mapping.prompt, "instruction", "LLaMA-Factory's columns are known");
    assert_eq!(info.problems[0].line, 3, "the third line is the bad one");
    assert_eq!(info.flags, [("identical".to_owned(), 1)], "the audit finds the empty choice");
    engine.send(Command::Pairs(PairsCommand::Swap));
    engine.send(Command::Pairs(PairsCommand::Read { index: 0, max_length: 64 }));
    let view = expect_event!(engine, Event::PairView(view) => view);
    let texts = view.parts.map(|part| part.into_iter().map(|passage| passage.text).collect::<Vec<_>>().join("|"));
    assert_eq!(texts, ["Say hi\nnow", "No", "Hi!"], "instruction and input, and the answers swapped");

    // A row is edited: its flags are of the new texts, and a file of the rows has them.
    let texts = |texts: [&str; 3]| texts.map(|text| vec![text.to_owned()]);
    engine.send(Command::Pairs(PairsCommand::Edit { index: 1, texts: texts(["Say bye", "So long!", "Bye"]) }));
    let info = expect_event!(engine, Event::PairsOpened(info) => info);
    assert_eq!((info.edits, info.flags), (1, vec![("edited".to_owned(), 1)]), "the answers differ now");
    engine.send(Command::Pairs(PairsCommand::Write));
    let (name, written) = expect_event!(engine, Event::PairsWritten { name, text } => (name, text));
    let rows: Vec<serde_json::Value> = written.lines().map(|row| serde_json::from_str(row).expect("JSON")).collect();
    assert!(name.ends_with("-edited.jsonl"), "{name}");
    let edited = json!({"prompt": "Say bye", "chosen": "So long!", "rejected": "Bye"});
    let other = json!({"prompt": "Say hi\nnow", "chosen": "No", "rejected": "Hi!"});
    assert_eq!(rows, [other, edited], "every row, as runs take them");
    engine.send(Command::Pairs(PairsCommand::Edit { index: 1, texts: Default::default() }));
    let problem = expect_event!(engine, Event::Refused { subject: Subject::Pairs, problem } => problem);
    assert!(problem.what.contains("another row"), "{problem}");
}

#[test]
fn liked_and_disliked_answers_become_pairs_to_train_on() {
    let mut engine = TestEngine::micro("made");
    let words = ["tide", "lamp", "bread", "winter", "copper", "violin", "garden", "engine", "pepper", "glass", "fox"];
    let row = |word: &str, answer: &str, label: bool| {
        json!({"prompt": word, "completion": format!("{answer} {word}"), "label": label}).to_string() + "\n"
    };
    let rows = words.map(|word| row(word, "Good", true) + &row(word, "Bad", false) + &row(word, "Worse", false));
    let file = engine.store.join("thumbs.jsonl");
    std::fs::write(&file, rows.concat() + &row("alone", "Good", true)).expect("a file");
    let opened = |engine: &mut TestEngine| expect_event!(engine, Event::PairsOpened(info) => info);
    engine.send_files(Command::Pairs(PairsCommand::Open { mapping: None }), &[file]);
    let info = opened(&mut engine);
    assert_eq!((info.kind, info.usable, info.to_make), (Kind::Labelled, 34, 22), "two pairs of each prompt with both");
    engine.send(Command::Pairs(PairsCommand::Skip { rows: vec![1], skip: true }));
    assert_eq!(opened(&mut engine).to_make, 21, "a skipped answer is in no pair");
    engine.send(Command::Pairs(PairsCommand::Make));
    let info = opened(&mut engine);
    assert_eq!((info.kind, info.usable, info.lines, info.skipped), (Kind::Pairs, 21, 21, 0), "the pairs are open");
    assert_eq!((info.edits, info.to_make, info.name.as_str()), (1, 0, "thumbs.jsonl"), "they are in no file yet");

    let written = |engine: &mut TestEngine| -> Vec<serde_json::Value> {
        engine.send(Command::Pairs(PairsCommand::Write));
        let text = expect_event!(engine, Event::PairsWritten { text, .. } => text);
        text.lines().map(|row| serde_json::from_str(row).expect("JSON")).collect()
    };
    let pair = |word: &str, chosen: &str, rejected: &str| {
        let [chosen, rejected] = [chosen, rejected].map(|answer| format!("{answer} {word}"));
        json!({"prompt": word, "chosen": chosen, "rejected": rejected})
    };
    let first = [pair("tide", "Good", "Worse"), pair("lamp", "Good", "Bad"), pair("lamp", "Good", "Worse")];
    assert_eq!(written(&mut engine)[..3], first, "the liked answer stands in both pairs of its prompt");
    engine.send(Command::Pairs(PairsCommand::Find { text: "bad".to_owned() }));
    let found = expect_event!(engine, Event::RowsFound { rows, .. } => rows);
    assert_eq!(found, (1..21).step_by(2).collect::<Vec<_>>(), "they are searched");
    engine.send(Command::Plan(PlanCommand::Estimate {
        settings: micro_settings(2),
        limit: None,
        inputs: Inputs::default(),
    }));
    let plan = expect_event!(engine, Event::Planned(plan) => plan);
    assert_eq!((plan.blocked, plan.n_train + plan.held_out.len()), (None, 21), "DPO trains on them");

    // One row alone is swapped, as an edit of it.
    engine.send(Command::Pairs(PairsCommand::SwapRow { index: 0 }));
    let info = opened(&mut engine);
    assert!(info.flags.contains(&("edited".to_owned(), 1)) && !info.swapped, "{:?}", info.flags);
    assert_eq!(info.edits, 2, "the plan is made anew");
    assert_eq!(written(&mut engine)[..2], [pair("tide", "Worse", "Good"), pair("lamp", "Good", "Bad")], "no other row");
    engine.send(Command::Pairs(PairsCommand::SwapRow { index: 21 }));
    let problem = expect_event!(engine, Event::Refused { subject: Subject::Pairs, problem } => problem);
    assert!(problem.what.contains("no such row"), "{problem}");
    engine.send(Command::Pairs(PairsCommand::Make));
    let problem = expect_event!(engine, Event::Refused { subject: Subject::Pairs, problem } => problem);
    assert!(problem.what.contains("disliked"), "pairs make no pairs: {problem}");
}

#[test]
fn an_evaluation_scores_at_most_the_pairs_that_were_asked_for() {
    let mut engine = TestEngine::micro("few-pairs");
    engine.send(Command::Plan(PlanCommand::Estimate {
        settings: micro_settings(2),
        limit: None,
        inputs: Inputs::default(),
    }));
    let all = expect_event!(engine, Event::Planned(plan) => plan.held_out);
    engine.send(micro_run("few", 2, Watch { max_eval_pairs: 3, no_samples: true, ..Watch::default() }));
    let Event::Finished(summary) = engine.wait(is_finished) else { panic!("it ends well") };
    assert!(!engine.said.iter().any(|event| matches!(event, Event::Samples { .. })), "no prompt is answered");
    assert_eq!((all.len(), summary.record.n_held_out), (8, 3), "of all that the plan holds out");
    let run_id = summary.record.run_id;
    // The same pairs, some of each part of the file, also where the run is opened anew.
    let scored = |engine: &mut TestEngine| {
        engine.send(Command::Compare(CompareCommand::ScoreHeldOut { strength: 1.0 }));
        expect_event!(engine, Event::HeldOut { pairs, .. } => pairs)
    };
    let first = scored(&mut engine);
    let rows: Vec<usize> = first.iter().map(|pair| pair.index).collect();
    assert_eq!(rows, [all[2], all[5], all[7]], "no other pair is scored");
    let mut other = TestEngine::on(&engine.store.clone());
    other.send(Command::Library(LibraryCommand::Open { run_id }));
    other.wait(|event| matches!(event, Event::RunOpened(_)));
    let again = scored(&mut other);
    assert_eq!(again.len(), 3, "the run has no others");
    for (first, again) in first.iter().zip(&again) {
        assert_eq!((first.base, first.tokens), (again.base, again.tokens), "the same pairs");
    }
}

#[test]
fn an_edited_row_is_planned_as_it_is_now() {
    let mut engine = TestEngine::micro("edited");
    let longest = |engine: &mut TestEngine| {
        engine.send(Command::Plan(PlanCommand::Estimate {
            settings: micro_settings(4),
            limit: None,
            inputs: Inputs::default(),
        }));
        expect_event!(engine, Event::Planned(plan) => plan.lengths.iter().copied().max())
    };
    let before = longest(&mut engine);
    engine.send(Command::Pairs(PairsCommand::Read { index: 0, max_length: 64 }));
    let view = expect_event!(engine, Event::PairView(view) => view);
    let mut texts = view.parts.map(|part| part.into_iter().map(|passage| passage.text).collect::<Vec<_>>());
    texts[1][0] = "a much longer answer ".repeat(100);
    engine.send(Command::Pairs(PairsCommand::Edit { index: 0, texts }));
    expect_event!(engine, Event::PairsOpened(info) => info);
    assert!(longest(&mut engine) > before, "its tokens are counted again");
}
