//! A scripted engine: it says what a test tells it to say, and keeps what it is told. And samples of what it says.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use eframe::egui::{self, accesskit::Live, accesskit::Role};
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use egui_kittest::{Harness, SnapshotOptions};
use pairtune::Error;
use pairtune::app::App;
use pairtune::engine::protocol::*;
use pairtune::link::{Engine, Incoming};
use pairtune::platform::host::PickedFile;
use pairtune::platform::{Environment, FoundModel, World};
use serde_json::{Map, json};

/// Commands that went in and events that come out, shared with the engine inside of the app.
#[derive(Clone, Default)]
pub(crate) struct Script(Rc<RefCell<Inner>>);

#[derive(Default)]
struct Inner {
    sent: Vec<(Command, Vec<String>)>,
    incoming: VecDeque<Incoming>,
    restarts: usize,
}

impl Engine for Script {
    fn send(&mut self, command: Command, files: Vec<PickedFile>) {
        self.0.borrow_mut().sent.push((command, files.iter().map(PickedFile::name).collect()));
    }

    fn poll(&mut self) -> Option<Incoming> {
        self.0.borrow_mut().incoming.pop_front()
    }

    fn restart(&mut self) {
        self.0.borrow_mut().restarts += 1;
    }
}

/// Storage that an app keeps from one start to the next.
#[derive(Default)]
pub(crate) struct Memory(BTreeMap<String, String>);

impl eframe::Storage for Memory {
    fn get_string(&self, key: &str) -> Option<String> {
        self.0.get(key).cloned()
    }

    fn set_string(&mut self, key: &str, value: String) {
        self.0.insert(key.to_owned(), value);
    }

    fn remove_string(&mut self, key: &str) {
        self.0.remove(key);
    }

    fn flush(&mut self) {}
}

/// The app with a scripted engine.
pub(crate) struct Stage {
    /// Draws and clicks.
    pub(crate) harness: Harness<'static, Option<App>>,
    script: Script,
}

/// `PAIRTUNE_SHOTS=FOLDER` makes every test leave a picture of its last state, to be looked at; with
/// `PAIRTUNE_SHOTS_WIDTHS=1920,2560` also in windows of these widths, light and dark.
impl Drop for Stage {
    fn drop(&mut self) {
        let Some(folder) = std::env::var_os("PAIRTUNE_SHOTS") else { return };
        let test = std::thread::current().name().unwrap_or("test").replace("::", "-");
        let path = std::path::Path::new(&folder).join(format!("{test}.png"));
        match self.harness.render().map(|picture| picture.save(&path)) {
            Ok(Ok(())) => {}
            failed => println!("no picture at {}: {failed:?}", path.display()),
        }
        let widths = std::env::var("PAIRTUNE_SHOTS_WIDTHS").unwrap_or_default();
        for width in widths.split(',').filter_map(|width| width.parse::<f32>().ok()) {
            self.harness.set_size(egui::vec2(width, width * 9.0 / 16.0));
            for theme in [egui::Theme::Light, egui::Theme::Dark] {
                self.harness.ctx.set_theme(theme);
                self.wait(1.0);
                let picture = self.harness.render().expect("the page is drawn");
                picture.save(path.with_extension(format!("{width}.{theme:?}.png"))).expect("the picture is saved");
            }
        }
    }
}

impl Stage {
    /// A desktop window of the usual size; the engine has said nothing.
    pub(crate) fn new() -> Self {
        Self::in_environment(environment(World::Desktop), Vec::new())
    }

    /// An app in another environment, with these models on the computer.
    pub(crate) fn in_environment(environment: Environment, found: Vec<FoundModel>) -> Self {
        Self::with_size(environment, found, [1280.0, 720.0])
    }

    /// An app in a window of this size.
    pub(crate) fn with_size(environment: Environment, found: Vec<FoundModel>, size: [f32; 2]) -> Self {
        Self::with(size, |app| app.with_environment(environment, found))
    }

    /// A page with this behind the `#` of its address; another tab has the GPU unless `claimed`.
    pub(crate) fn at_address(fragment: &'static str, claimed: bool) -> Self {
        Self::with([1280.0, 720.0], move |app| {
            app.with_environment(environment(World::Browser), Vec::new()).with_address(fragment, claimed)
        })
    }

