//! The early warnings: each rule on a run that breaks it, and all of them silent on runs that go well.

use pairtune::data::Method;
use pairtune::engine::plan::presets::{Preset, epochs_for};
use pairtune::engine::run::warnings::{
    Action, CLEAR_STEPS, Facts, Warning, WarningKind, Watcher, many_passes, swapped,
};
use serde_json::{Map, Value, json};

const LN_2: f64 = std::f64::consts::LN_2;

// Before the start

#[test]
fn few_held_out_pairs_are_a_rough_estimate() {
    let warnings = |n_held_out| Watcher::new(Facts { n_held_out, ..facts() }).start();
    assert_eq!(warnings(20), []);
    let few = only(warnings(19));
    assert_eq!((few.kind, few.step, few.action), (WarningKind::FewHeldOut, 0, Action::HoldOutMore));
    assert!(few.text == "Only 19 held-out pairs: accuracy is a rough estimate (±20 points).", "{}", few.text);
    assert!(only(warnings(1)).text.contains("Only 1 held-out pair: "));
    assert!(only(warnings(0)).text.contains("No pairs are held out"));
}

#[test]
fn truncated_pairs_are_counted_if_they_are_many() {
    let warnings = |n_truncated| Watcher::new(Facts { n_truncated, ..facts() }).start();
    assert_eq!(warnings(10), [], "5 % of 200");
    let many = only(warnings(11));
    assert_eq!((many.kind, many.action), (WarningKind::ManyTruncated, Action::RaiseMaxLength));
    assert_eq!(many.text, "11 of 200 pairs (6 %) will be truncated to max length.");
    let one = only(Watcher::new(Facts { n_truncated: 1, n_pairs: 1, passes: 1.0, ..facts() }).start());
    assert_eq!(one.text, "1 of 1 pair (100 %) will be truncated to max length.");
    assert_eq!(Watcher::new(Facts { n_truncated: 0, n_pairs: 0, ..facts() }).start(), []);
}

#[test]
fn pairs_that_are_seen_again_and_again_are_learnt_by_heart() {
    let warnings = |passes| Watcher::new(Facts { passes, ..facts() }).start();
    assert_eq!(warnings(8.0), [], "the strongest preset's");
    let many = only(warnings(9.5));
    assert_eq!((many.kind, many.step, many.action), (WarningKind::ManyPasses, 0, Action::None));
    assert!(many.text.contains("Each of the 160 pairs is seen 10 times"), "those that are trained on: {}", many.text);
    assert!(many_passes(1, 40.0).is_some_and(|one| one.text.starts_with("The one pair is seen 40 times")));
    assert_eq!(many_passes(0, 40.0), None, "no pairs");
    for preset in Preset::ALL {
        for n_pairs in [1, 10, 100, 1000] {
            assert_eq!(many_passes(n_pairs, epochs_for(preset, n_pairs, 16)), None, "{preset:?} suggests it");
        }
    }
}

#[test]
fn swapped_columns_are_suspected_if_the_base_model_prefers_what_is_rejected() {
    let told = swapped(Some(0.14), 20).expect("it is suspected");
    assert_eq!((told.kind, told.action), (WarningKind::Swapped, Action::InspectPairs));
    assert!(told.text.contains("86 % of 20 held-out pairs"), "{}", told.text);
    for quiet in [swapped(Some(0.15), 20), swapped(Some(0.0), 19), swapped(None, 200)] {
        assert_eq!(quiet, None);
    }
}

// Silence

#[test]
fn a_run_that_goes_well_says_nothing() {
    let mut run = Run::new(facts());
    for step in 1..=200 {
        run.step(well(step), 1.0 + noise(step + 3));
        if step % 20 == 0 {
            run.evaluation(json!({
                "step": step, "eval_preference_accuracy": 0.5 + step as f64 / 1000.0,
                "eval_rewards/margins": step as f64 / 200.0, "eval_logps/chosen": -100.0 - 0.04 * step as f64,
            }));
            run.samples(step, &["Of course: open the settings and choose Reset, then wait for a minute or two."]);
        }
    }
    assert_eq!(run.told, []);
}

#[test]
fn metrics_that_are_missing_break_no_rule() {
    let mut run = Run::new(facts());
    for _ in 0..100 {
        run.step(json!({}), f64::NAN);
        run.evaluation(json!({}));
        run.samples(5, &[]);
    }
    assert_eq!((run.told.as_slice(), run.watcher.best_step()), (&[][..], None));
}

