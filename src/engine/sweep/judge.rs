//! A sweep over beta or the learning rate: which values are tried, which are given up, and what the measurements say of
//! each.
//!
//! Pure functions of numbers. The thresholds are first guesses, each named below.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::data::Method;
use crate::engine::run::warnings::CHOSEN_FALL;
use crate::engine::stats::number_or_nan;

/// KL to the starting model, in nats per token of the tuned model's own answers, above which a model has drifted far.
pub const FAR: f64 = 0.5;
/// KL below which a model has hardly moved, in the same unit.
pub const HARDLY: f64 = 0.002;
/// Standard deviations by which one model must win more held-out pairs than another to do so clearly.
pub const CLEARLY: f64 = 2.0;

/// The setting that differs from run to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Over {
    /// `beta`.
    Beta,
    /// `learning_rate`.
    LearningRate,
}

impl Over {
    /// All.
    pub const ALL: [Self; 2] = [Self::Beta, Self::LearningRate];

    /// The setting's name in a sentence.
    pub fn word(self) -> &'static str {
        match self {
            Self::Beta => "beta",
            Self::LearningRate => "learning rate",
        }
    }

    /// The setting's key.
    pub fn key(self) -> &'static str {
        match self {
            Self::Beta => "beta",
            Self::LearningRate => "learning_rate",
        }
    }

    /// Values to try around the one that is in use.
    pub fn around(self, value: f64) -> Vec<f64> {
        let factors: &[f64] = match self {
            Self::Beta => &[0.1, 0.5, 1.0, 3.0, 10.0],
            Self::LearningRate => &[0.25, 1.0, 5.0],
        };
        factors.iter().map(|factor| round(factor * value)).collect()
    }

    /// Values from where the model drifts far to where it hardly moves, with the one that is in use amid them.
    pub fn spread(self, value: f64) -> Vec<f64> {
        match self {
            Self::Beta => [0.03, 0.3, 1.0, 3.0, 30.0].map(|factor| round(factor * value)).to_vec(),
            Self::LearningRate => [0.03, 0.3, 1.0, 3.0, 10.0].map(|factor| round(factor * value)).to_vec(),
        }
    }

    /// True if a higher value moves the model further. Beta is a leash, but to ORPO the weight of its odds ratio.
    pub fn is_stronger_higher(self, method: Method) -> bool {
        self == Self::LearningRate || method == Method::Orpo
    }
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key())
    }
}

impl FromStr for Over {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let name = name.replace('-', "_");
        Self::ALL.into_iter().find(|over| over.key() == name).ok_or("give beta or learning_rate".to_owned())
    }
}

/// Measurements of a model at a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Steps done.
    pub step: usize,
    /// Loss of the last step; none before the first.
    pub loss: Option<f64>,
    /// Share of the held-out pairs whose chosen answer is the likelier one.
    pub pairs_won: f64,
    /// Share of those whose chosen answer gained on the rejected one since the start.
    pub reward_accuracy: f64,
    /// KL to the starting model in nats per token, on answers that the model itself writes.
    #[serde(deserialize_with = "number_or_nan")]
    pub kl: f64,
    /// Gain of the chosen answers' log-probability since the start: nats per answer, on average.
    #[serde(deserialize_with = "number_or_nan")]
    pub chosen_change: f64,
    /// True for each held-out pair that is won.
    #[serde(skip)]
    pub won: Vec<bool>,
}

impl Point {
    /// True if all that was measured is a number.
    pub fn is_finite(&self) -> bool {
        self.kl.is_finite() && self.chosen_change.is_finite() && self.loss.is_none_or(f64::is_finite)
    }
}

/// Reason why a run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "how")]
pub enum Ended {
    /// After its last step.
    Done,
    /// A number was not finite any more.
    Diverged {
        /// Description of the failure.
        what: String,
    },
    /// Given up at half of its steps: another value was clearly better there.
    Beaten {
        /// The better value.
        by: f64,
    },
    /// Somebody stopped the sweep.
    Interrupted,
}