    /// A desktop window whose dialogs answer this, in order; none is a dialog that a person closes.
    pub(crate) fn with_dialogs(answers: Vec<Option<Result<Vec<PickedFile>, Error>>>) -> Self {
        let answers = RefCell::new(VecDeque::from(answers));
        Self::with([1280.0, 720.0], move |app| {
            app.with_environment(environment(World::Desktop), Vec::new()).with_dialogs(Box::new(move |_, _, done| {
                if let Some(answer) = answers.borrow_mut().pop_front().expect("another dialog is foreseen") {
                    done(answer);
                }
            }))
        })
    }

    /// A desktop window that tries plans by itself.
    pub(crate) fn with_trials() -> Self {
        Self::with([1280.0, 720.0], |app| {
            app.with_environment(environment(World::Desktop), Vec::new()).with_trials_after(Some(2.0))
        })
    }

    /// A desktop window without a file manager: folders to show are told instead.
    pub(crate) fn with_folders(told: impl Fn(&str) + 'static) -> Self {
        Self::with([1280.0, 720.0], move |app| {
            app.with_environment(environment(World::Desktop), Vec::new()).with_folders(Box::new(move |path, failed| {
                told(path);
                failed(Error::device("There is no file manager", "Open it by its path"));
            }))
        })
    }

    /// A desktop window that opens these paths at its start.
    pub(crate) fn opening(model: Option<String>, pairs: Option<String>) -> Self {
        Self::with([1280.0, 720.0], move |app| {
            app.with_environment(environment(World::Desktop), Vec::new()).opening(model, pairs)
        })
    }

    /// Returns the storage that the app leaves behind when it is closed.
    pub(crate) fn remembered(&mut self) -> Memory {
        let mut memory = Memory::default();
        let app = self.harness.state_mut().as_mut().expect("there is an app");
        eframe::App::save(app, &mut memory);
        memory
    }

    /// A desktop window that was closed with this before.
    pub(crate) fn again(memory: Memory) -> Self {
        let change = |app: App| app.with_environment(environment(World::Desktop), Vec::new());
        Self::with_memory([1280.0, 720.0], memory, change)
    }

    /// An app in a window of this size, once `change` has seen it.
    fn with(size: [f32; 2], change: impl FnOnce(App) -> App + 'static) -> Self {
        Self::with_memory(size, Memory::default(), change)
    }

    fn with_memory(size: [f32; 2], memory: Memory, change: impl FnOnce(App) -> App + 'static) -> Self {
        let script = Script::default();
        let (engine, mut start) = (script.clone(), Some(change));
        let draw = move |ui: &mut egui::Ui, app: &mut Option<App>| {
            if let Some(change) = start.take() {
                let new = App::new(ui.ctx(), Some(&memory), Box::new(engine.clone()));
                // Drawn from the next frame on, which has its styles.
                *app = Some(change(new.with_trials_after(None)));
                ui.ctx().request_repaint();
            } else if let Some(app) = app {
                app.tick(ui.ctx());
                app.draw(ui);
            }
        };
        let harness = Harness::builder().with_size(size).with_max_steps(12).build_ui_state(draw, None);
        let mut stage = Self { harness, script };
        stage.run();
        stage
    }

    /// An app whose engine is ready.
    pub(crate) fn ready() -> Self {
        let mut stage = Self::new();
        stage.say(ready());
        stage
    }

    /// An app with a model and pairs open and planned.
    pub(crate) fn planned() -> Self {
        let mut stage = Self::ready();
        stage.plan();
        stage
    }

    /// Opens a model and pairs and plans a run, once the engine is ready.
    pub(crate) fn plan(&mut self) {
        self.say(Event::ModelOpened(Box::new(model())));
        self.say_pairs(24);
        self.wait(1.0);
        self.say(Event::Planned(Box::new(plan())));
    }

    /// An app with a run at work, one step done.
    pub(crate) fn running() -> Self {
        let mut stage = Self::planned();
        stage.say(Event::RunStarted(Box::new(run())));
        stage.say(Event::Step { run_id: "r1".into(), metrics: step(1), seconds: 0.5 });
        stage
    }

    /// The engine says something, and the app draws it.
    pub(crate) fn say(&mut self, event: Event) {
        self.queue(event);
        self.run();
    }

    /// The engine says something, which the app draws with its next frame.
    pub(crate) fn queue(&mut self, event: Event) {
        self.script.0.borrow_mut().incoming.push_back(Incoming::Event(Box::new(event)));
    }

    /// The engine opens `n` pairs.
    pub(crate) fn say_pairs(&mut self, n: usize) {
        self.say(Event::PairRows { first: 0, rows: rows(n) });
        self.say(Event::PairsOpened(Box::new(pairs(n))));
    }

