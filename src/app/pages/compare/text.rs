//! The texts of this page.

use crate::app::text::units;
use crate::engine::protocol::PairRow;
use crate::platform::file_name;

pub(super) const SUBTITLE: &str = "The tuned model beside the one it came from: the same prompts, the \
     same seed.";
pub(super) const PROMPTS: &str = "One prompt";
pub(super) const LIST: &str = "Several prompts";
pub(super) const GENERATE_ALL: &str = "Generate all";
pub(super) const SPLIT: &str = "One prompt per line";
pub(super) const SPLIT_HELP: &str = "Makes each line a prompt of its own.";
pub(super) const SAVE_ANSWERS: &str = "Save the answers…";
pub(super) const SAVE_ANSWERS_HELP: &str = "JSON lines with prompt, base and tuned.";
pub(super) const LIST_HELP: &str = "Both models use the same seed. The prompts are answered together.";
pub(super) const PAIRS: &str = "Pairs";
pub(super) const BLIND: &str = "Blind test";
pub(super) const WHAT_IF: &str = "What if";
pub(super) const EMPTY_TITLE: &str = "Nothing to compare yet";
pub(super) const OPEN: &str = "Open";
pub(super) const PROMPT: &str = "Prompt";
pub(super) const PROMPT_HINT: &str = "Ask both models something";
pub(super) const SEED: &str = "Seed";
pub(super) const SEED_HELP: &str = "Above temperature 0 another seed draws other words. The same seed writes the same \
    text again.";
pub(super) const TEMPERATURE: &str = "Temperature";
pub(super) const TEMPERATURE_HELP: &str = "0 always takes the likeliest word; 1 is lively.";
pub(super) const MAX_TOKENS: &str = "Max tokens";
pub(super) const MAX_TOKENS_HELP: &str = "An answer that is not done by then is cut off.";
pub(super) const WRITE_BOTH: &str = "Generate";
pub(super) const REPLY: &str = "Reply";
pub(super) const SYSTEM: &str = "System prompt";
pub(super) const SYSTEM_HELP: &str = "Told to both models before the conversation.";
pub(super) const SYSTEM_HINT: &str = "none";
pub(super) const DIFF: &str = "Highlight differences";
pub(super) const SAME_SEED: &str = "Both use the same seed. Ctrl+Enter to generate.";
pub(super) const BASE: &str = "Base model";
pub(super) const HELD_OUT: &str = "Held-out pairs";
pub(super) const BASE_SHORT: &str = "base model";
pub(super) const TUNED_SHORT: &str = "tuned";
/// Capitalized, for the beginning of a sentence.
pub(super) const THE_TUNED: &str = "The tuned model";
pub(super) const REWARD: &str = "reward margin";
pub(super) const LINE: &str = "line";
pub(super) const PROMPT_COLUMN: &str = "prompt";
pub(super) const GAINED_HELP: &str = "Held-out pairs whose chosen answer gained on the rejected one, \
    against the base model, whether it is the likelier one or not.";
pub(super) const ONLY_LENGTH: &str =
    "This is about what always picking the longer answer would win: the model may have learned only length.";
pub(super) const DOSES: &str = "Held-out accuracy by adapter scale";
pub(super) const DOSES_HELP: &str = "An export can fold any scale into the adapter.";
pub(super) const SCORE: &str = "Score";
pub(super) const SCORE_ALL: &str = "Score all";
pub(super) const WORST: &str = "Worst margins";
pub(super) const IMPROVED: &str = "Most improved";
pub(super) const ALL: &str = "All";
pub(super) const NO_FLIPPED: &str = "No pair that the base model had right was lost.";
pub(super) const INSPECT: &str = "Inspect";
pub(super) const INSPECTING: &str = "Scoring every token";
pub(super) const LESS_LIKELY: &str = "less likely than before";
pub(super) const MORE_LIKELY: &str = "more likely";
pub(super) const SCALE: &str = "Scale from orange, less likely, to blue, more likely";
pub(super) const ORIGINS: &str = "Most of the margin comes from";
pub(super) const NO_QUESTIONS: &str =
    "There are no prompts: score the held-out pairs first, or give the next run sample prompts.";
pub(super) const RESET: &str = "Start over";
pub(super) const RESET_YES: &str = "Discard them";
pub(super) const RESET_NO: &str = "Keep them";
pub(super) const READING: &str = "Reading the prompt";
pub(super) const WIN_RATE: &str = "Win rate of the tuned model";
pub(super) const SAVE_VOTES: &str = "Save the votes as pairs…";
pub(super) const SAVE_VOTES_HELP: &str = "A pairs file for the next round, without ties.";
pub(super) const WHAT_IF_TITLE: &str = "The same figures with another beta";
pub(super) const WHAT_IF_TEXT: &str = "From the log-ratios of the held-out pairs, exact for the model as \
    it is now. A larger beta asks for a smaller \
     step away from the base model.";
