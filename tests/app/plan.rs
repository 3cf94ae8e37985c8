//! The plan: settings, presets, memory, time, the start button.

use std::sync::Arc;

use eframe::egui;
use egui_kittest::kittest::Queryable as _;
use pairtune::engine::protocol::*;
use serde_json::json;

use super::script::{self, Stage, problem, progress};
use super::{Dropped, Folder};

#[test]
fn steps_that_were_chosen_for_a_file_are_left_out_for_another() {
    let mut stage = Stage::planned();
    stage.go("3  Plan");
    stage.click("More settings");
    stage.wait(1.0);
    stage.type_into("Max steps", "40");
    stage.wait(1.0);
    let steps = |stage: &Stage| match stage.sent().as_slice() {
        [.., Command::Plan(PlanCommand::Estimate { settings, .. })] => settings.get("max_steps").cloned(),
        sent => panic!("it is planned, not {sent:?}"),
    };
    assert_eq!(steps(&stage), Some(json!(40)));
    // The same file with other rows, as after a change of its columns.
    stage.say_pairs(20);
    stage.wait(1.0);
    assert_eq!(steps(&stage), Some(json!(40)), "chosen for this file");
    stage.say(Event::PairsOpened(Box::new(PairsInfo { name: "other.jsonl".into(), ..script::pairs(20) })));
    stage.expect("Max steps 40 was chosen for tone.jsonl and is left out here");
    stage.wait(1.0);
    assert_eq!(steps(&stage), None, "not for this one");
}

#[test]
fn planning_counts_pairs_and_not_bytes() {
    let mut stage = Stage::planned();
    stage.go("2  Pairs");
    stage.say(Event::PairsProgress { progress: progress("reading pairs as tokens", 120, 297), rows: 120, problems: 0 });
    stage.expect("120/297 pairs");
    assert!(!stage.shows("usable so far"), "they are known to be usable");
    stage.say(Event::Planned(Box::new(script::plan())));
    stage.expect("Held out: 30 pairs (10 %");
}

#[test]
fn a_share_that_nobody_set_is_not_called_nothing() {
    let mut stage = Stage::planned();
    stage.go("2  Pairs");
    let (settings, held_out) = (Settings::from_iter([("eval_split".to_owned(), json!(0.0))]), (0..24).collect());
    stage.say(Event::Planned(Box::new(PlanInfo { settings, held_out, n_train: 72, ..script::plan() })));
    stage.expect("Held out: 24 pairs (25 %");
}

#[test]
fn a_run_at_work_counts_its_steps_once() {
    let mut stage = Stage::running();
    let phase = |phase, done, total| {
        let progress = progress("something", done, total);
        Event::Phase { run_id: "r1".into(), phase, progress }
    };
    stage.go("2  Pairs");
    stage.say(phase(Phase::Training, 1, 278));
    stage.expect("Training, step 1/278, 0 %");
    stage.say(phase(Phase::Loading, 634_200_000, 1_192_000_000));
    stage.expect("Reading weights 0.6/1.2 GB, step 1/278");
}

#[test]
fn a_plan_has_no_figures_without_its_pairs() {
    let mut stage = Stage::planned();
    stage.go("3  Plan");
    stage.expect("Steps: 278");
    stage.say(Event::ModelClosed);
    assert!(!stage.shows("Steps: 278"), "they were of the model that is gone");
    stage.expect("Memory, time and checks appear here");
}

