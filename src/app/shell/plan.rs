//! Settings, name and prompts of the next run: as edited, and as proposed until the user chooses others.

use eframe::egui;
use serde_json::Value;

use super::app::App;
use super::prefs::default_settings;
use super::text;
use crate::app::actions::Step;
use crate::app::fields;
use crate::app::methods::{self, method_of};
use crate::app::records::MAX_STEPS;
use crate::app::state::State;
use crate::app::text::setting;
use crate::engine::plan::presets::{self, Preset};
use crate::engine::protocol::{Inputs, METHOD, Method, PairRow, Settings, Watch};
use crate::platform::host;

/// Settings that suit model and machine, and so stay when another method is chosen.
pub(super) const OF_THE_MACHINE: [&str; 10] = [
    "r",
    "lora_alpha",
    "target_modules",
    "max_length",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "gradient_checkpointing",
    "load_in",
    "fp16",
    "seed",
];

/// Number of sample prompts that are proposed.
const PROPOSED_PROMPTS: usize = 3;

impl App {
    /// Asks for the plan once edits have rested for a moment.
    pub(super) fn plan_soon(&mut self, ctx: &egui::Context) {
        self.plan_dirty = Some(ctx.input(|input| input.time));
    }

    pub(super) fn edit_inputs(&mut self, ctx: &egui::Context, inputs: Inputs) {
        self.state.plan.inputs = inputs;
        self.plan_soon(ctx);
    }

    pub(super) fn edit_limit(&mut self, ctx: &egui::Context, limit: Option<u64>) {
        self.state.plan.limit = limit;
        self.plan_soon(ctx);
    }

    pub(super) fn edit_watch(&mut self, watch: Watch) {
        let looks = |watch: &Watch| (watch.eval_steps, watch.max_eval_pairs);
        self.state.plan.watch_edited |= looks(&watch) != looks(&self.state.plan.watch);
        self.state.plan.watch = watch;
    }

    pub(super) fn use_preset(&mut self, ctx: &egui::Context, preset: Preset) {
        let mut settings = self.state.plan.settings.clone();
        settings.extend(presets::overrides(preset));
        self.state.plan.preset = Some(preset);
        self.state.plan.proposed_epochs = None;
        self.propose_epochs(preset, &mut settings);
        self.edit_settings(ctx, settings);
    }

    pub(super) fn reset_settings(&mut self, ctx: &egui::Context, preset: Preset) {
        let mut settings = presets::overrides(preset);
        settings.insert("eval_split".to_owned(), presets::EVAL_SPLIT.into());
        self.state.plan.proposed_epochs = None;
        self.forget_suited();
        self.propose_epochs(preset, &mut settings);
        self.views.plan.forget_typed();
        self.edit_settings(ctx, settings);
    }

    /// Plans a run like another one.
    pub(super) fn use_settings(
        &mut self,
        ctx: &egui::Context,
        settings: Settings,
        inputs: Inputs,
        watch: Watch,
        name: &str,
    ) {
        self.state.plan.inputs = inputs;
        self.state.plan.watch = watch;
        self.state.plan.watch_edited = true;
        self.views.frame.name_stem = unnumbered(name, &self.state).to_owned();
        self.state.plan.name.clear();
        self.propose_name();
        self.views.plan.forget_typed();
        self.state.plan.preset = Some(presets::nearest(&settings));
        self.edit_settings(ctx, settings);
        self.go(Step::Plan);
    }

    pub(super) fn edit_settings(&mut self, ctx: &egui::Context, settings: Settings) {
        let plan = &mut self.state.plan;
        if method_of(&settings) == Method::Dpo {
            plan.preset = presets::of(&settings).or(plan.preset);
        }
        // The demo's settings may still be on their way, and must not replace the user's own.
        self.adopting = false;
        self.before_demo = None;
        plan.settings = settings;
        plan.problem = None;
        self.plan_soon(ctx);
        host::set_fragment(&setting::settings_fragment(&self.state.plan.settings));
    }

