//! The plan of a run: steps, memory by component, obstacles, and changes that would make it fit.

use std::collections::BTreeSet;

use crate::data::{Example, Kind, counted};
use crate::engine::data::pairs::{Pairs, Split};
use crate::engine::model::open_model::OpenModel;
use crate::engine::protocol::{Check, Fix, PlanInfo, Problem, Settings, SkipReason, short};
use crate::engine::run::warnings::{MANY_TRUNCATED, few_held_out};
use crate::error::Result;
use crate::model::LoadIn;
use crate::train::{Memory, TrainConfig, answers_size, batch_size_of, plan_run};

/// Chosen is longer in so many pairs that a model could learn length alone.
const LENGTH_SHARE: f64 = 0.65;

/// Result of a trial.
pub(in crate::engine) struct Measured {
    /// Settings of the run that it was a trial for.
    pub(in crate::engine) config: TrainConfig,
    /// Seconds of a step.
    pub(in crate::engine) step_seconds: f64,
    /// Seconds of answering every sample prompt once, if that was measured.
    pub(in crate::engine) answers_seconds: Option<f64>,
}

/// Memory of a run with these settings.
pub(in crate::engine) fn memory(config: &TrainConfig, model: &OpenModel, split: &Split) -> Result<Memory> {
    let adapter = config.adapter_settings(config.adapter(&model.base), &model.config)?;
    let weights = model.weight_bytes.on_device(config.load_in);
    let size = |examples: &[Example]| match config.answers() {
        Some([_, answer]) => answers_size(config, [longest(examples), answer]),
        None => batch_size_of(config, examples, config.per_device_train_batch_size),
    };
    let memory = plan_run(config, &model.config, weights, &adapter, size(&split.train));
    Ok(match split.held_out.is_empty() || config.method().is_online() {
        true => memory,
        false => memory.with_scoring(&model.config, &adapter, size(&split.held_out)),
    })
}

/// A plan of settings that cannot be run, and why. All settings are those that can be read, and defaults.
pub(in crate::engine) fn blocked(settings: Settings, problem: Problem) -> PlanInfo {
    let mut readable = Settings::new();
    for (name, value) in &settings {
        readable.insert(name.clone(), value.clone());
        if TrainConfig::from_map(&readable, "settings").is_err() {
            readable.remove(name);
        }
    }
    PlanInfo {
        settings,
        full_settings: TrainConfig::from_map(&readable, "settings").map(|config| config.to_map()).unwrap_or_default(),
        blocked: Some(problem),
        n_train: 0,
        held_out: Vec::new(),
        truncated: Vec::new(),
        dropped: Vec::new(),
        n_steps: 0,
        lengths: Vec::new(),
        memory: [0; 4],
        models: Vec::new(),
        limit: None,
        fixes: Vec::new(),
        suited: Vec::new(),
        step_seconds: None,
        answers_seconds: None,
        checkpoint_bytes: 0,
        checks: Vec::new(),
    }
}

/// The plan of a run on these pairs.
pub(in crate::engine) fn plan_info(
    settings: Settings,
    config: &TrainConfig,
    model: &OpenModel,
    pairs: &Pairs,
    split: &Split,
    limit: Option<u64>,
    measured: Option<&Measured>,
    judges: &[(String, u64)],
) -> Result<PlanInfo> {
    let memory = memory(config, model, split)?.with_judges(judges);
    let mut info = PlanInfo {
        suited: suited(config, model, split, &memory, limit)?,
        n_train: split.train.len(),
        held_out: held_out_rows(split),
        truncated: split.truncated.clone(),
        dropped: split.dropped.clone(),
        n_steps: config.steps_on(split.train.len()),
        lengths: split.lengths.clone(),
        memory: [memory.weights, memory.adapters(), memory.activations, memory.logits],
        models: memory.models(config, judges),
        limit,
        step_seconds: measured.map(|measured| measured.step_seconds),
        answers_seconds: measured.and_then(|measured| measured.answers_seconds),
        // Adapters in f32 and two moments; the plan counts four copies, with the gradients.
        checkpoint_bytes: memory.adapter.saturating_add(memory.value_model) / 4 * 3,
        checks: checks(config, model, pairs, split),
        ..blocked(settings, Problem::default())
    };
    info.blocked = None;
    let longest = split.lengths.iter().copied().max().unwrap_or(0).min(config.max_length as u32);
    if longest as usize > model.positions() {
        info.blocked = Some(Problem::with_setting(
            "max_length",
            format!("The longest pair has {longest} tokens, but the model takes {}", model.positions()),
            format!("Set max length to {} or less", model.positions()),
        ));
    }
    if let Some(limit) = limit.filter(|limit| memory.total() > *limit) {
        info.fixes = fixes(config, model, split, &memory);
        info.blocked = Some(Problem::new(
            format!("The run needs {}, but there are {}", gigabytes(memory.total()), gigabytes(limit)),
            "Apply one of the fixes below, or choose a smaller model",
            "memory",
        ));
    }
    Ok(info)
}