#[test]
fn the_next_run_gets_a_name_of_its_own() {
    let mut stage = Stage::planned();
    let begun = |stage: &mut Stage| {
        stage.go("3  Plan");
        stage.sent();
        stage.click("Start training");
        let sent = stage.sent();
        let [Command::Run(RunCommand::Start(request))] = sent.as_slice() else { panic!("a run begins, not {sent:?}") };
        stage.say(Event::Refused { subject: Subject::Run, problem: problem("Not now", "Try later") });
        request.name.clone()
    };
    assert_eq!(begun(&mut stage), "tone", "named after its pairs");
    stage.say(Event::Runs { runs: vec![script::record("r1", "tone", Status::Finished)] });
    assert_eq!(begun(&mut stage), "tone 2", "which is taken by now");
    stage.go("Runs");
    stage.click("Details of tone");
    stage.click("Duplicate");
    stage.wait(1.0);
    stage.say(Event::Planned(Box::new(script::plan())));
    assert_eq!(begun(&mut stage), "tone 2", "nor does a duplicate take it");
    stage.go("3  Plan");
    stage.harness.get_by_label("Name").focus();
    stage.harness.get_by_label("Name").set_text_value_accesskit("mine");
    stage.run();
    let runs = ["tone", "tone 2"].map(|name| script::record(name, name, Status::Finished)).to_vec();
    stage.say(Event::Runs { runs });
    assert_eq!(begun(&mut stage), "mine", "what a person typed stays");
}

#[test]
fn own_settings_come_back_with_an_own_model() {
    let mut stage = Stage::ready();
    stage.click("Try the 60-second demo");
    stage.say(Event::ModelOpened(Box::new(script::demo_model())));
    stage.say_pairs(48);
    let settings = json!({"beta": 0.05, "learning_rate": 0.0015}).as_object().cloned().expect("an object");
    stage.say(Event::Planned(Box::new(PlanInfo { settings, ..script::plan() })));
    stage.say(Event::Refused { subject: Subject::Run, problem: problem("Not now", "Try later") });
    stage.sent();
    // A stored run that is continued opens its own model in the same way.
    stage.say(Event::ModelOpened(Box::new(script::model())));
    stage.wait(1.0);
    let sent = stage.sent();
    let [Command::Plan(PlanCommand::Estimate { settings, .. })] = sent.as_slice() else {
        panic!("it is planned, not {sent:?}")
    };
    assert_eq!(settings["learning_rate"], json!(2e-5), "not the demo's");
}

#[test]
fn a_run_that_is_closed_with_its_pairs_is_told() {
    let mut stage = Stage::planned();
    stage.say(Event::RunOpened(Box::new(script::run())));
    stage.say(Event::RunClosed { run_id: "r1".into() });
    stage.expect("The open run was closed");
    stage.say(Event::PairRows { first: 0, rows: script::rows(2) });
    stage.say(Event::PairsOpened(Box::new(PairsInfo { usable: 24, ..script::pairs(24) })));
    stage.go("2  Pairs");
    stage.expect("(case 5)");
}

#[test]
fn settings_without_a_plan_have_no_figures() {
    let mut stage = Stage::planned();
    let blocked = Some(problem("beta is -1", "Set it above 0"));
    let info = PlanInfo { blocked, n_train: 0, held_out: Vec::new(), n_steps: 0, memory: [0; 4], ..script::plan() };
    stage.say(Event::Planned(Box::new(info)));
    stage.go("3  Plan");
    stage.expect("Set it above 0");
    assert!(!stage.shows("Steps: 0"), "zeros are no figures");
}