    /// The engine is gone.
    pub(crate) fn crash(&mut self, why: &str) {
        self.script.0.borrow_mut().incoming.push_back(Incoming::Crashed(why.to_owned()));
        self.run();
    }

    /// Draws until nothing moves.
    #[track_caller]
    pub(crate) fn run(&mut self) {
        self.harness.run();
    }

    /// Draws for some seconds of egui's clock.
    pub(crate) fn wait(&mut self, seconds: f64) {
        self.harness.run_steps((seconds / 0.25).ceil() as usize + 1);
    }

    /// Clicks what has this name, wherever it is on the page.
    #[track_caller]
    pub(crate) fn click(&mut self, label: &str) {
        self.harness.get_by_label(label).scroll_to_me();
        self.run();
        self.harness.get_by_label(label).click();
        self.run();
    }

    /// Puts a text into the field of this name.
    #[track_caller]
    pub(crate) fn type_into(&mut self, label: &str, text: &str) {
        self.harness.get_by_label(label).scroll_to_me();
        self.run();
        self.harness.get_by_label(label).focus();
        self.harness.get_by_label(label).set_text_value_accesskit(text);
        self.run();
    }

    /// Clicks a page in the rail.
    #[track_caller]
    pub(crate) fn go(&mut self, page: &str) {
        let mut entries = self.harness.query_all_by_role_and_label(Role::Tab, page);
        entries.next().expect("the rail has this page").click();
        drop(entries);
        self.run();
    }

    /// True if something on screen has this in its name or text.
    pub(crate) fn shows(&self, part: &str) -> bool {
        self.harness.query_all_by_label_contains(part).any(|node| node.accesskit_node().role() != Role::Status)
    }

    /// Returns what screen readers were last told to say, by a node that is not on the screen.
    pub(crate) fn said(&self) -> Option<String> {
        let node = self.harness.query_by_role(Role::Status)?.accesskit_node();
        assert_eq!(node.live(), Live::Polite, "they are told of every change");
        node.label()
    }

    /// Expects something on screen that has this in its name or text.
    #[track_caller]
    pub(crate) fn expect(&self, part: &str) {
        assert!(self.shows(part), "the screen shows {part:?}");
    }

    /// Expects the picture `tests/snapshots/NAME.png`; `UPDATE_SNAPSHOTS=1` makes it anew. A clock may differ, a line
    /// of a chart may not.
    #[track_caller]
    pub(crate) fn looks_like(&mut self, name: &str) {
        let options = SnapshotOptions::new().threshold(6.0).max_failed_pixels(600);
        self.harness.snapshot_options(name, &options);
    }

    /// Returns the commands that were sent since the last call.
    pub(crate) fn sent(&self) -> Vec<Command> {
        self.sent_with_files().into_iter().map(|(command, _)| command).collect()
    }

    /// Returns the commands that were sent since the last call, with the names of their files.
    pub(crate) fn sent_with_files(&self) -> Vec<(Command, Vec<String>)> {
        std::mem::take(&mut self.script.0.borrow_mut().sent)
    }

    /// Number of times that the engine was started anew.
    pub(crate) fn restarts(&self) -> usize {
        self.script.0.borrow().restarts
    }
}

/// Environment of an app in a window or in a page.
pub(crate) fn environment(world: World) -> Environment {
    let browser = if world == World::Browser { "Chromium 141" } else { "" };
    Environment {
        world,
        browser: browser.to_owned(),
        system: "Linux".to_owned(),
        webgpu: true,
        secure: true,
        online: true,
        asks_to_notify: false,
        policy: String::new(),
    }
}

pub(crate) fn gpu() -> GpuInfo {
    GpuInfo {
        name: "Apple M3".into(),
        backend: Backend::Metal,
        software: false,
        max_buffer_size: 4_000_000_000,
        features: vec!["shader-f16".into(), "subgroups".into()],
        memory: Some(6_000_000_000),
        report: "adapter: Apple M3\ndriver: Metal 3".into(),
    }
}

pub(crate) fn problem(what: &str, fix: &str) -> Problem {
    Problem::new(what, fix, "")
}

pub(crate) fn ready() -> Event {
    ready_with(Ok(gpu()))
}

pub(crate) fn ready_with(gpu: Result<GpuInfo, Problem>) -> Event {
    let storage = "~/.local/share/pairtune".to_owned();
    Event::Ready(Box::new(Ready { build: BUILD.to_owned(), gpu, storage, storage_problem: None }))
}

