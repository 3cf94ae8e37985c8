//! The plan: settings of the next run, its needs, and why it cannot begin.

use std::sync::LazyLock;

use super::fold::State;
use super::machine::Connection;
use crate::app::text::notices;
use crate::app::{fields, methods};
use crate::engine::plan::presets::{self, EVAL_SPLIT, Preset};
use crate::engine::protocol::{
    Command, Inputs, Method, PlanCommand, PlanInfo, Problem, RunRecord, Settings, SkipReason, Watch,
};

/// Held-out pairs that are enough for an evaluation where a GPU is missing, and each takes seconds.
pub(crate) const FEW_ENOUGH: usize = 64;

/// Evaluations without a better one after which a run stops unless the user says otherwise.
const PATIENCE: usize = 3;

/// Settings of the next run, and its needs.
#[derive(Debug)]
pub(crate) struct PlanState {
    /// The settings as edited.
    pub(crate) settings: Settings,
    /// The preset that they come from, whatever was changed since; none for the demo's.
    pub(crate) preset: Option<Preset>,
    /// The passes over the pairs that were proposed in place of the preset's own.
    pub(crate) proposed_epochs: Option<f64>,
    /// Settings that suit the rows and the device better than the preset's own, in whose place they stand.
    pub(crate) suited: Settings,
    /// Reasons for them.
    pub(crate) reasons: Vec<String>,
    /// Starting point of the next run, and the rewards that judge its answers.
    pub(crate) inputs: Inputs,
    /// Evaluation, sampling and save options of the next run.
    pub(crate) watch: Watch,
    /// True if the user chose how often to evaluate; otherwise it follows the number of steps.
    pub(crate) watch_edited: bool,
    /// Name of the next run.
    pub(crate) name: String,
    /// Bytes that it may take, if the user set a limit.
    pub(crate) limit: Option<u64>,
    /// The engine's latest plan.
    pub(crate) info: Option<PlanInfo>,
    /// True while a plan is awaited.
    pub(crate) pending: bool,
    /// True if planning was cancelled.
    pub(crate) cancelled: bool,
    /// Why the settings were refused.
    pub(crate) problem: Option<Problem>,
    /// Measurement of two steps.
    pub(crate) trial: Trial,
}

/// Measurement of two steps and of sample answers.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) enum Trial {
    /// Not asked for.
    #[default]
    None,
    /// Under way.
    Running {
        /// The step that began last, from 1; 0 before the first.
        step: usize,
        /// Time when the trial began, on the clock of `now`.
        since: f64,
    },
    /// Measured.
    Done {
        /// Seconds of a step.
        step_seconds: f64,
        /// Bytes on the device, as measured.
        device_bytes: u64,
        /// Bytes on the device, as planned.
        planned_bytes: u64,
    },
}

/// Fate of a row that the planned run does not use whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PlannedFlag {
    /// It loses its end.
    Truncated,
    /// It is skipped.
    Skipped(SkipReason),
}

/// Seconds that the parts of a run take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct RunParts {
    /// Training.
    pub(crate) steps: f64,
    /// The base model's scores of the pairs that are trained on.
    pub(crate) reference: f64,
    /// Scores of the pairs held out.
    pub(crate) evaluations: f64,
    /// Answers to the sample prompts; none if that was not measured.
    pub(crate) answers: Option<f64>,
    /// Number of evaluations, each with answers to the sample prompts.
    pub(crate) rounds: usize,
}

impl RunParts {
    /// Seconds of the whole run, as far as is known.
    pub(crate) fn total(&self) -> f64 {
        self.steps + self.reference + self.round() * self.rounds as f64
    }

    /// Seconds of one evaluation with its sample answers.
    pub(crate) fn round(&self) -> f64 {
        (self.evaluations + self.answers.unwrap_or(0.0)) / self.rounds.max(1) as f64
    }
}

