//! Failures of a run: what is safe, and what would help.

use eframe::egui::Key;
use pairtune::engine::protocol::*;
use serde_json::json;

use crate::at_run::*;
use crate::script::{self, problem};

#[test]
fn divergence_keeps_the_last_good_step() {
    let mut test = Test::running(96);
    let failure = Failure::Diverged { step: 97, what: "loss is NaN".into(), pairs: vec![3, 17] };
    test.say(Event::Failed { run_id: RUN.into(), failure, safe_step: Some(96) });
    test.sees("Diverged at step 97");
    test.sees("The last good state is step 96");
    test.click("Show the pairs of this step");
    test.sees("Question 17");
    test.sent();
    test.click("Show all of it: line 18");
    assert_eq!(test.sent(), [Command::Pairs(PairsCommand::Read { index: 17, max_length: 1024 })]);
    for index in [17, 3] {
        let parts = [&format!("The whole question {index}"), "Yes.", "No."].map(script::passage);
        let seen = Err(problem("No model is open", "Choose a model"));
        test.say(Event::PairView(Box::new(PairView { index, line: index + 1, parts, seen })));
    }
    test.sees("The whole question 17");
    test.shot("diverged");
    test.sent();
    test.click("Keep what there is");
    assert_eq!(test.sent(), [Command::Library(LibraryCommand::Open { run_id: RUN.into() })]);
    test.refuse();
    test.click("Resume with a third of the learning rate");
    assert_eq!(test.sent(), [resume(json!({ "learning_rate": 1.7e-5 }))]);
}

#[test]
fn out_of_memory_offers_what_would_fit() {
    let mut test = Test::running(40);
    let fixes = vec![
        Fix { label: "Max tokens 512 to 384".into(), settings: map(json!({ "max_length": 384 })), saves: 700_000_000 },
        Fix {
            label: "Recompute activations".into(),
            settings: map(json!({ "gradient_checkpointing": true })),
            saves: 900_000_000,
        },
    ];
    let what = "The buffer `logits` of 622 MB could not be had at step 41";
    let failure = Failure::OutOfMemory { problem: problem(what, "Make the run smaller"), fixes };
    test.say(Event::Failed { run_id: RUN.into(), failure, safe_step: Some(40) });
    test.sees("Out of memory");
    test.sees("saves 700 MB");
    test.shot("out-of-memory");
    test.sent();
    test.click("Max tokens 512 to 384");
    assert_eq!(test.sent(), [resume(json!({ "max_length": 384 }))]);
    let failure = Failure::OutOfMemory { problem: problem(what, "Make the run smaller"), fixes: Vec::new() };
    test.say(Event::Failed { run_id: RUN.into(), failure, safe_step: Some(40) });
    test.click("Re-plan");
    test.sees("Beta (β)");
    test.page(Key::Num4);
    test.sent();
    test.click("Restart from the checkpoint");
    assert_eq!(test.sent(), [resume(json!({}))], "there is a way on without fixes");
}

#[test]
fn a_lost_device_is_recovered_once_and_then_asked_about() {
    let mut test = Test::running(80);
    let failure = Failure::DeviceLost { problem: problem("The driver was reset: timeout", "Try smaller steps") };
    let lost = Event::Recovering { run_id: RUN.into(), failure: failure.clone(), safe_step: Some(80), seconds: 10.0 };
    test.say(lost);
    test.sees("Your run is safe at step 80.");
    test.sees("It goes on by itself in");
    test.shot("recovering");
    test.sent();
    test.click("Restart now");
    assert_eq!(test.sent(), [resume(json!({}))], "a person need not wait");
    test.refuse();
    test.click("Dismiss");
    test.click("Stop");
    assert_eq!(test.sent(), [Command::Run(RunCommand::Stop)], "nor let it go on");
    test.say(Event::Failed { run_id: RUN.into(), failure, safe_step: Some(80) });
    test.sees("The graphics driver reset");
    test.shot("device-lost");
    test.sent();
    test.click("Smaller steps: batch size 1");
    let smaller = json!({ "per_device_train_batch_size": 1, "gradient_accumulation_steps": 4 });
    assert_eq!(test.sent(), [resume(smaller)]);
    test.refuse();
    test.click("Restart now");
    assert_eq!(test.sent(), [resume(json!({}))]);
}

#[test]
fn a_full_storage_does_not_stop_the_run() {
    let mut test = Test::running(80);
    let problem = problem("Storage is full: 38 MB needed, 2 MB left", "Remove runs that are no longer needed");
    let problem = Problem { code: ErrorCode::StorageFull, ..problem };
    test.say(Event::NotSaved { run_id: RUN.into(), problem });
    test.sees("training goes on without being saved");
    test.sees("step 80/278");
    test.shot("storage-full");
    test.click("Free space in Runs");
    test.sees("All training runs on this computer");
}

#[test]
fn a_run_that_could_not_be_saved_is_not_called_saved() {
    let mut test = Test::running(80);
    let problem = problem("Could not write it: permission denied", "Check the permissions");
    test.say(Event::NotSaved { run_id: RUN.into(), problem });
    test.sees("training goes on in memory");
    assert!(!test.has("Free space in Runs"), "space is not what is missing");
    test.say(Event::Paused { run_id: RUN.into(), step: 81 });
    test.sees("only while this app stays open");
    assert!(!test.has("tomorrow or on another computer"), "it would be lost");
    // Opened again from memory, it is as unsaved as before.
    test.say(Event::RunOpened(Box::new(run_info(vec![]))));
    test.sees("it is only in memory");
    test.say(Event::Saved { run_id: RUN.into(), step: 81, bytes: 38_000_000, seconds: 0.8 });
    assert!(!test.has("only in memory"), "saved at last");
}

#[test]
fn a_crash_names_the_step_that_is_safe() {
    let mut test = Test::running(80);
    // Steps that were taken since the save are lost.
    test.say(step_taken(83));
    test.stage.crash("panicked at src/train");
    test.sees("The engine stopped while this run was at work");
    test.sees("Your run is safe at step 80.");
    assert!(!test.has("safe at step 83"), "the steps since then are not");
    test.shot("crashed");
}
