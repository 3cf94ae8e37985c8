//! A run, from its first phase to its end, and what is asked of it.

use eframe::egui::{self, Key, accesskit::Role};
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use pairtune::engine::protocol::*;
use pairtune::engine::run::warnings::Action as Offer;
use serde_json::json;

use crate::at_run::*;
use crate::script::{self, problem};

#[test]
fn an_empty_page_says_what_to_do_first() {
    let mut test = Test::new();
    test.page(Key::Num4);
    test.sees("No run yet");
    test.shot("empty");
    test.sent();
    test.click("Try the demo");
    test.sends(Command::Model(ModelCommand::OpenDemo));
}

#[test]
fn preparing_counts_and_can_be_cancelled() {
    let mut test = Test::new();
    test.say(Event::RunStarted(Box::new(run_info(vec![]))));
    test.page(Key::Num4);
    test.say(phase(Phase::Reference, 120, 267));
    test.sees("Scoring pairs with the base model");
    test.sees("120/267 pairs");
    test.shot("preparing");
    test.click("Cancel");
    test.sends(Command::Cancel);
}

#[test]
fn running_shows_figures_and_takes_orders() {
    let mut test = Test::running(84);
    for text in ["step 84/278", "tok/s", "left", "Held-out accuracy", "53 %", "95 % interval", "longer wins 62 %"] {
        test.sees(text);
    }
    test.sees("lower perplexity wins 57 %");
    test.sees("Best so far: step 72 (kept)");
    test.sees("Saved at step 84: 38.0 MB");
    test.sees("Margin. train: ");
    test.sees("Log-probability change (nats per answer). chosen: ");
    test.sees("Held-out accuracy. held out: 53 % at step 0, 69 % at step 84, 95 % interval 52 % to 83 %");
    test.sees("You can't do that here.");
    test.sees("answer of step 84");
    test.shot("running");
    test.click("Loss");
    test.sees("Loss. train: ");
    test.shot("running-loss");
    test.click("Pause");
    test.sends(Command::Run(RunCommand::Pause));
    test.sees("finishing this step");
    test.shot("pausing");
}

#[test]
fn one_look_is_no_change() {
    let mut test = Test::running(3);
    assert_eq!(test.stage.harness.query_all_by_label("53 %").count(), 1, "one figure");
    assert_eq!(test.stage.harness.query_all_by_label("You can't do that here.").count(), 1, "one answer");
    test.shot("first");
    test.say(evaluated(12, true));
    test.say(Event::Samples { run_id: RUN.into(), step: 12, answers: now(12) });
    test.sees("57 %");
    test.sees("before 53 %");
    test.sees("Now (step 12)");
}

/// Positions of a warning's marks, from left to right.
fn marks(test: &Test, label: &str) -> Vec<f32> {
    let all = test.stage.harness.query_all_by_role_and_label(Role::Image, label);
    all.map(|node| node.rect().center().x).collect()
}

#[test]
fn a_warning_is_marked_in_every_figure_and_a_pause_moves_nothing() {
    let mut test = Test::running(60);
    test.say(warned(52, Offer::None));
    let label = "Step 52: It is getting better mainly by disliking both answers: chosen fell by 12 nats.";
    let before = marks(&test, label);
    assert_eq!(before.len(), 3, "in each of the figures");
    test.say(Event::Paused { run_id: RUN.into(), step: 60 });
    test.stage.harness.run_steps(3);
    assert_eq!(marks(&test, label), before, "the steps to come keep their room");
}

#[test]
fn more_than_three_warnings_are_counted() {
    let mut test = Test::running(60);
    for step in [20, 30, 40, 50, 55] {
        test.say(warned(step, Offer::None));
    }
    let shown = |test: &Test| test.stage.harness.query_all_by_label("Dismiss").count();
    assert_eq!(shown(&test), 3);
    test.click("2 more, earlier");
    assert_eq!(shown(&test), 5);
    test.click("Show only the latest");
    assert_eq!(shown(&test), 3, "folded again");
}