pub(crate) fn progress(what: &str, done: u64, total: u64) -> Progress {
    Progress { what: what.into(), done, total, seconds: 4.0 }
}

/// A template that asks whether to think.
pub(crate) fn chat() -> ChatInfo {
    let own =
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}{% if enable_thinking %}<think>{% endif %}";
    ChatInfo { template: Some(own.into()), own: Some(own.into()), kwargs: Map::new(), thinks: true }
}

pub(crate) fn model() -> ModelInfo {
    ModelInfo {
        name: "Qwen3-0.6B".into(),
        source: ModelSource::Picked { name: "Qwen3-0.6B".into(), path: Some("/models/Qwen3-0.6B".into()) },
        model_type: "qwen3".into(),
        family: "Qwen 3".into(),
        ollama_adapter: false,
        parameters: 596_000_000,
        weight_bytes: 1_192_000_000,
        layers: 28,
        max_positions: 40_960,
        vocab_size: 151_936,
        chat: chat(),
        licence: Some("apache-2.0".into()),
        least_bytes: 1_700_000_000,
    }
}

pub(crate) fn demo_model() -> ModelInfo {
    ModelInfo {
        name: "demo".into(),
        source: ModelSource::Demo,
        model_type: "llama".into(),
        family: "Llama".into(),
        ollama_adapter: true,
        parameters: 1_200_000,
        weight_bytes: 2_400_000,
        least_bytes: 20_000_000,
        ..model()
    }
}

/// Usable rows of a pairs file.
pub(crate) fn rows(n: usize) -> Vec<PairRow> {
    let prompt = |i: usize| format!("How do I reset my password? (case {})", i + 1);
    let row = |i: usize| PairRow {
        line: i + 1,
        prompt: prompt(i),
        chosen: "Sure. Open Settings, choose Security, then Reset password; a mail with a link follows.".into(),
        rejected: "You can't do that here.".into(),
        chars: [prompt(i).chars().count(), 86, 23],
        flags: if i % 7 == 3 { vec!["long".into()] } else { Vec::new() },
        skipped: false,
        scores: None,
    };
    (0..n).map(row).collect()
}

pub(crate) fn pairs(n: usize) -> PairsInfo {
    PairsInfo {
        name: "tone.jsonl".into(),
        bytes: 120_000,
        lines: n,
        usable: n,
        beyond: 0,
        skipped: 0,
        problems: Vec::new(),
        problem_count: 0,
        problem_kinds: Vec::new(),
        purpose: None,
        kind: Kind::Pairs,
        shape: None,
        mapping: Mapping {
            prompt: "instruction".into(),
            chosen: "accepted".into(),
            rejected: "rejected".into(),
            system: String::new(),
        },
        columns: vec!["instruction".into(), "accepted".into(), "rejected".into(), "note".into()],
        swapped: false,
        edits: 0,
        to_make: 0,
        flags: vec![("long".into(), 3)],
        longer_wins: 0.81,
        conversations: false,
    }
}

/// A part of a row that is plain text.
pub(crate) fn passage(text: &str) -> Vec<Passage> {
    vec![Passage { role: None, text: text.to_owned(), editable: true }]
}

/// A pairs file of which six rows cannot be used.
pub(crate) fn pairs_with_problems(n: usize) -> PairsInfo {
    let bad = |line: usize| LineProblem {
        line,
        what: "\"rejected\" is missing".into(),
        fix: "Add it, or map another column to it".into(),
        excerpt: "{\"instruction\": \"Refund?\", \"accepted\": \"Sorry to hear that.\"}".into(),
    };
    let kinds = vec![ProblemKind { count: 6, lines: (77..83).collect(), first: bad(77) }];
    let problems = (0..6).map(|i| bad(77 + i)).collect();
    PairsInfo { lines: n + 6, problems, problem_count: 6, problem_kinds: kinds, ..pairs(n) }
}

fn settings(value: serde_json::Value) -> Settings {
    value.as_object().cloned().unwrap_or_default()
}

/// Every setting, with its default.
pub(crate) fn full_settings() -> Settings {
    settings(json!({
        "beta": 0.1, "loss_type": ["sigmoid"], "loss_weights": null, "label_smoothing": 0.0, "learning_rate": 2e-5,
        "lr_scheduler_type": "cosine", "warmup_steps": 0.1, "weight_decay": 0.0, "adam_beta1": 0.9,
        "adam_beta2": 0.999, "adam_epsilon": 1e-8, "max_grad_norm": 1.0, "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 4, "max_length": 1024, "max_steps": -1, "num_train_epochs": 1.0, "seed": 42,
        "train_sampling_strategy": "random", "r": 16, "lora_alpha": 32.0, "target_modules": "all-linear",
        "use_rslora": false, "reference": "base", "eval_split": 0.1, "load_in": "stored",
        "gradient_checkpointing": false, "save_steps": 0,
    }))
}

