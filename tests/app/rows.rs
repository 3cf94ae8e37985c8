//! Rows: edits, how many an evaluation scores, and what makes a run shorter.

use egui_kittest::kittest::{NodeT as _, Queryable as _};
use pairtune::engine::protocol::{
    Command, Event, GpuInfo, PairView, PairsCommand, PairsInfo, Passage, PlanCommand, PlanInfo, RunCommand, Subject,
};

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