/// A run with one value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The value.
    pub value: f64,
    /// Reason why it ended.
    pub ended: Ended,
    /// Steps that it would have.
    pub n_steps: usize,
    /// Seconds of its steps.
    pub seconds: f64,
    /// Measurements, the start first.
    pub points: Vec<Point>,
}

impl Run {
    /// The last measurement.
    pub fn last(&self) -> Option<&Point> {
        self.points.last()
    }

    fn diverged(&self) -> bool {
        matches!(self.ended, Ended::Diverged { .. })
    }

    /// True if something was measured after the start.
    fn is_measured(&self) -> bool {
        self.points.len() > 1
    }
}

/// The steps of a run after which it is measured: quarters, and the end.
pub fn measured_steps(n_steps: usize) -> Vec<usize> {
    let mut steps: Vec<usize> = (1..=4).map(|quarter| (quarter * n_steps).div_ceil(4)).filter(|s| *s > 0).collect();
    steps.dedup();
    steps
}

/// True if the first model clearly wins more of the same pairs than the second: more by [`CLEARLY`] standard deviations
/// of what chance would make of the pairs that only one of them wins (McNemar's test).
pub fn clearly_more(first: &[bool], second: &[bool]) -> bool {
    let both = || first.iter().zip(second);
    let more = both().filter(|(first, second)| **first && !**second).count() as f64;
    let fewer = both().filter(|(first, second)| !**first && **second).count() as f64;
    more > fewer && more - fewer > CLEARLY * (more + fewer).sqrt()
}

/// The value that clearly beats a run at half of its steps, among the runs before it: then the rest is not worth its
/// time. None at any other step.
pub fn beaten(points: &[Point], n_steps: usize, before: &[Run]) -> Option<f64> {
    let now = points.last()?;
    let half = measured_steps(n_steps).into_iter().find(|step| 2 * step >= n_steps)?;
    if now.step != half || now.step >= n_steps {
        return None;
    }
    let there = |run: &'_ Run| run.points.iter().find(|point| point.step == now.step).cloned();
    let better = before.iter().filter(|run| !run.diverged()).filter_map(|run| Some((run.value, there(run)?)));
    let better = better.filter(|(_, point)| clearly_more(&point.won, &now.won));
    better.max_by(|a, b| a.1.pairs_won.total_cmp(&b.1.pairs_won)).map(|(value, _)| value)
}

/// Verdict on a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// A higher one is better.
    TooLow,
    /// None of the others is better for sure.
    AboutRight,
    /// A lower one is better.
    TooHigh,
    /// Nothing can be told.
    Unclear,
}

/// A value's verdict, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// The value.
    pub value: f64,
    /// The verdict.
    pub verdict: Verdict,
    /// A sentence.
    pub text: String,
}

/// The value to train with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Advice {
    /// The value; none if nothing can be told.
    pub value: Option<f64>,
    /// True if the sweep ran it; else it follows from those that it ran.
    pub tried: bool,
    /// A sentence.
    pub text: String,
}

/// Extent to which a run moved the model, compared with the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    TooFar,
    Fine,
    NotEnough,
    Unknown,
}

/// Verdicts of the runs, in their order, and what to train with.
///
/// A value goes too far if its run diverged, if a calmer value clearly wins more held-out pairs, or if the model drifts
/// ([`FAR`] in KL, or chosen answers that lose more than [`CHOSEN_FALL`] nats) without clearly winning more pairs than
/// every calmer value. It does not go far enough if a stronger one that does not go too far clearly wins more, or if it
/// hardly moves the model ([`HARDLY`]) where others do. All else is about right.
pub fn judge(over: Over, method: Method, runs: &[Run]) -> (Vec<Judgement>, Advice) {
    let sweep = Sweep { over, higher: over.is_stronger_higher(method), runs };
    let reaches = sweep.reaches();
    let judgements = runs.iter().zip(&reaches).map(|(run, reach)| sweep.judgement(run, *reach)).collect();
    (judgements, sweep.advice(&reaches))
}

struct Sweep<'a> {
    over: Over,
    /// Higher values move the model further.
    higher: bool,
    runs: &'a [Run],
}