#[test]
fn a_warning_is_a_row_with_its_offer_at_the_right() {
    let mut test = Test::sized(1600.0, 900.0);
    test.say(Event::RunStarted(Box::new(run_info(vec![]))));
    test.page(Key::Num4);
    test.take_steps(60);
    test.say(warned(52, Offer::LowerLearningRate));
    let place = |label: &str| test.stage.harness.get_by_label_contains(label).rect();
    // The marks in the figures have the same name.
    let text = "Step 52: It is getting better mainly by disliking both answers: chosen fell by 12 nats.";
    let text = test.stage.harness.get_by_role_and_label(Role::Label, text).rect();
    let (offer, dismiss) = (place("Lower the learning rate"), place("Dismiss"));
    assert!(text.right() < offer.left() && offer.right() < dismiss.left(), "{text} {offer} {dismiss}");
    assert!(offer.y_range().contains(text.center().y), "on one line: {text} {offer}");
}

#[test]
fn a_run_of_a_few_steps_is_not_judged() {
    let mut test = Test::running(3);
    let Event::Finished(mut ended) = summary(false) else { panic!("a summary") };
    (ended.record.step, ended.record.status) = (3, Status::Stopped);
    test.say(Event::Finished(ended));
    let place = |label: &str| test.stage.harness.get_by_label_contains(label).rect();
    let few = place("Only 3 steps, of about 278 for one pass over the pairs");
    assert!(few.bottom() <= place("Try more or cleaner").top(), "before any advice");
    let mut test = Test::running(278);
    test.say(summary(false));
    assert!(!test.has("for one pass"), "it has seen all of them");
}

#[test]
fn stopping_says_what_is_still_done() {
    let mut test = Test::running(24);
    test.click("Stop and save");
    test.sees("finishing this step");
    assert!(!test.has(" left"), "not the time of all the steps that will not be taken");
    test.say(phase(Phase::Evaluating, 8, 30));
    test.sees("Evaluating held-out pairs 8/30");
    test.sees("~0:33 left");
    assert!(!test.has("finishing this step"), "the step is done");
    test.page(Key::Num3);
    test.sees("Stopping: evaluating held-out pairs 8/30, 33 s left, step 24/278, 9 %");
}

#[test]
fn stopping_keeps_and_discarding_asks() {
    let mut test = Test::running(24);
    test.click("Stop and save");
    test.sends(Command::Run(RunCommand::Stop));
    let mut test = Test::running(24);
    test.click("More");
    test.click("Discard this run…");
    test.sees("There is no way back");
    test.shot("discard");
    test.click("Keep it");
    assert_eq!(test.sent(), [], "nothing is discarded");
    test.click("More");
    test.click("Discard this run…");
    test.click("Discard");
    test.sends(Command::Run(RunCommand::Discard { run_id: RUN.into() }));
}

#[test]
fn an_answer_that_was_cut_ends_in_dots() {
    let test = Test::running(36);
    let ends = |text: &str| test.stage.harness.query_all_by_label_contains(text).next().is_some();
    assert!(ends("will write to you…"), "it had more to say");
    assert!(ends("(answer of step 36)") && !ends("(answer of step 36)…"), "this one came to its end");
    assert!(!ends("Wait for it.…"), "nor was it cut before");
}

#[test]
fn a_run_is_renamed_by_its_title() {
    let mut test = Test::running(12);
    test.sent();
    let rename = |test: &mut Test, key: Key| {
        test.click("Rename tone-v2");
        let field = test.stage.harness.get_by_label("Name of the run");
        assert!(field.is_focused(), "the keyboard is at it");
        field.set_text_value_accesskit(" tone, third try ");
        test.stage.harness.run_steps(2);
        test.stage.harness.key_press(key);
        test.stage.harness.run_steps(3);
    };
    rename(&mut test, Key::Escape);
    assert_eq!(test.sent(), [], "given up");
    rename(&mut test, Key::Enter);
    let (run_id, name, notes) = (RUN.into(), "tone, third try".into(), String::new());
    assert_eq!(test.sent(), [Command::Library(LibraryCommand::Describe { run_id, name, notes })]);
    test.sees("Rename tone, third try");
}

