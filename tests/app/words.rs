//! Words and fields that follow from what is open: the fields of a plan, a file's columns, a model's family.

use std::sync::Arc;

use eframe::egui::accesskit::Role;
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use pairtune::engine::protocol::*;
use serde_json::json;

use crate::script::{self, Stage};
use crate::{Dropped, Folder};

/// The settings of the plan that was asked for last.
#[track_caller]
fn planned(stage: &mut Stage) -> Settings {
    stage.run();
    stage.wait(1.0);
    match stage.sent().pop() {
        Some(Command::Plan(PlanCommand::Estimate { settings, .. })) => settings,
        sent => panic!("nothing was planned, but {sent:?}"),
    }
}

/// The text in a field.
fn value(stage: &Stage, label: &str) -> String {
    stage.harness.get_by_label(label).accesskit_node().value().unwrap_or_default()
}

#[test]
fn the_rows_of_a_step_stand_beside_its_batches() {
    let mut stage = Stage::planned();
    stage.go("3  Plan");
    stage.click("More settings");
    stage.wait(1.0);
    assert_eq!(stage.harness.query_all_by_label("× 4 = 16 pairs per step").count(), 2, "beside both factors");
    stage.type_into("Batch size", "1");
    stage.expect("× 4 = 4 pairs per step");
    stage.expect("× 1 = 4 pairs per step");
    stage.type_into("Gradient accumulation", "1");
    stage.expect("× 1 = 1 pair per step");
}

#[test]
fn max_steps_are_empty_by_epochs_and_overrule_them() {
    let mut stage = Stage::planned();
    stage.go("3  Plan");
    stage.click("More settings");
    stage.wait(1.0);
    let epochs_are_off = |stage: &Stage| stage.harness.get_by_label("Epochs").accesskit_node().is_disabled();
    assert_eq!(value(&stage, "Max steps"), "", "no -1");
    assert!(!epochs_are_off(&stage), "they decide");
    stage.sent();
    stage.type_into("Max steps", "40");
    assert_eq!(planned(&mut stage)["max_steps"], json!(40));
    assert!(epochs_are_off(&stage), "they do not count");
    stage.expect("Max steps is set and decides.");
    stage.type_into("Max steps", "");
    assert_eq!(planned(&mut stage)["max_steps"], json!(-1), "as TRL has it");
    assert!(!epochs_are_off(&stage) && !stage.shows("and decides."), "they count again");
    stage.type_into("Max steps", "0");
    stage.expect("Needs a whole number, 1 or more");
    assert_eq!(value(&stage, "Save every … steps"), "", "by time");
}

#[test]
fn held_out_rows_are_a_percentage() {
    let mut stage = Stage::planned();
    stage.go("3  Plan");
    stage.click("More settings");
    stage.wait(1.0);
    assert_eq!(value(&stage, "Held out (%)"), "10");
    stage.sent();
    stage.type_into("Held out (%)", "12.5 %");
    assert_eq!(planned(&mut stage)["eval_split"], json!(0.125), "a share, as TRL has it");
    stage.click("Reset Held out (%) to 10");
    assert_eq!(planned(&mut stage)["eval_split"], json!(0.1));
    stage.type_into("Held out (%)", "100");
    stage.expect("Needs a number from 0 to below 100");
}

#[test]
fn losses_are_chosen_by_name_and_added_up() {
    let mut stage = Stage::planned();
    stage.go("3  Plan");
    stage.click("More settings");
    stage.wait(1.0);
    let open = |stage: &mut Stage| {
        stage.harness.get_by_role_and_label(Role::ComboBox, "Loss").scroll_to_me();
        stage.run();
        stage.harness.get_by_role_and_label(Role::ComboBox, "Loss").click();
        stage.wait(1.0);
    };
    assert_eq!(value_of_loss(&stage), "DPO (sigmoid)");
    stage.sent();
    open(&mut stage);
    assert!(!stage.shows("Remove DPO (sigmoid) from the loss"), "one has to stay");
    stage.harness.get_by_label("IPO").click();
    assert_eq!(planned(&mut stage)["loss_type"], json!("ipo"), "that one alone");
    assert!(!stage.shows("APO-zero"), "the list is closed");
    open(&mut stage);
    stage.harness.get_by_label("Add SFT to the loss").click();
    assert_eq!(planned(&mut stage)["loss_type"], json!(["ipo", "sft"]), "both, as TRL has it");
    assert_eq!(value_of_loss(&stage), "IPO + SFT");
    stage.harness.get_by_label("Remove IPO from the loss").click();
    assert_eq!(planned(&mut stage)["loss_type"], json!("sft"));
}

fn value_of_loss(stage: &Stage) -> String {
    stage.harness.get_by_role_and_label(Role::ComboBox, "Loss").accesskit_node().value().unwrap_or_default()
}