/// Share of the device's memory that a run takes by default, so that other programs have room.
const SHARE_OF_MEMORY: f64 = 0.6;
/// Bytes that a run takes by default on a device that does not say how much it has.
const MODEST_BYTES: u64 = 4 << 30;
/// Share of rows that max length leaves whole by default.
const WHOLE_SHARE: f64 = 0.95;

/// Returns changes of defaults that suit the rows and the device: a max length that leaves most rows whole, and smaller
/// micro-batches where memory is short.
fn suited(
    config: &TrainConfig,
    model: &OpenModel,
    split: &Split,
    now: &Memory,
    limit: Option<u64>,
) -> Result<Vec<Fix>> {
    let room = limit.map_or(MODEST_BYTES, |limit| (limit as f64 * SHARE_OF_MEMORY) as u64);
    let (mut suited, before) = (Vec::new(), config.to_map());
    let fix = |label: String, changed: &TrainConfig, saves: u64| Fix {
        label,
        settings: changed.to_map().into_iter().filter(|(key, value)| before.get(key) != Some(value)).collect(),
        saves,
    };
    let mut lengths = split.lengths.clone();
    lengths.sort_unstable();
    let whole = lengths.iter().filter(|length| **length as usize <= config.max_length).count();
    if config.answers().is_none() && (whole as f64) < WHOLE_SHARE * lengths.len() as f64 {
        let wanted = lengths[(lengths.len() as f64 * WHOLE_SHARE) as usize] as usize;
        let max_length = wanted.next_multiple_of(64).min(model.positions());
        // Longer rows take as much more memory at least as they are longer.
        let growth = max_length as f64 / config.max_length as f64;
        let needs = now.total() as f64 + (now.activations + now.logits) as f64 * (growth - 1.0);
        if max_length > config.max_length && needs <= room as f64 {
            let share = 100.0 * whole as f64 / lengths.len() as f64;
            let kept = lengths.iter().filter(|length| **length as usize <= max_length).count();
            let label = format!(
                "Max length {max_length}: {:.0} % of the rows stay whole, with {} it is {share:.0} %",
                100.0 * kept as f64 / lengths.len() as f64,
                config.max_length
            );
            suited.push(fix(label, &TrainConfig { max_length, ..config.clone() }, 0));
        }
    }
    let [batch, parts] = [config.per_device_train_batch_size, config.gradient_accumulation_steps];
    if now.total() > room && batch > 1 && config.answers().is_none() {
        let one = TrainConfig {
            per_device_train_batch_size: 1,
            gradient_accumulation_steps: batch * parts,
            ..config.clone()
        };
        let again = TrainConfig { gradient_checkpointing: true, ..one.clone() };
        let [small, smallest] = [memory(&one, model, split)?.total(), memory(&again, model, split)?.total()];
        let sizes = format!("Batch size 1 × {} instead of {batch} × {parts}", batch * parts);
        let same = "the same result, a little slower";
        suited.push(match small <= room || config.gradient_checkpointing {
            true => {
                let label = format!("{sizes}: {} instead of {}, {same}", gigabytes(small), gigabytes(now.total()));
                fix(label, &one, now.total().saturating_sub(small))
            }
            false => {
                let bytes = format!("{} instead of {}", gigabytes(smallest), gigabytes(now.total()));
                let label = format!("{sizes} and gradient checkpointing: {bytes}, {same}");
                fix(label, &again, now.total().saturating_sub(smallest))
            }
        });
    }
    Ok(suited)
}

/// Tokens of the longest sequence.
fn longest(examples: &[Example]) -> usize {
    examples.iter().flat_map(|example| &example.sequences).map(Vec::len).max().unwrap_or(0)
}

fn held_out_rows(split: &Split) -> Vec<usize> {
    let rows: BTreeSet<usize> = split.held_out.iter().map(|example| example.row).collect();
    rows.into_iter().collect()
}

