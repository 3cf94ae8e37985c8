//! The texts of this page.

use crate::app::fields::{self, Kind as FieldKind};
use crate::app::state::{RunParts, State};
use crate::app::text::{setting, units};
use crate::engine::protocol::{
    Inputs, Kind, LossType, Mapping, Method, ModelSource, PlanInfo, Settings, TRIAL_STEPS, Watch,
};
use crate::platform::file_name;

pub(super) const NOTHING: &str = "(by itself)";
pub(super) const REWARDS_FIRST: &str = "Choose a reward model or a rule under \"What answers are worth\"";
pub(super) const SETTINGS: &str = "Settings";
pub(super) const METHOD: &str = "Method";
pub(super) const METHOD_SETTINGS: &str = "This method's defaults.";
pub(super) const START_FROM: &str = "Start from";
pub(super) const BASE_MODEL: &str = "the base model";
pub(super) const REWARDS: &str = "What answers are worth";
pub(super) const REWARDS_NOTE: &str = "The model writes answers, and these judge them. Several are added up.";
pub(super) const NO_REWARD_MODELS: &str = "No reward model of this model yet: train one by the method Reward model.";
pub(super) const ADD_ADAPTER: &str = "An adapter's folder…";
pub(super) const ADD_REWARD_MODEL: &str = "A reward model's folder…";
pub(super) const ADD_ADAPTER_NOTE: &str = "A PEFT folder (adapter_config.json, adapter_model.safetensors) for this \
    model, from TRL, from PEFT or from here. It is copied, and stays in Runs.";
pub(super) const REWARD_RULE: &str = "Rule";
pub(super) const ADD_RULE: &str = "Add";

/// Says how many settings differ from the method's defaults.
pub(super) fn changed_settings(n: usize) -> String {
    format!("{} changed", units::counted(n, "setting"))
}

pub(super) fn remove_rule(rule: &str) -> String {
    format!("Remove {rule}")
}

pub(super) const CORRECT_FIELD: &str = "Correct the field";
pub(super) const PLAN_TITLE: &str = "Plan";
pub(super) const PLAN_SUBTITLE: &str = "What the run will do and what it takes, before anything starts.";
pub(super) const PLAN_REFUSED: &str = "These settings do not work";
pub(super) const RUN_REFUSED: &str = "The run did not start";
pub(super) const PRESET: &str = "Preset";
pub(super) const DEMO_SETTINGS: &str = "The demo's own settings.";
pub(super) const RESET: &str = "reset";
pub(super) const MORE: &str = "More settings";
pub(super) const ON: &str = "on";
pub(super) const ADD_LOSS: &str = "add";
pub(super) const REMOVE_LOSS: &str = "remove";
pub(super) const STEPS_DECIDE: &str = "Max steps is set and decides.";
pub(super) const SETTINGS_AS: &str = "Settings as";
pub(super) const AS_LINK: &str = "Copy link";
pub(super) const AS_LINK_HELP: &str = "The page opens it as an address. Ctrl+V, while no field has the keyboard, takes \
    the settings in the window, too.";
pub(super) const AS_COMMAND: &str = "Copy command line";
pub(super) const AS_FILE: &str = "Save file…";
pub(super) const AS_FILE_HELP: &str = "As the command line reads it with --config. Monitoring is not in it.";
pub(super) const COMMAND_SKIPS_NOTHING: &str = "It does not skip the rows that are skipped here.";
pub(super) const COMMAND_HAS_NO_EDITS: &str = "It does not have the rows that were edited here: \"Save rows…\" in \
    Pairs first, and name that file.";
pub(super) const COMMAND_HAS_NO_TEMPLATE: &str = "It does not have the chat template that was changed here: put that \
    into a file, and name the file with --chat-template-path.";