#[test]
fn the_command_line_names_columns_that_are_not_trls() {
    let mut stage = Stage::planned();
    stage.go("3  Plan");
    stage.click("Command line");
    let copied = |stage: &mut Stage| {
        stage.harness.get_by_label("Copy command line").click_accesskit();
        let text = (0..8).find_map(|_| {
            stage.harness.step();
            stage.harness.output().platform_output.commands.iter().find_map(|command| match command {
                egui::OutputCommand::CopyText(text) => Some(text.clone()),
                _ => None,
            })
        });
        text.expect("a command line was copied")
    };
    let text = copied(&mut stage);
    let command = "pairtune train --model /models/Qwen3-0.6B --pairs tone.jsonl --output tone";
    let settings = text.strip_prefix(command).expect("model, pairs and output come first");
    let evaluations = " --eval-steps 27 --load-best-model-at-end --early-stopping-patience 3";
    let settings = settings.strip_suffix(evaluations).expect("evaluations as they are planned come last");
    assert_eq!(settings, " --num-train-epochs 5 --eval-split 0.1", "and nothing that the command has by itself");
    stage.type_into("on at most", "64");
    stage.run();
    let text = copied(&mut stage);
    let fewer = format!(" --max-eval-pairs 64{evaluations}");
    assert!(text.ends_with(&fewer), "it scores as many pairs as the app: {text}");
    let mapping = Mapping { rejected: "note".into(), ..script::pairs(24).mapping };
    stage.say(Event::PairsOpened(Box::new(PairsInfo { mapping, ..script::pairs(24) })));
    let text = copied(&mut stage);
    assert!(text.contains("--columns prompt=instruction,chosen=accepted,rejected=note"), "chosen by hand: {text}");
    stage.say(Event::PairsOpened(Box::new(PairsInfo { swapped: true, ..script::pairs(24) })));
    let text = copied(&mut stage);
    assert!(text.contains("chosen=rejected,rejected=accepted"), "swapped: {text}");
    // A known file appears with its whole path, as a shell reads it.
    let folder = Folder::new(&["it's mine.jsonl"]);
    stage.harness.input_mut().dropped_files = vec![Arc::new(Dropped(folder.0.join("it's mine.jsonl")))];
    stage.run();
    stage.say_pairs(24);
    stage.wait(1.0);
    stage.go("3  Plan");
    let text = copied(&mut stage);
    let path = format!("--pairs '{}/it'\\''s mine.jsonl' ", folder.0.display());
    assert!(text.contains(&path), "{path} is in {text}");
}

#[test]
fn a_preset_tells_what_was_changed_and_takes_it_back() {
    let mut stage = Stage::planned();
    stage.go("3  Plan");
    stage.expect("a good first run");
    assert!(!stage.shows("change"), "nothing was changed");
    stage.click("More settings");
    stage.wait(1.0);
    stage.type_into("Max steps", "3");
    stage.type_into("Weight decay", "0.01");
    stage.type_into("Max length (tokens)", "256");
    stage.expect("Standard + 3 changes");
    assert!(!stage.shows("a good first run"), "it is not the preset any more");
    let mut stage = Stage::again(stage.remembered());
    stage.say(script::ready());
    stage.go("3  Plan");
    stage.expect("Standard + 2 changes");
    assert_eq!(stage.harness.query_all_by_label("Max length (tokens)").count(), 1, "what was changed is in sight");
    assert_eq!(stage.harness.query_all_by_label("Max steps").count(), 0, "steps are not kept for another file");
    assert_eq!(stage.harness.query_all_by_label("Warm-up steps").count(), 0, "the others are folded away");
    stage.click("Reset Max length (tokens) to 1024");
    stage.expect("Standard + 1 change");
    stage.type_into("Beta (β)", "0.3");
    stage.click("Reset to Standard");
    stage.expect("a good first run");
    assert_eq!(stage.harness.query_all_by_label("Max steps").count(), 0, "nothing is changed");
    stage.click("Strong");
    stage.expect("For a clear change");
    assert!(!stage.shows(" + "), "a preset's own values are no changes");
}

#[test]
fn the_start_button_says_what_is_missing_and_leads_there() {
    let mut stage = Stage::ready();
    stage.go("3  Plan");
    stage.click("Choose a model");
    stage.expect("A language model in the Hugging Face format");
    stage.say(Event::ModelOpened(Box::new(script::model())));
    stage.go("3  Plan");
    stage.click("Choose a pairs file");
    stage.expect("Each pair is a prompt with two answers");
    stage.say_pairs(24);
    stage.wait(1.0);
    stage.go("3  Plan");
    let blocked = Some(problem("max_length must be 2 or more", "Raise it"));
    stage.say(Event::Planned(Box::new(PlanInfo { blocked, ..script::plan() })));
    stage.click("max_length must be 2 or more");
    stage.expect("What the run will do");
    assert!(stage.harness.get_by_label("Max length (tokens)").is_focused(), "the field is ready to be changed");
}