/// Reason why a run cannot begin, which decides the label and the action of the button.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Blocked {
    /// The engine is not there.
    Engine,
    /// There is no GPU.
    NoGpu,
    /// Another tab has the GPU.
    OtherTab,
    /// A run is at work.
    Running,
    /// A race is at work.
    Racing,
    /// A sweep is at work.
    Sweeping,
    /// No model is open.
    Model,
    /// No pairs are open.
    Pairs,
    /// None of the pairs can be used.
    NoUsablePairs,
    /// Some rows have problems, and the user has not accepted that.
    PairProblems(usize),
    /// Something is wrong with the settings, or it would not fit.
    Settings(Problem),
    /// Nothing says what an answer is worth.
    Rewards,
    /// The plan is being worked out.
    Planning,
    /// Working out the plan was cancelled.
    NotPlanned,
}

impl PlanState {
    /// Watch options of the next run until the user changes them.
    fn default_watch() -> Watch {
        Watch { eval_steps: 10, keep_best: true, patience: PATIENCE, save_seconds: 60.0, ..Watch::default() }
    }

    /// Training method of the next run.
    pub(crate) fn method(&self) -> Method {
        methods::method_of(&self.settings)
    }

    /// Default settings of the method.
    fn defaults(&self) -> &'static Settings {
        static DEFAULTS: LazyLock<Vec<(Method, Settings)>> =
            LazyLock::new(|| Method::ALL.map(|method| (method, presets::defaults_of(method))).to_vec());
        let method = self.method();
        &DEFAULTS.iter().find(|(other, _)| *other == method).unwrap_or(&DEFAULTS[0]).1
    }

    /// The value of a setting: as edited, or its default.
    pub(crate) fn value(&self, key: &str) -> Option<&serde_json::Value> {
        self.settings.get(key).or_else(|| self.defaults().get(key))
    }

    /// Settings of the preset without any edits; only DPO has presets.
    pub(crate) fn unchanged(&self) -> Settings {
        let mut settings = self.defaults().clone();
        settings.insert("eval_split".to_owned(), EVAL_SPLIT.into());
        if self.method() != Method::Dpo {
            return settings;
        }
        settings.extend(self.preset.map(presets::overrides).unwrap_or_default());
        settings.extend(self.suited.clone());
        if let Some(epochs) = self.proposed_epochs {
            settings.insert(presets::EPOCHS.to_owned(), epochs.into());
        }
        settings
    }

    /// Settings that differ from their preset.
    pub(crate) fn changes(&self) -> Vec<&'static str> {
        let unchanged = self.unchanged();
        let shown = |value: Option<&serde_json::Value>| fields::shown(value);
        let changed = |key: &&str| shown(self.value(key)) != shown(unchanged.get(*key));
        let keys = fields::of(self.method()).map(|(key, _)| key);
        keys.filter(changed).filter(|_| self.preset.is_some()).collect()
    }

    /// The value of a setting as long as nobody changes it, whatever the preset.
    pub(crate) fn default_of(&self, key: &str) -> serde_json::Value {
        if key == "eval_split" { EVAL_SPLIT.into() } else { self.defaults().get(key).cloned().unwrap_or_default() }
    }

    /// True if `value` is the default of this setting.
    pub(crate) fn is_default(&self, key: &str, value: &serde_json::Value) -> bool {
        fields::shown(self.defaults().get(key)) == fields::shown(Some(value))
    }

    /// Longest sequence, in tokens.
    pub(crate) fn max_length(&self) -> usize {
        self.value("max_length").and_then(serde_json::Value::as_u64).unwrap_or(1024) as usize
    }

    /// Held-out pairs of an evaluation.
    pub(crate) fn evaluated(&self, info: &PlanInfo) -> usize {
        match self.watch.max_eval_pairs {
            0 => info.held_out.len(),
            most => most.min(info.held_out.len()),
        }
    }

    /// Estimates the seconds of the run's parts, if a step was measured.
    pub(crate) fn run_parts(&self) -> Option<RunParts> {
        let info = self.info.as_ref()?;
        Some(self.parts_by(info, info.step_seconds?, info.answers_seconds))
    }

    /// Rows of a step.
    fn rows_each(&self) -> usize {
        let number = |key: &str| self.value(key).and_then(serde_json::Value::as_u64).unwrap_or(1).max(1) as usize;
        number("per_device_train_batch_size") * number("gradient_accumulation_steps")
    }

    /// Seconds of scoring a row, by those of a step.
    fn row_seconds(&self, step: f64) -> f64 {
        let rows = self.rows_each();
        // A step is a forward pass and a backward pass, which takes twice as long. If the method writes answers, its
        // step is mostly writing.
        step / (if self.method().is_online() { rows } else { 3 * rows }) as f64
    }

    /// Seconds of the run's parts by those of a step, and of answering every sample prompt once if that is known.
    fn parts_by(&self, info: &PlanInfo, step: f64, answers: Option<f64>) -> RunParts {
        let (n_steps, pairs_each, pair, method) =
            (info.n_steps, self.rows_each(), self.row_seconds(step), self.method());
        // Methods that write answers score the reference within their steps.
        let has_reference = matches!(method, Method::Dpo | Method::Kto);
        let scored = if has_reference { info.n_train.min(n_steps * pairs_each) } else { 0 };
        let between = n_steps.saturating_sub(1).checked_div(self.watch.eval_steps).unwrap_or(0);
        // Evaluations between the steps, plus one of the base model and one at the end.
        let rounds = between + 2;
        let answers = match answers_prompts(&self.watch) {
            false => Some(0.0),
            true => answers.map(|seconds| seconds * rounds as f64),
        };
        RunParts {
            steps: step * n_steps as f64,
            reference: pair * scored as f64,
            evaluations: pair * (rounds * self.evaluated(info)) as f64,
            answers,
            rounds,
        }
    }

    /// True if a run had the same settings as far as they decide the time of a step.
    fn is_timed_like(&self, record: &RunRecord) -> bool {
        /// Settings that decide the time of a step, beside the method.
        const KEYS: [&str; 10] = [
            "per_device_train_batch_size",
            "gradient_accumulation_steps",
            "max_length",
            "r",
            "gradient_checkpointing",
            "load_in",
            "fp16",
            "num_generations",
            "max_completion_length",
            "response_length",
        ];
        let of_run = |key: &str| record.settings.get(key).or_else(|| self.defaults().get(key));
        let is_same = |key: &str| fields::shown(self.value(key)) == fields::shown(of_run(key));
        methods::method_of(&record.settings) == self.method() && KEYS.into_iter().all(is_same)
    }
}

