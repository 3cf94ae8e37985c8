//! Other methods than DPO over a scripted engine: how one is chosen, what it needs, and what its run shows.
//!
//! `PAIRTUNE_SHOTS` names a folder into which the states are also drawn.

use eframe::egui::{self, accesskit::Role};
use egui_kittest::kittest::Queryable as _;
use pairtune::engine::protocol::*;
use serde_json::json;

use crate::script::{self, Stage};

/// A file of this kind is open, with its plan.
fn open(stage: &mut Stage, kind: Kind, columns: &[&str]) {
    let columns = columns.iter().map(|column| (*column).to_owned()).collect();
    let info = PairsInfo { name: "rows.jsonl".into(), kind, columns, flags: Vec::new(), ..script::pairs(24) };
    stage.say(Event::PairsOpened(Box::new(info)));
    stage.wait(1.0);
}

/// The method of the plan that was asked for last.
#[track_caller]
fn planned(stage: &mut Stage) -> String {
    let sent = stage.sent();
    let last = sent.iter().rev().find_map(|command| match command {
        Command::Plan(PlanCommand::Estimate { settings, .. }) => Some(settings.clone()),
        _ => None,
    });
    let settings = last.unwrap_or_else(|| panic!("a plan is asked for: {sent:?}"));
    settings.get(METHOD).and_then(|method| method.as_str()).unwrap_or("dpo").to_owned()
}

fn shot(stage: &mut Stage, name: &str) {
    let Some(folder) = std::env::var_os("PAIRTUNE_SHOTS") else { return };
    for (theme, suffix) in [(egui::Theme::Light, "light"), (egui::Theme::Dark, "dark")] {
        stage.harness.ctx.set_theme(theme);
        stage.harness.run_steps(3);
        let path = std::path::Path::new(&folder).join(format!("methods-{name}-{suffix}.png"));
        stage.harness.render().expect("drawn").save(path).expect("saved");
    }
    stage.harness.ctx.set_theme(egui::Theme::Light);
}

/// A run of a reward model, finished.
fn judge(run_id: &str) -> RunRecord {
    let mut record = script::record(run_id, "judge", Status::Finished);
    record.settings.insert(METHOD.to_owned(), json!("reward"));
    record.model_name = script::model().name;
    record
}

#[test]
fn rows_choose_the_method_that_they_serve() {
    let mut stage = Stage::planned();
    stage.sent();
    open(&mut stage, Kind::Labelled, &["prompt", "completion", "label"]);
    assert_eq!(planned(&mut stage), "kto");
    open(&mut stage, Kind::Completions, &["messages"]);
    assert_eq!(planned(&mut stage), "sft");
    stage.go("2  Pairs");
    stage.expect("Examples: answers to imitate.");
    assert!(!stage.shows("Swap chosen and rejected"), "there is nothing to swap");
    assert!(!stage.shows("The preferred answer is the longer one"), "nor to compare");
    stage.go("3  Plan");
    assert!(!stage.shows("Reward model"), "examples train no reward model");
    open(&mut stage, Kind::Pairs, &["prompt", "chosen", "rejected"]);
    assert_eq!(planned(&mut stage), "sft", "which pairs serve too, so that the choice stays");
    stage.click("DPO");
    stage.wait(1.0);
    assert_eq!(planned(&mut stage), "dpo");
    stage.expect("Preset");
}

