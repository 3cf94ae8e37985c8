//! The state of a race: the measurements so far, the article's table, and conclusions.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::stages::Side;
use crate::data::Method;
use crate::engine::stats::number_or_nan;

/// Measurements of a model on held-out pairs, and on its fresh answers to held-out prompts.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Measure {
    /// Share of the held-out pairs whose chosen answer is the likelier one.
    #[serde(deserialize_with = "number_or_nan")]
    pub won: f64,
    /// Mean score of its answers by the reward model.
    #[serde(deserialize_with = "number_or_nan")]
    pub score: f64,
    /// Standard deviation of these scores.
    #[serde(deserialize_with = "number_or_nan")]
    pub score_std: f64,
    /// Distance from the base model on its own answers: mean of the summed log-ratios, nats.
    #[serde(deserialize_with = "number_or_nan")]
    pub kl: f64,
    /// Mean tokens of its answers.
    #[serde(deserialize_with = "number_or_nan")]
    pub length: f64,
    /// Share of its answers that were truncated.
    #[serde(deserialize_with = "number_or_nan")]
    pub cut: f64,
}

/// A point of a run: steps done, and what was measured there.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Share of the side's last stage that was done.
    pub done: f64,
    /// The measurements.
    #[serde(flatten)]
    pub measure: Measure,
}

/// A stage as it went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageResult {
    /// The method.
    pub method: Method,
    /// Wall time, seconds, without what was measured on the way.
    pub seconds: f64,
    /// Steps: of the optimiser, or PPO updates.
    pub steps: usize,
    /// Tokens that went through forward and backward passes.
    pub tokens_trained: u64,
    /// Tokens that the policy wrote.
    pub tokens_sampled: u64,
    /// Bytes in memory, by component.
    pub memory: Vec<(String, u64)>,
    /// Bytes on the device at the most.
    pub device_bytes: u64,
    /// Settings that were not at their defaults.
    pub settings: Map<String, Value>,
}

/// A side as it went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SideResult {
    /// Name of the side.
    pub name: String,
    /// Its stages.
    pub stages: Vec<StageResult>,
    /// Measurements of the finished model; none before.
    pub measure: Option<Measure>,
    /// Measurements during the last stage.
    pub curve: Vec<Point>,
}

impl SideResult {
    /// Wall time of all stages, seconds.
    pub fn seconds(&self) -> f64 {
        self.stages.iter().map(|stage| stage.seconds).sum()
    }

    /// The most adapters that are in memory beside the base model, by name.
    pub fn models(&self) -> Vec<&str> {
        let most = self.stages.iter().max_by_key(|stage| stage.memory.len());
        most.iter().flat_map(|stage| &stage.memory).map(|(name, _)| name.as_str()).collect()
    }

    /// The most bytes that models and their optimisers take.
    pub fn model_bytes(&self) -> u64 {
        let bytes = |stage: &StageResult| stage.memory.iter().map(|(_, bytes)| bytes).sum::<u64>();
        self.stages.iter().map(bytes).max().unwrap_or(0)
    }

    /// Wall time, and that of each stage where there are several.
    fn times(&self) -> String {
        let each: Vec<String> = self.stages.iter().map(|stage| format!("{:.0} s", stage.seconds)).collect();
        match each.as_slice() {
            [one] => one.clone(),
            each => format!("{:.0} s ({})", self.seconds(), each.join(" + ")),
        }
    }

    fn sum(&self, of: fn(&StageResult) -> u64) -> u64 {
        self.stages.iter().map(of).sum()
    }
}

/// A race as far as it has come.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Standing {
    /// The sides as they were planned, DPO first.
    pub plan: Vec<Side>,
    /// Measurements of the base model.
    pub base: Option<Measure>,
    /// The sides as they went, in the same order.
    pub sides: Vec<SideResult>,
    /// Wall time of all of it, measuring included, seconds.
    pub seconds: f64,
}

