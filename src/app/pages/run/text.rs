//! The texts of this page.

use crate::app::text::units;
use crate::engine::protocol::Share;

pub(super) const PREPARING: &str = "Preparing";
pub(super) const TRAINING: &str = "Training";
pub(super) const PAUSING: &str = "Pausing";
pub(super) const STOPPING: &str = "Stopping";
pub(super) const RECOVERING: &str = "Recovering";
pub(super) const EMPTY_TITLE: &str = "No run yet";
pub(super) const EMPTY_TEXT: &str =
    "A run needs a model, pairs and a plan. The demo brings all three and takes about a minute.";
pub(super) const GO_TO_PLAN: &str = "Go to the plan";
pub(super) const STOP: &str = "Stop and save";
pub(super) const MORE: &str = "More";
pub(super) const TELL_ME: &str = "Tell me when it is done";
pub(super) const TELL_ME_HELP: &str = "The browser asks whether this page may show notices. One comes when training \
    ends while you look elsewhere.";
pub(super) const FIRST_TIME: &str = "Reference scores are cached: the next run on these pairs starts \
    right away. The first steps also compile shaders.";
pub(super) const PROGRESS: &str = "Progress of the run";
pub(super) const WON: &str = "Held-out accuracy";
pub(super) const WON_HELP: &str = "Share of the pairs kept apart from training for which the model \
    prefers the chosen answer. \
     The band is the 95 % interval: with few pairs it is wide, so treat small changes as chance. Beside it: what \
     always choosing the longer answer would win, and always the one of lower perplexity to the base model.";
pub(super) const NOT_EVALUATED: &str = "Not evaluated yet";
pub(super) const LIKELIER: &str = "lower perplexity wins";
pub(super) const BEFORE: &str = "before";
pub(super) const CHANGE: &str = "Log-probability change (nats per answer)";
pub(super) const CHANGE_HELP: &str = "How much likelier each side became against the base model. Both falling means \
    that the margin comes mainly from disliking both; a lower learning rate or an SFT term helps.";
pub(super) const AT_START: &str = "ln 2";
pub(super) const LEARNING_RATE: &str = "Learning rate";
pub(super) const GRADIENT: &str = "Gradient norm";
pub(super) const GRADIENT_HELP: &str = "Before clipping. A leap by ten times asks for a lower rate.";
pub(super) const SPEED: &str = "Speed and memory";
pub(super) const STEP_TIME: &str = "Seconds per step";
pub(super) const PLANNED: &str = "Memory by the plan";
pub(super) const USED: &str = "Memory used at the most";
pub(super) const PROMPTS: &str = "Sample prompts";
pub(super) const PROMPTS_HELP: &str = "The same prompts with the same seed, before and during the run. An answer that \
    ends in … had more to say than the tokens that it may have.";
pub(super) const CUT: &str = "…";
pub(super) const ROLLOUTS: &str = "Answers in training";
pub(super) const ROLLOUTS_HELP: &str = "What the model wrote for a step, what it was given, and its \
    advantage: what it learns to write more often, above 0, or less often, below.";
pub(super) const ROLLOUTS_STEP: &str = "Of step";
pub(super) const BEST_ANSWER: &str = "best";
pub(super) const SAMPLE_STEP: &str = "Answers of step";
pub(super) const LATEST: &str = "Follow";
pub(super) const SMOOTHING: &str = "Smoothing";
pub(super) const RESUME: &str = "Resume";
pub(super) const COMPARE: &str = "Compare";
pub(super) const EXPORT: &str = "Export";
pub(super) const CLOSE: &str = "Close";
pub(super) const TRAIN_MORE: &str = "Train more";
pub(super) const BRANCH: &str = "Continue with other settings";
pub(super) const BRANCH_TEXT: &str =
    "Go on from here with other settings. It becomes a new run; this one stays as it is.";
pub(super) const BRANCH_MORE: &str =
    "All its steps are done: the new run takes as many again, unless you change how many.";
pub(super) const BRANCH_SAME: &str = "Change a setting first.";
pub(super) const BRANCH_GO: &str = "Start as a new run";
pub(super) const RATE: &str = "Learning rate";
pub(super) const EPOCHS: &str = "Epochs";
pub(super) const N_STEPS: &str = "Steps";
pub(super) const SHOW_BATCH: &str = "Show the pairs of this step";
pub(super) const HIDE_BATCH: &str = "Hide the pairs of this step";
pub(super) const KEEP_ANYWAY: &str = "Keep what there is";
pub(super) const RESTART: &str = "Restart now";
pub(super) const SMALLER: &str = "Smaller steps: batch size 1";
pub(super) const GIVE_UP: &str = "Stop";
pub(super) const OUT_OF_MEMORY: &str = "Out of memory";
pub(super) const DEVICE_LOST: &str = "The graphics driver reset";
pub(super) const FAILED: &str = "The run stopped";
pub(super) const FROM_CHECKPOINT: &str = "Restart from the checkpoint";
pub(super) const PLAN_ANEW: &str = "Re-plan";
pub(super) const FREE_SPACE: &str = "Free space in Runs";
pub(super) const EXPORT_NOW: &str = "Export now";
pub(super) const CRASHED: &str = "The engine stopped while this run was at work";
pub(super) const TIME: &str = "Time";
pub(super) const BEST_STEP: &str = "Best step";
pub(super) const MEMORY: &str = "Memory";
pub(super) const LOWERING: &str = "Pausing, then going on with the new settings";
pub(super) const ROW_GONE: &str = "this pair is not open here";
pub(super) const WHOLE: &str = "Show all of it";