#[test]
fn a_method_shows_its_own_settings_and_keeps_those_of_the_machine() {
    let mut stage = Stage::planned();
    stage.go("3  Plan");
    stage.type_into("LoRA rank (r)", "4");
    stage.click("GRPO");
    stage.wait(1.0);
    stage.expect("Let it try and be scored: several answers");
    stage.expect("Answers per prompt");
    assert!(!stage.shows("Preset"), "presets are DPO's");
    let sent = stage.sent();
    let Some(Command::Plan(PlanCommand::Estimate { settings, .. })) = sent.last() else {
        panic!("a plan is asked for: {sent:?}")
    };
    assert_eq!(settings.get("r"), Some(&json!(4)), "the rank stays");
    assert_eq!(settings.get("learning_rate"), None, "the rate is the method's own");
    shot(&mut stage, "plan-grpo");
    stage.type_into("Max answer length (tokens)", "64");
    stage.expect("3 settings changed");
    stage.click("reset");
    stage.wait(1.0);
    stage.expect("This method's defaults.");
    stage.click("PPO");
    stage.expect("KL coefficient");
    stage.expect("Answers in all");
}

#[test]
fn answers_need_something_that_judges_them() {
    let mut stage = Stage::planned();
    stage.go("3  Plan");
    stage.click("RLOO");
    stage.wait(1.0);
    let models = [("base model", 269), ("policy", 12), ("reference", 0), ("reward model judge", 3)];
    let models = models.map(|(name, bytes)| (name.to_owned(), bytes * 1_000_000)).to_vec();
    stage.say(Event::Planned(Box::new(PlanInfo { models, ..script::plan() })));
    stage.expect(
        "On one copy of the base: policy 12.0 MB, reference (the adapter switched off), reward model judge 3.0 MB",
    );
    stage.expect("Say what answers are worth");
    stage.expect("No reward model of this model yet");
    stage.type_into("Rule", "niceness");
    stage.expect("niceness");
    assert_eq!(stage.harness.query_all_by_label("Remove niceness").count(), 0, "it is no rule");
    stage.type_into("Rule", "length:40");
    stage.click("Add");
    stage.say(Event::Runs { runs: vec![judge("r7")] });
    stage.click("judge");
    stage.sent();
    stage.click("Start training");
    let sent = stage.sent();
    let [Command::Run(RunCommand::Start(request))] = sent.as_slice() else { panic!("a run begins, not {sent:?}") };
    assert_eq!(request.inputs.rewards, ["length:40", "run:r7"]);
    assert_eq!(request.settings.get(METHOD), Some(&json!("rloo")));
}

#[test]
fn a_run_starts_from_another_one() {
    let mut stage = Stage::planned();
    let imitated = RunRecord { model_name: script::model().name, ..script::record("r5", "imitated", Status::Finished) };
    let other = RunRecord { model_name: "another".into(), ..script::record("r6", "of another", Status::Finished) };
    stage.say(Event::Runs { runs: vec![imitated, other, judge("r7")] });
    stage.go("3  Plan");
    stage.harness.get_by_role_and_label(Role::ComboBox, "Start from").click();
    stage.run();
    assert!(!stage.shows("of another"), "its adapter does not fit");
    assert_eq!(stage.harness.query_all_by_label("judge").count(), 0, "it does not write");
    stage.click("imitated");
    stage.sent();
    stage.click("Start training");
    let sent = stage.sent();
    let [Command::Run(RunCommand::Start(request))] = sent.as_slice() else { panic!("a run begins, not {sent:?}") };
    assert_eq!(request.inputs.start_from.as_deref(), Some("r5"));
}

#[test]
fn an_adapter_of_a_folder_is_what_the_next_run_starts_from() {
    let mut stage = Stage::planned();
    stage.go("3  Plan");
    stage.expect("An adapter's folder…");
    let imported = RunRecord { model_name: script::model().name, ..script::record("r8", "tone", Status::Finished) };
    let reward = RunRecord { model_name: script::model().name, ..judge("r9") };
    stage.say(Event::Runs { runs: vec![imported, reward] });
    stage.say(Event::AdapterImported { run_id: "r8".into() });
    stage.say(Event::AdapterImported { run_id: "r9".into() });
    stage.wait(1.0);
    let asked = |stage: &mut Stage| {
        let sent = stage.sent();
        let Some(Command::Plan(PlanCommand::Estimate { inputs, .. })) = sent.last() else {
            panic!("it is planned again: {sent:?}")
        };
        inputs.clone()
    };
    assert_eq!(asked(&mut stage), Inputs { start_from: Some("r8".into()), rewards: vec![] }, "DPO has no rewards");
    stage.click("RLOO");
    stage.wait(1.0);
    stage.say(Event::AdapterImported { run_id: "r9".into() });
    stage.wait(1.0);
    assert_eq!(asked(&mut stage).rewards, ["run:r9"], "it judges");
    let problem = Problem::new("No adapter_config.json", "Choose", "folder");
    stage.say(Event::Refused { subject: Subject::Runs, problem });
    stage.expect("No adapter_config.json");
}