pub(super) const COMMAND: &str = "Command line";
pub(super) const FROM_FILE: &str = "Load file…";
pub(super) const TAKES: &str = "Memory and time";
pub(super) const NO_PLAN: &str = "Memory, time and checks appear here once a model and pairs are open.";
pub(super) const MEMORY_PARTS: [&str; 4] = ["weights", "adapter and optimiser", "activations", "logits"];
pub(super) const NO_LIMIT: &str = "This device does not say how much memory it has.";
pub(super) const NO_FIGURES: &str = "With these settings there is no run, so it takes nothing yet.";
pub(super) const EDIT_LIMIT: &str = "Set the limit myself";
pub(super) const LIMIT_GB: &str = "Memory in GB";
pub(super) const SET_LIMIT: &str = "Set";
pub(super) const CLEAR_LIMIT: &str = "Ask the device";
pub(super) const FIXES: &str = "It does not fit. What would help, best first:";
pub(super) const NO_FIXES: &str = "It does not fit, and no setting would make it fit.";
pub(super) const SMALLER_MODEL: &str = "or choose a smaller model";
pub(super) const TRIAL: &str = "Measure: run 2 trial steps";
pub(super) const TRIAL_AGAIN: &str = "Measure again";
pub(super) const WATCH: &str = "Monitoring";
pub(super) const RUN_NAME: &str = "Name";
pub(super) const EVAL_EVERY: &str = "Evaluate every";
pub(super) const EVAL_EVERY_HELP: &str = "An evaluation scores the held-out pairs and answers the sample prompts, \
    which takes time. 0 evaluates only before and after the run.";
pub(super) const EVAL_STEPS: &str = "steps";
pub(super) const EVAL_PAIRS: &str = "on at most";
pub(super) const EVAL_PAIRS_HELP: &str = "Held-out pairs that are scored at each evaluation, spread over the file. The \
    others are neither scored nor trained on. Fewer take less time, and say less.";
const ALL_PAIRS: &str = "all pairs";

/// A limit on the pairs of an evaluation; 0 is none.
pub(super) fn most_pairs(most: usize) -> String {
    if most == 0 { ALL_PAIRS.to_owned() } else { units::counted(most, "pair") }
}

/// Says that an evaluation leaves pairs out, and why one may want that.
pub(super) fn some_pairs(some: usize, all: usize) -> String {
    let (some, all) = (units::count(some), units::counted(all, "held-out pair"));
    format!("{some} of {all} are scored at each evaluation, which saves time; the others are left out of the run.")
}

/// Reads such a limit as a person types it.
pub(super) fn as_most_pairs(typed: &str) -> Option<f64> {
    or_else_0(typed, "all")
}

/// Reads a number with its unit, or a word that stands for 0.
fn or_else_0(typed: &str, word: &str) -> Option<f64> {
    let digits: String = typed.chars().filter(char::is_ascii_digit).collect();
    if digits.is_empty() { typed.trim_start().starts_with(word).then_some(0.0) } else { digits.parse().ok() }
}
pub(super) const KEEP_BEST: &str = "Keep the best adapter";
pub(super) const KEEP_BEST_HELP: &str = "Keeps the adapter of the best evaluation beside the last one, by held-out \
    accuracy where there are pairs. Compare takes it, and Export offers both.";
pub(super) const PATIENCE: &str = "Early stopping patience";
pub(super) const PATIENCE_HELP: &str = "Stops and saves the run once so many evaluations in a row were no better than \
    the best one (transformers: early_stopping_patience). Off takes every step.";
const NO_PATIENCE: &str = "off";

/// Evaluations that a run waits for a better one; 0 is for ever.
pub(super) fn patience(evaluations: usize) -> String {
    if evaluations == 0 { NO_PATIENCE.to_owned() } else { units::counted(evaluations, "evaluation") }
}

/// Reads them as a person types them.
pub(super) fn as_patience(typed: &str) -> Option<f64> {
    or_else_0(typed, NO_PATIENCE)
}
pub(super) const SAMPLE_PROMPTS_HELP: &str = "The answers show how the model changes: the same prompts with the same \
    seed each time. They teach it nothing, and take time.";
pub(super) const SAMPLE_PROMPTS: &str = "Sample prompts (answered before the run and at every evaluation)";
pub(super) const EVALUATE_ENDS: &str = "Evaluate only before and after";
pub(super) const NO_SAMPLES: &str = "No sample prompts";

/// Offer of evaluations on fewer pairs.
pub(super) fn evaluate_on(pairs: usize) -> String {
    format!("Evaluate on {}", units::counted(pairs, "pair"))
}

/// Consequence of evaluating only before and after a run.
pub(super) fn evaluations_left_out(n: usize) -> String {
    format!(
        "Leaves out {} during the run, which show when the held-out accuracy is best.",
        units::counted(n, "evaluation")
    )
}

/// Consequence of answering no prompts.
pub(super) fn answers_left_out(prompts: usize) -> String {
    format!("Leaves out the answers to {}. Compare writes them after the run.", units::counted(prompts, "prompt"))
}
pub(super) const SAMPLE_PROMPT: &str = "Sample prompt";
pub(super) const REMOVE: &str = "Remove";
pub(super) const START: &str = "Start training";