#[test]
fn the_end_of_a_run_calls_who_looks_elsewhere() {
    let called = |focused: bool| {
        let mut test = Test::running(278);
        test.stage.harness.input_mut().focused = focused;
        test.stage.harness.step();
        test.stage.queue(summary(true));
        test.stage.harness.step();
        let asks = |command: &egui::ViewportCommand| matches!(command, egui::ViewportCommand::RequestUserAttention(_));
        test.stage.harness.output().viewport_output.values().any(|viewport| viewport.commands.iter().any(asks))
    };
    assert!(called(false), "the window is not looked at");
    assert!(!called(true), "it is");
}

#[test]
fn samples_can_be_scrubbed() {
    let mut test = Test::running(36);
    test.sees("Now (step 36)");
    set(&mut test, Role::Slider, "Answers of step", 1.0);
    test.sees("Now (step 12)");
    test.click("Follow");
    test.sees("Now (step 36)");
}

#[test]
fn a_warning_can_be_dismissed() {
    let mut test = Test::running(60);
    test.say(warned(52, Offer::LowerLearningRate));
    test.sees("Step 52: It is getting better mainly by disliking both");
    test.shot("warning");
    test.click("Dismiss");
    assert!(!test.has("Step 52: It is"), "it is gone");
    assert_eq!(test.sent(), [], "nothing was asked for");
}