#[test]
fn a_run_of_answers_shows_them_with_their_rewards() {
    let mut stage = Stage::planned();
    let mut record = script::record("r1", "tried", Status::Running);
    record.settings.insert(METHOD.to_owned(), json!("grpo"));
    record.won = None;
    stage.say(Event::RunStarted(Box::new(RunInfo { record, ..script::run() })));
    stage.go("4  Run");
    for step in 1..=12 {
        let x = f64::from(step);
        let metrics = json!({
            "step": step, "loss": 0.01 * x, "reward": 0.1 * x, "kl": 0.02 * x, "completions/mean_length": 30.0 + x,
        });
        let metrics = metrics.as_object().cloned().expect("an object");
        stage.queue(Event::Step { run_id: "r1".into(), metrics, seconds: 1.0 });
        let answers = (0..8).map(|i| Answered {
            row: i / 4,
            prompt: format!("How do I reset password {}?", i / 4),
            text: format!("Open the settings, then choose answer {i} of step {step}."),
            tokens: 12,
            rewards: vec![Some(0.25 * (i % 4) as f64), None],
            advantage: (i % 4) as f64 - 1.5,
        });
        let rewards = vec!["length".to_owned(), "json".to_owned()];
        stage.queue(Event::Rollouts { run_id: "r1".into(), step: step as usize, rewards, answers: answers.collect() });
    }
    let evaluation = |step: usize, reward: f64| {
        let metrics = json!({ "step": step, "eval_reward": reward, "eval_completions/mean_length": 31.0 });
        Event::Evaluated {
            run_id: "r1".into(),
            metrics: metrics.as_object().cloned().expect("an object"),
            best: step > 0,
        }
    };
    stage.queue(evaluation(0, 0.2));
    stage.queue(evaluation(10, 0.9));
    stage.run();
    stage.expect("Reward");
    stage.expect("KL to the reference");
    stage.expect("Answer length");
    stage.expect("Answers in training");
    stage.expect("choose answer 7 of step 12");
    stage.expect("length 0.75");
    stage.expect("json –");
    stage.expect("advantage +1.50");
    assert_eq!(stage.harness.query_all_by_label("best").count(), 2, "one of each prompt");
    assert!(!stage.shows("Held-out accuracy"), "it is not about pairs");
    shot(&mut stage, "run-grpo");
}

#[test]
fn a_run_without_pairs_says_whether_it_came_out_better() {
    let mut stage = Stage::planned();
    let mut record = script::record("r1", "imitated", Status::Finished);
    record.settings.insert(METHOD.to_owned(), json!("sft"));
    (record.won, record.best) = (None, json!({ "step": 120, "eval_loss": 1.2 }).as_object().cloned());
    stage.say(Event::RunStarted(Box::new(RunInfo { record: record.clone(), ..script::run() })));
    stage.go("4  Run");
    let end = |improved| {
        let record = record.clone();
        let summary = Summary { record, improved, before: None, after: None, device_bytes: 0, planned_bytes: 0 };
        Event::Finished(Box::new(summary))
    };
    stage.say(end(false));
    stage.expect("came out no better than before");
    stage.say(Event::RunStarted(Box::new(RunInfo { record: record.clone(), ..script::run() })));
    stage.say(end(true));
    stage.expect("Finished: improved");
}
