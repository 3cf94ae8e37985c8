//! Three ways to train for those who do not want to choose numbers.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::data::Method;
use crate::engine::race::stage_config;
use crate::train::{METHOD, TrainConfig};

/// Share of the rows that is held out in the app unless somebody says otherwise.
pub const EVAL_SPLIT: f64 = 0.1;

/// Settings for a purpose. Each sets the same keys, so that changing one's mind leaves nothing behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// A change of tone in a model that already answers well, which costs little of what it knows.
    Gentle,
    /// The settings' defaults, for most pairs and models.
    Standard,
    /// A clear change of behaviour from many consistent pairs; watch the held-out pairs and the samples.
    Strong,
}

impl Preset {
    /// All, from the weakest.
    pub const ALL: [Self; 3] = [Self::Gentle, Self::Standard, Self::Strong];

    /// The word on its button.
    pub fn label(self) -> &'static str {
        match self {
            Self::Gentle => "Gentle",
            Self::Standard => "Standard",
            Self::Strong => "Strong",
        }
    }

    /// Returns its purpose in one sentence.
    pub fn purpose(self) -> &'static str {
        match self {
            Self::Gentle => "For a model that already answers well: changes its tone and risks little.",
            Self::Standard => "For most models and pairs: a good first run.",
            Self::Strong => "For a clear change from many consistent pairs: watch the samples, it can overdo.",
        }
    }
}

/// The setting that [`epochs_for`] suggests.
pub const EPOCHS: &str = "num_train_epochs";

/// Every setting of a method as it is unless somebody says otherwise.
pub fn defaults_of(method: Method) -> Map<String, Value> {
    TrainConfig::defaults_of(method).to_map()
}

/// The settings of a method with which the demo is over in minutes: those of its race, as far as they are no defaults.
pub fn demo_of(method: Method) -> Map<String, Value> {
    if method == Method::Dpo {
        return serde_json::from_slice(include_bytes!("../../../assets/demo/config.json")).unwrap_or_default();
    }
    let mut settings =
        stage_config(&demo_race(), method, "the demo's settings").map(|config| config.to_map()).unwrap_or_default();
    let defaults = defaults_of(method);
    settings.retain(|key, value| key == METHOD || defaults.get(key) != Some(value));
    settings
}

/// The settings of all stages of the demo's race.
pub fn demo_race() -> Map<String, Value> {
    serde_json::from_slice(include_bytes!("../../../assets/demo/race.json")).unwrap_or_default()
}

/// A preset's values, by setting, to lay over the defaults.
///
/// `Strong` stays at the learning rate above which people report repeated and broken text after DPO, and takes its
/// strength from a second pass and a larger adapter. `lora_alpha` is twice `r`, so that a larger rank is no louder.
pub fn overrides(preset: Preset) -> Map<String, Value> {
    let (beta, learning_rate, epochs, rank) = match preset {
        Preset::Gentle => (0.3, 1e-5, 1.0, 8),
        Preset::Standard => (0.1, 2e-5, 1.0, 16),
        Preset::Strong => (0.1, 5e-5, 2.0, 32),
    };
    let values = [
        ("beta", json!(beta)),
        ("learning_rate", json!(learning_rate)),
        (EPOCHS, json!(epochs)),
        ("r", json!(rank)),
        ("lora_alpha", json!(2.0 * f64::from(rank))),
    ];
    values.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// Returns the preset that shares the most values with the settings, Standard before the others.
pub fn nearest(settings: &Map<String, Value>) -> Preset {
    let changed = |preset: &Preset| overrides(*preset).iter().filter(|(k, v)| settings.get(*k) != Some(v)).count();
    let order = [Preset::Standard, Preset::Gentle, Preset::Strong];
    order.into_iter().min_by_key(changed).unwrap_or(Preset::Standard)
}

/// Returns the preset that the settings match. Epochs may differ: they depend on the number of pairs.
pub fn of(settings: &Map<String, Value>) -> Option<Preset> {
    let like = |(key, value): (String, Value)| key == EPOCHS || settings.get(&key) == Some(&value);
    Preset::ALL.into_iter().find(|preset| overrides(*preset).into_iter().all(like))
}

/// Epochs to suggest in place of the preset's own, for pairs so few that it would hardly take a step.
///
/// Enough for 30, 60 or 120 optimiser steps, at most 3, 5 or 8 passes, and never fewer than the preset has.
pub fn epochs_for(preset: Preset, n_pairs: usize, pairs_per_step: usize) -> f64 {
    let (own, most, steps) = match preset {
        Preset::Gentle => (1, 3, 30),
        Preset::Standard => (1, 5, 60),
        Preset::Strong => (2, 8, 120),
    };
    let per_epoch = n_pairs.div_ceil(pairs_per_step.max(1)).max(1);
    f64::from(u32::try_from(usize::div_ceil(steps, per_epoch)).unwrap_or(most).clamp(own, most))
}
