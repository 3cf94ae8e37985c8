//! The stored runs: listed, renamed, compared, deleted.

use eframe::egui::{Key, accesskit::Role};
use egui_kittest::kittest::Queryable as _;
use pairtune::engine::protocol::*;
use serde_json::json;

use crate::at_run::*;

pub(crate) fn stored() -> Vec<RunRecord> {
    let mut second = record();
    second.status = Status::Finished;
    second.step = 278;
    second.won = Some([0.53, 0.8]);
    second.settings.insert("beta".into(), json!(0.3));
    second.created += 90_000.0;
    second.run_id = "second".into();
    second.name = "tone-v3".into();
    let mut first = record();
    first.status = Status::Diverged;
    first.step = 97;
    first.won = Some([0.53, 0.57]);
    vec![second, first]
}

#[test]
fn runs_are_listed_with_what_changed() {
    let mut test = Test::new();
    test.page(Key::Num7);
    test.say(Event::Runs { runs: stored() });
    test.say(Event::Storage(StorageInfo { used: 1_200_000_000, quota: Some(48_000_000_000), persisted: true }));
    test.sees("1.2 GB of 48.0 GB used");
    test.sees("1 setting");
    test.sees("53 to 80 %");
    test.click("Details of tone-v3");
    test.sees("0.3");
    test.shot("runs");
    test.click("Details of tone-v2");
    test.sent();
    test.click("Resume with a third of the learning rate");
    assert_eq!(test.sent(), [resume(json!({ "learning_rate": 1.7e-5 }))], "as it was, it would diverge again");
}

#[test]
fn a_run_at_work_is_not_called_interrupted() {
    let mut test = Test::running(24);
    test.page(Key::Num7);
    test.say(Event::Runs { runs: vec![record()] });
    test.sees("At work");
    assert!(!test.has("Interrupted"), "it is not");
    test.click("Details of tone-v2");
    let offered = |test: &Test| test.stage.harness.query_by_label("Continue").is_some();
    assert!(!offered(&test), "it goes on already");
    test.say(Event::Paused { run_id: RUN.into(), step: 24 });
    test.say(Event::Runs { runs: vec![RunRecord { status: Status::Paused, ..record() }] });
    assert!(offered(&test), "now it waits");
}

#[test]
fn another_run_is_not_continued_while_one_is_at_work() {
    let mut test = Test::new();
    test.say(Event::Runs { runs: vec![RunRecord { status: Status::Paused, ..record() }] });
    let other = RunRecord { run_id: "second".into(), ..record() };
    test.say(Event::RunStarted(Box::new(RunInfo { record: other, ..run_info(vec![]) })));
    test.page(Key::Num0);
    test.sent();
    test.click("Continue: tone-v2");
    assert_eq!(test.sent(), [], "the run at work needs the GPU");
    test.page(Key::Num7);
    test.click("Details of tone-v2");
    assert!(test.stage.harness.query_by_label("Continue").is_none(), "nor from the list");
}

#[test]
fn a_deleted_run_is_not_said_to_be_kept() {
    let mut test = Test::running(24);
    test.say(summary(true));
    test.say(Event::Runs { runs: vec![record()] });
    test.page(Key::Num7);
    test.click("Details of tone-v2");
    test.click("Delete…");
    test.click("Delete");
    test.sends(Command::Library(LibraryCommand::Delete { run_id: RUN.into() }));
    test.say(Event::RunClosed { run_id: RUN.into() });
    assert!(!test.has("The open run was closed"), "it is not in Runs");
    test.page(Key::Num4);
    test.sees("No run yet");
}

#[test]
fn a_run_is_renamed_duplicated_and_deleted() {
    let mut test = Test::new();
    test.page(Key::Num7);
    test.say(Event::Runs { runs: stored() });
    test.click("Details of tone-v3");
    let field = test.stage.harness.get_all_by_role(Role::MultilineTextInput).next().expect("a field for notes");
    field.focus();
    test.stage.harness.run_steps(2);
    test.stage.harness.get_all_by_role(Role::MultilineTextInput).next().expect("the field").type_text("good tone");
    test.stage.harness.run_steps(3);
    test.sent();
    test.click("Save");
    let describe = |name: &str| {
        let (run_id, name, notes) = ("second".into(), name.into(), "good tone".into());
        Command::Library(LibraryCommand::Describe { run_id, name, notes })
    };
    assert_eq!(test.sent(), [describe("tone-v3")]);
    test.click("Rename tone-v3");
    test.stage.harness.get_by_label("Name of the run").set_text_value_accesskit("tone-v4");
    test.stage.harness.run_steps(2);
    test.stage.harness.key_press(Key::Enter);
    test.stage.harness.run_steps(3);
    assert_eq!(test.sent(), [describe("tone-v4")], "the notes stay");
    test.click("Rename tone-v4");
    test.stage.harness.get_by_label("Name of the run").set_text_value_accesskit("tone-v3");
    test.stage.harness.run_steps(2);
    test.stage.harness.key_press(Key::Enter);
    test.stage.harness.run_steps(3);
    test.sent();
    test.click("Delete…");
    test.sees("Delete “tone-v3”?");
    test.shot("runs-delete");
    test.click("Delete");
    test.sends(Command::Library(LibraryCommand::Delete { run_id: "second".into() }));
    assert!(!test.has("Details of tone-v3"), "it is off the list");
    test.click("Details of tone-v2");
    test.click("Duplicate");
    assert!(!test.has("All training runs on this computer"), "the plan is shown");
}

#[test]
fn curves_of_several_runs_are_laid_over_each_other() {
    let mut test = Test::new();
    test.page(Key::Num7);
    test.say(Event::Runs { runs: stored() });
    test.sent();
    test.click("Show the curves of tone-v2");
    test.click("Show the curves of tone-v3");
    let asked = test.sent();
    for (run_id, part) in [(RUN, 1.0), ("second", 0.8)] {
        let command = Command::Library(LibraryCommand::ReadHistory { run_id: run_id.into() });
        assert_eq!(asked.iter().filter(|sent| **sent == command).count(), 1, "{asked:?}");
        let mut history: Vec<Metrics> = (1..=90).map(metrics_at).collect();
        for step in (0..90).step_by(12) {
            let Event::Evaluated { metrics, .. } = evaluated(step, false) else { panic!("an evaluation") };
            history.push(metrics);
        }
        // Two curves that can be told apart.
        let shown = ["loss", "eval_preference_accuracy", "eval_rewards/margins"];
        for value in history.iter_mut().flat_map(|entry| entry.iter_mut()) {
            if let (name, Some(whole)) = (value.0, value.1.as_f64())
                && shown.contains(&name.as_str())
            {
                *value.1 = json!(part * whole);
            }
        }
        test.say(Event::History { run_id: run_id.into(), history });
    }
    test.sees("Training loss. tone-v3: ");
    test.stage.harness.get_by_label_contains("Training loss. tone-v3").scroll_to_me();
    test.stage.harness.run_steps(30);
    test.shot("runs-overlay");
    test.stage.looks_like("runs_overlay");
    test.click("Delete these 2 runs…");
    test.sees("Delete 2 runs?");
    test.sent();
    test.click("Delete");
    let delete = |run_id: &str| Command::Library(LibraryCommand::Delete { run_id: run_id.into() });
    assert_eq!(test.sent(), [delete("second"), delete(RUN)]);
}

#[test]
fn an_empty_list_says_so() {
    let mut test = Test::new();
    test.page(Key::Num7);
    test.say(Event::Runs { runs: vec![] });
    test.sees("No runs yet");
    test.shot("runs-empty");
}
