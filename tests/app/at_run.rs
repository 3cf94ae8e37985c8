//! A stage at the pages of a run, with what an engine says of it.
//!
//! `PAIRTUNE_SHOTS` names a folder into which every state is also drawn, light and dark.

use eframe::egui::{self, Key, Modifiers, accesskit::Role};
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use pairtune::engine::protocol::*;
use pairtune::engine::run::warnings::{Action as Offer, Warning, WarningKind};
use pairtune::platform::World;
use serde_json::{Map, Value, json};

use crate::script::{self, Stage, problem};

pub(crate) const RUN: &str = "20260301-tone";

pub(crate) struct Test {
    pub(crate) stage: Stage,
}

impl Test {
    pub(crate) fn new() -> Self {
        Self::sized(1280.0, 720.0)
    }

    pub(crate) fn sized(width: f32, height: f32) -> Self {
        let mut stage = Stage::with_size(script::environment(World::Desktop), Vec::new(), [width, height]);
        stage.harness.ctx.set_theme(egui::Theme::Light);
        stage.say(script::ready());
        Self { stage }
    }

    /// At the run page, with a run that takes steps.
    pub(crate) fn running(steps: usize) -> Self {
        let mut test = Self::new();
        test.say(pair_rows());
        test.say(Event::RunStarted(Box::new(run_info(vec![]))));
        test.page(Key::Num4);
        test.take_steps(steps);
        test
    }

    pub(crate) fn take_steps(&mut self, steps: usize) {
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

    pub(crate) fn paused(steps: usize) -> Self {
        let mut test = Self::running(steps);
        test.say(Event::Paused { run_id: RUN.into(), step: steps });
        test
    }

    pub(crate) fn say(&mut self, said: Event) {
        self.stage.queue(said);
        self.stage.harness.run_steps(3);
    }

    /// The engine says no to what was asked of a run.
    pub(crate) fn refuse(&mut self) {
        self.say(Event::Refused { subject: Subject::Run, problem: problem("Not now", "Try later") });
    }

    pub(crate) fn page(&mut self, key: Key) {
        self.stage.harness.key_press_modifiers(Modifiers::ALT, key);
        self.stage.harness.run_steps(3);
    }

    #[track_caller]
    pub(crate) fn click(&mut self, label: &str) {
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
    pub(crate) fn sees(&self, text: &str) {
        assert!(self.has(text), "{text:?} is not shown");
    }

    pub(crate) fn has(&self, text: &str) -> bool {
        self.stage.shows(text)
    }

    /// The commands since the last time.
    pub(crate) fn sent(&self) -> Vec<Command> {
        let sent = self.stage.sent();
        let asked = |command: &Command| {
            !matches!(command, Command::Library(LibraryCommand::List | LibraryCommand::MeasureStorage))
        };
        sent.into_iter()
            .filter(|command| asked(command) && !matches!(command, Command::Plan(PlanCommand::Estimate { .. })))
            .collect()
    }

    #[track_caller]
    pub(crate) fn sends(&self, command: Command) {
        let sent = self.sent();
        assert!(sent.contains(&command), "{command:?} was not sent, but {sent:?}");
    }

    /// Draws what is shown, if that is wanted.
    pub(crate) fn shot(&mut self, name: &str) {
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

pub(crate) fn map(value: Value) -> Map<String, Value> {
    value.as_object().cloned().expect("an object")
}

pub(crate) fn record() -> RunRecord {
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

pub(crate) fn prompts() -> Vec<String> {
    vec!["How do I reset my password?".into(), "The parcel is late. What now?".into()]
}

pub(crate) fn answer(text: &str, cut: bool) -> SampleAnswer {
    SampleAnswer { text: text.into(), cut }
}

pub(crate) fn before() -> Vec<SampleAnswer> {
    vec![answer("You can't do that here.", false), answer("Wait for it.", false)]
}

pub(crate) fn now(step: usize) -> Vec<SampleAnswer> {
    let text = format!("Sure! Open Settings, choose Security, then Reset password. (answer of step {step})");
    let second = "Sorry about the wait. I have asked the carrier and will write to you";
    vec![answer(&text, false), answer(second, true)]
}

pub(crate) fn run_info(history: Vec<Metrics>) -> RunInfo {
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
pub(crate) fn noise(step: usize) -> f64 {
    let mut x = (step as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((x ^ (x >> 31)) % 1000) as f64 / 1000.0 - 0.5
}

pub(crate) fn metrics_at(step: usize) -> Metrics {
    let t = step as f64 / 100.0;
    let margin = 2.4 * (1.0 - (-t).exp()) + 0.5 * noise(step);
    map(json!({
        "step": step, "epoch": t / 2.78, "loss": 0.693 * (-t).exp() + 0.08 * noise(step + 7).abs(),
        "learning_rate": 5e-5 * (1.0 - step as f64 / 278.0), "grad_norm": 2.0 + noise(step + 3),
        "rewards/margins": margin, "rewards/chosen": -0.2 * t + 0.1 * noise(step + 1),
        "rewards/rejected": -margin - 0.2 * t, "rewards/accuracies": 0.8, "num_tokens": 2100 * step,
    }))
}

pub(crate) fn step_taken(step: usize) -> Event {
    Event::Step { run_id: RUN.into(), metrics: metrics_at(step), seconds: 5.1 + 0.4 * noise(step) }
}

pub(crate) fn evaluated(step: usize, best: bool) -> Event {
    let t = step as f64 / 100.0;
    let metrics = map(json!({
        "step": step, "eval_loss": 0.693 - 0.2 * t, "eval_preference_accuracy": 0.53 + 0.2 * (1.0 - (-2.0 * t).exp()),
        "eval_rewards/margins": 1.6 * (1.0 - (-t).exp()),
    }));
    Event::Evaluated { run_id: RUN.into(), metrics, best }
}

pub(crate) fn pair_rows() -> Event {
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

pub(crate) fn warned(step: usize, action: Offer) -> Event {
    Event::Warned { run_id: RUN.into(), warning: warning(step, action) }
}

pub(crate) fn warning(step: usize, action: Offer) -> Warning {
    let text = "It is getting better mainly by disliking both answers: chosen fell by 12 nats.".into();
    Warning { kind: WarningKind::DislikesBoth, step, text, action }
}

pub(crate) fn phase(phase: Phase, done: u64, total: u64) -> Event {
    let progress = Progress { what: "pairs".into(), done, total, seconds: 12.0 };
    Event::Phase { run_id: RUN.into(), phase, progress }
}

pub(crate) fn summary(improved: bool) -> Event {
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

pub(crate) fn held_out() -> Vec<HeldOutPair> {
    let pair = |i: usize| {
        let base = [-40.0 - i as f64, -41.0 + 3.0 * noise(i)];
        let gain = 4.0 + 9.0 * noise(i + 5);
        HeldOutPair { index: i, base, tuned: [base[0] + gain, base[1] - gain / 2.0], tokens: [12 + i % 5, 12] }
    };
    (0..30).map(pair).collect()
}

pub(crate) fn resume(settings: Value) -> Command {
    Command::Run(RunCommand::Resume { run_id: RUN.into(), settings: map(settings) })
}
