//! "DPO beside RLHF": the stages that each side takes, the settings of each stage, and what the measurements say.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::data::Method;
use crate::error::{Error, Result};
use crate::train::{TrainConfig, settings};

/// A side of the race: a name, and its stages in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Side {
    /// What it is called.
    pub name: &'static str,
    /// What it does, one after another.
    pub stages: &'static [Method],
}

/// The side that has one stage.
pub const DPO: Side = Side { name: "DPO", stages: &[Method::Dpo] };

/// The other side, with the method that optimises the policy at its end.
pub fn rlhf(method: Method) -> Option<Side> {
    Some(match method {
        Method::Ppo => Side { name: "RLHF by PPO", stages: &[Method::Sft, Method::Reward, Method::Ppo] },
        Method::Rloo => Side { name: "RLHF by RLOO", stages: &[Method::Sft, Method::Reward, Method::Rloo] },
        Method::Grpo => Side { name: "RLHF by GRPO", stages: &[Method::Sft, Method::Reward, Method::Grpo] },
        _ => return None,
    })
}

/// The settings of a stage: those that were given for all stages, as far as the method has them, then those that were
/// given for this method under its name.
///
/// An error names a setting that no stage has, or a value that is wrong.
pub fn stage_config(given: &Map<String, Value>, method: Method, at: &str) -> Result<TrainConfig> {
    let mut map = Map::from_iter([("method".to_owned(), Value::from(method.name()))]);
    for (key, value) in given {
        if settings(method).any(|setting| setting.key == key) {
            map.insert(key.clone(), value.clone());
        }
    }
    match given.get(method.name()) {
        None => {}
        Some(Value::Object(own)) => map.extend(own.clone()),
        Some(other) => {
            return Err(Error::input(
                format!("{} is {other}, but must be an object of settings", method.name()),
                "Write {\"ppo\": {\"learning_rate\": 1e-4}}",
                format!("{at}, field {}", method.name()),
            ));
        }
    }
    TrainConfig::from_map(&map, at)
}

/// An error that names a setting which no stage of these sides has.
pub fn check_given(given: &Map<String, Value>, sides: &[Side], at: &str) -> Result<()> {
    let methods = || sides.iter().flat_map(|side| side.stages);
    let known = |key: &String| {
        Method::ALL.iter().any(|method| method.name() == key)
            || methods().any(|method| settings(*method).any(|setting| setting.key == key))
    };
    match given.keys().find(|key| !known(key)) {
        None => Ok(()),
        Some(key) => Err(Error::unknown(
            format!("No stage of the race has a setting \"{key}\""),
            "Leave it out, or correct its name",
            format!("{at}, field {key}"),
        )),
    }
}

/// What was measured of a model on held-out pairs, and on its fresh answers to held-out prompts.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Measure {
    /// Share of the held-out pairs whose chosen answer is the likelier one.
    pub won: f64,
    /// Mean score of its answers by the reward model.
    pub score: f64,
    /// Standard deviation of these scores.
    pub score_std: f64,
    /// How far it is from the base model on its own answers: mean of the summed log-ratios, nats.
    pub kl: f64,
    /// Mean tokens of its answers.
    pub length: f64,
    /// Share of its answers that were cut off.
    pub cut: f64,
}

/// A point of a run: steps done, and what was measured there.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Point {
    /// Share of the side's last stage that was done.
    pub done: f64,
    /// What was measured.
    #[serde(flatten)]
    pub measure: Measure,
}

/// A stage as it went.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StageResult {
    /// The method.
    pub method: &'static str,
    /// Wall time, seconds, without what was measured on the way.
    pub seconds: f64,
    /// Steps: of the optimiser, or PPO updates.
    pub steps: usize,
    /// Tokens that went through forward and backward passes.
    pub tokens_trained: u64,
    /// Tokens that the policy wrote.
    pub tokens_sampled: u64,
    /// What is in memory, by component, bytes.
    pub memory: Vec<(&'static str, u64)>,
    /// Bytes on the device at the most.
    pub device_bytes: u64,
    /// Settings that were not at their defaults.
    pub settings: Map<String, Value>,
}

/// A side as it went.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SideResult {
    /// What it is called.
    pub name: &'static str,
    /// Its stages.
    pub stages: Vec<StageResult>,
    /// What was measured of the finished model.
    pub measure: Measure,
    /// What was measured while the last stage went on.
    pub curve: Vec<Point>,
}

impl SideResult {
    /// Wall time of all stages, seconds.
    pub fn seconds(&self) -> f64 {
        self.stages.iter().map(|stage| stage.seconds).sum()
    }

    /// The most adapters that are in memory beside the base model, by name.
    pub fn models(&self) -> Vec<&'static str> {
        let names = |stage: &StageResult| stage.memory.iter().map(|(name, _)| *name).collect::<Vec<_>>();
        self.stages.iter().map(names).max_by_key(Vec::len).unwrap_or_default()
    }

    /// The most bytes that models and their optimisers take.
    pub fn model_bytes(&self) -> u64 {
        let bytes = |stage: &StageResult| stage.memory.iter().map(|(_, bytes)| bytes).sum::<u64>();
        self.stages.iter().map(bytes).max().unwrap_or(0)
    }

    fn sum(&self, of: fn(&StageResult) -> u64) -> u64 {
        self.stages.iter().map(of).sum()
    }
}