impl Sweep<'_> {
    /// Orders two values by how far they move the model.
    fn by_strength(&self, a: f64, b: f64) -> Ordering {
        if self.higher { a.total_cmp(&b) } else { b.total_cmp(&a) }
    }

    fn reaches(&self) -> Vec<Reach> {
        let too_far: Vec<bool> = self.runs.iter().map(|run| self.goes_too_far(run)).collect();
        let some_move = self.runs.iter().any(moves);
        let reach = |(run, far): (&Run, &bool)| {
            let stronger = self.runs.iter().zip(&too_far).filter(|(other, far)| !**far && self.is_calmer(run, other));
            let beaten_by_stronger = || stronger.clone().any(|(other, _)| wins_clearly(other, run));
            match () {
                () if run.diverged() => Reach::TooFar,
                () if !run.is_measured() => Reach::Unknown,
                () if beaten_by_stronger() && !drifts(run) => Reach::NotEnough,
                () if *far => Reach::TooFar,
                () if moves(run) => Reach::Fine,
                () if some_move => Reach::NotEnough,
                () => Reach::Unknown,
            }
        };
        self.runs.iter().zip(&too_far).map(reach).collect()
    }

    fn is_calmer(&self, run: &Run, than: &Run) -> bool {
        self.by_strength(run.value, than.value) == Ordering::Less
    }

    fn goes_too_far(&self, run: &Run) -> bool {
        let calmer = || self.runs.iter().filter(|other| self.is_calmer(other, run) && other.is_measured());
        let pays = || calmer().next().is_some() && calmer().all(|other| wins_clearly(run, other));
        run.diverged() || calmer().any(|other| wins_clearly(other, run)) || (drifts(run) && !pays())
    }

    fn verdict(&self, reach: Reach) -> Verdict {
        match (reach, self.higher) {
            (Reach::TooFar, true) | (Reach::NotEnough, false) => Verdict::TooHigh,
            (Reach::TooFar, false) | (Reach::NotEnough, true) => Verdict::TooLow,
            (Reach::Fine, _) => Verdict::AboutRight,
            (Reach::Unknown, _) => Verdict::Unclear,
        }
    }

    fn judgement(&self, run: &Run, reach: Reach) -> Judgement {
        let verdict = self.verdict(reach);
        let name = format!("{} {}", self.over.word(), short(run.value));
        let word = match verdict {
            Verdict::TooLow => "is too low",
            Verdict::AboutRight => "is about right",
            Verdict::TooHigh => "is too high",
            Verdict::Unclear => "cannot be judged",
        };
        let text = format!("{name} {word}: {}.", self.why(run, reach));
        Judgement { value: run.value, verdict, text }
    }

    fn why(&self, run: &Run, reach: Reach) -> String {
        let (Some(first), Some(last)) = (run.points.first(), run.last()) else {
            return "its run did not start".to_owned();
        };
        if let Ended::Diverged { what } = &run.ended {
            return format!("its run broke down after step {} ({what})", last.step);
        }
        let better = self.runs.iter().filter(|other| wins_clearly(other, run));
        let better = better.max_by(|a, b| won(a).total_cmp(&won(b)));
        let beside = match better {
            Some(other) => format!(", and the held-out accuracy of {} is clearly higher", short(other.value)),
            None => String::new(),
        };
        let won = format!("held-out accuracy {}, from {}", percent(last.pairs_won), percent(first.pairs_won));
        let drift = format!("KL {:.3} nats per token, the chosen answers {}", last.kl, gain(last.chosen_change));
        let given_up = match run.ended {
            Ended::Beaten { .. } => format!("; given up at step {} of {}", last.step, run.n_steps),
            Ended::Interrupted => format!("; interrupted after step {} of {}", last.step, run.n_steps),
            Ended::Done | Ended::Diverged { .. } => String::new(),
        };
        let what = match reach {
            Reach::TooFar if drifts(run) => format!("the model drifts far ({drift}), with {won}{beside}"),
            Reach::TooFar => format!("it goes further for less: {won}{beside} ({drift})"),
            Reach::NotEnough if !moves(run) => format!("the model hardly moves ({drift}), with {won}{beside}"),
            Reach::NotEnough => format!("it learns less: {won}{beside} ({drift})"),
            Reach::Fine => format!("{won}, at {drift}"),
            Reach::Unknown if !run.is_measured() => "nothing was measured of it".to_owned(),
            Reach::Unknown => format!("no value moves the model in so few steps ({drift})"),
        };
        what + &given_up
    }

    fn advice(&self, reaches: &[Reach]) -> Advice {
        let of = |wanted: Reach| {
            let mut runs: Vec<&Run> =
                self.runs.iter().zip(reaches).filter(|(_, reach)| **reach == wanted).map(|(run, _)| run).collect();
            runs.sort_by(|a, b| self.by_strength(a.value, b.value));
            runs
        };
        // The most pairs; of equals the calmest.
        let fine = of(Reach::Fine);
        let best = fine.iter().copied().rev().max_by(|a, b| won(a).total_cmp(&won(b)));
        if let Some(best) = best {
            return Advice { value: Some(best.value), tried: true, text: self.praise(best, &fine) };
        }
        let (far, weak) = (of(Reach::TooFar), of(Reach::NotEnough));
        let by = |run: &Run, factor: f64| round(if self.higher { run.value * factor } else { run.value / factor });
        let untried = |value: f64, why: &str| Advice {
            value: Some(value),
            tried: false,
            text: format!("{why}: try {} {}.", self.over.word(), short(value)),
        };
        match (far.first(), weak.last()) {
            (Some(far), Some(weak)) => {
                untried(round((far.value * weak.value).sqrt()), "One value goes too far and its neighbour not enough")
            }
            (Some(calmest), None) => untried(by(calmest, 1.0 / 3.0), "Every value goes too far"),
            (None, Some(strongest)) => untried(by(strongest, 3.0), "No value goes far enough"),
            (None, None) => {
                let text = "Nothing can be recommended: train for more steps, or raise the learning rate.".to_owned();
                Advice { value: None, tried: false, text }
            }
        }
    }

    fn praise(&self, best: &Run, fine: &[&Run]) -> String {
        let alike: Vec<String> = fine
            .iter()
            .filter(|run| run.value != best.value && !wins_clearly(best, run))
            .map(|run| short(run.value))
            .collect();
        let n = best.last().map_or(0, |point| point.won.len());
        let noise = match alike.is_empty() {
            true => String::new(),
            false => format!(" {n} held-out pairs do not tell it from {} for sure.", alike.join(" and ")),
        };
        let value = short(best.value);
        format!(
            "Train with {} {value}: of the values that are about right it has the highest held-out accuracy.{noise}",
            self.over.word()
        )
    }
}

