//! Early warnings of a run that goes wrong, as a fold over its metrics.
//!
//! The same metrics in the same order give the same warnings, so a run that is resumed replays its log to get its
//! [`Watcher`] back. Every kind is told once, and again only after it has been gone for a while. The thresholds are
//! first guesses, each named below.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::data::{Kind, Method, counted};
use crate::engine::run::trend::{Series, mean, repeated_share};
use crate::engine::stats::{median, wilson_interval};

/// One warning, for a chip on the chart at its step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Warning {
    /// Rule that spoke.
    pub kind: WarningKind,
    /// Optimiser step; 0 before the start.
    pub step: usize,
    /// One plain sentence.
    pub text: String,
    /// Remedy to offer.
    pub action: Action,
}

/// The rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WarningKind {
    /// Fewer than [`FEW_HELD_OUT`] pairs are held out.
    FewHeldOut,
    /// More than [`MANY_TRUNCATED`] of the pairs are truncated.
    ManyTruncated,
    /// Each pair is seen more than [`MANY_PASSES`] times.
    ManyPasses,
    /// The base model prefers the rejected answers.
    #[serde(rename = "exchanged")]
    Swapped,
    /// Loss or gradient is not a finite number.
    NotFinite,
    /// The first loss is not what an untrained adapter has.
    WrongFirstLoss,
    /// The loss stays above what it was before training.
    HighLoss,
    /// The loss leaps above what is usual in this run.
    LossJump,
    /// The gradient leaps above what is usual in this run.
    GradientJump,
    /// Held-out pairs get worse while training pairs get better.
    Overfitting,
    /// The chosen answers become less likely too.
    DislikesBoth,
    /// Nearly every training pair is won too early.
    TooEasy,
    /// The pairs are told apart so surely that nothing is left to learn.
    Saturated,
    /// The model has become much surer of every token.
    EntropyCollapse,
    /// Sampled answers repeat themselves.
    Repetition,
    /// Steps take much longer than usual.
    SlowSteps,
    /// The GPU was lost, and the run went on by itself; told by the run, for no metric shows it.
    DeviceLost,
    /// The run stopped because no evaluation was better for as long as it may take; told by the run, which stops then.
    StoppedEarly,
}

/// Remedy that a warning offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Nothing; it is good to know.
    None,
    /// Go on from the last good state with a third of the learning rate.
    LowerLearningRate,
    /// Stop and save, with the best state.
    StopAtBest,
    /// Show the pairs as the model sees them.
    InspectPairs,
    /// Add a share of plain learning of the chosen answers to the loss.
    AddSft,
    /// Hold out more pairs.
    HoldOutMore,
    /// Raise max length.
    RaiseMaxLength,
}

impl Action {
    /// The words of its button; empty if there is none.
    pub fn label(self) -> &'static str {
        match self {
            Self::None => "",
            Self::LowerLearningRate => "Lower the learning rate",
            Self::StopAtBest => "Stop and save",
            Self::InspectPairs => "Inspect the pairs",
            Self::AddSft => "Add an SFT term",
            Self::HoldOutMore => "Hold out more pairs",
            Self::RaiseMaxLength => "Raise max length",
        }
    }
}

/// Facts of a run that the rules need before it starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Training method.
    pub method: Method,
    /// Pairs held out.
    pub n_held_out: usize,
    /// Pairs, of all `n_pairs`, that are longer than max length.
    pub n_truncated: usize,
    /// Pairs.
    pub n_pairs: usize,
    /// Optimiser steps of the run.
    pub n_steps: usize,
    /// Times that the run sees each pair that it trains on.
    pub passes: f64,
    /// The run's beta, which turns rewards into nats.
    pub beta: f64,
    /// Loss of an adapter that changes nothing yet: `ln 2` for `sigmoid`; none where it is not known, or where the run
    /// starts from an adapter that is not its own reference.
    pub expected_first_loss: Option<f64>,
}

