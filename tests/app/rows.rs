//! Rows: how they are read, edits, how many an evaluation scores, and what makes a run shorter.

use eframe::egui::{Color32, Shape};
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use pairtune::engine::protocol::{
    ChatInfo, Command, Event, GpuInfo, PairView, PairsCommand, PairsInfo, Passage, PlanCommand, PlanInfo, RunCommand,
    RunRecord, Status, Subject, Summary,
};
use pairtune::platform::World;
use serde_json::{Map, json};

use crate::script::{self, Stage};

fn is_disabled(stage: &Stage, label: &str) -> bool {
    stage.harness.get_by_label(label).accesskit_node().is_disabled()
}

#[test]
fn a_row_is_edited_and_the_rows_are_saved() {
    let mut stage = Stage::planned();
    stage.go("2  Pairs");
    stage.click("Inspect");
    let message =
        |role: &str, text: &str| Passage { role: Some(role.to_owned()), text: text.to_owned(), editable: true };
    let tools = Passage { editable: false, ..message("tool", "[1, 2]") };
    let parts = [vec![message("system", "Be kind."), tools], vec![message("assistant", "Of course.")], Vec::new()];
    let view = PairView { index: 0, line: 1, parts, seen: Ok(Vec::new()) };
    stage.say(Event::PairView(Box::new(view.clone())));
    stage.sent();
    stage.click("Edit");
    assert!(is_disabled(&stage, "Apply"), "nothing is changed yet");
    assert!(is_disabled(&stage, "Prompt, tool"), "a content that is no text stays as it is");
    stage.type_into("Chosen, assistant", "Of course. Gladly!");
    stage.click("Apply");
    let texts = [vec!["Be kind.".to_owned(), "[1, 2]".into()], vec!["Of course. Gladly!".into()], Vec::new()];
    assert_eq!(stage.sent(), [Command::Pairs(PairsCommand::Edit { index: 0, texts })], "every text of the row");
    assert!(!stage.shows("Save rows…"), "nothing was edited yet, as far as the engine said");
    stage.say(Event::PairsOpened(Box::new(PairsInfo { edits: 1, ..script::pairs(24) })));
    assert!(
        stage.sent().iter().any(|command| matches!(command, Command::Plan(PlanCommand::Estimate { .. }))),
        "the plan is of the new text"
    );
    stage.click("Save rows…");
    assert_eq!(stage.sent(), [Command::Pairs(PairsCommand::Write)], "for a file of one's own");
    stage.say(Event::PairView(Box::new(view)));
    stage.click("Edit");
    stage.type_into("Prompt, system", "Be kind. Always.");
    stage.click("Cancel");
    stage.click("Edit");
    assert!(is_disabled(&stage, "Apply"), "what was typed is forgotten");
    assert_eq!(stage.sent(), [], "nothing is sent");
}

#[test]
fn one_row_is_swapped_by_itself() {
    let mut stage = Stage::planned();
    stage.go("2  Pairs");
    stage.click("Inspect");
    assert!(!stage.shows("Swap this row"), "the row is not there yet");
    let parts = ["Refund?", "Of course.", "No."].map(script::passage);
    stage.say(Event::PairView(Box::new(PairView { index: 0, line: 1, parts, seen: Ok(Vec::new()) })));
    stage.sent();
    stage.click("Swap this row");
    assert_eq!(stage.sent(), [Command::Pairs(PairsCommand::SwapRow { index: 0 })], "this one only");
}

#[test]
fn evaluations_without_a_gpu_score_some_of_many_pairs() {
    let mut stage = Stage::ready();
    stage.say(script::ready_with(Ok(GpuInfo { software: true, ..script::gpu() })));
    stage.say(Event::ModelOpened(Box::new(script::model())));
    stage.say_pairs(24);
    stage.say(Event::Planned(Box::new(PlanInfo { held_out: (0..300).collect(), ..script::plan() })));
    stage.go("3  Plan");
    stage.expect("64 of 300 held-out pairs are scored at each evaluation");
    stage.type_into("on at most", "all");
    stage.run();
    assert!(!stage.shows("of 300 held-out pairs are scored"), "all are scored where a person says so");
    stage.say(Event::Planned(Box::new(PlanInfo { held_out: (0..300).collect(), ..script::plan() })));
    assert!(!stage.shows("of 300 held-out pairs are scored"), "and the next plan does not change that");
}