#[test]
fn one_odd_step_is_no_warning() {
    let mut run = Run::new(facts());
    for step in 1..=60 {
        let odd = step == 40;
        let change = if odd { json!({"loss": 9.0, "grad_norm": 500.0}) } else { json!({}) };
        run.step(with(well(step), change), if odd { 60.0 } else { 1.0 });
    }
    assert_eq!(run.told, []);
}

// Training steps

#[test]
fn what_is_not_finite_is_told_at_once() {
    let mut run = Run::new(facts());
    run.step(with(well(1), json!({"grad_norm": f64::NAN})), 1.0);
    let told = run.only();
    assert_eq!((told.kind, told.step, told.action), (WarningKind::NotFinite, 1, Action::LowerLearningRate));
    assert!(told.text.contains("gradient"), "{}", told.text);
}

#[test]
fn the_first_loss_must_be_that_of_an_untrained_adapter() {
    let first = |loss: f64, expected_first_loss, step: usize| {
        let mut run = Run::new(Facts { expected_first_loss, ..facts() });
        run.step(with(well(step), json!({"loss": loss})), 1.0);
        run.told
    };
    assert_eq!(first(LN_2 + 0.9e-3, Some(LN_2), 1), []);
    for loss in [LN_2 + 1.1e-3, LN_2 - 1.1e-3] {
        let wrong = only(first(loss, Some(LN_2), 1));
        assert_eq!((wrong.kind, wrong.action), (WarningKind::WrongFirstLoss, Action::InspectPairs));
        assert!(wrong.text.contains("0.6931"), "{}", wrong.text);
    }
    assert_eq!(first(25.0, None, 1), [], "another loss");
    assert_eq!(first(0.6, Some(LN_2), 2), [], "a later step");
}

#[test]
fn a_loss_that_stays_high_is_told_after_twenty_steps() {
    let high = |loss: f64, n_good: usize| {
        let mut run = Run::new(facts());
        for step in 1..=60 {
            let loss = if step <= n_good { LN_2 } else { loss };
            run.step(with(well(step), json!({"loss": loss})), 1.0);
        }
        run.told
    };
    let told = only(high(1.01, 10));
    assert_eq!((told.kind, told.step, told.action), (WarningKind::HighLoss, 30, Action::LowerLearningRate));
    assert_eq!(high(0.99, 10), []);
    let mut run = Run::new(facts());
    for step in 1..=100 {
        let loss = if step % 20 == 0 { 0.9 } else { 1.1 };
        run.step(with(well(step), json!({"loss": if step == 1 { LN_2 } else { loss }})), 1.0);
    }
    assert_eq!(run.told, [], "never twenty in a row");
}

#[test]
fn a_high_loss_of_an_unknown_kind_is_measured_by_the_first() {
    let mut run = Run::new(Facts { expected_first_loss: None, ..facts() });
    for step in 1..=40 {
        run.step(with(well(step), json!({"loss": if step < 11 { 25.0 } else { 37.0 }})), 1.0);
    }
    assert_eq!(run.only().kind, WarningKind::HighLoss);
}

#[test]
fn a_loss_that_leaps_is_told_only_if_it_is_worse_than_untrained() {
    let leap = |usual: f64, to: f64| {
        let mut run = Run::new(facts());
        for step in 1..=40 {
            let loss = if step == 1 {
                LN_2
            } else if step <= 30 {
                usual
            } else {
                to
            };
            run.step(with(well(step), json!({"loss": loss})), 1.0);
        }
        run.told
    };
    let told = only(leap(0.25, 0.8));
    assert_eq!((told.kind, told.step), (WarningKind::LossJump, 32), "two of the last three");
    assert!(told.text.contains("0.80") && told.text.contains("3 times"), "{}", told.text);
    assert_eq!(leap(0.05, 0.6), [], "twelve times, but better than untrained");
    assert_eq!(leap(0.5, 0.9), [], "not three times");
}

#[test]
fn a_gradient_that_leaps_is_told_only_if_it_is_above_that_of_the_start() {
    let leap = |usual: f64, to: f64| {
        let mut run = Run::new(facts());
        for step in 1..=40 {
            let norm = if step <= 20 {
                1.0
            } else if step <= 34 {
                usual
            } else {
                to
            };
            run.step(with(well(step), json!({"grad_norm": norm})), 1.0);
        }
        run.told
    };
    let told = only(leap(1.0, 10.5));
    assert_eq!((told.kind, told.step, told.action), (WarningKind::GradientJump, 36, Action::LowerLearningRate));
    assert_eq!(leap(1.0, 9.5), []);

    let mut run = Run::new(facts());
    for step in 1..=150 {
        let norm = if step <= 20 {
            1.0
        } else if step <= 140 {
            0.01
        } else {
            0.9
        };
        run.step(with(well(step), json!({"grad_norm": norm})), 1.0);
    }
    assert_eq!(run.told, [], "ninety times nothing is still less than at the start");
}