    /// Sets the settings for a method: the demo's, or its defaults with the choices for model and machine.
    pub(super) fn choose_method(&mut self, ctx: &egui::Context, method: Method) {
        let mut settings = Settings::from_iter([(METHOD.to_owned(), method.name().into())]);
        let (preset, before) = (self.state.plan.preset, self.before_demo.clone());
        if self.state.is_demo() {
            settings.extend(presets::demo_of(method));
        } else {
            if method == Method::Dpo {
                settings = default_settings();
            }
            settings.insert("eval_split".to_owned(), presets::EVAL_SPLIT.into());
            if method != self.state.plan.method() {
                let kept = self.state.plan.settings.iter().filter(|(key, _)| OF_THE_MACHINE.contains(&key.as_str()));
                settings.extend(kept.map(|(key, value)| (key.clone(), value.clone())));
            }
        }
        fields::keep_known(&mut settings);
        self.views.plan.forget_typed();
        self.state.plan.proposed_epochs = None;
        self.forget_suited();
        self.edit_settings(ctx, settings);
        self.state.plan.preset = if self.state.is_demo() { None } else { preset.or(Some(Preset::Standard)) };
        self.before_demo = before;
    }

    /// Switches to the usual method for the open rows if the chosen method cannot train on them.
    pub(super) fn suit_rows(&mut self, ctx: &egui::Context) {
        let serving = self.state.pairs.info.as_ref().map(|pairs| methods::serving(Some(pairs.kind)));
        if let Some(serving) = serving.filter(|serving| !serving.contains(&self.state.plan.method())) {
            self.choose_method(ctx, serving[0]);
        }
    }

    /// Takes over settings from elsewhere, as far as they are known here, and shows them.
    pub(super) fn take_settings(&mut self, ctx: &egui::Context, mut settings: Settings) {
        let unknown = fields::keep_known(&mut settings);
        settings.entry("eval_split").or_insert_with(|| presets::EVAL_SPLIT.into());
        self.views.plan.forget_typed();
        self.state.plan.preset = Some(presets::nearest(&settings));
        self.edit_settings(ctx, settings);
        self.go(Step::Plan);
        self.toast(ctx, text::settings_read(&unknown));
    }

    /// Leaves out a number of steps that was chosen for the file of this name: another one takes others.
    pub(super) fn forget_steps(&mut self, ctx: &egui::Context, file: &str) {
        // The demo's settings may replace these, and give them back later.
        if self.adopting || self.before_demo.is_some() {
            return;
        }
        let chosen = self.state.plan.settings.get(MAX_STEPS).and_then(Value::as_i64);
        self.state.plan.settings.remove(MAX_STEPS);
        if let Some(steps) = chosen.filter(|steps| *steps > 0) {
            self.views.plan.forget_typed();
            self.toast(ctx, text::steps_forgotten(steps, file));
        }
    }

    /// Proposes a number of passes over the open pairs that suits the preset, unless the user has chosen one.
    pub(super) fn propose_epochs(&mut self, preset: Preset, settings: &mut Settings) {
        let Some(pairs) = &self.state.pairs.info else { return };
        if method_of(settings) != Method::Dpo {
            return;
        }
        let own = presets::overrides(preset).get(presets::EPOCHS).and_then(Value::as_f64);
        let defaults = self.state.plan.info.as_ref().map(|info| &info.full_settings);
        let number = |key: &str| settings.get(key).or_else(|| defaults?.get(key)).and_then(Value::as_f64);
        let proposed = &mut self.state.plan.proposed_epochs;
        if proposed.or(own) != number(presets::EPOCHS) {
            return;
        }
        let trained = (pairs.usable - pairs.skipped) as f64 * (1.0 - number("eval_split").unwrap_or(0.0));
        let per_step =
            number("per_device_train_batch_size").unwrap_or(4.0) * number("gradient_accumulation_steps").unwrap_or(4.0);
        let epochs = presets::epochs_for(preset, trained as usize, per_step as usize);
        *proposed = Some(epochs);
        settings.insert(presets::EPOCHS.to_owned(), epochs.into());
    }