/// Name of a preset with changes.
pub(super) fn changed_preset(preset: &str, changes: usize) -> String {
    format!("{preset} + {}", units::counted(changes, "change"))
}

/// Way back from settings that were suited to the rows and the device.
pub(super) fn own_values(preset: &str) -> String {
    format!("Use the values of {preset} all the same")
}

pub(super) fn reset_to(preset: &str) -> String {
    format!("Reset to {preset}")
}

pub(super) fn reset_field(name: &str, value: &str) -> String {
    match value {
        "" => format!("Reset {name}"),
        value => format!("Reset {name} to {value}"),
    }
}

/// Values that make sense, with the default unless it is nothing, or a switch or a list that names it.
pub(super) fn help_range(range: &str, kind: FieldKind, default: &str) -> String {
    match kind {
        FieldKind::Switch | FieldKind::Maybe | FieldKind::Words | FieldKind::Losses => format!("Typical: {range}"),
        _ if default.is_empty() => format!("Typical: {range}"),
        _ => match range.split_once("; ") {
            Some((values, remark)) => format!("Typical: {values} (default {default}); {remark}"),
            None => format!("Typical: {range} (default {default})"),
        },
    }
}

/// Effects of a lower and of a higher value, of off and of on, or of one choice and of others.
pub(super) fn help_effects(kind: FieldKind, [low, high]: [&str; 2]) -> [String; 2] {
    let said = |when: &str, text: &str| match text {
        "" => String::new(),
        text => format!("{when}: {}", units::lower_first(text)),
    };
    match kind {
        FieldKind::Switch | FieldKind::Maybe => [said("Off", low), said("On", high)],
        FieldKind::Choice(_) | FieldKind::Words | FieldKind::Losses => [low, high].map(str::to_owned),
        FieldKind::Number(..)
        | FieldKind::Optional(..)
        | FieldKind::Positive
        | FieldKind::Fraction
        | FieldKind::Percent
        | FieldKind::Whole(..)
        | FieldKind::OptionalWhole(..)
        | FieldKind::Steps { .. }
        | FieldKind::Numbers => [said("If lower", low), said("If higher", high)],
    }
}

/// The rows of a step, beside the batch size and the gradient accumulation, of which `other` is the one that is not
/// beside it; nothing where a step has no such number.
pub(super) fn per_step(method: Method, other: usize, rows: usize) -> Option<String> {
    let noun = match method {
        Method::Dpo | Method::Reward | Method::Orpo | Method::Cpo => "pair",
        Method::Sft | Method::Kto => "row",
        Method::Grpo | Method::Rloo => "answer",
        // Its batches are cut into mini-batches.
        Method::Ppo => return None,
    };
    Some(format!("× {} = {} per step", units::count(other), units::counted(rows, noun)))
}

/// Names of the losses that are added up.
pub(super) fn losses(words: &[&str]) -> String {
    let named = |word: &str| LossType::ALL.into_iter().find(|loss| loss.name() == word).map(LossType::label);
    words.iter().map(|word| named(word).unwrap_or(word)).collect::<Vec<_>>().join(" + ")
}

pub(super) fn add_loss(name: &str) -> String {
    format!("Add {name} to the loss")
}

pub(super) fn remove_loss(name: &str) -> String {
    format!("Remove {name} from the loss")
}

/// The models in memory: one base, and the adapters on it.
pub(super) fn models(models: &[(String, u64)]) -> String {
    let said = |(name, size): &(String, u64)| match size {
        0 => format!("{name} (the adapter switched off)"),
        size => format!("{name} {}", units::bytes(*size)),
    };
    let adapters: Vec<String> = models.iter().skip(1).map(said).collect();
    format!("On one copy of the base: {}", adapters.join(", "))
}

pub(super) fn memory_label(total: u64, limit: Option<u64>, measured: bool) -> String {
    match limit {
        Some(limit) if total <= limit => format!("Memory: {} of {}, fits", units::bytes(total), units::bytes(limit)),
        Some(limit) => format!("Memory: {} of {}, does not fit", units::bytes(total), units::bytes(limit)),
        None if measured => format!("Memory: {}, fits (measured)", units::bytes(total)),
        None => format!("Memory: {}. Whether it fits is not known: measure with 2 trial steps", units::bytes(total)),
    }
}