#[test]
fn weights_of_losses_follow_the_losses() {
    let mut stage = Stage::planned();
    stage.go("3  Plan");
    stage.click("More settings");
    stage.wait(1.0);
    stage.type_into("Loss weights", "1, 0.1");
    stage.sent();
    stage.harness.get_by_role_and_label(Role::ComboBox, "Loss").scroll_to_me();
    stage.run();
    stage.harness.get_by_role_and_label(Role::ComboBox, "Loss").click();
    stage.wait(1.0);
    stage.harness.get_by_label("Add SFT to the loss").click();
    let settings = planned(&mut stage);
    assert_eq!((&settings["loss_type"], &settings["loss_weights"]), (&json!(["sigmoid", "sft"]), &json!([1.0, 1.0])));
}

#[test]
fn alpacas_input_follows_the_prompt_and_a_system_column_does_not() {
    let folder = Folder::new(&["alpaca.json"]);
    let mut stage = Stage::ready();
    stage.harness.input_mut().dropped_files = vec![Arc::new(Dropped(folder.0.join("alpaca.json")))];
    stage.run();
    let shown = |stage: &mut Stage, system: &str| {
        let mapping = Mapping { system: system.into(), ..script::pairs(24).mapping };
        stage.say(Event::PairsOpened(Box::new(PairsInfo { mapping, ..script::pairs(24) })));
        stage.go("2  Pairs");
    };
    shown(&mut stage, "input");
    stage.expect("after the prompt ← input");
    assert!(!stage.shows("system"), "it is no system message");
    stage.click("Edit columns");
    stage.expect("After the prompt from");
    stage.click("Cancel");
    shown(&mut stage, "system");
    stage.expect("rejected   system");
    stage.click("Edit columns");
    stage.expect("System from");
}

#[test]
fn the_export_page_says_whether_ollama_takes_the_adapter() {
    let mut stage = Stage::ready();
    stage.say(Event::ModelOpened(Box::new(script::model())));
    stage.say(Event::RunOpened(Box::new(RunInfo {
        record: RunRecord { step: 40, ..script::record("r1", "tone", Status::Finished) },
        ..script::run()
    })));
    stage.go("6  Export");
    stage.expect("Ollama takes no such adapter for Qwen 3:");
    stage.say(Event::ModelOpened(Box::new(script::demo_model())));
    stage.expect("Ollama takes this adapter, because the model is of the family Llama.");
}

#[test]
fn a_models_family_is_named_as_people_know_it() {
    let mut stage = Stage::planned();
    stage.go("1  Model");
    stage.expect("Qwen 3 (qwen3)");
}

#[test]
fn a_stored_run_says_how_far_it_is_in_one_line() {
    let mut stage = Stage::ready();
    let record = script::record("r1", "tone", Status::Stopped);
    let record = RunRecord { step: 30, n_steps: 40, seconds: 46.0, bytes: 1_400_000, ..record };
    stage.say(Event::Runs { runs: vec![record] });
    stage.go("Runs");
    stage.click("Details of tone");
    stage.expect("Step 30 of 40 · 46 s · 1.4 MB");
}

#[test]
fn help_lists_every_key_of_a_page() {
    let mut stage = Stage::ready();
    stage.go("Help");
    for keys in ["Alt+0 … Alt+7", "Alt+8, Alt+9"] {
        stage.expect(keys);
    }
    stage.expect("Race, Sweep");
}

/// Rests the pointer on what has this name, which shows an explanation.
fn explains(stage: &mut Stage, label: &str, says: &str) {
    stage.harness.get_by_label(label).scroll_to_me();
    stage.wait(0.5);
    assert!(!stage.shows(says), "{label} is not explained yet");
    stage.harness.get_by_label(label).hover();
    stage.wait(2.0);
    stage.expect(says);
}

#[test]
fn what_has_no_help_of_its_own_is_explained_under_the_pointer() {
    let mut stage = Stage::planned();
    stage.go("1  Model");
    explains(&mut stage, "fits", "the weights in 4 bits");
    stage.go("3  Plan");
    explains(&mut stage, "Evaluate every", "0 evaluates only before and after");
    explains(&mut stage, "Keep the best adapter", "beside the last one");
    let samples = "Sample prompts (answered before the run and at every evaluation)";
    explains(&mut stage, samples, "They teach it nothing");
    explains(&mut stage, "Copy link", "takes the settings in the window, too");
    let record = script::record("r1", "tone", Status::Finished);
    stage.say(Event::RunOpened(Box::new(RunInfo { record, ..script::run() })));
    stage.go("5  Compare");
    explains(&mut stage, "Seed", "another seed draws other words");
    explains(&mut stage, "Max tokens", "is cut off");
}
