//! Preferences, remembered from one start to the next.

use eframe::egui::ThemePreference;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::app::App;
use crate::app::fields;
use crate::app::records::MAX_STEPS;
use crate::app::state::Recent;
use crate::engine::plan::presets::{self, Preset};
use crate::engine::protocol::Settings;

/// Key of the stored preferences.
pub(super) const STORAGE_KEY: &str = "pairtune";

/// Preferences, remembered from one start to the next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Prefs {
    pub(super) theme: ThemePreference,
    pub(super) zoom: f32,
    pub(super) settings: Settings,
    pub(super) log_open: bool,
    pub(super) offline: bool,
    pub(super) recent: Recent,
}

impl Default for Prefs {
    fn default() -> Self {
        let (settings, recent) = (default_settings(), Recent::default());
        Self { theme: ThemePreference::System, zoom: 1.0, settings, log_open: false, offline: false, recent }
    }
}

impl Prefs {
    /// Loads the stored preferences, without settings that are no longer known.
    pub(super) fn stored(storage: Option<&dyn eframe::Storage>) -> Self {
        let mut prefs: Self = storage
            .and_then(|storage| storage.get_string(STORAGE_KEY))
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default();
        fields::keep_known(&mut prefs.settings);
        prefs
    }
}

impl App {
    /// Copies the settings and paths to remember into the preferences.
    pub(super) fn remember(&mut self) {
        self.prefs.settings.clone_from(self.before_demo.as_ref().unwrap_or(&self.state.plan.settings));
        // The proposed number of passes suits these pairs only, so the preset's own number is remembered.
        let epochs = self.state.plan.settings.get(presets::EPOCHS).and_then(Value::as_f64);
        if let Some(preset) = self.state.plan.preset
            && epochs.is_some()
            && epochs == self.state.plan.proposed_epochs
            && self.before_demo.is_none()
        {
            let own = presets::overrides(preset).remove(presets::EPOCHS).unwrap_or_default();
            self.prefs.settings.insert(presets::EPOCHS.to_owned(), own);
        }
        if self.before_demo.is_none() {
            // The same holds for what suits these rows.
            let suited = &self.state.plan.suited;
            self.prefs.settings.retain(|key, value| suited.get(key) != Some(value));
        }
        // So does a number of steps.
        self.prefs.settings.remove(MAX_STEPS);
        self.prefs.offline = self.state.offline;
        self.prefs.recent.clone_from(&self.state.recent);
    }
}

/// The settings of a fresh plan: the standard preset, with some pairs held out.
pub(super) fn default_settings() -> Settings {
    let mut settings = presets::overrides(Preset::Standard);
    settings.insert("eval_split".to_owned(), presets::EVAL_SPLIT.into());
    settings
}
