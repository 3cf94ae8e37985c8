//! The engine itself: another build, a crash, another tab, and closing the window on it.

use std::sync::Arc;

use pairtune::engine::protocol::*;

use super::script::{self, Stage, problem};
use super::{Dropped, Folder, close_requested};

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
fn the_log_is_shown_and_copied() {
    let mut stage = Stage::ready();
    stage.say(Event::Log { level: Level::Warn, text: "shaders took long".into() });
    stage.click("Log");
    stage.expect("shaders took long");
    stage.click("Copy log");
    stage.expect("Copied");
}
