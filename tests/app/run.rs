//! The pages of a run, from its first phase to its files, over a scripted engine: what they show and what they ask
//! the engine for.
//!
//! `PAIRTUNE_SHOTS` names a folder into which every state is also drawn, light and dark.

use eframe::egui::{self, Key, Modifiers, accesskit::Role};
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use pairtune::engine::protocol::*;
use pairtune::engine::run::warnings::{Action as Offer, Warning, WarningKind};
use pairtune::platform::World;
use serde_json::{Map, Value, json};

use crate::script::{self, Stage, problem};

const RUN: &str = "20260301-tone";

struct Test {
    stage: Stage,
}

impl Test {
    fn new() -> Self {
        Self::sized(1280.0, 720.0)
    }

    fn sized(width: f32, height: f32) -> Self {
        let mut stage = Stage::with_size(script::environment(World::Desktop), Vec::new(), [width, height]);
        stage.harness.ctx.set_theme(egui::Theme::Light);
        stage.say(script::ready());
        Self { stage }
    }

    /// At the run page, with a run that takes steps.
    fn running(steps: usize) -> Self {
        let mut test = Self::new();
        test.say(pair_rows());
        test.say(Event::RunStarted(Box::new(run_info(vec![]))));
        test.page(Key::Num4);
        test.take_steps(steps);
        test
    }

    fn take_steps(&mut self, steps: usize) {
        self.say(evaluated(0, true));
        self.say(Event::Samples { run_id: RUN.into(), step: 0, answers: before() });
        for step in 1..=steps {
            self.stage.queue(step_taken(step));
            if step.is_multiple_of(12) {
                self.stage.queue(evaluated(step, step <= 72));
                let answers = now(step);
                self.stage.queue(Event::Samples { run_id: RUN.into(), step, answers });
            }
        }
        self.say(Event::Saved { run_id: RUN.into(), step: steps, bytes: 38_000_000, seconds: 0.4 });
    }

    fn paused(steps: usize) -> Self {
        let mut test = Self::running(steps);
        test.say(Event::Paused { run_id: RUN.into(), step: steps });
        test
    }

    fn say(&mut self, said: Event) {
        self.stage.queue(said);
        self.stage.harness.run_steps(3);
    }

    /// The engine says no to what was asked of a run.
    fn refuse(&mut self) {
        self.say(Event::Refused { subject: Subject::Run, problem: problem("Not now", "Try later") });
    }

    fn page(&mut self, key: Key) {
        self.stage.harness.key_press_modifiers(Modifiers::ALT, key);
        self.stage.harness.run_steps(3);
    }

    #[track_caller]
    fn click(&mut self, label: &str) {
        let all: Vec<_> = self.stage.harness.get_all_by_label(label).collect();
        let clickable = |role| !matches!(role, Role::Label | Role::Heading);
        let found = all.iter().find(|node| clickable(node.accesskit_node().role()));
        let node = found.unwrap_or_else(|| panic!("nothing to click is called {label:?}"));
        node.scroll_to_me();
        node.click_accesskit();
        drop(all);
        self.stage.harness.run_steps(4);
        self.stage.harness.check_accessibility();
    }

    #[track_caller]
    fn sees(&self, text: &str) {
        assert!(self.has(text), "{text:?} is not shown");
    }

    fn has(&self, text: &str) -> bool {
        self.stage.shows(text)
    }

    /// The commands since the last time.
    fn sent(&self) -> Vec<Command> {
        let sent = self.stage.sent();
        let asked = |command: &Command| {
            !matches!(command, Command::Library(LibraryCommand::List | LibraryCommand::MeasureStorage))
        };
        sent.into_iter()
            .filter(|command| asked(command) && !matches!(command, Command::Plan(PlanCommand::Estimate { .. })))
            .collect()
    }

    #[track_caller]
    fn sends(&self, command: Command) {
        let sent = self.sent();
        assert!(sent.contains(&command), "{command:?} was not sent, but {sent:?}");
    }

    /// Draws what is shown, if that is wanted.
    fn shot(&mut self, name: &str) {
        self.stage.harness.check_accessibility();
        let Some(folder) = std::env::var_os("PAIRTUNE_SHOTS") else { return };
        for (theme, suffix) in [(egui::Theme::Light, "light"), (egui::Theme::Dark, "dark")] {
            self.stage.harness.ctx.set_theme(theme);
            self.stage.harness.run_steps(3);
            let image = self.stage.harness.render().expect("drawn");
            let path = std::path::Path::new(&folder).join(format!("run-{name}-{suffix}.png"));
            image.save(path).expect("saved");
        }
        self.stage.harness.ctx.set_theme(egui::Theme::Light);
    }
}