/// Changes that save memory, the one that saves most first.
pub(in crate::engine) fn fixes(config: &TrainConfig, model: &OpenModel, split: &Split, now: &Memory) -> Vec<Fix> {
    let mut candidates: Vec<(String, TrainConfig)> = Vec::new();
    if config.per_device_train_batch_size > 1 {
        let mut one = config.clone();
        one.gradient_accumulation_steps *= config.per_device_train_batch_size;
        one.per_device_train_batch_size = 1;
        candidates.push(("Batch size 1 (slower, as many steps)".to_owned(), one));
    }
    if !config.gradient_checkpointing {
        let again = TrainConfig { gradient_checkpointing: true, ..config.clone() };
        candidates.push(("Compute activations again (slower, same result)".to_owned(), again));
    }
    let longest = split.lengths.iter().copied().max().unwrap_or(0).min(config.max_length as u32) as usize;
    for (load_in, label) in [(LoadIn::Int8, "Base model in 8 bits"), (LoadIn::Int4, "Base model in 4 bits")] {
        let bytes = |load_in| model.weight_bytes.on_device(load_in);
        if bytes(load_in) < bytes(config.load_in) {
            candidates.push((format!("{label} (a little off)"), TrainConfig { load_in, ..config.clone() }));
        }
    }
    for part in [3, 2] {
        let max_length = (longest * part / 4).next_multiple_of(8);
        if max_length >= 32 && max_length < longest {
            let label = format!("Max length {longest} → {max_length}");
            candidates.push((label, TrainConfig { max_length, ..config.clone() }));
        }
    }
    if config.r > 8 {
        let label = format!("Rank {} → 8", config.r);
        let smaller = TrainConfig { r: 8, lora_alpha: config.lora_alpha * 8.0 / config.r as f64, ..config.clone() };
        candidates.push((label, smaller));
    }
    let before = config.to_map();
    let mut fixes: Vec<Fix> = candidates
        .into_iter()
        .filter_map(|(label, changed)| {
            let mut cut = split.clone();
            if !config.method().is_online() {
                cut.train.iter_mut().chain(&mut cut.held_out).for_each(|example| example.shorten(changed.max_length));
            }
            let saves = now.total().saturating_sub(memory(&changed, model, &cut).ok()?.total());
            let settings = changed.to_map().into_iter().filter(|(key, value)| before.get(key) != Some(value)).collect();
            (saves > 0).then_some(Fix { label, settings, saves })
        })
        .collect();
    fixes.sort_by_key(|fix| std::cmp::Reverse(fix.saves));
    fixes
}

fn checks(config: &TrainConfig, model: &OpenModel, pairs: &Pairs, split: &Split) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut check = |good: bool, text: String| checks.push(Check { good, text });
    let noun = if pairs.kind == Kind::Pairs { "pair" } else { "row" };
    check(true, format!("{} to train on, {} held out", counted(split.train.len(), noun), split.held_out.len()));
    if let Some(few) = few_held_out(split.held_out.len()).filter(|_| pairs.kind == Kind::Pairs) {
        check(false, few.text);
    }
    if !split.truncated.is_empty() {
        let share = split.truncated.len() as f64 / (split.train.len() + split.held_out.len()).max(1) as f64;
        let rows = counted(split.truncated.len(), noun);
        check(share <= MANY_TRUNCATED, format!("{rows} ({:.0} %) will be truncated to max length", 100.0 * share));
    }
    if !split.dropped.is_empty() {
        check(false, format!("{} will be skipped: {}", counted(split.dropped.len(), noun), whys(&split.dropped)));
    }
    let longer = pairs.longer_wins(split.train.iter().map(|pair| pair.row));
    if !(1.0 - LENGTH_SHARE..=LENGTH_SHARE).contains(&longer) {
        let (which, share) = if longer > 0.5 { ("longer", longer) } else { ("shorter", 1.0 - longer) };
        check(false, format!("Chosen is {which} in {:.0} % of pairs: the model may learn length alone", 100.0 * share));
    }
    if pairs.conversations() && model.tokenizer().chat_template().is_err() {
        check(false, "The pairs are conversations, but the model has no chat template".to_owned());
    }
    let [stored, on_device] = [LoadIn::Stored, config.load_in].map(|load_in| model.weight_bytes.on_device(load_in));
    if on_device != stored {
        let (now, before) = (gigabytes(on_device), gigabytes(stored));
        check(
            true,
            format!("Base in {}: {now} of weights instead of {before}; a merge takes them all", config.load_in.name()),
        );
    } else if config.load_in != LoadIn::Stored {
        check(false, format!("Nothing is left to be made {}: the base stays as it is stored", config.load_in.name()));
    }
    if config.learning_rate > 5e-4 && model.weight_bytes.stored > 100 << 20 {
        check(
            false,
            format!("A learning rate of {} is high for LoRA on a model of this size", short(config.learning_rate)),
        );
    }
    checks
}

/// Bytes for people.
pub(in crate::engine) fn gigabytes(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{:.0} KB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.0} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// Returns the reasons why rows are skipped, each with its number.
fn whys(dropped: &[(usize, SkipReason)]) -> String {
    let said = [
        (SkipReason::PromptTooLong, "with a prompt that alone exceeds max length"),
        (SkipReason::TooLong, "longer than max length"),
        (SkipReason::Template, "rejected by the chat template"),
        (SkipReason::Nothing, "nothing to learn from"),
        (SkipReason::Unwanted, "disliked answers, which this method cannot use"),
    ];
    let count = |reason| dropped.iter().filter(|(_, why)| *why == reason).count();
    let parts = said.into_iter().map(|(reason, what)| (count(reason), what)).filter(|(n, _)| *n > 0);
    parts.map(|(n, what)| format!("{n} {what}")).collect::<Vec<_>>().join(", ")
}