#[test]
fn chosen_answers_that_fall_while_the_margin_grows_are_told() {
    let fall = |per_step: f64, margin: f64| {
        let mut run = Run::new(facts());
        for step in 1..=100 {
            let n = step as f64;
            run.step(with(well(step), json!({"rewards/chosen": -per_step * n, "rewards/margins": margin * n})), 1.0);
        }
        run.told
    };
    // At beta 0.1, a reward of -1 is 10 nats; the mean of twenty steps gets there in the middle of them.
    let told = only(fall(0.02, 0.02));
    assert_eq!((told.kind, told.step, told.action), (WarningKind::DislikesBoth, 60, Action::AddSft));
    assert!(told.text.contains("by 10 nats"), "{}", told.text);
    assert_eq!(fall(0.01, 0.02), [], "not that far");
    assert_eq!(fall(0.02, -0.02), [], "the margin does not grow: another trouble");
}

#[test]
fn falling_chosen_answers_are_compared_with_a_start_that_is_over() {
    let mut run = Run::new(facts());
    for step in 1..=100 {
        let change = json!({"rewards/chosen": -2.0, "rewards/margins": step as f64 / 100.0});
        run.step(with(well(step), change), 1.0);
    }
    assert_eq!(run.only().step, 40, "the second twenty steps against the first");
}

#[test]
fn held_out_chosen_answers_that_fall_are_told_once_and_remembered() {
    let mut run = Run::new(facts());
    for step in 0..=150 {
        if step > 0 {
            run.step(well(step), 1.0);
        }
        if step % 50 == 0 {
            let n = step as f64;
            run.evaluation(json!({
                "step": step, "eval_logps/chosen": -80.0 - 0.11 * n, "eval_rewards/margins": n / 100.0,
            }));
        }
    }
    let told = run.only();
    assert_eq!((told.kind, told.step), (WarningKind::DislikesBoth, 100));
    assert!(told.text.contains("by 11 nats"), "{}", told.text);
}

#[test]
fn winning_everything_is_suspicious_only_early() {
    let easy = |accuracy: f64, from: usize| {
        let mut run = Run::new(facts());
        for step in 1..=200 {
            run.step(with(well(step), json!({"rewards/accuracies": if step < from { 0.5 } else { accuracy }})), 1.0);
        }
        run.told
    };
    let told = only(easy(1.0, 10));
    assert_eq!((told.kind, told.step, told.action), (WarningKind::TooEasy, 29, Action::InspectPairs));
    assert!(told.text.contains("100 %") && told.text.contains("after 14 %"), "{}", told.text);
    assert_eq!(easy(1.0, 21), [], "the mean of twenty is full after a fifth of the run");
    assert_eq!(easy(0.97, 1), []);
}

#[test]
fn short_runs_take_means_of_few_steps() {
    let mut run = Run::new(Facts { n_steps: 30, ..facts() });
    for step in 1..=30 {
        run.step(with(well(step), json!({"rewards/accuracies": 1.0})), 1.0);
    }
    assert_eq!(run.only().step, 3);
}

#[test]
fn a_margin_beyond_learning_is_told() {
    let mut run = Run::new(facts());
    for step in 1..=100 {
        run.step(with(well(step), json!({"rewards/margins": if step <= 50 { 9.9 } else { 10.3 }})), 1.0);
    }
    let told = run.only();
    assert_eq!((told.kind, told.action), (WarningKind::Saturated, Action::StopAtBest));
    assert!(told.step > 50 && told.text.contains("10.0"), "{told:?}");
}

#[test]
fn entropy_that_collapses_is_told() {
    let collapse = |to: f64| {
        let mut run = Run::new(facts());
        for step in 1..=100 {
            run.step(with(well(step), json!({"entropy": if step <= 40 { 2.0 } else { to }})), 1.0);
        }
        run.told
    };
    let told = only(collapse(0.9));
    assert_eq!((told.kind, told.action), (WarningKind::EntropyCollapse, Action::LowerLearningRate));
    assert!(told.text.contains("from 2.00 to 0.95"), "{}", told.text);
    assert_eq!(collapse(1.1), []);
}

