//! "DPO beside RLHF": the stages that each side takes, and the settings of each stage.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::data::Method;
use crate::error::{Error, Result};
use crate::train::{TrainConfig, settings};

/// The share of the pairs that is held out, unless the settings say another.
pub const HELD_OUT: f64 = 0.2;

/// A side of the race: a name, and its stages in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// Name of the side.
    pub name: String,
    /// Methods of its stages, one after another.
    pub stages: Vec<Method>,
}

/// The side that has one stage.
fn dpo() -> Side {
    Side { name: "DPO".to_owned(), stages: vec![Method::Dpo] }
}

/// The other side, with the method that optimises the policy at its end.
fn rlhf(method: Method) -> Option<Side> {
    let name = match method {
        Method::Ppo => "RLHF by PPO",
        Method::Rloo => "RLHF by RLOO",
        Method::Grpo => "RLHF by GRPO",
        _ => return None,
    };
    Some(Side { name: name.to_owned(), stages: vec![Method::Sft, Method::Reward, method] })
}

/// Both sides: DPO, and RLHF once for each method; by PPO if none is named. `at` is where an error says it was asked.
pub fn sides(against: &[Method], at: &str) -> Result<Vec<Side>> {
    let against = if against.is_empty() { &[Method::Ppo] } else { against };
    let side = |method: &Method| {
        rlhf(*method).ok_or_else(|| {
            let what = format!("{method} does not optimise a policy by rewards");
            Error::input(what, "Race DPO against ppo, rloo or grpo", at)
        })
    };
    std::iter::once(Ok(dpo())).chain(against.iter().map(side)).collect()
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
    let methods = || sides.iter().flat_map(|side| &side.stages);
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
        let sides = sides(&[Method::Ppo], "test").expect("two sides");
        check_given(&given, &sides, "test").expect("every setting is known");
        let wrong = check_given(&self::given(json!({"bta": 0.2})), &sides, "test").expect_err("no such setting");
        assert!(wrong.to_string().contains("\"bta\""), "{wrong}");
        stage_config(&self::given(json!({"ppo": 1})), Method::Ppo, "test").expect_err("no object");
    }

    #[test]
    fn dpo_races_against_what_optimises_a_policy_by_rewards() {
        let names = |against: &[Method]| {
            let sides = sides(against, "test").expect("sides");
            sides.into_iter().map(|side| side.name).collect::<Vec<_>>()
        };
        assert_eq!(names(&[]), ["DPO", "RLHF by PPO"], "the usual one");
        assert_eq!(names(&[Method::Grpo, Method::Rloo]), ["DPO", "RLHF by GRPO", "RLHF by RLOO"]);
        let wrong = sides(&[Method::Sft], "test").expect_err("it has no rewards").to_string();
        assert!(wrong.contains("sft does not optimise"), "{wrong}");
    }
}