pub(super) fn not_saved(full: bool, active: bool) -> &'static str {
    match (full, active) {
        (true, true) => "Storage is full; training goes on without being saved",
        (true, false) => "Storage is full: this run is only in memory",
        (false, true) => "The run could not be saved; training goes on in memory",
        (false, false) => "The run could not be saved: it is only in memory",
    }
}

pub(super) fn reward(name: &str, reward: Option<f64>) -> String {
    match reward {
        Some(reward) => format!("{name} {}", units::number(reward)),
        None => format!("{name} –"),
    }
}

pub(super) fn advantage(advantage: f64) -> String {
    format!("advantage {advantage:+.2}")
}

pub(super) fn epoch(epoch: f64) -> String {
    format!("epoch {epoch:.2}")
}

pub(super) fn speed(tokens_per_second: f64) -> String {
    format!("{tokens_per_second:.0} tok/s")
}

pub(super) fn left(seconds: f64) -> String {
    format!("~{} left", units::clock(seconds))
}

pub(super) fn elapsed(seconds: f64) -> String {
    format!("{} elapsed", units::clock(seconds))
}

pub(super) fn step_of(step: usize, all: usize) -> String {
    format!("step {step}/{all}")
}

pub(super) fn of_pairs(n: usize, interval: [f64; 2]) -> String {
    let [low, high] = interval.map(|bound| format!("{:.0}", bound * 100.0));
    format!("95 % interval {low}–{high} %, {}", units::counted(n, "pair"))
}

fn share(share: &Share) -> String {
    let [low, high] = share.interval.map(|bound| format!("{:.0}", bound * 100.0));
    let rate = share.wins as f64 / share.n.max(1) as f64;
    format!("{}/{} = {} ({low}–{high} %)", share.wins, share.n, units::percent(rate))
}

pub(super) fn before_and_after(before: &Share, after: &Share) -> String {
    format!("{} before, {} now", share(before), share(after))
}

/// Planned time of the whole run.
pub(super) fn whole(seconds: f64) -> String {
    format!("The whole run takes about {}.", units::duration(seconds))
}

pub(super) const FEWER_WARNINGS: &str = "Show only the latest";

/// Says how little of the pairs a run has seen.
pub(super) fn few_steps(step: usize, pass: usize) -> String {
    let (steps, pass) = (units::counted(step, "step"), units::count(pass));
    format!("Only {steps}, of about {pass} for one pass over the pairs: take more before you judge it.")
}

pub(super) fn more_warnings(n: usize) -> String {
    format!("{n} more, earlier")
}

pub(super) fn whole_of(line: usize) -> String {
    format!("{WHOLE}: line {line}")
}

pub(super) fn best(step: usize, kept: bool) -> String {
    format!("Best so far: step {step}{}", if kept { " (kept)" } else { "" })
}

pub(super) fn saved(step: usize, bytes: &str, seconds: f64, ago: f64) -> String {
    format!("Saved at step {step}: {bytes} in {}, {} ago", units::duration(seconds), units::duration(ago.max(1.0)))
}

pub(super) fn before_at(step: usize) -> String {
    if step == 0 { "Before".to_owned() } else { format!("Before (step {step})") }
}

pub(super) fn now_at(step: usize) -> String {
    format!("Now (step {step})")
}

pub(super) fn paused(step: usize) -> String {
    format!("Paused at step {step}")
}

pub(super) fn paused_text(step: usize, saved: Option<(String, f64)>, unsaved: bool) -> String {
    if unsaved {
        return "It resumes exactly where it is, but only while this app stays open: it is not saved.".to_owned();
    }
    if step == 0 {
        return "No step was taken yet: resuming prepares it again.".to_owned();
    }
    let what = saved
        .map_or_else(String::new, |(bytes, seconds)| format!("{bytes} were saved in {}. ", units::duration(seconds)));
    format!("{what}It resumes exactly where it is, now, tomorrow or on another computer.")
}

pub(super) fn diverged(step: usize) -> String {
    format!("Diverged at step {step}")
}

pub(super) fn diverged_text(what: &str, safe: Option<usize>) -> String {
    let safe = match safe {
        Some(step) => format!("The last good state is step {step}; nothing of the broken step was kept."),
        None => "Nothing of the broken step was kept.".to_owned(),
    };
    format!("The step was not finite: {what}. {safe}")
}

pub(super) fn safe(step: Option<usize>) -> String {
    match step {
        Some(step) => format!("Your run is safe at step {step}."),
        None => "No step was saved yet; it would start over.".to_owned(),
    }
}

pub(super) fn recovering(seconds: f64) -> String {
    format!(
        "It goes on by itself in {}, with less work in one go for the driver.",
        units::duration(seconds.max(1.0).ceil())
    )
}

pub(super) fn saves(bytes: &str) -> String {
    format!("saves {bytes}")
}

pub(super) fn planned_and_used(planned: &str, used: &str) -> String {
    format!("{used} used, {planned} planned")
}

/// Time that a run took, beside the plan's if that knew one.
pub(super) fn took(seconds: f64, planned: Option<f64>) -> String {
    let took = units::duration(seconds);
    planned.map_or_else(|| took.clone(), |planned| format!("{took}, {} planned", units::duration(planned)))
}

pub(super) fn line(line: usize) -> String {
    format!("line {line}")
}