pub(super) const NOT_A_RUN: &str = "Not a new training run";
pub(super) const OWN_BETA: &str = "Back to the run's";
pub(super) const LOSS: &str = "Loss (sigmoid)";
pub(super) const MARGIN: &str = "Margin";
pub(super) const ACCURACY: &str = "Pairs improved";
pub(super) const WEIGHT: &str = "Mean gradient weight";
pub(super) const WEIGHTS: &str = "Gradient weights of the pairs";
pub(super) const WEIGHTS_HELP: &str =
    "How much each pair still pulls: 0 is learned, 0.5 untouched, 1 the wrong way round.";
pub(super) const NEW_RUN: &str = "Start as a new run with this beta";

pub(super) const SAME_BETA: &str = "Choose another beta first.";
pub(super) const NOT_SAVED: &str = "No step of this run was saved, so nothing can go on from it.";

pub(super) fn which(model: &str, step: usize) -> String {
    format!("{model}, step {step}")
}

pub(super) fn tuned(strength: f32) -> String {
    format!("Tuned, adapter scale {}", units::percent(strength.into()))
}

pub(super) fn score(n: usize) -> String {
    format!("Score {}", units::counted(n, "held-out pair"))
}

pub(super) fn scoring(strength: f32) -> String {
    format!("Scoring at adapter scale {}", units::percent(strength.into()))
}

/// Held-out accuracy with its interval.
pub(super) fn accuracy(wins: u64, n: u64, interval: [f64; 2]) -> String {
    let [low, high] = interval.map(|bound| format!("{:.0}", bound * 100.0));
    format!("{wins}/{n} = {} ({low}–{high} %)", units::percent(wins as f64 / n.max(1) as f64))
}

pub(super) fn held_out_accuracy(wins: u64, n: u64, interval: [f64; 2]) -> String {
    format!("Held-out accuracy {}", accuracy(wins, n, interval))
}

pub(super) fn base_wins(wins: u64, n: u64) -> String {
    format!("base model {wins}/{n} = {}", units::percent(wins as f64 / n.max(1) as f64))
}

pub(super) fn longer_wins(share: f64) -> String {
    format!("always the longer {}", units::percent(share))
}

pub(super) fn gained(wins: u64, n: u64) -> String {
    format!("improved {wins}/{n} = {}", units::percent(wins as f64 / n.max(1) as f64))
}

pub(super) fn at_dose(dose: u32) -> String {
    format!("Score at {dose} %")
}

pub(super) fn flipped(n: usize) -> String {
    format!("Regressed ({n})")
}

pub(super) fn hover(row: &PairRow) -> String {
    format!("{}\n\nchosen: {}\n\nrejected: {}", row.prompt, row.chosen, row.rejected)
}

pub(super) fn inspect(line: usize) -> String {
    format!("Inspect line {line}")
}

pub(super) fn inspected(line: usize) -> String {
    format!("Line {line}, token by token")
}

pub(super) fn nats(sum: f64) -> String {
    format!("{sum:+.2} nats")
}

pub(super) fn margin(margin: f64, beta: f64, sums: [f64; 2]) -> String {
    format!("Margin {margin:+.3} = beta {beta} × (chosen {:+.2}, less rejected {:+.2})", sums[0], sums[1])
}

pub(super) fn token(token: &str, base: f32, tuned: f32, change: f32) -> String {
    format!("“{token}”\nbase model {base:.2}\ntuned {tuned:.2}\nchange {change:+.2} nats")
}

/// Length of a text, and the speed of writing it.
pub(super) fn written(words: usize, (tokens, seconds): (usize, f64)) -> String {
    let words = units::counted(words, "word");
    match seconds > 0.0 && tokens > 0 {
        true => format!("{words}, {}, {:.1} tokens/s", units::counted(tokens, "token"), tokens as f64 / seconds),
        false => words,
    }
}

pub(super) fn tokens(n: usize) -> String {
    units::counted(n, "token")
}

pub(super) fn pairs(n: usize) -> String {
    units::counted(n, "pair")
}

pub(super) fn reset_votes(n: usize) -> String {
    format!("{}, not saved as pairs", units::counted(n, "vote"))
}

pub(super) fn other_votes(step: usize, strength: u32, votes: &str) -> String {
    format!("Step {step} at adapter scale {strength} %: {votes}")
}

pub(super) fn votes_file(run: &str) -> String {
    format!("{}-votes.jsonl", file_name(run))
}

pub(super) fn answers_file(run: &str) -> String {
    format!("{}-answers.jsonl", file_name(run))
}

pub(super) fn answered(done: usize, all: usize) -> String {
    format!("{done} of {} answered", units::counted(all, "prompt"))
}

pub(super) fn at_run_beta(beta: f64) -> String {
    format!("Beta {beta} (this run)")
}

pub(super) fn at_beta(beta: f64) -> String {
    format!("Beta {beta:.3}")
}