/// Held-out pairs below which a share of them says little.
pub const FEW_HELD_OUT: usize = 20;
/// Share of truncated pairs above which a warning is due.
pub const MANY_TRUNCATED: f64 = 0.05;
/// Times that a pair may be seen, above which the run is taken to learn by heart: no preset suggests more.
pub const MANY_PASSES: f64 = 8.0;
/// Share of pairs whose chosen answer the base model prefers, below which chosen and rejected look swapped.
pub const SWAPPED: f64 = 0.15;
/// Fewer pairs than this do not tell.
pub const SWAPPED_PAIRS: usize = 20;
/// Largest difference between the first loss and the expected one.
pub const FIRST_LOSS_TOLERANCE: f64 = 1e-3;
/// A loss is high above this many times the first: 1.0 for `sigmoid`.
pub const HIGH_LOSS: f64 = std::f64::consts::LOG2_E;
/// Steps in a row that a loss must be high.
pub const HIGH_LOSS_STEPS: usize = 20;
/// Multiple of the usual loss that counts as a leap, if the loss is also above that of the start.
pub const LOSS_JUMP: f64 = 3.0;
/// Multiple of the usual gradient norm that counts as a leap, if the norm is also above that of the start.
pub const GRADIENT_JUMP: f64 = 10.0;
/// Multiple of the usual seconds that counts as slow.
pub const SLOW_STEPS: f64 = 3.0;
/// Evaluations in a row that must each be worse than the one before.
pub const WORSE_EVALUATIONS: usize = 3;
/// Least fall of held-out accuracy, all in all, that counts.
pub const ACCURACY_FALL: f64 = 0.03;
/// Least fall of the held-out margin, all in all and as a share of its best, that counts.
pub const MARGIN_FALL: f64 = 0.1;
/// Nats that the chosen answers may lose against the reference, on average.
pub const CHOSEN_FALL: f64 = 10.0;
/// Training accuracy that is suspicious early.
pub const EASY_ACCURACY: f64 = 0.98;
/// The share of the run that is early.
pub const EARLY: f64 = 0.2;
/// Mean margin (TRL's `rewards/margins`) above which the loss is as good as 0.
pub const SATURATED_MARGIN: f64 = 10.0;
/// Share of the entropy at the start below which it has collapsed.
pub const COLLAPSED_ENTROPY: f64 = 0.5;
/// Share of repeated n-grams from which a text goes in circles.
pub const REPEATED: f64 = 0.4;
/// Share of texts that must newly go in circles.
pub const REPEATING_TEXTS: f64 = 0.25;
/// Steps without the reason after which a kind may be told again; evaluations and samples need [`CLEAR_ROUNDS`].
pub const CLEAR_STEPS: usize = 20;
/// Evaluations, or samplings, without the reason after which a kind may be told again.
pub const CLEAR_ROUNDS: usize = 2;

/// Returns a warning if the base model finds the chosen answer likelier per token in too few of `n_pairs` pairs.
pub fn swapped(likelier_wins: Option<f64>, n_pairs: usize) -> Option<Warning> {
    let share = likelier_wins.filter(|share| *share < SWAPPED && n_pairs >= SWAPPED_PAIRS)?;
    let text = format!(
        "The base model prefers the rejected answer in {:.0} % of {n_pairs} held-out pairs, token for token. \
         Perhaps chosen and rejected are swapped in this file; or a model like this one wrote the rejected answers.",
        100.0 * (1.0 - share)
    );
    Some(Warning { kind: WarningKind::Swapped, step: 0, text, action: Action::InspectPairs })
}

/// A warning before the start.
fn before(kind: WarningKind, text: String, action: Action) -> Warning {
    Warning { kind, step: 0, text, action }
}

/// Says how little a few held-out pairs tell.
pub fn rough_estimate(n_held_out: usize) -> String {
    let [low, high] = wilson_interval(n_held_out as u64 / 2, n_held_out as u64);
    let points = 50.0 * (high - low);
    format!("Only {}: accuracy is a rough estimate (±{points:.0} points)", counted(n_held_out, "held-out pair"))
}