#[test]
fn slow_steps_are_told_by_their_time() {
    let slow = |seconds: f64| {
        let mut run = Run::new(facts());
        for step in 1..=40 {
            run.step(well(step), if step <= 30 { 2.0 } else { seconds });
        }
        run.told
    };
    let told = only(slow(6.5));
    assert_eq!((told.kind, told.step, told.action), (WarningKind::SlowSteps, 32, Action::None));
    assert!(told.text.contains("6.5 s where 2.0 s"), "{}", told.text);
    assert_eq!(slow(5.5), []);
}

// Evaluations

#[test]
fn three_worse_evaluations_while_training_gets_better_are_overfitting() {
    let run = |accuracies: &[f64], margins: &[f64], train: f64| {
        let mut run = Run::new(facts());
        for (i, (accuracy, margin)) in accuracies.iter().zip(margins).enumerate() {
            let step = 10 * i;
            for step in (10 * i).saturating_sub(9)..=step {
                run.step(with(well(step), json!({"rewards/margins": train * step as f64})), 1.0);
            }
            run.evaluation(json!({
                "step": step, "eval_preference_accuracy": accuracy, "eval_rewards/margins": margin,
                "eval_rewards/accuracies": 0.9,
            }));
        }
        run.told
    };
    let flat = [0.5; 6];
    let told = only(run(&[0.5, 0.7, 0.69, 0.68, 0.66, 0.65], &flat, 0.01));
    assert_eq!((told.kind, told.step, told.action), (WarningKind::Overfitting, 40, Action::StopAtBest));
    assert!(told.text.contains("best at step 10"), "{}", told.text);

    let told = only(run(&flat, &[0.0, 1.0, 0.98, 0.95, 0.89, 0.8], 0.01));
    assert_eq!((told.kind, told.step), (WarningKind::Overfitting, 40), "the margin alone");
    assert!(told.text.contains("best at step 10"), "{}", told.text);

    assert_eq!(run(&[0.5, 0.7, 0.69, 0.68, 0.69, 0.68], &flat, 0.01), [], "never three in a row");
    assert_eq!(run(&[0.5, 0.7, 0.699, 0.698, 0.697, 0.696], &flat, 0.01), [], "too little");
    assert_eq!(run(&flat, &[0.0, 1.0, 0.98, 0.95, 0.91, 0.92], 0.01), [], "too little of a margin");
    assert_eq!(run(&[0.5, 0.7, 0.69, 0.68, 0.66, 0.65], &flat, -0.01), [], "training gets worse as well");
}

#[test]
fn the_best_step_is_the_earliest_of_the_best_accuracy_and_margin() {
    let mut run = Run::new(facts());
    for (step, accuracy, margin) in [(0, 0.5, 0.0), (10, 0.8, 0.3), (20, 0.8, 0.4), (30, 0.8, 0.4), (40, 0.7, 9.0)] {
        run.evaluation(json!({"step": step, "eval_rewards/accuracies": accuracy, "eval_rewards/margins": margin}));
    }
    assert_eq!(run.watcher.best_step(), Some(20));
}

// Samples

#[test]
fn answers_that_newly_repeat_themselves_are_told() {
    let good = "Sure: open the settings, choose Reset, confirm with your password, and wait until the light is green.";
    let loops = "I am sorry, I am sorry, ".repeat(8);
    let half = format!("{good} {}", "and so on and so forth ".repeat(5));
    let chinese = "你好世界我很好".repeat(8);
    let endless = "ha".repeat(60);
    for text in [&loops, &half, &chinese, &endless] {
        let mut run = Run::new(facts());
        run.samples(0, &[good, good, good, good]);
        run.samples(20, &[good, text, good, good]);
        let told = run.only();
        assert_eq!((told.kind, told.step, told.action), (WarningKind::Repetition, 20, Action::LowerLearningRate));
        assert!(told.text.contains("1 of 4"), "{}", told.text);

        let mut run = Run::new(facts());
        run.samples(0, &[good, text, good, good]);
        run.samples(20, &[good, text, good, good]);
        assert_eq!(run.told, [], "the base model does so too: {text}");
    }
}