pub(super) fn fix(label: &str, saves: u64) -> String {
    if saves == 0 { label.to_owned() } else { format!("{label}: −{}", units::bytes(saves)) }
}

pub(super) fn steps(plan: &PlanInfo, kind: Kind) -> String {
    let mut out = format!(
        "Steps: {}, on {} with {} held out",
        units::count(plan.n_steps),
        units::counted(plan.n_train, if kind == Kind::Pairs { "pair" } else { "row" }),
        units::count(plan.held_out.len())
    );
    for (rows, fate) in [(plan.truncated.len(), "truncated"), (plan.dropped.len(), "skipped")] {
        if rows > 0 {
            out.push_str(&format!(", {} {fate}", units::count(rows)));
        }
    }
    out
}

pub(super) const NO_TIME: &str = "Time: unknown. Measure with 2 trial steps";

/// The same by another run.
pub(super) fn guessed_time(parts: RunParts, step: f64, run: &str) -> String {
    format!("{}. A guess, from run \"{run}\": measure with 2 trial steps", time(parts, step))
}

/// Time of the whole run and of its parts.
pub(super) fn time(parts: RunParts, step: f64) -> String {
    let named = [
        (parts.steps, "training"),
        (parts.reference, "reference scores of the base model"),
        (parts.evaluations, "evaluations"),
        (parts.answers.unwrap_or(0.0), "sample answers"),
    ];
    let named = named.into_iter().filter(|(seconds, _)| *seconds > 0.0);
    let named: Vec<String> = named.map(|(seconds, what)| format!("{} {what}", units::duration(seconds))).collect();
    let mut out = format!(
        "Time: about {}: {} ({} per step)",
        units::duration(parts.total()),
        named.join(", "),
        units::duration(step)
    );
    if parts.answers.is_none() {
        out.push_str("; sample answers come on top");
    }
    out
}

/// Progress of a trial.
pub(super) fn trying(step: usize, seconds: f64) -> String {
    let seconds = units::duration(seconds);
    match step {
        0 => format!("Preparing {TRIAL_STEPS} trial steps (not kept), {seconds}"),
        step => format!("Running {TRIAL_STEPS} trial steps (not kept): step {step} of {TRIAL_STEPS}, {seconds}"),
    }
}

pub(super) fn tried(step_seconds: f64, device_bytes: u64, planned_bytes: u64) -> String {
    format!(
        "Measured: {} for a step, {} of memory (planned {})",
        units::duration(step_seconds),
        units::bytes(device_bytes),
        units::bytes(planned_bytes)
    )
}

pub(super) fn disk(checkpoint: u64) -> String {
    format!("Disk: {} for a checkpoint; the latest and the best are kept", units::bytes(checkpoint))
}

pub(super) fn settings_file(name: &str) -> String {
    let stem = if name.is_empty() { "pairtune" } else { name };
    format!("{}-settings.json", file_name(stem))
}

/// Link to the settings: the page's address with a fragment; natively the fragment alone.
pub(super) fn settings_link(page: &str, settings: &Settings) -> String {
    format!("{page}#{}", setting::settings_fragment(settings))
}