/// A row of the table: what it is, and a cell for the base model and for each side; empty ones are not known yet.
pub type Row = (&'static str, Vec<String>);

impl Standing {
    /// Before the first stage.
    pub(super) fn new(plan: Vec<Side>) -> Self {
        let side =
            |side: &Side| SideResult { name: side.name.clone(), stages: Vec::new(), measure: None, curve: Vec::new() };
        Self { base: None, sides: plan.iter().map(side).collect(), plan, seconds: 0.0 }
    }

    /// Takes in a stage, for every side that has it, in that side's order.
    pub(super) fn add(&mut self, stage: &StageResult) {
        for (side, planned) in self.sides.iter_mut().zip(&self.plan) {
            if planned.stages.contains(&stage.method) {
                side.stages.push(stage.clone());
                side.stages.sort_by_key(|done| planned.stages.iter().position(|method| *method == done.method));
            }
        }
    }

    /// The rows of the table.
    pub fn rows(&self) -> Vec<Row> {
        let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
        let none = || "–".to_owned();
        let mut rows: Vec<Row> = Vec::new();
        let stages = |side: &Side| side.stages.iter().map(|stage| stage.name()).collect::<Vec<_>>().join(" → ");
        rows.push(("stages", std::iter::once(none()).chain(self.plan.iter().map(stages)).collect()));
        let mut row = |name: &'static str, of: &dyn Fn(&SideResult) -> String| {
            let known = |side: &SideResult| if side.stages.is_empty() { String::new() } else { of(side) };
            rows.push((name, std::iter::once(none()).chain(self.sides.iter().map(known)).collect()));
        };
        row("models in memory", &|side| side.models().join(", "));
        row("their bytes, optimisers included", &|side| mib(side.model_bytes()));
        row("wall time", &SideResult::times);
        row("tokens trained on", &|side| side.sum(|stage| stage.tokens_trained).to_string());
        row("tokens sampled", &|side| side.sum(|stage| stage.tokens_sampled).to_string());
        let base = self.base.as_ref();
        for (name, of) in MEASURED {
            let cell = |measure: Option<&Measure>| base.zip(measure).map_or(String::new(), |(base, own)| of(base, own));
            let sides = self.sides.iter().map(|side| cell(side.measure.as_ref()));
            rows.push((name, std::iter::once(cell(base)).chain(sides).collect()));
        }
        rows
    }

    /// The table in Markdown, the base model first.
    pub fn table(&self) -> String {
        let names: Vec<&str> = self.sides.iter().map(|side| side.name.as_str()).collect();
        let mut text = format!("| | base model | {} |\n", names.join(" | "));
        text += &format!("|---|---|{}\n", "---|".repeat(names.len()));
        for (name, cells) in self.rows() {
            text += &format!("| {name} | {} |\n", cells.join(" | "));
        }
        text
    }

    /// Says in sentences where RLHF does better than DPO and where not, for the sides that are at their end.
    pub fn verdict(&self) -> Vec<String> {
        let Some((base, (dpo, others))) = self.base.as_ref().zip(self.sides.split_first()) else { return Vec::new() };
        others.iter().filter_map(|other| verdict(base, dpo, other)).flatten().collect()
    }
}

/// A measurement as a cell, by the base model's and the side's own.
type Told = fn(&Measure, &Measure) -> String;

/// The rows of the table that are measured.
const MEASURED: [(&str, Told); 6] = [
    ("held-out accuracy", |_, m| format!("{:.0} %", 100.0 * m.won)),
    ("score of fresh answers by the reward model", |_, m| format!("{} ± {:.2}", hundredths(m.score), m.score_std)),
    ("gained, in standard deviations of the base model's scores", |base, m| {
        hundredths((m.score - base.score) / base.score_std.max(1e-9))
    }),
    ("KL to the base model, nats per answer", |_, m| hundredths(m.kl)),
    ("tokens per answer", |_, m| format!("{:.1}", m.length)),
    ("truncated answers", |_, m| format!("{:.0} %", 100.0 * m.cut)),
];