fn won(run: &Run) -> f64 {
    run.last().map_or(0.0, |point| point.pairs_won)
}

fn drifts(run: &Run) -> bool {
    run.last().is_some_and(|point| point.kl > FAR || point.chosen_change < -CHOSEN_FALL)
}

fn moves(run: &Run) -> bool {
    let gained = || {
        let (first, last) = (run.points.first(), run.last());
        first.zip(last).is_some_and(|(first, last)| clearly_more(&last.won, &first.won))
    };
    run.diverged() || run.is_measured() && (run.last().is_some_and(|point| point.kl >= HARDLY) || gained())
}

/// True if the first run clearly wins more pairs at the last step after which both were measured.
fn wins_clearly(first: &Run, second: &Run) -> bool {
    if first.diverged() {
        return false;
    }
    let at = |step: usize| first.points.iter().find(|point| point.step == step);
    let common = second.points.iter().skip(1).rev().find_map(|point| Some((at(point.step)?, point)));
    common.is_some_and(|(first, second)| clearly_more(&first.won, &second.won))
}

fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

fn gain(nats: f64) -> String {
    format!("{:.1} nats {}", nats.abs(), if nats < 0.0 { "less likely" } else { "likelier" })
}

/// A value as it is written in a command: 0.1, 2e-5.
pub fn short(value: f64) -> String {
    if value == 0.0 || (1e-3..1e6).contains(&value.abs()) { value.to_string() } else { format!("{value:e}") }
}

/// Rounds to two digits.
fn round(value: f64) -> f64 {
    format!("{value:.1e}").parse().unwrap_or(value)
}