pub(crate) fn plan() -> PlanInfo {
    PlanInfo {
        settings: settings(json!({"beta": 0.1, "eval_split": 0.1})),
        full_settings: full_settings(),
        blocked: None,
        n_train: 267,
        held_out: (0..300).step_by(10).collect(),
        truncated: vec![1, 3, 5, 7],
        dropped: Vec::new(),
        n_steps: 278,
        lengths: (0..297).map(|i| 40 + (i * i * 7) % 400 + if i % 40 == 0 { 500 } else { 0 }).collect(),
        memory: [1_200_000_000, 100_000_000, 900_000_000, 600_000_000],
        models: Vec::new(),
        limit: Some(6_000_000_000),
        fixes: Vec::new(),
        suited: Vec::new(),
        step_seconds: None,
        answers_seconds: None,
        checkpoint_bytes: 40_000_000,
        checks: vec![
            Check { good: true, text: "The pairs are fine".into() },
            Check { good: false, text: "The preferred answer is longer in 81 % of the pairs".into() },
        ],
    }
}

/// A plan that needs more memory than there is.
pub(crate) fn plan_that_does_not_fit() -> PlanInfo {
    let fix = |label: &str, key: &str, value: serde_json::Value, saves: u64| Fix {
        label: label.into(),
        settings: Settings::from_iter([(key.to_owned(), value)]),
        saves,
    };
    PlanInfo {
        memory: [1_200_000_000, 100_000_000, 4_900_000_000, 2_600_000_000],
        blocked: Some(problem("It needs 8.8 GB, this GPU has 6.0 GB", "Apply one of the fixes")),
        fixes: vec![
            fix("Max tokens 1024 → 384", "max_length", json!(384), 3_700_000_000),
            fix("Recompute activations", "gradient_checkpointing", json!(true), 2_900_000_000),
        ],
        ..plan()
    }
}

pub(crate) fn record(run_id: &str, name: &str, status: Status) -> RunRecord {
    RunRecord {
        run_id: run_id.into(),
        name: name.into(),
        notes: String::new(),
        status,
        created: 1_780_000_000.0,
        seconds: 440.0,
        step_seconds: None,
        round_seconds: None,
        model: ModelSource::Demo,
        model_name: "Qwen3-0.6B".into(),
        model_bytes: 1_192_000_000,
        licence: None,
        pairs_name: "tone.jsonl".into(),
        chat: Chat::default(),
        settings: full_settings(),
        inputs: Inputs::default(),
        watch: Watch { eval_steps: 10, keep_best: true, save_seconds: 60.0, ..Watch::default() },
        step: 120,
        n_steps: 300,
        checkpoint: Some("checkpoint-120".into()),
        best_step: Some(100),
        best: None,
        won: Some([0.53, 0.71]),
        n_held_out: 30,
        longer_wins: 0.62,
        likelier_wins: None,
        sparkline: vec![0.69, 0.66, 0.6, 0.55, 0.5],
        bytes: 80_000_000,
    }
}

/// A run as it begins.
pub(crate) fn run() -> RunInfo {
    let record = RunRecord { step: 0, n_steps: 278, seconds: 0.0, won: None, ..record("r1", "tone", Status::Running) };
    RunInfo {
        record,
        history: Vec::new(),
        prompts: vec!["How do I reset my password?".into()],
        samples: Vec::new(),
        warnings: Vec::new(),
        planned_bytes: 0,
        device_bytes: 0,
    }
}

/// The metrics of a step.
pub(crate) fn step(n: usize) -> Metrics {
    let t = n as f64;
    let metrics = json!({
        "step": n, "epoch": t / 278.0, "loss": 0.693 * (-t / 120.0).exp() + 0.05, "learning_rate": 2e-5,
        "grad_norm": 1.0 + (t * 0.7).sin() * 0.2, "num_tokens": t * 3200.0, "rewards/chosen": t * 0.002,
        "rewards/rejected": -t * 0.006, "rewards/margins": t * 0.008, "rewards/accuracies": (0.5 + t * 0.003).min(0.95),
        "logps/chosen": -80.0 - t * 0.05, "logps/rejected": -90.0 - t * 0.3,
    });
    settings(metrics)
}