/// Returns a warning if too few pairs are held out.
pub fn few_held_out(n_held_out: usize) -> Option<Warning> {
    let text = match n_held_out {
        0 => "No pairs are held out, so nothing will tell learning from learning by heart.".to_owned(),
        1..FEW_HELD_OUT => rough_estimate(n_held_out) + ".",
        _ => return None,
    };
    Some(before(WarningKind::FewHeldOut, text, Action::HoldOutMore))
}

/// Returns a warning if a run sees each of `n_pairs` pairs too often.
pub fn many_passes(n_pairs: usize, passes: f64) -> Option<Warning> {
    (passes > MANY_PASSES && n_pairs > 0).then(|| {
        let pairs = if n_pairs == 1 { "The one pair is".to_owned() } else { format!("Each of the {n_pairs} pairs is") };
        let text = format!(
            "{pairs} seen {passes:.0} times: the model learns them by heart rather than what they have in common. \
             Fewer epochs or steps, or more pairs, help."
        );
        before(WarningKind::ManyPasses, text, Action::None)
    })
}

/// Follows a run and speaks up.
#[derive(Debug, Clone, PartialEq)]
pub struct Watcher {
    facts: Facts,
    /// Steps of a mean: a tenth of the run, from 3 to 20.
    window: usize,
    step: usize,
    loss: Series,
    gradient: Series,
    accuracy: Series,
    margin: Series,
    /// The chosen answers' nats over the reference.
    chosen: Series,
    entropy: Series,
    seconds: Series,
    n_high: usize,
    evaluations: Vec<Evaluation>,
    /// Sum and number of training margins since the last evaluation.
    since: (f64, usize),
    first_held_out_logp: Option<f64>,
    /// Finding of the last evaluation about [`WarningKind::DislikesBoth`]; it holds until the next.
    held_out_dislike: Finding,
    /// True for each text that went in circles before training.
    circles_before: Vec<bool>,
    /// Kinds that were told, and how often in a row their reason has been gone.
    told: BTreeMap<WarningKind, usize>,
}

impl Watcher {
    /// At the beginning of a run.
    pub fn new(facts: Facts) -> Self {
        let window = (facts.n_steps / 10).clamp(3, 20);
        let series = || Series::new(window);
        Self {
            facts,
            window,
            step: 0,
            loss: series(),
            gradient: series(),
            accuracy: series(),
            margin: series(),
            chosen: series(),
            entropy: series(),
            seconds: series(),
            n_high: 0,
            evaluations: Vec::new(),
            since: (0.0, 0),
            first_held_out_logp: None,
            held_out_dislike: None,
            circles_before: Vec::new(),
            told: BTreeMap::new(),
        }
    }

    /// Returns the warnings that are due before the run starts.
    pub fn start(&self) -> Vec<Warning> {
        let Facts { n_held_out, n_truncated, n_pairs, .. } = self.facts;
        let pairs = self.facts.method.kind() == Kind::Pairs;
        let mut warnings: Vec<Warning> = few_held_out(n_held_out).filter(|_| pairs).into_iter().collect();
        let share = n_truncated as f64 / n_pairs.max(1) as f64;
        if share > MANY_TRUNCATED {
            let text = format!(
                "{n_truncated} of {} ({:.0} %) will be truncated to max length.",
                counted(n_pairs, "pair"),
                100.0 * share
            );
            warnings.push(before(WarningKind::ManyTruncated, text, Action::RaiseMaxLength));
        }
        warnings.extend(many_passes(n_pairs.saturating_sub(n_held_out), self.facts.passes));
        warnings
    }