#[test]
fn ordinary_texts_and_short_ones_do_not_repeat_themselves() {
    let texts = [
        "ha ha ha ha ha ha ha ha",
        "- Monday: open from 9 to 5\n- Tuesday: open from 9 to 5\n- Wednesday: closed all day\n- Thursday: open from \
         10 to 4\n- Friday: open from 9 to 1, and then only with an appointment",
        "一、打开设置页面,选择重置。二、输入密码并确认操作。三、等待指示灯变成绿色,然后重新启动设备即可使用。",
        "https://example.org/a/very/long/address/that/is/one/word/with/many/different/parts/in/it.html",
    ];
    for text in texts {
        let mut run = Run::new(facts());
        run.samples(20, &[text]);
        assert_eq!(run.told, [], "{text}");
    }
    let mut run = Run::new(facts());
    let loops = "again and ".repeat(30);
    run.samples(20, &[&loops, "a", "b", "c", "d"]);
    assert_eq!(run.told, [], "one of five is below a quarter");
}

// Telling

#[test]
fn a_kind_is_told_again_only_after_it_has_been_gone_for_a_while() {
    let told_at = |gap: usize| {
        let mut run = Run::new(facts());
        let broken = |step: usize| step == 10 || step == 12 || step == 12 + gap;
        for step in 1..=60 {
            let change = if broken(step) { json!({"loss": null}) } else { json!({}) };
            run.step(with(well(step), change), 1.0);
        }
        run.told.iter().map(|warning| warning.step).collect::<Vec<_>>()
    };
    assert_eq!(told_at(CLEAR_STEPS), [10], "gone for one step less");
    assert_eq!(told_at(CLEAR_STEPS + 1), [10, 12 + CLEAR_STEPS + 1]);
}

#[test]
fn the_same_log_gives_the_same_watcher() {
    let mut runs = [Run::new(facts()), Run::new(facts())];
    for run in &mut runs {
        for step in 1..=50 {
            run.step(well(step), 1.0);
        }
    }
    assert_eq!(runs[0].watcher, runs[1].watcher);
}

#[test]
fn warnings_are_json_and_every_action_but_none_has_a_button() {
    let warning =
        Warning { kind: WarningKind::SlowSteps, step: 3, text: "Slow.".to_owned(), action: Action::StopAtBest };
    let text = serde_json::to_string(&warning).expect("JSON");
    assert_eq!(text, r#"{"kind":"slow_steps","step":3,"text":"Slow.","action":"stop_at_best"}"#);
    assert_eq!(serde_json::from_str::<Warning>(&text).expect("a warning"), warning);
    assert_eq!(Action::None.label(), "");
    assert_eq!(Action::AddSft.label(), "Add an SFT term");
}

/// A watcher and all that it has told.
struct Run {
    watcher: Watcher,
    told: Vec<Warning>,
}

impl Run {
    fn new(facts: Facts) -> Self {
        Self { watcher: Watcher::new(facts), told: Vec::new() }
    }

    fn step(&mut self, metrics: Value, seconds: f64) {
        self.told.extend(self.watcher.step(&map(metrics), seconds));
    }

    fn evaluation(&mut self, metrics: Value) {
        self.told.extend(self.watcher.evaluation(&map(metrics)));
    }

    fn samples(&mut self, step: usize, texts: &[&str]) {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        self.told.extend(self.watcher.samples(step, &texts));
    }

    fn only(self) -> Warning {
        only(self.told)
    }
}

fn only(mut warnings: Vec<Warning>) -> Warning {
    assert_eq!(warnings.len(), 1, "one warning: {warnings:?}");
    warnings.remove(0)
}

fn facts() -> Facts {
    Facts {
        method: Method::Dpo,
        n_held_out: 40,
        n_truncated: 0,
        n_pairs: 200,
        n_steps: 200,
        passes: 2.0,
        beta: 0.1,
        expected_first_loss: Some(LN_2),
    }
}

/// Metrics of step `step` of a run that goes well, with noise.
fn well(step: usize) -> Value {
    let n = step as f64;
    json!({
        "step": step,
        "loss": if step == 1 { LN_2 } else { LN_2 - n / 600.0 + 0.3 * noise(step) },
        "grad_norm": 1.0 + noise(step + 1),
        "rewards/chosen": -n / 400.0,
        "rewards/margins": n / 200.0 + noise(step + 2),
        "rewards/accuracies": 0.5 + n / 600.0,
        "entropy": 2.0 - n / 400.0,
        "learning_rate": 2e-5,
    })
}

/// Between -0.5 and 0.5.
fn noise(i: usize) -> f64 {
    ((i * 7919) % 101) as f64 / 101.0 - 0.5
}

fn with(mut metrics: Value, change: Value) -> Value {
    for (key, value) in map(change) {
        metrics[key] = value;
    }
    metrics
}

fn map(value: Value) -> Map<String, Value> {
    value.as_object().expect("an object").clone()
}