#[test]
fn a_run_begins_with_the_edited_settings() {
    let mut stage = Stage::planned();
    stage.go("3  Plan");
    stage.sent();
    stage.click("Strong");
    stage.wait(1.0);
    let sent = stage.sent();
    assert!(
        matches!(&sent[..], [Command::Plan(PlanCommand::Estimate { settings, .. })] if settings["r"] == json!(32)),
        "the plan follows: {sent:?}"
    );
    stage.say(Event::Planned(Box::new(script::plan())));
    stage.click("Start training");
    let sent = stage.sent();
    let [Command::Run(RunCommand::Start(request))] = sent.as_slice() else { panic!("a run begins, not {sent:?}") };
    assert_eq!(request.name, "tone", "named after its pairs");
    assert_eq!(request.settings["learning_rate"], json!(5e-5), "with the preset");
    assert_eq!(request.settings["eval_split"], json!(0.1), "with some pairs held out");
    assert_eq!(request.watch.eval_steps, 27, "scored some ten times");
}

#[test]
fn what_does_not_fit_is_fixed_by_a_click() {
    let mut stage = Stage::planned();
    stage.go("3  Plan");
    stage.say(Event::Planned(Box::new(script::plan_that_does_not_fit())));
    stage.expect("Memory: 8.8 GB of 6.0 GB, does not fit");
    stage.sent();
    stage.click("Max tokens 1024 → 384: −3.7 GB");
    stage.wait(1.0);
    let sent = stage.sent();
    assert!(
        matches!(&sent[..], [Command::Plan(PlanCommand::Estimate { settings, .. })] if settings["max_length"] == 384),
        "the fix is applied and planned: {sent:?}"
    );
}

#[test]
fn a_limit_that_is_no_number_is_told() {
    let mut stage = Stage::planned();
    stage.go("3  Plan");
    stage.click("Set the limit myself");
    stage.harness.get_by_label("Memory in GB").focus();
    stage.harness.get_by_label("Memory in GB").set_text_value_accesskit("much");
    stage.run();
    stage.expect("Needs a number above 0");
    stage.harness.get_by_label("Memory in GB").set_text_value_accesskit("7,5");
    stage.run();
    stage.sent();
    stage.click("Set");
    stage.wait(1.0);
    let sent = stage.sent();
    assert!(matches!(sent[..], [Command::Plan(PlanCommand::Estimate { limit: Some(7_500_000_000), .. })]), "{sent:?}");
}

#[test]
fn without_a_limit_only_a_trial_says_that_it_fits() {
    let mut stage = Stage::new();
    stage.say(script::ready_with(Ok(GpuInfo { memory: None, ..script::gpu() })));
    stage.say(Event::ModelOpened(Box::new(script::model())));
    stage.say_pairs(24);
    stage.say(Event::Planned(Box::new(PlanInfo { limit: None, ..script::plan() })));
    stage.go("3  Plan");
    stage.expect("Whether it fits is not known: measure with 2 trial steps");
    stage.say(tried(Some(2.0)));
    stage.expect("Memory: 2.8 GB, fits (measured)");
    let blocked = Some(problem("max_length must be 2 or more", "Raise it"));
    stage.say(Event::Planned(Box::new(PlanInfo { blocked, n_steps: 0, memory: [0; 4], ..script::plan() })));
    assert!(!stage.shows("Memory: 0 B") && !stage.shows("Steps: 0"), "no figures are made up");
}

#[test]
fn a_plan_that_was_cancelled_is_worked_out_at_a_click() {
    let mut stage = Stage::ready();
    stage.say(Event::ModelOpened(Box::new(script::model())));
    stage.say_pairs(24);
    stage.wait(1.0);
    stage.go("3  Plan");
    stage.say(Event::Cancelled { subject: Subject::Plan });
    stage.sent();
    stage.click("Work out the plan");
    stage.wait(1.0);
    assert!(matches!(stage.sent()[..], [Command::Plan(PlanCommand::Estimate { .. })]), "it is asked for again");
    stage.expect("Working out the plan");
}