#[test]
fn a_run_stops_early_after_as_many_evaluations_as_the_user_says() {
    for (typed, patience) in [(None, 3), (Some("off"), 0), (Some("5"), 5)] {
        let mut stage = Stage::planned();
        stage.go("3  Plan");
        if let Some(typed) = typed {
            stage.type_into("Early stopping patience", typed);
            stage.run();
        }
        stage.sent();
        stage.click("Start training");
        let Some(Command::Run(RunCommand::Start(request))) = stage.sent().pop() else { panic!("a run begins") };
        assert_eq!(request.watch.patience, patience, "{typed:?}");
        assert!(request.watch.keep_best, "and the best adapter is kept");
    }
}

#[test]
fn long_parts_of_a_run_are_made_shorter_by_a_click() {
    let mut stage = Stage::planned();
    stage.go("3  Plan");
    let tried = |answers| Event::Tried {
        step_seconds: 3.0,
        answers_seconds: Some(answers),
        device_bytes: 2_900_000_000,
        planned_bytes: 2_800_000_000,
    };
    let ways = ["Evaluate on 64 pairs", "Evaluate only before and after", "No sample prompts"];
    stage.say(tried(2.0));
    assert!(ways.iter().all(|way| !stage.shows(way)), "training takes nearly all of the time");
    let plan = PlanInfo { held_out: (0..30_000).step_by(10).collect(), ..script::plan() };
    stage.say(Event::Planned(Box::new(plan)));
    stage.say(tried(60.0));
    stage.expect(" evaluations, ");
    stage.click("No sample prompts");
    assert!(!stage.shows(" sample answers") && !stage.shows("Add a prompt"), "nothing is answered");
    stage.click("Evaluate only before and after");
    assert!(!stage.shows(ways[1]), "there are only these two");
    stage.click("Evaluate on 64 pairs");
    assert!(ways.iter().all(|way| !stage.shows(way)), "nothing is left to do");
    stage.sent();
    stage.click("Start training");
    let Some(Command::Run(RunCommand::Start(request))) = stage.sent().pop() else { panic!("a run begins") };
    let watch = request.watch;
    assert_eq!((watch.eval_steps, watch.max_eval_pairs, watch.no_samples), (0, 64, true), "as it was planned");
    stage.go("3  Plan");
    stage.click("Sample prompts (answered before the run and at every evaluation)");
    stage.expect("Add a prompt");
}

#[test]
fn a_gpu_tries_a_plan_that_rests_on_the_screen() {
    let trials = |stage: &mut Stage| {
        stage.wait(3.0);
        let sent = stage.sent().into_iter();
        sent.filter(|command| matches!(command, Command::Plan(PlanCommand::Trial { .. }))).count()
    };
    let mut stage = Stage::with_trials();
    stage.say(script::ready());
    stage.plan();
    assert_eq!(trials(&mut stage), 0, "nobody looks at the plan");
    stage.go("3  Plan");
    assert_eq!(trials(&mut stage), 1, "its time is measured");
    stage.expect("Preparing 2 trial steps");
    stage.click("Cancel");
    stage.say(Event::Cancelled { subject: Subject::Plan });
    assert_eq!(trials(&mut stage), 0, "it was cancelled, and nothing has changed");
    stage.type_into("Learning rate", "0.0001");
    stage.wait(1.0);
    stage.say(Event::Planned(Box::new(script::plan())));
    assert_eq!(trials(&mut stage), 1, "this is another plan");

    let mut stage = Stage::with_trials();
    stage.say(script::ready_with(Ok(GpuInfo { software: true, ..script::gpu() })));
    stage.plan();
    stage.go("3  Plan");
    assert_eq!(trials(&mut stage), 0, "without a GPU a trial takes minutes");
}

/// The pieces of a text that are drawn on a ground of their own.
fn marked(stage: &Stage, text: &str) -> Vec<String> {
    let galley = stage.harness.output().shapes.iter().find_map(|clipped| match &clipped.shape {
        Shape::Text(drawn) if drawn.galley.text() == text => Some(drawn.galley.clone()),
        _ => None,
    });
    let galley = galley.expect("the text is drawn");
    let sections = galley.job.sections.iter().filter(|section| section.format.background != Color32::TRANSPARENT);
    sections.map(|section| text[section.byte_range.start.0..section.byte_range.end.0].trim().to_owned()).collect()
}