    /// Takes in a training step, its metrics under TRL's names, and how long it took.
    pub fn step(&mut self, metrics: &Map<String, Value>, seconds: f64) -> Vec<Warning> {
        self.step = step_of(metrics).unwrap_or(self.step + 1);
        let get = |name: &str| number(metrics, name);
        // A policy's loss says nothing by itself: it is about 0 whatever happens.
        self.loss.push(get("loss").filter(|_| !self.facts.method.is_online()));
        self.gradient.push(get("grad_norm"));
        self.accuracy.push(get("rewards/accuracies"));
        self.margin.push(get("rewards/margins"));
        self.entropy.push(get("entropy"));
        self.seconds.push(Some(seconds).filter(|seconds| *seconds > 0.0));
        // Without a reference a reward is no change.
        let changes = self.facts.beta > 0.0 && matches!(self.facts.method, Method::Dpo | Method::Kto);
        self.chosen.push(get("rewards/chosen").filter(|_| changes).map(|reward| reward / self.facts.beta));
        if let Some(margin) = get("rewards/margins") {
            self.since = (self.since.0 + margin, self.since.1 + 1);
        }
        let found = [
            (WarningKind::NotFinite, not_finite(metrics)),
            (WarningKind::WrongFirstLoss, self.wrong_first_loss(get("loss"))),
            (WarningKind::HighLoss, self.high_loss(get("loss"))),
            (WarningKind::LossJump, self.loss_jump()),
            (WarningKind::GradientJump, self.gradient_jump()),
            (WarningKind::DislikesBoth, self.dislikes_both().or_else(|| self.held_out_dislike.clone())),
            (WarningKind::TooEasy, self.too_easy()),
            (WarningKind::Saturated, self.saturated()),
            (WarningKind::EntropyCollapse, self.entropy_collapse()),
            (WarningKind::SlowSteps, self.slow_steps()),
        ];
        self.tell(found, CLEAR_STEPS)
    }

    /// Takes in an evaluation, its metrics under TRL's names with `eval_` before them.
    pub fn evaluation(&mut self, metrics: &Map<String, Value>) -> Vec<Warning> {
        self.step = step_of(metrics).unwrap_or(self.step);
        let get = |name: &str| number(metrics, name);
        let (sum, n) = std::mem::take(&mut self.since);
        self.evaluations.push(Evaluation {
            step: self.step,
            accuracy: get("eval_preference_accuracy").or_else(|| get("eval_rewards/accuracies")),
            margin: get("eval_rewards/margins"),
            train_margin: (n > 0).then(|| sum / n as f64),
        });
        let logp = get("eval_logps/chosen");
        self.first_held_out_logp = self.first_held_out_logp.or(logp);
        self.held_out_dislike = self.dislikes_both_held_out(logp);
        let mut warnings = self.tell([(WarningKind::Overfitting, self.overfitting())], CLEAR_ROUNDS);
        if self.held_out_dislike.is_some() {
            warnings.extend(self.tell([(WarningKind::DislikesBoth, self.held_out_dislike.clone())], CLEAR_STEPS));
        }
        warnings
    }

    /// Takes in what the model wrote at `step`, always to the same prompts; step 0 is what the base model wrote, and is
    /// only compared with.
    pub fn samples(&mut self, step: usize, texts: &[String]) -> Vec<Warning> {
        self.step = step;
        let circles: Vec<bool> = texts.iter().map(|text| repeated_share(text) >= REPEATED).collect();
        if step == 0 {
            self.circles_before = circles;
            return Vec::new();
        }
        let before = |i: usize| self.circles_before.get(i).copied().unwrap_or(false);
        let new = circles.iter().enumerate().filter(|(i, circles)| **circles && !before(*i)).count();
        let found = (new > 0 && new as f64 >= REPEATING_TEXTS * texts.len() as f64).then(|| {
            let text = format!("{new} of {} sampled answers repeat themselves: the text is degenerating.", texts.len());
            (text, Action::LowerLearningRate)
        });
        self.tell([(WarningKind::Repetition, found)], CLEAR_ROUNDS)
    }