/// True if sample prompts are answered.
fn answers_prompts(watch: &Watch) -> bool {
    !watch.no_samples && !watch.prompts.is_empty()
}

impl Default for PlanState {
    fn default() -> Self {
        Self {
            settings: Settings::new(),
            preset: Some(Preset::Standard),
            proposed_epochs: None,
            suited: Settings::new(),
            reasons: Vec::new(),
            inputs: Inputs::default(),
            watch: Self::default_watch(),
            watch_edited: false,
            name: String::new(),
            limit: None,
            info: None,
            pending: false,
            cancelled: false,
            problem: None,
            trial: Trial::None,
        }
    }
}

impl State {
    /// The engine's plan, as long as there are a model and pairs that it can be about.
    pub(crate) fn plan_info(&self) -> Option<&PlanInfo> {
        let both = self.open_model().is_some() && self.pairs.info.is_some();
        self.plan.info.as_ref().filter(|_| both)
    }

    /// The plan, if it has figures; a plan for settings that cannot be read has none.
    pub(crate) fn figures(&self) -> Option<&PlanInfo> {
        self.plan_info().filter(|info| info.n_train > 0)
    }

    /// Guesses the seconds of a step and of the planned run's parts, where no step was measured: by the newest stored
    /// run of the same model with the same settings, as far as they decide the time.
    pub(crate) fn guessed_parts(&self) -> Option<(&RunRecord, f64, RunParts)> {
        let (info, plan) = (self.figures().filter(|info| info.step_seconds.is_none())?, &self.plan);
        let model = &self.open_model()?.name;
        let is_like = |run: &&RunRecord| &run.model_name == model && plan.is_timed_like(run);
        let (run, step) = self.runs.iter().flatten().filter(is_like).find_map(|run| Some((run, run.step_seconds?)))?;
        // The rest of an evaluation, after its scores, was the answers.
        let scores = plan.row_seconds(step) * run.n_held_out as f64;
        let answers = run.round_seconds.filter(|_| answers_prompts(&run.watch)).map(|round| (round - scores).max(0.0));
        Some((run, step, plan.parts_by(info, step, answers)))
    }

