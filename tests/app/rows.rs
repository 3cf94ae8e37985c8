//! Rows: edits, and how many an evaluation scores.

use egui_kittest::kittest::{NodeT as _, Queryable as _};
use pairtune::engine::protocol::{
    Command, Event, GpuInfo, PairView, PairsCommand, PairsInfo, Passage, PlanCommand, PlanInfo,
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