/// The table of the race in Markdown, the base model first.
pub fn table(base: &Measure, sides: &[SideResult]) -> String {
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    let stages = |side: &SideResult| side.stages.iter().map(|stage| stage.method).collect::<Vec<_>>().join(" → ");
    let times = |side: &SideResult| {
        let each: Vec<String> = side.stages.iter().map(|stage| format!("{:.0} s", stage.seconds)).collect();
        if each.len() == 1 { each[0].clone() } else { format!("{:.0} s ({})", side.seconds(), each.join(" + ")) }
    };
    let none = || "–".to_owned();
    type Told = fn(&Measure, &Measure) -> String;
    let measured: [(&str, Told); 6] = [
        ("held-out pairs won", |_, m| format!("{:.0} %", 100.0 * m.won)),
        ("score of fresh answers by the reward model", |_, m| format!("{} ± {:.2}", hundredths(m.score), m.score_std)),
        ("gained, in standard deviations of the base model's scores", |base, m| {
            hundredths((m.score - base.score) / base.score_std.max(1e-9))
        }),
        ("KL to the start, nats an answer", |_, m| hundredths(m.kl)),
        ("tokens of an answer", |_, m| format!("{:.1}", m.length)),
        ("answers cut off", |_, m| format!("{:.0} %", 100.0 * m.cut)),
    ];
    let mut rows: Vec<(String, Vec<String>)> = Vec::new();
    let mut row = |name: &str, first: String, of: &dyn Fn(&SideResult) -> String| {
        rows.push((name.to_owned(), std::iter::once(first).chain(sides.iter().map(of)).collect()));
    };
    row("stages", none(), &stages);
    row("models in memory", none(), &|side| side.models().join(", "));
    row("their bytes, optimisers included", none(), &|side| mib(side.model_bytes()));
    row("wall time", none(), &times);
    row("tokens trained on", none(), &|side| side.sum(|stage| stage.tokens_trained).to_string());
    row("tokens sampled", none(), &|side| side.sum(|stage| stage.tokens_sampled).to_string());
    for (name, of) in measured {
        row(name, of(base, base), &|side| of(base, &side.measure));
    }
    let names = sides.iter().map(|side| side.name);
    let mut text = format!("| | base model | {} |\n", names.collect::<Vec<_>>().join(" | "));
    text += &format!("|---|---|{}\n", "---|".repeat(sides.len()));
    for (name, cells) in rows {
        text += &format!("| {name} | {} |\n", cells.join(" | "));
    }
    text
}

/// Where one side does better than the other, in sentences.
pub fn verdict(base: &Measure, dpo: &SideResult, other: &SideResult) -> Vec<String> {
    let mut said = Vec::new();
    let (a, b) = (&dpo.measure, &other.measure);
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
        more if more > 0.02 => format!("{} wins more of the held-out pairs.", other.name),
        less if less < -0.02 => "DPO wins more of the held-out pairs.".to_owned(),
        _ => "Both win as many of the held-out pairs.".to_owned(),
    });
    let (own, others) = (hundredths(a.kl), hundredths(b.kl));
    said.push(match b.kl - a.kl {
        apart if apart.abs() < 0.1 => {
            format!("Both stay as close to the base model: {own} and {others} nats an answer.")
        }
        less if less < 0.0 => {
            format!("{} stays closer to the base model: {others} nats an answer against {own}.", other.name)
        }
        _ => format!("DPO stays closer to the base model: {own} nats an answer against {others}."),
    });
    said
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
    use serde_json::json;

    use super::*;

    fn given(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn a_stage_takes_what_its_method_has() {
        let given = given(json!({"beta": 0.2, "r": 4, "ppo": {"kl_coef": 0.3}}));
        let ppo = stage_config(&given, Method::Ppo, "test").expect("settings");
        assert_eq!(ppo.r, 4, "a setting of all");
        assert_eq!(ppo.to_map()["kl_coef"], 0.3, "one of its own");
        assert_eq!(stage_config(&given, Method::Dpo, "test").expect("settings").beta, 0.2, "PPO has no beta");
        let sides = [DPO, rlhf(Method::Ppo).expect("a side")];
        check_given(&given, &sides, "test").expect("every setting is known");
        let wrong = check_given(&self::given(json!({"bta": 0.2})), &sides, "test").expect_err("no such setting");
        assert!(wrong.to_string().contains("\"bta\""), "{wrong}");
        stage_config(&self::given(json!({"ppo": 1})), Method::Ppo, "test").expect_err("no object");
    }

    fn side(name: &'static str, seconds: &[f64], measure: Measure) -> SideResult {
        let stage = |seconds: &f64| StageResult {
            method: "dpo",
            seconds: *seconds,
            steps: 1,
            tokens_trained: 10,
            tokens_sampled: 0,
            memory: vec![("base", 1 << 20), ("policy", 1 << 19)],
            device_bytes: 1 << 21,
            settings: Map::new(),
        };
        SideResult { name, stages: seconds.iter().map(stage).collect(), measure, curve: Vec::new() }
    }

    #[test]
    fn the_table_and_the_verdict_say_what_was_measured() {
        let base = Measure { score: -1.0, score_std: 1.0, ..Measure::default() };
        let dpo = side("DPO", &[10.0], Measure { won: 0.9, score: 1.0, score_std: 1.0, kl: 4.0, ..base });
        let ppo = side("RLHF by PPO", &[10.0, 20.0, 30.0], Measure { won: 0.7, score: 3.0, kl: 2.0, ..base });
        let table = table(&base, &[dpo.clone(), ppo.clone()]);
        for part in
            ["| DPO | RLHF by PPO |", "60 s (10 s + 20 s + 30 s)", "1.5 MiB", "90 %", "3.00 ± 1.00", "2.00 | 4.00", "–"]
        {
            assert!(table.contains(part), "{part} is missing:\n{table}");
        }
        let said = verdict(&base, &dpo, &ppo).join(" ");
        for part in ["6.0 times", "RLHF by PPO does better", "DPO wins more", "RLHF by PPO stays closer"] {
            assert!(said.contains(part), "{part} is missing: {said}");
        }
    }
}