    /// True for a row that is held out to be scored, and not trained on.
    pub(crate) fn holds_out(&self, row: usize) -> bool {
        self.figures().is_some_and(|plan| plan.held_out.binary_search(&row).is_ok())
    }

    /// Asks for a trial of the planned run.
    pub(crate) fn trial_of_plan(&self) -> Command {
        let watch = &self.plan.watch;
        let prompts = watch.prompts.iter().filter(|prompt| !watch.no_samples && !prompt.trim().is_empty());
        Command::Plan(PlanCommand::Trial { settings: self.plan.settings.clone(), prompts: prompts.cloned().collect() })
    }

    /// A row's fate in the planned run; none if it is used whole.
    pub(crate) fn planned_flag(&self, row: usize) -> Option<PlannedFlag> {
        let plan = self.figures()?;
        if let Ok(at) = plan.dropped.binary_search_by_key(&row, |(row, _)| *row) {
            return Some(PlannedFlag::Skipped(plan.dropped[at].1));
        }
        plan.truncated.binary_search(&row).is_ok().then_some(PlannedFlag::Truncated)
    }

    /// Rows of the planned run with this fate, in order.
    pub(crate) fn planned_rows(&self, flag: PlannedFlag) -> Vec<usize> {
        let Some(plan) = self.figures() else { return Vec::new() };
        match flag {
            PlannedFlag::Truncated => plan.truncated.clone(),
            PlannedFlag::Skipped(reason) => {
                plan.dropped.iter().filter(|(_, why)| *why == reason).map(|(row, _)| *row).collect()
            }
        }
    }

    /// Fates of rows in the planned run, each with its number of rows.
    pub(crate) fn planned_flags(&self) -> Vec<(PlannedFlag, usize)> {
        let reasons = [
            SkipReason::PromptTooLong,
            SkipReason::TooLong,
            SkipReason::Template,
            SkipReason::Nothing,
            SkipReason::Unwanted,
        ];
        let all = std::iter::once(PlannedFlag::Truncated).chain(reasons.map(PlannedFlag::Skipped));
        all.map(|flag| (flag, self.planned_rows(flag).len())).filter(|(_, n)| *n > 0).collect()
    }

    /// Bytes on the device that a run may take: as the user set, or as is known.
    pub(crate) fn memory_limit(&self) -> Option<u64> {
        let planned = self.plan_info().and_then(|plan| plan.limit);
        let device = self.gpu().and_then(|gpu| gpu.as_ref().ok()).and_then(|gpu| gpu.memory);
        self.plan.limit.or(planned).or(device)
    }

    /// Reason why nothing can be trained now on the open model and pairs, if any, whatever the settings.
    pub(crate) fn training_blocked(&self) -> Option<Blocked> {
        match &self.connection {
            Connection::Ready(ready) if ready.gpu.is_err() => return Some(Blocked::NoGpu),
            Connection::Ready(_) => {}
            _ => return Some(Blocked::Engine),
        }
        if self.other_tab {
            return Some(Blocked::OtherTab);
        }
        if self.active_run().is_some() || self.run_pending {
            return Some(Blocked::Running);
        }
        if self.races() {
            return Some(Blocked::Racing);
        }
        if self.sweeps() {
            return Some(Blocked::Sweeping);
        }
        if self.open_model().is_none() {
            return Some(Blocked::Model);
        }
        let Some(pairs) = &self.pairs.info else { return Some(Blocked::Pairs) };
        if pairs.usable <= pairs.skipped {
            return Some(Blocked::NoUsablePairs);
        }
        if pairs.problem_count > 0 && !self.pairs.accepted {
            return Some(Blocked::PairProblems(pairs.problem_count));
        }
        None
    }