fn map(value: Value) -> Map<String, Value> {
    value.as_object().cloned().expect("an object")
}

fn record() -> RunRecord {
    RunRecord {
        run_id: RUN.into(),
        name: "tone-v2".into(),
        notes: String::new(),
        status: Status::Running,
        created: 1_772_000_000.0,
        seconds: 0.0,
        step_seconds: None,
        round_seconds: None,
        model: ModelSource::Demo,
        model_name: "Qwen3-0.6B".into(),
        model_bytes: 1_192_000_000,
        licence: None,
        pairs_name: "tone.jsonl".into(),
        chat: Chat::default(),
        settings: map(json!({
            "beta": 0.1, "learning_rate": 5e-5, "num_train_epochs": 1.0, "max_steps": -1, "r": 16,
            "loss_type": ["sigmoid"], "per_device_train_batch_size": 4, "gradient_accumulation_steps": 1,
        })),
        inputs: Inputs::default(),
        watch: Watch { eval_steps: 12, keep_best: true, prompts: prompts(), save_seconds: 60.0, ..Watch::default() },
        step: 0,
        n_steps: 278,
        checkpoint: Some("checkpoint-80".into()),
        best_step: None,
        best: None,
        won: None,
        n_held_out: 30,
        longer_wins: 0.62,
        likelier_wins: Some(0.57),
        sparkline: (0..40).map(|i| 0.69 - 0.008 * f64::from(i)).collect(),
        bytes: 120_000_000,
    }
}

fn prompts() -> Vec<String> {
    vec!["How do I reset my password?".into(), "The parcel is late. What now?".into()]
}

fn answer(text: &str, cut: bool) -> SampleAnswer {
    SampleAnswer { text: text.into(), cut }
}

fn before() -> Vec<SampleAnswer> {
    vec![answer("You can't do that here.", false), answer("Wait for it.", false)]
}

fn now(step: usize) -> Vec<SampleAnswer> {
    let text = format!("Sure! Open Settings, choose Security, then Reset password. (answer of step {step})");
    let second = "Sorry about the wait. I have asked the carrier and will write to you";
    vec![answer(&text, false), answer(second, true)]
}

fn run_info(history: Vec<Metrics>) -> RunInfo {
    RunInfo {
        record: record(),
        history,
        prompts: prompts(),
        samples: vec![],
        warnings: vec![],
        planned_bytes: 2_800_000_000,
        device_bytes: 0,
    }
}