#[test]
fn sample_prompts_may_have_several_lines() {
    let mut stage = Stage::ready();
    stage.say(Event::ModelOpened(Box::new(script::model())));
    let mut rows = script::rows(3);
    rows[0] = PairRow { prompt: "Translate:\nGood day".into(), chars: [19, 86, 23], ..rows[0].clone() };
    rows[1].chars[0] = 4000;
    stage.say(Event::PairRows { first: 0, rows });
    stage.say(Event::PairsOpened(Box::new(script::pairs(3))));
    stage.wait(1.0);
    stage.say(Event::Planned(Box::new(script::plan())));
    stage.go("3  Plan");
    stage.click("Remove sample prompt 2");
    stage.click("Add a prompt");
    stage.harness.get_by_label("Sample prompt 2").focus();
    stage.harness.get_by_label("Sample prompt 2").set_text_value_accesskit("One\nTwo");
    stage.run();
    stage.sent();
    stage.click("Start training");
    let sent = stage.sent();
    let [Command::Run(RunCommand::Start(request))] = sent.as_slice() else { panic!("a run begins, not {sent:?}") };
    assert_eq!(request.watch.prompts, ["Translate:\nGood day", "One\nTwo"], "whole, the shortened one left out");
}

#[test]
fn a_field_takes_what_is_typed_and_refuses_what_is_wrong() {
    let mut stage = Stage::planned();
    stage.go("3  Plan");
    stage.sent();
    let field = stage.harness.get_by_label("Max length (tokens)");
    field.focus();
    field.set_text_value_accesskit("512");
    stage.run();
    stage.wait(1.0);
    let sent = stage.sent();
    assert!(
        matches!(&sent[..], [Command::Plan(PlanCommand::Estimate { settings, .. })] if settings["max_length"] == 512),
        "{sent:?}"
    );
    stage.harness.get_by_label("Max length (tokens)").set_text_value_accesskit("none");
    stage.run();
    stage.expect("Needs a whole number, 2 or more");
    stage.wait(1.0);
    assert_eq!(stage.sent(), [], "nothing is planned with it");
}

#[test]
fn two_steps_are_measured() {
    let mut stage = Stage::planned();
    stage.go("3  Plan");
    stage.sent();
    stage.expect("Measure with 2 trial steps");
    stage.click("Measure: run 2 trial steps");
    assert!(matches!(stage.sent()[..], [Command::Plan(PlanCommand::Trial { .. })]), "it is measured");
    stage.expect("Preparing 2 trial steps (not kept)");
    stage.say(Event::Trying { step: 2 });
    stage.expect("Running 2 trial steps (not kept): step 2 of 2, ");
    stage.say(tried(Some(2.0)));
    // 278 steps, a third of a sixteenth of a step for each of 267 pairs, and twelve rounds of 30 of them with answers.
    stage.expect("Time: about 15 min: 14 min training, 17 s reference scores of the base model, ");
    stage.expect("24 s sample answers (3.0 s per step)");
    stage.say(tried(None));
    stage.expect("; sample answers come on top");
    stage.expect("2.9 GB of memory (planned 2.8 GB)");
}

#[test]
fn a_plan_that_was_not_measured_guesses_its_time_from_a_run_like_it() {
    let mut stage = Stage::planned();
    stage.go("3  Plan");
    stage.expect("Time: unknown. Measure with 2 trial steps");
    let record = script::record("r0", "tone-v1", Status::Finished);
    let watch = Watch { prompts: vec!["Why?".into()], ..record.watch.clone() };
    // An evaluation of the thirty pairs held out takes 1.875 s of this, by the seconds of a step.
    let like = RunRecord { step_seconds: Some(3.0), round_seconds: Some(3.875), watch, ..record };
    let mut other = RunRecord { step_seconds: Some(9.0), ..like.clone() };
    other.settings.insert("r".into(), json!(64));
    stage.say(Event::Runs { runs: vec![other.clone()] });
    stage.expect("Time: unknown");
    let untimed = RunRecord { step_seconds: None, ..like.clone() };
    stage.say(Event::Runs { runs: vec![untimed, other, like] });
    stage.expect("Time: about 15 min: 14 min training, 17 s reference scores of the base model, ");
    stage.expect("24 s sample answers (3.0 s per step). A guess, from run \"tone-v1\"");
    stage.say(tried(Some(2.0)));
    assert!(!stage.shows("A guess"), "it was measured");
}