/// Command line that trains the same run.
pub(super) fn command_line(state: &State) -> String {
    let home = state.ready().map(|ready| ready.storage.trim_end_matches('/')).filter(|_| !state.in_browser);
    let model = match (state.open_model().map(|model| &model.source), home) {
        (Some(ModelSource::Picked { path: Some(path), .. }), _) => quoted(path),
        (Some(ModelSource::Stored { name }), Some(home)) => quoted(&format!("{home}/models/{name}")),
        (Some(ModelSource::Picked { name, .. } | ModelSource::Stored { name }), _) => quoted(name),
        _ => "MODEL_FOLDER".to_owned(),
    };
    let pairs = match (&state.pairs.info, state.pairs.path()) {
        (Some(_), Some(path)) => quoted(&path),
        (Some(pairs), None) => quoted(&pairs.name),
        (None, _) => "PAIRS.jsonl".to_owned(),
    };
    let mut out = format!("pairtune train --model {model} --pairs {pairs} --output {}", quoted(&state.plan.name));
    if let Some(pairs) = &state.pairs.info {
        let mut columns = pairs.mapping.clone();
        if pairs.swapped {
            std::mem::swap(&mut columns.chosen, &mut columns.rejected);
        }
        // Columns that the command guesses by itself are left out.
        if columns != Mapping::guess(&pairs.columns) && !columns.chosen.is_empty() && !columns.rejected.is_empty() {
            out.push_str(&format!(" --columns {}", quoted(&columns.to_string())));
        }
    }
    if let Some(model) = state.open_model().filter(|model| !model.chat.kwargs.is_empty()) {
        let variables = serde_json::to_string(&model.chat.kwargs).unwrap_or_default();
        out.push_str(&format!(" --chat-template-kwargs {}", quoted(&variables)));
    }
    let folder_of = |run_id: &str| {
        let run = state.runs.iter().flatten().find(|run| run.run_id == run_id);
        let checkpoint = run.and_then(|run| run.checkpoint.as_deref()).unwrap_or("CHECKPOINT");
        quoted(&format!("{}/runs/{run_id}/{checkpoint}", home.unwrap_or("STORE")))
    };
    for reward in state.plan.inputs.rewards.iter().filter(|_| state.plan.method().is_online()) {
        match Inputs::run_of(reward) {
            Some(run_id) => out.push_str(&format!(" --reward-model {}", folder_of(run_id))),
            None => out.push_str(&format!(" --reward {}", quoted(reward))),
        }
    }
    if let Some(run_id) = &state.plan.inputs.start_from {
        out.push_str(&format!(" --adapter {}", folder_of(run_id)));
    }
    for (key, value) in state.plan.settings.iter().filter(|(key, value)| !state.plan.is_default(key, value)) {
        let value = fields::shown(Some(value)).replace(", ", ",");
        out.push_str(&format!(" --{} {}", key.replace('_', "-"), quoted(&value)));
    }
    out + &evaluation_flags(state)
}

/// Flags of a run's evaluations; none where the command would score nothing.
fn evaluation_flags(state: &State) -> String {
    let Watch { eval_steps, max_eval_pairs, keep_best, patience, .. } = state.plan.watch;
    let is_scored = state.plan_info().is_some_and(|plan| !plan.held_out.is_empty());
    if !is_scored || state.plan.method().is_online() {
        return String::new();
    }
    let mut out = String::new();
    if max_eval_pairs > 0 {
        out.push_str(&format!(" --max-eval-pairs {max_eval_pairs}"));
    }
    if eval_steps == 0 {
        return out;
    }
    out.push_str(&format!(" --eval-steps {eval_steps}"));
    if keep_best {
        out.push_str(" --load-best-model-at-end");
    }
    if patience > 0 {
        out.push_str(&format!(" --early-stopping-patience {patience}"));
    }
    out
}

/// Quotes a word for a shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./,:+=@".contains(c);
    // The `~` stays outside the quotes, within which it would not stand for home.
    if let Some(below) = text.strip_prefix("~/").filter(|below| !below.is_empty()) {
        return format!("~/{}", quoted(below));
    }
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_tells_the_default_and_what_a_change_does() {
        let number = FieldKind::Number(0.0, 1.0);
        assert_eq!(help_range("0.05–0.5", FieldKind::Positive, "0.1"), "Typical: 0.05–0.5 (default 0.1)");
        assert_eq!(help_range("8–64; more is rare", number, "16"), "Typical: 8–64 (default 16); more is rare");
        assert_eq!(help_range("20–1000", number, ""), "Typical: 20–1000", "nothing is the default");
        assert_eq!(help_range("off; on for much", FieldKind::Switch, "false"), "Typical: off; on for much");
        let both = ["Few.", "Many."];
        assert_eq!(help_effects(number, both), ["If lower: few.", "If higher: many."]);
        assert_eq!(help_effects(FieldKind::Switch, both), ["Off: few.", "On: many."]);
        assert_eq!(help_effects(FieldKind::Choice(&["a"]), both), both, "a choice is neither lower nor off");
        assert_eq!(help_effects(number, ["", ""]), ["", ""], "nothing to say");
    }

    #[test]
    fn the_rows_of_a_step_are_what_the_method_counts() {
        let said = |method, rows| per_step(method, 4, rows).unwrap_or_default();
        assert_eq!(said(Method::Dpo, 16), "× 4 = 16 pairs per step");
        assert_eq!(said(Method::Sft, 1), "× 4 = 1 row per step");
        assert_eq!(said(Method::Grpo, 32), "× 4 = 32 answers per step");
        assert_eq!(said(Method::Ppo, 16), "", "its mini-batches decide");
    }
}