    /// Reason why a run cannot begin now, if any, and what to do about it.
    pub(crate) fn start_blocked(&self) -> Option<Blocked> {
        if let Some(blocked) = self.training_blocked() {
            return Some(blocked);
        }
        if let Some(problem) = &self.plan.problem {
            return Some(Blocked::Settings(problem.clone()));
        }
        if self.plan.method().is_online() && self.plan.inputs.rewards.is_empty() {
            return Some(Blocked::Rewards);
        }
        match &self.plan.info {
            Some(plan) => plan.blocked.clone().map(Blocked::Settings),
            None if self.plan.cancelled => Some(Blocked::NotPlanned),
            None => Some(Blocked::Planning),
        }
    }

    /// Stored runs of the open model that have an adapter: either reward models, or models that write.
    pub(crate) fn tuned_runs(&self, reward_models: bool) -> impl Iterator<Item = &RunRecord> {
        let model = self.open_model().map(|model| model.name.as_str());
        self.runs.iter().flatten().filter(move |run| {
            let scores = methods::method_of(&run.settings) == Method::Reward;
            scores == reward_models
                && Some(run.model_name.as_str()) == model
                && (run.checkpoint.is_some() || run.best_step.is_some())
        })
    }

    /// Uses an adapter in the next run: as its starting point, or, if it scores, to judge answers or to train on as a
    /// reward model.
    pub(super) fn take_adapter(&mut self, run_id: String) {
        let scores = self.tuned_runs(true).any(|run| run.run_id == run_id);
        let method = self.plan.method();
        let inputs = &mut self.plan.inputs;
        match (scores, method.is_online()) {
            (true, true) => inputs.rewards.push(Inputs::run_reward(&run_id)),
            (true, false) if method != Method::Reward => {}
            _ => inputs.start_from = Some(run_id),
        }
    }

    pub(super) fn plan_asked(&mut self) {
        self.plan.pending = true;
        self.plan.cancelled = false;
    }

    pub(super) fn planned(&mut self, info: PlanInfo) {
        if self.is_demo() && self.plan.settings.is_empty() {
            self.plan.settings = info.settings.clone();
        }
        if !self.plan.watch_edited {
            // Scoring takes time too, so a short run is evaluated four times, a long one ten times.
            let looks = if info.n_steps <= 100 { 4 } else { 10 };
            self.plan.watch.eval_steps = (info.n_steps / looks).max(5);
            let many = self.gpu().is_some_and(|gpu| gpu.as_ref().is_ok_and(|gpu| gpu.software))
                && !self.is_demo()
                && info.held_out.len() > FEW_ENOUGH;
            self.plan.watch.max_eval_pairs = if many { FEW_ENOUGH } else { 0 };
        }
        // The pairs, which planning reads as tokens, have been read.
        self.pairs.loading = None;
        self.plan.pending = false;
        self.plan.problem = None;
        if info.step_seconds.is_none() && !matches!(self.plan.trial, Trial::Running { .. }) {
            // The trial was measured with other settings.
            self.plan.trial = Trial::None;
        }
        self.plan.info = Some(info);
    }

    pub(super) fn trying(&mut self, begun: usize) {
        if let Trial::Running { step, .. } = &mut self.plan.trial {
            *step = begun;
        }
    }

    pub(super) fn tried(
        &mut self,
        step_seconds: f64,
        answers_seconds: Option<f64>,
        device_bytes: u64,
        planned_bytes: u64,
    ) {
        self.plan.trial = Trial::Done { step_seconds, device_bytes, planned_bytes };
        if let Some(info) = &mut self.plan.info {
            (info.step_seconds, info.answers_seconds) = (Some(step_seconds), answers_seconds);
        }
        self.notice(notices::MEASURED, false);
    }

    pub(super) fn plan_refused(&mut self, problem: Problem) {
        self.plan_ended();
        self.plan.problem = Some(problem);
    }

    pub(super) fn plan_cancelled(&mut self) {
        self.plan_ended();
        self.plan.cancelled = true;
    }

    /// Stops waiting for a plan or a trial, both of which read the pairs as tokens.
    fn plan_ended(&mut self) {
        self.pairs.loading = None;
        self.plan.pending = false;
        self.plan.trial = Trial::None;
    }
}