#[test]
fn a_warning_can_be_acted_upon() {
    let mut test = Test::running(60);
    test.say(warned(52, Offer::LowerLearningRate));
    test.click("Lower the learning rate");
    assert_eq!(test.sent(), [Command::Run(RunCommand::Pause)], "first it pauses");
    test.say(Event::Paused { run_id: RUN.into(), step: 61 });
    assert_eq!(test.sent(), [resume(json!({ "learning_rate": 1.7e-5 }))], "then it goes on");
    let mut test = Test::running(60);
    test.say(warned(52, Offer::StopAtBest));
    let stops: Vec<_> = test.stage.harness.get_all_by_label("Stop and save").collect();
    assert_eq!(stops.len(), 2, "the warning offers what the run's own button does");
    stops[1].click_accesskit();
    drop(stops);
    test.stage.harness.run_steps(4);
    test.sends(Command::Run(RunCommand::Stop));
    let mut test = Test::paused(60);
    test.say(warned(52, Offer::AddSft));
    test.click("Add an SFT term");
    test.sends(resume(json!({ "loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 0.1] })));
}

#[test]
fn a_paused_run_resumes() {
    let mut test = Test::paused(84);
    test.sees("Paused at step 84");
    test.sees("38.0 MB were saved in 400 ms");
    test.shot("paused");
    test.sent();
    test.sees("Paused and saved at step 84");
    test.click("Resume");
    assert_eq!(test.sent(), [resume(json!({}))]);
    test.sees("Starting…");
    for page in [Key::Num5, Key::Num6, Key::Num4] {
        test.page(page);
        test.sees("Starting…");
        for label in ["Resume", "Close", "Generate", "Write files"] {
            assert!(test.stage.harness.query_by_label(label).is_none(), "{label} asks for the old run");
        }
    }
    test.shot("resuming");
    test.say(Event::RunStarted(Box::new(RunInfo {
        record: RunRecord { step: 84, ..record() },
        ..run_info((1..=84).map(metrics_at).collect())
    })));
    test.say(step_taken(85));
    test.sees("step 85/278");
    assert!(!test.has("Paused and saved"), "that was before");
}

#[test]
fn a_paused_run_branches_with_other_settings() {
    let mut test = Test::paused(84);
    test.click("Continue with other settings");
    set(&mut test, Role::SpinButton, "Beta (β)", 0.3);
    test.shot("branch");
    test.sent();
    test.click("Start as a new run");
    assert_eq!(test.sent(), [resume(json!({ "beta": 0.3 }))]);
}

#[test]
fn other_settings_are_closed_when_the_run_goes_on() {
    let mut test = Test::paused(84);
    assert!(!test.has("Start as a new run"), "not asked for");
    test.click("Continue with other settings");
    test.sees("Change a setting first.");
    set(&mut test, Role::SpinButton, "Learning rate", 1e-5);
    assert!(!test.has("Change a setting first."), "one is changed");
    test.say(Event::RunStarted(Box::new(run_info(vec![]))));
    test.say(step_taken(85));
    test.say(summary(true));
    test.stage.harness.run_steps(10);
    assert!(!test.has("Start as a new run"), "nor asked for again");
    test.click("Continue with other settings");
    test.sees("Change a setting first.");
    test.click("Continue with other settings");
    test.stage.harness.run_steps(10);
    assert!(!test.has("Start as a new run"), "a second click closes it");
}

/// Sets a field or a slider that has a label.
fn set(test: &mut Test, role: Role, label: &str, value: f64) {
    let field =
        test.stage.harness.get_all_by_role(role).find(|node| {
            node.accesskit_node().labelled_by().any(|node| node.value().is_some_and(|text| text == label))
        });
    field.unwrap_or_else(|| panic!("nothing is called {label:?}")).set_value_accesskit(value);
    test.stage.harness.run_steps(4);
}

#[test]
fn a_finished_run_branches_to_further_steps() {
    let mut test = Test::running(278);
    test.say(summary(true));
    test.click("Continue with other settings");
    test.sees("takes as many again");
    set(&mut test, Role::SpinButton, "Learning rate", 1e-5);
    test.sent();
    test.click("Start as a new run");
    assert_eq!(test.sent(), [resume(json!({ "learning_rate": 1e-5, "num_train_epochs": 2.0 }))]);
    test.refuse();
    set(&mut test, Role::SpinButton, "Epochs", 5.0);
    test.click("Start as a new run");
    assert_eq!(test.sent(), [resume(json!({ "learning_rate": 1e-5, "num_train_epochs": 5.0 }))], "as was said");
}

#[test]
fn a_run_of_so_many_steps_branches_by_steps() {
    let mut test = Test::new();
    let mut counted = record();
    (counted.step, counted.n_steps, counted.status) = (40, 40, Status::Finished);
    counted.settings.insert("max_steps".into(), json!(40));
    test.say(Event::RunOpened(Box::new(RunInfo { record: counted, ..run_info(vec![]) })));
    test.page(Key::Num4);
    test.click("Continue with other settings");
    set(&mut test, Role::SpinButton, "Beta (β)", 0.3);
    test.sent();
    test.click("Start as a new run");
    assert_eq!(test.sent(), [resume(json!({ "beta": 0.3, "max_steps": 80 }))]);
    test.refuse();
    set(&mut test, Role::SpinButton, "Steps", 100.0);
    test.click("Start as a new run");
    assert_eq!(test.sent(), [resume(json!({ "beta": 0.3, "max_steps": 100 }))], "as was said");
}

#[test]
fn what_was_looked_at_ends_with_its_run() {
    let mut test = Test::running(36);
    set(&mut test, Role::Slider, "Answers of step", 1.0);
    test.sees("Now (step 12)");
    let record = RunRecord { run_id: "another".into(), ..record() };
    let samples = vec![(0, before()), (12, now(12)), (24, now(24))];
    test.say(Event::RunOpened(Box::new(RunInfo { record, samples, ..run_info(vec![]) })));
    test.sees("Now (step 24)");
}

#[test]
fn a_run_that_was_not_begun_starts_over() {
    let mut test = Test::new();
    let mut interrupted = record();
    interrupted.checkpoint = None;
    test.say(Event::Runs { runs: vec![interrupted.clone()] });
    test.page(Key::Num4);
    test.sent();
    test.click("Start over tone-v2");
    test.sends(resume(json!({})));
    let info = RunInfo { record: interrupted, ..run_info(vec![]) };
    test.say(Event::RunStarted(Box::new(info)));
    test.say(Event::Paused { run_id: RUN.into(), step: 0 });
    test.sees("No step was taken yet");
}

#[test]
fn warnings_come_with_a_run_and_stay_dismissed() {
    let mut test = Test::running(80);
    test.say(warned(60, Offer::None));
    test.click("Dismiss");
    assert!(!test.has("disliking both"), "it was seen");
    let info = || RunInfo { warnings: vec![warning(60, Offer::None), warning(70, Offer::None)], ..run_info(vec![]) };
    test.say(Event::RunOpened(Box::new(info())));
    test.sees("Step 70");
    assert!(!test.has("Step 60"), "it was seen before");
}

#[test]
fn an_interrupted_run_is_continued() {
    let mut test = Test::new();
    let mut interrupted = record();
    interrupted.step = 120;
    test.say(Event::Runs { runs: vec![interrupted] });
    test.page(Key::Num4);
    test.sees("Interrupted");
    test.shot("interrupted");
    test.sent();
    test.click("Continue tone-v2");
    assert_eq!(test.sent(), [resume(json!({}))]);
}

#[test]
fn a_run_whose_model_is_elsewhere_is_opened_once_that_is_open() {
    let wanted = |subject| {
        let what = "The run \"tone-v2\" needs its model, \"Qwen3-0.6B\", which is not open".to_owned();
        let problem =
            Problem { code: ErrorCode::OtherModel, ..Problem::new(what, "Open the folder that it is in now", "") };
        Event::Refused { subject, problem }
    };
    let opened = || Event::ModelOpened(Box::new(script::model()));
    let mut test = Test::new();
    test.say(Event::Runs { runs: vec![record()] });
    let open = Command::Library(LibraryCommand::Open { run_id: RUN.into() });
    for (page, button, subject, command) in [
        (Key::Num4, "Continue tone-v2", Subject::Run, resume(json!({}))),
        (Key::Num5, "Open tone-v2", Subject::Runs, open),
    ] {
        test.page(page);
        test.click(button);
        test.say(wanted(subject));
        test.sees("needs its model");
        test.sees("Open the model's folder…");
        test.shot("wants-its-model");
        test.sent();
        test.say(opened());
        assert_eq!(test.sent(), [command], "it is asked for again");
        test.say(Event::Refused { subject, problem: problem("The run's record is damaged", "Delete the run") });
        test.say(opened());
        assert_eq!(test.sent(), [], "but not after another refusal");
    }
}

#[test]
fn an_improved_run_says_so_and_leads_on() {
    let mut test = Test::running(278);
    test.say(summary(true));
    test.sees("Finished: improved");
    test.sees("12/30 = 40 % (25–58 %) before, 24/30 = 80 % (63–90 %) now");
    test.sees("2.6 GB used, 2.8 GB planned");
    test.shot("finished");
    test.sent();
    test.click("Train more");
    assert_eq!(test.sent(), [resume(json!({ "num_train_epochs": 2.0 }))]);
    test.refuse();
    test.page(Key::Num4);
    test.click("Compare");
    test.sees("The tuned model beside the one it came from");
}

#[test]
fn an_improvement_within_chance_is_not_praised() {
    let mut test = Test::running(278);
    let Event::Finished(mut summary) = summary(true) else { panic!("a summary") };
    summary.before = Some(Share { wins: 16, n: 30, interval: [0.36, 0.7] });
    test.say(Event::Finished(summary));
    test.sees("Finished: improved, but not significantly");
    assert!(test.stage.harness.query_all_by_label("Finished: improved").next().is_none(), "no praise");
    test.shot("within-chance");
}

#[test]
fn a_run_that_did_not_improve_says_so_too() {
    let mut test = Test::running(278);
    test.say(summary(false));
    test.sees("Finished. It did not improve");
    assert!(!test.has("Finished: improved"), "no praise");
    test.shot("not-improved");
}