#[test]
fn the_answers_of_a_pair_are_compared_side_by_side() {
    let mut stage = Stage::planned();
    stage.go("2  Pairs");
    stage.click("Inspect");
    let answers = ["Of course you can.", "No, you may not."];
    let parts = ["Refund?", answers[0], answers[1]].map(script::passage);
    stage.say(Event::PairView(Box::new(PairView { index: 0, line: 1, parts, seen: Ok(Vec::new()) })));
    stage.click("Raw");
    let [chosen, rejected] = answers.map(|text| stage.harness.get_by_label(text).rect());
    assert!(chosen.right() < rejected.left(), "side by side: {chosen} {rejected}");
    assert!((chosen.top() - rejected.top()).abs() < 1.0, "and level: {chosen} {rejected}");
    assert_eq!(marked(&stage, answers[0]), ["Of course", "can."], "the words that only the chosen one has");
    assert_eq!(marked(&stage, answers[1]), ["No,", "may not."], "the words that only the rejected one has");
    assert!(marked(&stage, "Refund?").is_empty(), "the prompt is that of both");
}

#[test]
fn a_wide_window_shows_two_lines_of_a_text_in_the_table() {
    let height = |width: f32| {
        let mut stage = Stage::with_size(script::environment(World::Desktop), Vec::new(), [width, 720.0]);
        stage.say(script::ready());
        stage.say_pairs(8);
        stage.go("2  Pairs");
        let text = script::rows(1).remove(0).chosen;
        let mut cells = stage.harness.query_all_by_label(&text);
        cells.next().expect("the table has the answer").rect().height()
    };
    let (narrow, wide) = (height(1200.0), height(1280.0));
    assert!(wide > 1.8 * narrow && wide < 2.5 * narrow, "{narrow} in one line, {wide} in two");
}

#[test]
fn the_command_line_has_the_variables_of_the_template_and_says_what_it_lacks() {
    let mut stage = Stage::planned();
    stage.go("3  Plan");
    stage.click("Command line");
    assert!(!stage.shows("--chat-template"), "the template is the model's own");
    let kwargs = Map::from_iter([("enable_thinking".to_owned(), json!(false))]);
    stage.say(Event::ChatSet(Box::new(ChatInfo { kwargs: kwargs.clone(), ..script::chat() })));
    stage.expect(" --chat-template-kwargs '{\"enable_thinking\":false}'");
    assert!(!stage.shows("--chat-template-path") && !stage.shows("were edited here"), "it lacks nothing");
    stage.say(Event::ChatSet(Box::new(ChatInfo { template: Some("other".into()), kwargs, ..script::chat() })));
    stage.expect("put that into a file, and name the file with --chat-template-path");
    stage.say(Event::PairsOpened(Box::new(PairsInfo { edits: 1, ..script::pairs(24) })));
    stage.expect("It does not have the rows that were edited here: \"Save rows…\" in Pairs first");
}

#[test]
fn a_run_at_its_end_says_how_long_it_was_planned_to_take() {
    let said = |status: Status| {
        let mut stage = Stage::planned();
        stage.say(Event::Planned(Box::new(PlanInfo { step_seconds: Some(3.0), ..script::plan() })));
        let info = script::run();
        stage.say(Event::RunStarted(Box::new(info.clone())));
        let record = RunRecord { status, step: 278, seconds: 960.0, ..info.record };
        let (planned_bytes, device_bytes) = (0, 0);
        let summary = Summary { record, improved: false, before: None, after: None, planned_bytes, device_bytes };
        stage.say(Event::Finished(Box::new(summary)));
        stage.go("4  Run");
        stage.expect("16 min");
        // Steps alone take 14 min, with the scores of the base model and of the evaluations.
        stage.shows("16 min, 14 min planned") || stage.shows("16 min, 15 min planned")
    };
    assert!(said(Status::Finished), "the plan's time is there, too");
    assert!(!said(Status::Stopped), "a run that was stopped early was planned to take longer");
}