    /// Step of the best evaluation so far: highest held-out accuracy, then the largest margin, then the earliest.
    pub fn best_step(&self) -> Option<usize> {
        let score = |e: &Evaluation| (e.accuracy.unwrap_or(f64::NEG_INFINITY), e.margin.unwrap_or(f64::NEG_INFINITY));
        let known = self.evaluations.iter().filter(|e| e.accuracy.is_some() || e.margin.is_some());
        let best = known.reduce(|best, e| {
            let ((a, b), (c, d)) = (score(best), score(e));
            if c > a || (c == a && d > b) { e } else { best }
        });
        best.map(|e| e.step)
    }

    /// Returns warnings of the findings that were not told yet, or not lately.
    fn tell<const N: usize>(&mut self, found: [(WarningKind, Finding); N], clear: usize) -> Vec<Warning> {
        let mut warnings = Vec::new();
        for (kind, finding) in found {
            match finding {
                Some((text, action)) => {
                    if self.told.insert(kind, 0).is_none() {
                        warnings.push(Warning { kind, step: self.step, text, action });
                    }
                }
                None => {
                    if let Some(gone) = self.told.get_mut(&kind) {
                        *gone += 1;
                        if *gone >= clear {
                            self.told.remove(&kind);
                        }
                    }
                }
            }
        }
        warnings
    }

    fn wrong_first_loss(&self, loss: Option<f64>) -> Finding {
        let expected = self.facts.expected_first_loss?;
        let loss = loss.filter(|loss| self.step == 1 && (loss - expected).abs() > FIRST_LOSS_TOLERANCE)?;
        let text = format!(
            "The first loss is {loss:.4} but must be {expected:.4}, so the model and its reference do not score the \
             same text: check the chat template, and report this as a bug."
        );
        Some((text, Action::InspectPairs))
    }

    /// The loss before training.
    fn start_loss(&self) -> Option<f64> {
        self.facts.expected_first_loss.or_else(|| self.loss.first.first().copied()).filter(|loss| *loss > 0.0)
    }

    fn high_loss(&mut self, loss: Option<f64>) -> Finding {
        let limit = HIGH_LOSS * self.start_loss()?;
        self.n_high = if loss? > limit { self.n_high + 1 } else { 0 };
        (self.n_high >= HIGH_LOSS_STEPS).then(|| {
            let text = format!("The loss has been above {limit:.2} for {HIGH_LOSS_STEPS} steps, worse than untrained.");
            (text, Action::LowerLearningRate)
        })
    }

    fn loss_jump(&self) -> Finding {
        let (now, usual) = self.loss.now_and_usual()?;
        (now > LOSS_JUMP * usual && now > self.start_loss()?).then(|| {
            let text = format!("The loss leapt to {now:.2}, {:.0} times what is usual in this run.", now / usual);
            (text, Action::LowerLearningRate)
        })
    }

    fn gradient_jump(&self) -> Finding {
        let (now, usual) = self.gradient.now_and_usual()?;
        let start = median(&self.gradient.first)?;
        (now > GRADIENT_JUMP * usual && now > start).then(|| {
            let text = format!("The gradient leapt to {now:.2}, {:.0} times what is usual in this run.", now / usual);
            (text, Action::LowerLearningRate)
        })
    }

    fn dislikes_both(&self) -> Finding {
        let fall = -self.chosen.recent()?;
        let (margin, start) = (self.margin.recent()?, mean(&self.margin.first)?);
        (fall > CHOSEN_FALL && margin > start && self.margin.is_past_first()).then(|| dislike(fall))
    }

    fn dislikes_both_held_out(&self, logp: Option<f64>) -> Finding {
        let fall = self.first_held_out_logp? - logp?;
        let (first, last) = (self.evaluations.first()?.margin?, self.evaluations.last()?.margin?);
        (fall > CHOSEN_FALL && last > first).then(|| dislike(fall))
    }

    fn too_easy(&self) -> Finding {
        let won = self.accuracy.recent()?;
        let early = (self.step as f64) < EARLY * self.facts.n_steps as f64;
        (won >= EASY_ACCURACY && early).then(|| {
            let text = format!(
                "Training accuracy is {:.0} % after {:.0} % of the run: something easy, such as the length, may give \
                 the answer away.",
                (100.0 * won).floor(),
                100.0 * self.step as f64 / self.facts.n_steps.max(1) as f64
            );
            (text, Action::InspectPairs)
        })
    }