/// Something that looks like noise and is always the same.
fn noise(step: usize) -> f64 {
    let mut x = (step as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((x ^ (x >> 31)) % 1000) as f64 / 1000.0 - 0.5
}

fn metrics_at(step: usize) -> Metrics {
    let t = step as f64 / 100.0;
    let margin = 2.4 * (1.0 - (-t).exp()) + 0.5 * noise(step);
    map(json!({
        "step": step, "epoch": t / 2.78, "loss": 0.693 * (-t).exp() + 0.08 * noise(step + 7).abs(),
        "learning_rate": 5e-5 * (1.0 - step as f64 / 278.0), "grad_norm": 2.0 + noise(step + 3),
        "rewards/margins": margin, "rewards/chosen": -0.2 * t + 0.1 * noise(step + 1),
        "rewards/rejected": -margin - 0.2 * t, "rewards/accuracies": 0.8, "num_tokens": 2100 * step,
    }))
}

fn step_taken(step: usize) -> Event {
    Event::Step { run_id: RUN.into(), metrics: metrics_at(step), seconds: 5.1 + 0.4 * noise(step) }
}

fn evaluated(step: usize, best: bool) -> Event {
    let t = step as f64 / 100.0;
    let metrics = map(json!({
        "step": step, "eval_loss": 0.693 - 0.2 * t, "eval_preference_accuracy": 0.53 + 0.2 * (1.0 - (-2.0 * t).exp()),
        "eval_rewards/margins": 1.6 * (1.0 - (-t).exp()),
    }));
    Event::Evaluated { run_id: RUN.into(), metrics, best }
}

fn pair_rows() -> Event {
    let row = |i: usize| PairRow {
        line: i + 1,
        prompt: format!("Question {i}: can I get a refund for the blue one?"),
        chosen: "Of course. Send it back within 30 days and we refund the price.".into(),
        rejected: "No.".into(),
        // The prompt of one is longer than a table shows.
        chars: [if i == 17 { 900 } else { 45 }, 62, 3],
        flags: vec![],
        skipped: false,
        scores: None,
    };
    Event::PairRows { first: 0, rows: (0..60).map(row).collect() }
}

fn warned(step: usize, action: Offer) -> Event {
    Event::Warned { run_id: RUN.into(), warning: warning(step, action) }
}

fn warning(step: usize, action: Offer) -> Warning {
    let text = "It is getting better mainly by disliking both answers: chosen fell by 12 nats.".into();
    Warning { kind: WarningKind::DislikesBoth, step, text, action }
}

fn phase(phase: Phase, done: u64, total: u64) -> Event {
    let progress = Progress { what: "pairs".into(), done, total, seconds: 12.0 };
    Event::Phase { run_id: RUN.into(), phase, progress }
}

fn summary(improved: bool) -> Event {
    let mut record = record();
    record.status = Status::Finished;
    record.step = 278;
    record.seconds = 1460.0;
    record.best_step = Some(72);
    record.won = Some(if improved { [0.4, 0.8] } else { [0.53, 0.5] });
    let share = |wins, low, high| Some(Share { wins, n: 30, interval: [low, high] });
    Event::Finished(Box::new(Summary {
        record,
        improved,
        before: if improved { share(12, 0.25, 0.58) } else { share(16, 0.36, 0.70) },
        after: if improved { share(24, 0.63, 0.90) } else { share(15, 0.33, 0.67) },
        device_bytes: 2_600_000_000,
        planned_bytes: 2_800_000_000,
    }))
}

fn held_out() -> Vec<HeldOutPair> {
    let pair = |i: usize| {
        let base = [-40.0 - i as f64, -41.0 + 3.0 * noise(i)];
        let gain = 4.0 + 9.0 * noise(i + 5);
        HeldOutPair { index: i, base, tuned: [base[0] + gain, base[1] - gain / 2.0], tokens: [12 + i % 5, 12] }
    };
    (0..30).map(pair).collect()
}

fn resume(settings: Value) -> Command {
    Command::Run(RunCommand::Resume { run_id: RUN.into(), settings: map(settings) })
}

// ---- The run page. ----

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

// ---- Comparing. ----

/// A finished run at the page that compares.
fn comparing() -> Test {
    let mut test = Test::running(72);
    test.say(summary(true));
    test.page(Key::Num5);
    test.sent();
    test
}

fn text_of(test: &mut Test, id: u64, side: usize, piece: &str) {
    test.say(Event::Text { id, side, piece: piece.into(), end: true, tokens: 9, seconds: 1.5 });
}

fn generated(test: &Test) -> GenerateRequest {
    let sent = test.sent();
    let request = sent.iter().find_map(|command| match command {
        Command::Compare(CompareCommand::Generate(request)) => Some((**request).clone()),
        _ => None,
    });
    request.unwrap_or_else(|| panic!("no text was asked for, but {sent:?}"))
}

#[test]
fn both_models_answer_the_same_prompt() {
    let mut test = comparing();
    test.click("Generate");
    let request = generated(&test);
    assert_eq!((request.strengths.as_slice(), request.seed), ([0.0, 1.0].as_slice(), 7));
    assert_eq!(request.prompt, prompts()[0]);
    text_of(&mut test, request.id, 0, "You can not do that here, ask the support.");
    text_of(&mut test, request.id, 1, "Sure, you can do that here: open the settings and reset it.");
    test.sees("Sure, you can do that here");
    test.sees("Tuned, adapter scale 100 %");
    test.sees("12 words, 9 tokens, 6.0 tokens/s");
    assert!(!test.has("Reply") && !test.has("System prompt"), "these pairs are no conversations");
    test.shot("compare-prompts");
}

#[test]
fn a_conversation_goes_on_side_by_side() {
    let mut test = Test::running(72);
    test.say(Event::ModelOpened(Box::new(script::model())));
    test.say(Event::PairsOpened(Box::new(PairsInfo { conversations: true, ..script::pairs(24) })));
    test.say(summary(true));
    test.page(Key::Num5);
    test.sent();
    test.stage.type_into("System prompt", "Be kind.");
    assert!(!test.has("Reply"), "nothing was said yet");
    test.click("Generate");
    let first = generated(&test);
    assert_eq!((first.system.as_str(), first.turns.len()), ("Be kind.", 0));
    text_of(&mut test, first.id, 0, "No.");
    text_of(&mut test, first.id, 1, "Gladly!");
    test.stage.type_into("Prompt", "And tomorrow?");
    test.click("Reply");
    let second = generated(&test);
    let turn = Turn { prompt: first.prompt.clone(), answers: vec!["No.".into(), "Gladly!".into()] };
    assert_eq!((second.prompt.as_str(), second.turns.as_slice()), ("And tomorrow?", [turn.clone()].as_slice()));
    text_of(&mut test, second.id, 0, "Ask the sign.");
    text_of(&mut test, second.id, 1, "At nine, dear guest.");
    test.sees("At nine, dear guest.");
    assert!(test.has("And tomorrow?"), "beside what they answer");
    test.sees("Gladly!");
    test.shot("compare-chat");
    test.stage.type_into("Prompt", "Something else");
    test.click("Generate");
    assert_eq!(generated(&test).turns, [], "a new conversation");
}

#[test]
fn comparing_waits_for_a_pause() {
    let mut test = Test::running(24);
    test.page(Key::Num5);
    test.sees("The run needs the GPU");
    test.shot("compare-busy");
    test.click("Pause");
    test.sends(Command::Run(RunCommand::Pause));
}

#[test]
fn a_stored_run_is_opened_to_compare() {
    let mut test = Test::new();
    test.say(Event::Runs { runs: vec![record()] });
    test.page(Key::Num5);
    test.shot("compare-empty");
    test.sent();
    test.click("Open tone-v2");
    assert_eq!(test.sent(), [Command::Library(LibraryCommand::Open { run_id: RUN.into() })]);
    test.say(Event::RunOpened(Box::new(run_info((1..=80).map(metrics_at).collect()))));
    test.sees("Generate");
}

#[test]
fn held_out_pairs_are_scored_sorted_and_inspected() {
    let mut test = comparing();
    test.click("Pairs");
    test.click("Score 30 held-out pairs");
    assert_eq!(test.sent(), [Command::Compare(CompareCommand::ScoreHeldOut { strength: 1.0 })]);
    test.say(Event::HeldOut { strength: 1.0, pairs: held_out() });
    test.sees("Held-out accuracy ");
    test.sees("always the longer 62 %");
    test.shot("compare-pairs");
    test.click("Score at 50 %");
    assert_eq!(test.sent(), [Command::Compare(CompareCommand::ScoreHeldOut { strength: 0.5 })]);
    test.say(Event::HeldOut { strength: 0.5, pairs: held_out() });
    test.click("Most improved");
    test.click("All");
    test.click("Inspect line 1");
    assert_eq!(test.sent(), [Command::Compare(CompareCommand::InspectPair { index: 0, strength: 1.0 })]);
    let token = |text: &str, base: f32, tuned: f32| TokenChange { text: text.into(), base, tuned };
    let chosen = vec![
        token("Of", -2.0, -0.6),
        token(" course", -0.5, -0.3),
        token(".", -0.4, -0.4),
        token(" Send", -3.0, -1.1),
        token(" it", -1.0, -1.4),
        token(" back", -0.7, -0.5),
        token("\n", -1.0, -0.9),
    ];
    let sides = [chosen, vec![token("No", -1.0, -4.5), token(".", -0.5, -0.6)]];
    let prompt = "Can I get a refund?".into();
    test.say(Event::Inspected(Box::new(Inspection { index: 0, strength: 1.0, prompt, sides, margin: 0.72 })));
    test.sees("Line 1, token by token");
    test.sees("Most of the margin comes from");
    test.sees("Margin +0.720 = beta 0.1 ×");
    test.stage.harness.get_by_label_contains("Most of the margin comes from").scroll_to_me();
    test.stage.harness.run_steps(30);
    test.shot("inspector");
    let slider = test.stage.harness.get_all_by_role(Role::Slider).next().expect("a slider for the adapter scale");
    slider.set_value_accesskit(50.0);
    test.stage.harness.run_steps(3);
    assert!(!test.has("Line 1, token by token"), "it is at another adapter scale");
}

#[test]
fn an_inspected_pair_has_the_name_of_its_row_and_is_brought_into_view() {
    let mut test = comparing();
    let Event::PairRows { first, mut rows } = pair_rows() else { panic!("rows") };
    rows.iter_mut().for_each(|row| row.line += 76);
    test.say(Event::PairRows { first, rows });
    test.click("Pairs");
    test.say(Event::HeldOut { strength: 1.0, pairs: held_out() });
    test.click("All");
    test.click("Inspect line 77");
    test.stage.harness.run_steps(20);
    let work = test.stage.harness.get_by_role_and_label(Role::ProgressIndicator, "Scoring every token");
    let bottom = work.rect().bottom();
    assert!(bottom < 720.0, "the work is seen, not at {bottom}");
    let sides = [0.1, -0.2].map(|tuned| vec![TokenChange { text: "No".into(), base: -1.0, tuned }]);
    let inspection = Inspection { index: 0, strength: 1.0, prompt: "Refund?".into(), sides, margin: 0.1 };
    test.say(Event::Inspected(Box::new(inspection)));
    test.stage.harness.run_steps(20);
    let bottom = test.stage.harness.get_by_label("Line 77, token by token").rect().bottom();
    assert!(bottom < 720.0, "and so is what came of it, not at {bottom}");
    test.stage.harness.get_by_label("Held-out accuracy by adapter scale").scroll_to_me();
    test.stage.harness.run_steps(20);
    let top = test.stage.harness.get_by_label("Line 77, token by token").rect().top();
    assert!(top > bottom, "once: who scrolls away is not brought back");
}

#[test]
fn every_adapter_scale_is_scored_at_a_click() {
    let mut test = comparing();
    test.click("Pairs");
    test.say(Event::HeldOut { strength: 1.0, pairs: held_out() });
    test.click("Score all");
    for strength in [0.25, 0.5] {
        assert_eq!(test.sent(), [Command::Compare(CompareCommand::ScoreHeldOut { strength })], "one after the other");
        test.say(Event::HeldOut { strength, pairs: held_out() });
    }
    assert_eq!(test.sent(), [Command::Compare(CompareCommand::ScoreHeldOut { strength: 0.75 })]);
    test.click("Cancel");
    test.say(Event::Cancelled { subject: Subject::Compare });
    assert_eq!(test.sent(), [Command::Cancel], "and no other");
    test.click("Score all");
    for strength in [0.75, 1.25, 1.5] {
        assert_eq!(test.sent(), [Command::Compare(CompareCommand::ScoreHeldOut { strength })], "those that are left");
        test.say(Event::HeldOut { strength, pairs: held_out() });
    }
    assert_eq!(test.sent(), [], "that was the last");
    assert!(!test.has("Score all"), "nothing is left");
}

#[test]
fn a_blind_test_is_done_by_keys() {
    let mut test = comparing();
    test.click("Blind test");
    test.click("Start the test");
    for (round, key) in [Key::Num1, Key::Num0, Key::Num2].into_iter().enumerate() {
        let request = generated(&test);
        assert_eq!(request.seed, 7 + round as u64, "another seed each time");
        test.stage.harness.key_press(key);
        test.stage.harness.run_steps(3);
        test.sees("Keys: 1 for A"); // No vote before both are written.
        text_of(&mut test, request.id, 0, "You can't.");
        text_of(&mut test, request.id, 1, "Sure, open Settings.");
        if round == 0 {
            assert!(test.stage.harness.query_by_label("tuned").is_none(), "no names before the vote");
            test.shot("blind");
        }
        test.stage.harness.key_press(key);
        test.stage.harness.run_steps(3);
        test.sees("The tuned model wins");
        if round < 2 {
            test.stage.harness.key_press(Key::Space);
            test.stage.harness.run_steps(3);
        }
    }
    test.sees("1 without difference");
    test.shot("blind-votes");
    test.click("Start over");
    test.sees("3 votes, not saved as pairs");
    test.sees("The tuned model wins");
    test.click("Discard them");
    assert!(!test.has("The tuned model wins"), "the votes are gone");
}

/// A blind test of which the first question is answered by both models.
fn blind() -> (Test, GenerateRequest) {
    let mut test = comparing();
    test.click("Blind test");
    test.click("Start the test");
    let request = generated(&test);
    text_of(&mut test, request.id, 0, "You can't.");
    (test, request)
}

fn vote(test: &mut Test) {
    test.stage.harness.key_press(Key::Num1);
    test.stage.harness.run_steps(3);
}

#[test]
fn what_was_not_written_to_its_end_is_not_voted_on() {
    let (mut test, before) = blind();
    test.click("Cancel");
    test.sends(Command::Cancel);
    test.say(Event::Cancelled { subject: Subject::Compare });
    vote(&mut test);
    assert!(!test.has("The tuned model wins"), "one of them has said nothing");
    test.sees("This was not written to its end.");
    test.shot("blind-failed");
    test.click("Write again");
    let again = generated(&test);
    assert_eq!((&again.prompt, again.seed), (&before.prompt, before.seed), "the same question");
}

#[test]
fn votes_stay_with_the_adapter_that_they_are_about() {
    let (mut test, request) = blind();
    text_of(&mut test, request.id, 1, "Sure.");
    vote(&mut test);
    test.sees("The tuned model wins");
    let opened = |run_id: &str, best_step: usize| {
        let record = RunRecord { run_id: run_id.into(), best_step: Some(best_step), ..record() };
        Event::RunOpened(Box::new(RunInfo { record, ..run_info(vec![]) }))
    };
    test.say(opened("another", 72));
    assert!(!test.has("The tuned model wins"), "it is about another run");
    test.say(opened(RUN, 96));
    assert!(!test.has("The tuned model wins"), "another adapter of the run has no votes yet");
    test.sees("Step 72 at adapter scale 100 %: ");
    test.say(opened(RUN, 72));
    test.sees("The tuned model wins");
}

#[test]
fn closing_the_window_on_votes_that_are_not_saved_asks_first() {
    const ASKS: &str = "Your votes are not saved";
    let close = |test: &mut Test| {
        for on in [true, false] {
            crate::close_requested(&mut test.stage, on);
            test.stage.harness.run_steps(2);
        }
    };
    let (mut test, request) = blind();
    text_of(&mut test, request.id, 1, "Sure.");
    vote(&mut test);
    test.page(Key::Num0);
    close(&mut test);
    test.sees(ASKS);
    test.click("Show the votes");
    assert!(!test.has(ASKS), "the dialog is gone");
    test.sees("The tuned model wins");
    close(&mut test);
    test.click("Stay");
    assert!(!test.has(ASKS), "the dialog is gone");
    let (mut test, _) = blind();
    close(&mut test);
    assert!(!test.has(ASKS), "nobody has voted");
}

#[test]
fn an_open_question_outlives_a_look_at_another_run() {
    let (mut test, request) = blind();
    text_of(&mut test, request.id, 1, "Sure.");
    let opened = |run_id: &str| {
        let record = RunRecord { run_id: run_id.into(), best_step: Some(72), ..record() };
        Event::RunOpened(Box::new(RunInfo { record, ..run_info(vec![]) }))
    };
    test.say(opened("another"));
    test.say(opened(RUN));
    vote(&mut test);
    test.sees("The tuned model wins");
    assert_eq!(test.sent(), [], "nothing is written twice");
}

#[test]
fn a_blind_question_is_asked_again_when_the_run_went_on() {
    let mut test = comparing();
    test.click("Blind test");
    test.click("Start the test");
    let before = generated(&test);
    text_of(&mut test, before.id, 0, "You can't.");
    test.say(Event::RunStarted(Box::new(run_info(vec![]))));
    test.say(summary(true));
    test.stage.harness.run_steps(3);
    let after = generated(&test);
    assert_eq!((&after.prompt, after.seed), (&before.prompt, before.seed), "the same question");
    text_of(&mut test, after.id, 0, "You can't.");
    text_of(&mut test, after.id, 1, "Sure.");
    test.stage.harness.key_press(Key::Num1);
    test.stage.harness.run_steps(3);
    test.sees("The tuned model wins");
}

#[test]
fn another_beta_is_tried_on_paper() {
    let mut test = comparing();
    test.say(Event::HeldOut { strength: 1.0, pairs: held_out() });
    test.click("What if");
    test.sees("Not a new training run");
    test.sees("Choose another beta first.");
    let slider = test.stage.harness.get_all_by_role(Role::Slider).next().expect("a slider for beta");
    slider.set_value_accesskit(0.4);
    test.stage.harness.run_steps(3);
    test.sees("Beta 0.400");
    assert!(!test.has("Choose another beta first."), "it was chosen");
    test.sees("Gradient weights of the pairs: ");
    test.shot("what-if");
    test.stage.looks_like("what_if");
    test.sent();
    test.click("Start as a new run with this beta");
    // Its steps are done: without further ones, nothing would be trained.
    assert_eq!(test.sent(), [resume(json!({ "beta": 0.4, "num_train_epochs": 2.0 }))]);
}

// ---- Exporting. ----

#[test]
fn an_export_is_asked_for_and_shows_its_checks() {
    let mut test = Test::running(72);
    test.say(summary(true));
    test.page(Key::Num6);
    test.sees("Best, step 72");
    test.sees("~12.7 MB");
    assert!(!test.has("~1.2 GB"), "no model is open that the run would be merged with");
    test.shot("export");
    test.click("Settings and metrics");
    test.sent();
    test.click("Write files");
    let sent = test.sent();
    let [Command::Export(request)] = sent.as_slice() else { panic!("no export, but {sent:?}") };
    assert_eq!(request.kinds, [ExportKind::Adapter, ExportKind::Metrics]);
    assert_eq!((request.which, request.strength), (WhichAdapter::Best, 1.0));
    assert_eq!(request.folder, "~/Documents/pairtune/tone-v2", "where people look");
    assert!(request.card.contains("held-out accuracy: 40 % before, 80 % after"), "{}", request.card);
    test.sees("Writing and verifying");
    let files = vec![Exported {
        kind: ExportKind::Adapter,
        path: "/home/me/.local/share/pairtune/exports/tone-v2/adapter".into(),
        bytes: 12_700_000,
        check: "Verified: reloaded, logits on 3 prompts differ by 2e-6 at most".into(),
        snippets: vec!["PeftModel.from_pretrained(model, \"tone-v2/adapter\")".into()],
        notes: vec!["vLLM loads it, too.".into()],
    }];
    test.say(Event::Exported { run_id: RUN.into(), files });
    test.sees("logits on 3 prompts");
    test.say(Event::Refused { subject: Subject::Export, problem: problem("The disk is gone", "Try again") });
    test.sees("The rest was not written");
    test.sees("logits on 3 prompts");
    test.stage.harness.get_by_label_contains("logits on 3").scroll_to_me();
    test.stage.harness.run_steps(30);
    test.shot("exported");
    test.click("Copy: PeftModel.from_pretrained(model, \"tone-v2/adapter\")");
    test.sees("vLLM loads it, too.");
    assert!(!test.has("Copy: vLLM"), "a sentence is no command");
}

#[test]
fn the_folder_of_an_export_is_shown() {
    let asked = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let told = asked.clone();
    let mut test = Test { stage: Stage::with_folders(move |path| told.borrow_mut().push(path.to_owned())) };
    test.say(script::ready());
    test.say(Event::RunOpened(Box::new(run_info(vec![]))));
    test.page(Key::Num6);
    let path = "/home/me/Documents/pairtune/tone-v2/adapter".to_owned();
    let (check, snippets, notes) = ("Read again: no difference".into(), vec![], vec![]);
    let file = Exported { kind: ExportKind::Adapter, path: path.clone(), bytes: 9, check, snippets, notes };
    test.say(Event::Exported { run_id: RUN.into(), files: vec![file] });
    test.click("Open folder: Adapter (PEFT)");
    assert_eq!(*asked.borrow(), [path]);
    test.sees("There is no file manager");
}

#[test]
fn exports_go_where_the_last_one_went() {
    let mut test = Test::new();
    let folder = |test: &Test| test.stage.harness.get_by_label("Folder").value().unwrap_or_default();
    test.say(Event::RunOpened(Box::new(run_info(vec![]))));
    test.page(Key::Num6);
    assert_eq!(folder(&test), "~/Documents/pairtune/tone-v2");
    test.stage.type_into("Folder", "/media/usb/first");
    test.click("Write files");
    let another = || {
        let record = RunRecord { run_id: "another".into(), name: "calm".into(), ..record() };
        Event::RunOpened(Box::new(RunInfo { record, ..run_info(vec![]) }))
    };
    test.say(Event::Exported { run_id: RUN.into(), files: Vec::new() });
    test.say(another());
    assert_eq!(folder(&test), "/media/usb/calm", "beside the other");
    let mut test = Test { stage: Stage::again(test.stage.remembered()) };
    test.say(script::ready());
    test.say(another());
    test.page(Key::Num6);
    assert_eq!(folder(&test), "/media/usb/calm", "tomorrow, too");
}

#[test]
fn a_browser_exports_to_downloads_with_names() {
    let mut test = Test { stage: Stage::with_size(script::environment(World::Browser), Vec::new(), [1280.0, 720.0]) };
    test.say(script::ready());
    let record = RunRecord { step: 72, best_step: Some(72), ..record() };
    test.say(Event::RunOpened(Box::new(RunInfo { record, ..run_info(vec![]) })));
    test.page(Key::Num6);
    test.sees("Step 72, the best and the last");
    assert!(!test.has("Last, step 72"), "they are one");
    let file = |kind, name: &str| Exported {
        kind,
        path: format!("exports/1795499163590-tone-v2/{name}"),
        bytes: 12_700_000,
        check: "Verified: reloaded, logits identical on 3 prompts".into(),
        snippets: vec![],
        notes: vec![],
    };
    let files = vec![file(ExportKind::Adapter, "tone-v2-adapter"), file(ExportKind::Archive, "tone-v2.run")];
    test.say(Event::Exported { run_id: RUN.into(), files });
    test.sees("tone-v2-adapter");
    test.sees("Download all");
    assert!(!test.has("1795499163590"), "a place in the storage says nothing");
}

#[test]
fn a_run_is_exported_while_it_goes_on() {
    let mut test = Test::running(24);
    test.page(Key::Num6);
    test.sees("The run goes on meanwhile");
    test.stage.queue(step_taken(25));
    test.stage.harness.run_steps(3);
    test.click("Last, step 25");
    test.stage.queue(step_taken(26));
    test.stage.harness.run_steps(3);
    test.sent();
    test.click("Write files");
    let sent = test.sent();
    let [Command::Export(request)] = sent.as_slice() else { panic!("no export, but {sent:?}") };
    assert_eq!(request.which, WhichAdapter::Last, "what was chosen stays chosen at the next step");
    test.say(Event::Exported { run_id: RUN.into(), files: Vec::new() });
    test.click("Adapter (GGUF)");
    assert!(!test.has("Pause the run to write a merged model"), "an adapter does not need the weights");
    test.click("Whole model (GGUF, Q8_0)");
    test.sees("Pause the run to write a merged model");
    test.click("Whole model (GGUF, Q8_0)");
    test.click("Whole model (safetensors)");
    test.sees("Pause the run to write a merged model");
    test.shot("export-running");
}

#[test]
fn a_failed_export_says_why_and_tries_again() {
    let mut test = Test::running(72);
    test.say(summary(true));
    test.page(Key::Num6);
    test.click("Write files");
    test.sent();
    let problem =
        Problem::new("The folder cannot be written to", "Choose another one", "/media/usb/adapter_model.safetensors");
    test.say(Event::Refused { subject: Subject::Export, problem });
    test.sees("Nothing was written");
    test.sees("/media/usb/adapter_model.safetensors");
    test.shot("export-failed");
    test.click("Try again");
    assert!(matches!(test.sent().as_slice(), [Command::Export(_)]), "once more");
}

// ---- Stored runs. ----

fn stored() -> Vec<RunRecord> {
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

// ---- Room. ----

/// Everything that can be used or read lies between the window's edges.
#[track_caller]
fn fits(test: &Test, page: &str) {
    let width = 640.0;
    for node in test.stage.harness.root().children_recursive() {
        let found = node.accesskit_node();
        // Nodes that are not drawn have no place.
        let Some(bounds) = found.bounding_box() else { continue };
        let name = found.label().or_else(|| found.value()).unwrap_or_default();
        let is_window = matches!(found.role(), Role::Window | Role::GenericContainer);
        assert!(is_window || bounds.x1 <= width + 0.5, "{page}: {:?} {name:?} ends at {bounds:?}", found.role());
    }
}

#[test]
fn nothing_runs_off_a_small_window() {
    let mut test = Test::sized(640.0, 400.0);
    test.say(pair_rows());
    let mut long = record();
    long.name = "a name that somebody made far too long to fit beside the buttons of any window".into();
    test.say(Event::RunStarted(Box::new(RunInfo { record: long, ..run_info(vec![]) })));
    test.page(Key::Num4);
    test.take_steps(84);
    test.say(warned(52, Offer::LowerLearningRate));
    fits(&test, "running");
    test.say(summary(true));
    test.stage.harness.run_steps(3);
    fits(&test, "finished");
    test.page(Key::Num5);
    fits(&test, "prompts");
    test.click("Blind test");
    fits(&test, "blind");
    test.say(Event::HeldOut { strength: 0.25, pairs: held_out() });
    test.click("What if");
    fits(&test, "what if");
    // The table itself scrolls sideways, and needs the adapter scale that is chosen.
    test.click("Pairs");
    test.sees("Held-out accuracy ");
    fits(&test, "scales");
    test.shot("small-scales");
    test.page(Key::Num6);
    fits(&test, "export");
}

#[test]
fn other_pages_fit_large_letters() {
    let mut test = Test::sized(640.0, 360.0);
    let pages = [("start", Key::Num0), ("model", Key::Num1), ("pairs", Key::Num2), ("plan", Key::Num3)];
    for (page, key) in pages.into_iter().chain([("help", Key::F1)]) {
        test.page(key);
        fits(&test, page);
    }
    test.say(Event::Runs { runs: Vec::new() });
    test.page(Key::Num7);
    fits(&test, "runs");
    test.say(Event::ModelOpened(Box::new(script::model())));
    test.stage.say_pairs(24);
    test.say(Event::Planned(Box::new(script::plan())));
    test.say(Event::Runs { runs: stored() });
    // The table itself scrolls sideways.
    test.page(Key::Num2);
    test.click("Lengths");
    for (page, key) in pages {
        test.page(key);
        fits(&test, page);
    }
}

// ---- Pictures. ----

#[test]
fn charts_look_as_they_did() {
    let mut test = Test::running(84);
    test.say(warned(52, Offer::None));
    test.stage.harness.get_by_label_contains("Margin. train: ").scroll_to_me();
    test.stage.harness.run_steps(30);
    test.stage.looks_like("run_charts");
}

#[test]
fn pages_fit_large_windows_and_large_letters() {
    let mut long = record();
    long.name = "a name that somebody made far too long to fit beside the buttons of any window".into();
    for (name, width, height, zoom) in [("large", 2560.0, 1440.0, 1.0), ("zoomed", 1280.0, 720.0, 2.0)] {
        let mut test = Test::sized(width, height);
        test.stage.harness.ctx.set_zoom_factor(zoom);
        test.say(Event::RunStarted(Box::new(RunInfo { record: long.clone(), ..run_info(vec![]) })));
        test.page(Key::Num4);
        test.take_steps(84);
        test.sees("step 84/278");
        test.shot(&format!("{name}-running"));
        test.say(summary(true));
        for (page, key) in [("compare", Key::Num5), ("export", Key::Num6), ("runs", Key::Num7)] {
            test.page(key);
            test.say(Event::Runs { runs: stored() });
            test.shot(&format!("{name}-{page}"));
        }
    }
}