/// Says in sentences where one side does better than the other; none before both were measured.
fn verdict(base: &Measure, dpo: &SideResult, other: &SideResult) -> Option<Vec<String>> {
    let mut said = Vec::new();
    let (a, b) = (dpo.measure.as_ref()?, other.measure.as_ref()?);
    let times = other.seconds() / dpo.seconds().max(1e-9);
    said.push(format!(
        "{} took {times:.1} times the time of DPO, {} stages instead of one, and held {} beside the base model, where \
         DPO holds {}.",
        other.name,
        other.stages.len(),
        counted(other.models().len().saturating_sub(1)),
        counted(dpo.models().len().saturating_sub(1))
    ));
    let noise = base.score_std.max(a.score_std).max(b.score_std).max(1e-9);
    let gap = (b.score - a.score) / noise;
    said.push(match gap {
        gap if gap > 0.25 => format!(
            "By the reward model {} does better: its fresh answers score {}, DPO's {}.",
            other.name,
            hundredths(b.score),
            hundredths(a.score)
        ),
        gap if gap < -0.25 => format!(
            "By the reward model DPO does better: its fresh answers score {}, those of {} {}.",
            hundredths(a.score),
            other.name,
            hundredths(b.score)
        ),
        _ => format!(
            "By the reward model neither does better: fresh answers score {} after DPO and {} after {}.",
            hundredths(a.score),
            hundredths(b.score),
            other.name
        ),
    });
    said.push(match b.won - a.won {
        more if more > 0.02 => format!("{} has the higher held-out accuracy.", other.name),
        less if less < -0.02 => "DPO has the higher held-out accuracy.".to_owned(),
        _ => "Both have the same held-out accuracy.".to_owned(),
    });
    let (own, others) = (hundredths(a.kl), hundredths(b.kl));
    said.push(match b.kl - a.kl {
        apart if apart.abs() < 0.1 => {
            format!("Both stay as close to the base model: {own} and {others} nats per answer.")
        }
        less if less < 0.0 => {
            format!("{} stays closer to the base model: {others} nats per answer against {own}.", other.name)
        }
        _ => format!("DPO stays closer to the base model: {own} nats per answer against {others}."),
    });
    Some(said)
}

/// A number with two decimals, and no sign where they are zeros.
fn hundredths(value: f64) -> String {
    format!("{:.2}", if value.abs() < 0.005 { 0.0 } else { value })
}

fn counted(adapters: usize) -> String {
    match adapters {
        1 => "one adapter".to_owned(),
        n => format!("{n} adapters"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::race::sides;

    fn stage(method: Method, seconds: f64) -> StageResult {
        StageResult {
            method,
            seconds,
            steps: 1,
            tokens_trained: 10,
            tokens_sampled: 0,
            memory: vec![("base".to_owned(), 1 << 20), ("policy".to_owned(), 1 << 19)],
            device_bytes: 1 << 21,
            settings: Map::new(),
        }
    }

    #[test]
    fn the_table_is_filled_in_and_the_verdict_says_what_was_measured() {
        let mut standing = Standing::new(sides(&[Method::Ppo], "test").expect("two sides"));
        assert!(standing.table().contains("| stages | – | dpo | sft → reward → ppo |"), "the plan is known at once");
        assert!(standing.table().contains("| wall time | – |  |  |"), "nothing else is");
        let base = Measure { score: -1.0, score_std: 1.0, ..Measure::default() };
        standing.base = Some(base);
        for (method, seconds) in [(Method::Reward, 20.0), (Method::Dpo, 10.0), (Method::Sft, 10.0)] {
            standing.add(&stage(method, seconds));
        }
        assert!(standing.table().contains("| wall time | – | 10 s | 30 s (10 s + 20 s) |"), "{}", standing.table());
        assert!(standing.verdict().is_empty(), "no side was measured at its end");
        standing.add(&stage(Method::Ppo, 30.0));
        standing.sides[0].measure = Some(Measure { won: 0.9, score: 1.0, score_std: 1.0, kl: 4.0, ..base });
        standing.sides[1].measure = Some(Measure { won: 0.7, score: 3.0, kl: 2.0, ..base });
        let table = standing.table();
        for part in
            ["| DPO | RLHF by PPO |", "60 s (10 s + 20 s + 30 s)", "1.5 MiB", "90 %", "3.00 ± 1.00", "2.00 | 4.00", "–"]
        {
            assert!(table.contains(part), "{part} is missing:\n{table}");
        }
        let said = standing.verdict().join(" ");
        for part in
            ["6.0 times", "RLHF by PPO does better", "DPO has the higher held-out accuracy", "RLHF by PPO stays closer"]
        {
            assert!(said.contains(part), "{part} is missing: {said}");
        }
    }
}