    fn saturated(&self) -> Finding {
        let margin = self.margin.recent()?;
        (margin > SATURATED_MARGIN).then(|| {
            let text = format!("The margin is {margin:.1}: nothing is left to learn, and further steps only distort.");
            (text, Action::StopAtBest)
        })
    }

    fn entropy_collapse(&self) -> Finding {
        let (now, start) = (self.entropy.recent()?, mean(&self.entropy.first)?);
        (start > 0.0 && now < COLLAPSED_ENTROPY * start).then(|| {
            let text = format!(
                "The model's uncertainty per token (entropy) fell from {start:.2} to {now:.2}: the text may be \
                 degenerating."
            );
            (text, Action::LowerLearningRate)
        })
    }

    fn slow_steps(&self) -> Finding {
        let (now, usual) = self.seconds.now_and_usual()?;
        (now > SLOW_STEPS * usual).then(|| {
            let text = format!(
                "A step takes {now:.1} s where {usual:.1} s were usual: memory is short, or the machine is slowed \
                 down by heat, battery or the background. Plugged in and in front it goes fastest."
            );
            (text, Action::None)
        })
    }

    fn overfitting(&self) -> Finding {
        let from = self.evaluations.len().checked_sub(WORSE_EVALUATIONS + 1)?;
        let latest = &self.evaluations[from..];
        let rises = latest.last()?.train_margin? > self.evaluations[from.max(1)].train_margin?;
        let falls = |value: fn(&Evaluation) -> Option<f64>, least: f64| {
            let values: Option<Vec<f64>> = latest.iter().map(value).collect();
            values.is_some_and(|v| v.windows(2).all(|two| two[1] < two[0]) && v[0] - v[WORSE_EVALUATIONS] >= least)
        };
        let best_margin = self.evaluations.iter().filter_map(|e| e.margin).fold(f64::NEG_INFINITY, f64::max);
        let worse = falls(|e| e.accuracy, ACCURACY_FALL) || falls(|e| e.margin, MARGIN_FALL * best_margin.abs());
        let best = self.best_step()?;
        (worse && rises).then(|| {
            let text = format!(
                "Held-out pairs have got worse for {WORSE_EVALUATIONS} evaluations while training pairs get better: \
                 the model is learning by heart, and was best at step {best}."
            );
            (text, Action::StopAtBest)
        })
    }
}

/// The sentence and what to offer, if a rule speaks.
type Finding = Option<(String, Action)>;

#[derive(Debug, Clone, PartialEq)]
struct Evaluation {
    step: usize,
    accuracy: Option<f64>,
    margin: Option<f64>,
    /// Mean margin of the training steps since the evaluation before.
    train_margin: Option<f64>,
}

fn not_finite(metrics: &Map<String, Value>) -> Finding {
    // JSON has no number for them, so they are null.
    let broken =
        ["loss", "grad_norm"].into_iter().find(|name| metrics.contains_key(*name) && number(metrics, name).is_none());
    broken.map(|name| {
        let name = if name == "loss" { "loss" } else { "gradient" };
        let text = format!("The {name} is no longer a finite number, so the run cannot go on from here.");
        (text, Action::LowerLearningRate)
    })
}

fn dislike(fall: f64) -> (String, Action) {
    let text = format!(
        "The chosen answers have become less likely too, by {fall:.0} nats per answer: the model is getting better \
         mainly by disliking both."
    );
    (text, Action::AddSft)
}

fn step_of(metrics: &Map<String, Value>) -> Option<usize> {
    number(metrics, "step").map(|step| step.max(0.0) as usize)
}

fn number(metrics: &Map<String, Value>, name: &str) -> Option<f64> {
    metrics.get(name).and_then(Value::as_f64).filter(|value| value.is_finite())
}
