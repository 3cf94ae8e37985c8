//! Presets are settings that the trainer takes, in the order of their names; every setting has its help.

use std::collections::HashSet;

use pairtune::data::Method;
use pairtune::engine::plan::field_help::{FieldHelp, field_help};
use pairtune::engine::plan::presets::{Preset, demo_of, epochs_for, nearest, overrides};
use pairtune::train::{TrainConfig, settings};
use serde_json::Map;

#[test]
fn every_preset_is_a_config_and_standard_is_the_default() {
    let configs =
        Preset::ALL.map(|preset| TrainConfig::from_map(&overrides(preset), preset.label()).expect("a config"));
    assert_eq!(configs[1], TrainConfig::defaults());
    for (weaker, stronger) in configs.iter().zip(&configs[1..]) {
        assert!(weaker.beta >= stronger.beta && weaker.learning_rate < stronger.learning_rate, "{weaker:?}");
        assert!(weaker.num_train_epochs <= stronger.num_train_epochs && weaker.r < stronger.r, "{weaker:?}");
    }
    for (preset, config) in Preset::ALL.iter().zip(&configs) {
        assert_eq!(config.lora_alpha, 2.0 * config.r as f64, "the scale is the same in {preset:?}");
        assert!(config.learning_rate <= 5e-5, "{preset:?} is not above what is known to break models");
    }
}

#[test]
fn changing_the_preset_leaves_nothing_behind() {
    let keys = Preset::ALL.map(|preset| overrides(preset).keys().cloned().collect::<Vec<_>>());
    assert_eq!(keys[0], keys[1]);
    assert_eq!(keys[1], keys[2]);
    let texts: HashSet<&str> = Preset::ALL.iter().flat_map(|preset| [preset.label(), preset.purpose()]).collect();
    assert_eq!(texts.len(), 6, "each has its own words");
}

#[test]
fn settings_are_told_by_the_preset_that_they_share_most_with() {
    for preset in Preset::ALL {
        let mut settings = overrides(preset);
        assert_eq!(nearest(&settings), preset, "its own values");
        settings.insert("max_steps".to_owned(), 3.into());
        settings.insert("beta".to_owned(), 0.7.into());
        assert_eq!(nearest(&settings), preset, "with changes to it");
    }
    assert_eq!(nearest(&Map::new()), Preset::Standard, "nothing is said");
}

#[test]
fn few_pairs_are_gone_through_more_often() {
    assert_eq!(epochs_for(Preset::Standard, 10_000, 16), 1.0);
    assert_eq!(epochs_for(Preset::Standard, 320, 16), 3.0, "20 steps a pass");
    assert_eq!(epochs_for(Preset::Standard, 321, 16), 3.0, "21 steps a pass");
    assert_eq!(epochs_for(Preset::Gentle, 48, 16), 3.0);
    assert_eq!(epochs_for(Preset::Strong, 48, 16), 8.0);
    assert_eq!(epochs_for(Preset::Strong, 1_000_000, 1), 2.0);
    assert_eq!(epochs_for(Preset::Standard, 0, 0), 5.0, "nothing to divide by");
}

#[test]
fn every_setting_has_its_help_in_whole_sentences() {
    let mut labels = HashSet::new();
    for key in settings(Method::Dpo).map(|setting| setting.key) {
        let FieldHelp { label, what, range, too_low, too_high } = field_help(key).expect(key);
        assert!(labels.insert(label), "{key} has a label of its own");
        assert!(!label.ends_with('.') && label.chars().count() <= 32, "{key}: a short label, {label}");
        assert!(!range.is_empty() && !range.ends_with('.'), "{key}: a range is no sentence");
        assert!(!range.contains("usual"), "{key}: the default is told beside it: {range}");
        assert_eq!((too_low.is_empty(), too_high.is_empty()), [key == "seed"; 2].into(), "{key}: both ends");
        for text in [what, too_low, too_high].into_iter().filter(|text| !text.is_empty()) {
            assert!(!text.starts_with("On:") && !text.starts_with("Off:"), "{key}: the app says on and off: {text}");
            assert!(text.ends_with('.') && text.starts_with(char::is_uppercase), "{key}: {text}");
            assert!(text.len() > 20 && text.len() < 200 && !text.contains("  "), "{key}: {text}");
        }
    }
    assert_eq!(field_help("batch_size"), None);
    for setting in Method::ALL.into_iter().flat_map(settings) {
        let help = field_help(setting.key).expect(setting.key);
        assert!(!help.label.ends_with('.') && help.label.chars().count() <= 32, "{}: {}", setting.key, help.label);
    }
}

#[test]
fn the_demo_has_settings_for_every_method() {
    for method in Method::ALL {
        let config = TrainConfig::from_map(&demo_of(method), method.name()).expect("a config");
        assert_eq!((config.method(), config.problems()), (method, Vec::new()));
        assert!(demo_of(method).len() < 20, "only what is no default: {:?}", demo_of(method));
    }
}