    /// Takes over the settings that suit rows and device, once for each model and pairs, if no setting was changed.
    pub(super) fn suit_device(&mut self, ctx: &egui::Context) {
        let plan = &self.state.plan;
        let Some(info) = plan.info.as_ref().filter(|_| plan.preset.is_some() && !plan.pending && !self.adopting) else {
            return;
        };
        if self.plan_dirty.is_some() || self.views.frame.suited_about == self.planned_names() {
            return;
        }
        let suited = info.suited.clone();
        let untouched = plan.changes().is_empty();
        self.views.frame.suited_about = self.planned_names();
        if suited.is_empty() || !untouched {
            return;
        }
        let plan = &mut self.state.plan;
        plan.reasons = suited.iter().map(|fix| fix.label.clone()).collect();
        plan.suited = suited.into_iter().flat_map(|fix| fix.settings).collect();
        plan.settings.extend(plan.suited.clone());
        self.plan_soon(ctx);
    }

    /// Names of the model and the pairs that the plan is about. A skipped row makes them no others.
    pub(super) fn planned_names(&self) -> (String, Option<String>) {
        let (model, pairs) = &self.views.frame.planned_about;
        (model.clone(), pairs.as_ref().map(|(name, ..)| name.clone()))
    }

    /// Takes back what suited other rows or another device, as far as the user left it.
    pub(super) fn forget_suited(&mut self) {
        let plan = &mut self.state.plan;
        plan.reasons.clear();
        for (key, value) in std::mem::take(&mut plan.suited) {
            if plan.settings.get(&key) == Some(&value) {
                plan.settings.remove(&key);
            }
        }
    }

    /// Proposes a name that no run has, unless the user has chosen one.
    pub(super) fn propose_name(&mut self) {
        let (name, frame) = (&self.state.plan.name, &self.views.frame);
        if frame.name_stem.is_empty() || !(name.is_empty() || *name == frame.proposed_name) {
            return;
        }
        let name = free_name(&frame.name_stem, |name| is_taken(name, &self.state));
        self.views.frame.proposed_name.clone_from(&name);
        self.state.plan.name = name;
    }

    /// Proposes prompts to watch, unless the user has chosen any.
    pub(super) fn propose_prompts(&mut self) {
        if self.state.pairs.info.is_none() {
            return;
        }
        let watch = &mut self.state.plan.watch;
        if watch.prompts.is_empty() || watch.prompts == self.views.frame.proposed_prompts {
            let mut prompts: Vec<String> = Vec::new();
            // Skip rows that the table has shortened.
            let whole = |row: &&PairRow| row.chars[0] > 0 && row.chars[0] == row.prompt.chars().count();
            for row in self.state.pairs.rows.iter().filter(whole) {
                if prompts.len() < PROPOSED_PROMPTS && !prompts.contains(&row.prompt) {
                    prompts.push(row.prompt.clone());
                }
            }
            self.views.frame.proposed_prompts.clone_from(&prompts);
            watch.prompts = prompts;
        }
    }
}

/// Returns `stem`, followed by a number if it is taken.
pub(super) fn free_name(stem: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let numbered = (2..).map(|n| format!("{stem} {n}"));
    std::iter::once(stem.to_owned()).chain(numbered).find(|name| !is_taken(name)).unwrap_or_default()
}

fn is_taken(name: &str, state: &State) -> bool {
    state.runs.iter().flatten().any(|run| run.name == name)
}

/// Strips the number that made a name unique.
fn unnumbered<'a>(name: &'a str, state: &State) -> &'a str {
    let parts = name.rsplit_once(' ').filter(|(stem, n)| n.parse::<u32>().is_ok() && is_taken(stem, state));
    parts.map_or(name, |(stem, _)| stem)
}