/// The end of a trial.
fn tried(answers_seconds: Option<f64>) -> Event {
    let (device_bytes, planned_bytes) = (2_900_000_000, 2_800_000_000);
    Event::Tried { step_seconds: 3.0, answers_seconds, device_bytes, planned_bytes }
}

#[test]
fn untouched_settings_suit_the_rows_and_the_device() {
    let mut stage = Stage::ready();
    stage.say(Event::ModelOpened(Box::new(script::model())));
    stage.say_pairs(24);
    stage.wait(1.0);
    let settings = Settings::from_iter([
        ("per_device_train_batch_size".to_owned(), json!(1)),
        ("gradient_accumulation_steps".to_owned(), json!(16)),
    ]);
    let label = "Batch size 1 × 16 instead of 4 × 4: 1.6 GB instead of 6.2 GB".to_owned();
    let suited = vec![Fix { label: label.clone(), settings: settings.clone(), saves: 4_600_000_000 }];
    stage.sent();
    stage.say(Event::Planned(Box::new(PlanInfo { suited: suited.clone(), ..script::plan() })));
    stage.wait(1.0);
    let sent = stage.sent();
    let [Command::Plan(PlanCommand::Estimate { settings: planned, .. })] = &sent[..] else {
        panic!("it is planned again, not {sent:?}")
    };
    assert!(settings.iter().all(|(key, value)| planned.get(key) == Some(value)), "with them: {planned:?}");
    stage.say(Event::Planned(Box::new(script::plan())));
    stage.go("3  Plan");
    stage.expect(&label);
    assert!(!stage.shows("Standard + "), "what was suited is no change of the user's");
    stage.click("Use the values of Standard all the same");
    stage.wait(1.0);
    let sent = stage.sent();
    let [Command::Plan(PlanCommand::Estimate { settings: planned, .. })] = &sent[..] else {
        panic!("it is planned again, not {sent:?}")
    };
    assert!(settings.keys().all(|key| !planned.contains_key(key)), "without them: {planned:?}");
    let again = suited.clone();
    stage.say(Event::Planned(Box::new(PlanInfo { suited, ..script::plan() })));
    stage.wait(1.0);
    assert!(stage.sent().is_empty() && !stage.shows(&label), "the user has said no");
    stage.say(Event::PairsOpened(Box::new(PairsInfo { skipped: 1, ..script::pairs(24) })));
    stage.wait(1.0);
    stage.sent();
    stage.say(Event::Planned(Box::new(PlanInfo { suited: again, ..script::plan() })));
    stage.wait(1.0);
    assert!(stage.sent().is_empty() && !stage.shows(&label), "also with a row less");
}

#[test]
fn an_address_brings_settings() {
    let mut stage = Stage::at_address("s=%7B%22beta%22:0.2,%22output_dir%22:%22x%22%7D", true);
    stage.expect("without what a run here does not have: output_dir");
    stage.expect("What the run will do");
    stage.say(script::ready());
    stage.say(Event::Runs { runs: vec![script::record("r9", "tone-v2", Status::Paused)] });
    stage.expect("Continue \"tone-v2\"");
    stage.say(Event::ModelOpened(Box::new(script::model())));
    stage.sent();
    stage.say_pairs(24);
    stage.wait(1.0);
    let sent = stage.sent();
    let [Command::Plan(PlanCommand::Estimate { settings, .. })] = sent.as_slice() else {
        panic!("it is planned, not {sent:?}")
    };
    assert_eq!(settings["beta"], json!(0.2), "as the address says");
    assert_eq!(settings["eval_split"], json!(0.1), "some pairs are held out although it does not say so");
    assert!(!settings.contains_key("output_dir"), "what a run does not have is skipped");
}
