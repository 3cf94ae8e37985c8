//! The texts of this page.

use crate::app::methods;
use crate::app::state::State;
use crate::app::text::units;
use crate::engine::protocol::Method;

pub(super) const TITLE: &str = "DPO beside RLHF";
pub(super) const SUBTITLE: &str = "The same base model, pairs and held-out prompts: one stage of DPO, three of RLHF.";
pub(super) const REFUSED: &str = "The race could not go on";
pub(super) const WHAT_TITLE: &str = "What it does";
pub(super) const AGAIN_TITLE: &str = "Another race";
pub(super) const STOPPED_TITLE: &str = "The race was stopped";
pub(super) const WHAT: &str = "Trains by DPO on the pairs; then the way that DPO replaces: fine-tuning on the chosen \
    answers, a reward model, and a policy that the reward model's scores improve. Every model is measured on held-out \
    pairs and on fresh answers to held-out prompts. What each stage trains becomes a run.";
pub(super) const AGAINST: &str = "RLHF ends with";
pub(super) const AGAINST_HELP: &str =
    "The method that improves the policy by the reward model's scores. Each one that is chosen is another side.";
pub(super) const CHOOSE_ONE: &str = "Choose at least one method.";
pub(super) const START: &str = "Race on my model and pairs";
pub(super) const ON_DEMO: &str = "DPO beside RLHF, on the demo";
pub(super) const PREPARING: &str = "Preparing";
pub(super) const GOING: &str = "The race is on";
pub(super) const STOP: &str = "Stop the race";
pub(super) const STOP_NOTE: &str = "The stages that are done stay, as runs and in the table.";
pub(super) const TABLE: &str = "What each side takes and gives";
pub(super) const BASE: &str = "Base model";
pub(super) const JUDGE: &str = "The judge is the reward model of the RLHF side, so its score favours that side; the \
    other rows do not depend on it.";
pub(super) const SAVE_TABLE: &str = "Save the table…";
pub(super) const TABLE_FILE: &str = "race.md";
pub(super) const KL: &str = "KL to the base model, nats per answer";
pub(super) const DONE_SHARE: &str = "last stage done, %";
pub(super) const BOUGHT: &str = "Score against KL";
pub(super) const BOUGHT_HELP: &str = "What the distance from the base model buys: the reward model's score of fresh \
    answers, over their KL to the base model. Up is better, left is closer to the base model.";
pub(super) const ACCURACY: &str = "Held-out accuracy";
pub(super) const ACCURACY_HELP: &str = "The share of held-out pairs where the chosen answer is likelier, while the \
    last stage of each side goes on.";
pub(super) const WAITS: &str = "waiting";
pub(super) const GOES: &str = "running";
pub(super) const NOT_DONE: &str = "not done";
pub(super) const MEASURING: &str = "measuring the model";
pub(super) const OPEN_RUN: &str = "Open its run";

/// A method that RLHF can end with.
pub(super) fn policy(method: Method) -> &'static str {
    methods::row(method).label
}

/// Describes a method that RLHF can end with; empty for the others, which are never offered.
pub(super) fn policy_help(method: Method) -> &'static str {
    match method {
        Method::Ppo => "The article's method: a value model says what each answer was expected to score.",
        Method::Rloo => "No value model: several answers to a prompt are each other's expectation.",
        Method::Grpo => "As RLOO, with scores that are scaled within each prompt.",
        Method::Sft | Method::Dpo | Method::Reward | Method::Kto | Method::Orpo | Method::Cpo => "",
    }
}

pub(super) const TAKES: &str = "On the demo it takes five to ten minutes on two processor cores without a GPU, and \
    half as much again for each further method; on a model of your own several times as long as DPO alone. Memory: \
    the base model once, and up to four adapters beside it.";

/// Names the open model and pairs, which a race would use.
pub(super) fn own(state: &State) -> String {
    let model = state.open_model().map(|model| model.name.as_str()).unwrap_or_default();
    let pairs = state.pairs.info.as_ref().map(|pairs| pairs.name.as_str()).unwrap_or_default();
    format!("Open: {model} with {pairs}")
}

/// Time that a race took, that is left of the stage under way if its pace is known, and the stages that wait.
pub(super) fn times(so_far: f64, left: Option<f64>, n_waiting: usize) -> String {
    let mut out = format!("{} so far", units::clock(so_far));
    if let Some(left) = left {
        out += &format!(", ~{} left of this stage", units::clock(left));
    }
    if n_waiting > 0 {
        out += &format!(", then {}", units::counted(n_waiting, "more stage"));
    }
    out
}

/// A stage's name.
pub(super) fn stage(method: Method) -> &'static str {
    if method == Method::Sft { "Fine-tuning" } else { methods::row(method).label }
}

/// Describes a stage.
pub(super) fn stage_help(method: Method) -> &'static str {
    match method {
        Method::Sft => "Supervised fine-tuning (SFT) on the chosen answers: where RLHF's policy starts.",
        Method::Dpo => "Direct preference optimisation, on the pairs themselves.",
        Method::Reward => "Learns to score answers from the pairs. It is trained first, because it judges all models.",
        Method::Ppo => "Proximal policy optimisation of fresh answers, by the reward model's scores.",
        Method::Rloo => "REINFORCE with the other answers as the baseline, by the reward model's scores.",
        Method::Grpo => "Group relative policy optimisation, by the reward model's scores.",
        Method::Kto | Method::Orpo | Method::Cpo => "",
    }
}

pub(super) fn took(seconds: f64) -> String {
    units::duration(seconds)
}

/// Progress of a stage, with the latest value of its metric.
pub(super) fn step(step: usize, n_steps: usize, metric: &str, value: Option<f64>) -> String {
    let steps = format!("step {}/{}", units::count(step), units::count(n_steps));
    match value {
        Some(value) => format!("{steps}, {} {}", told(metric), units::number(value)),
        None => steps,
    }
}

/// Usual name of the metric that shows the progress of a model.
fn told(metric: &str) -> &str {
    match metric {
        "objective/scores" | "reward" => "mean score",
        other => other,
    }
}

pub(super) fn sparkline(method: Method, metric: &str) -> String {
    format!("{} of {}", units::capitalized(told(metric)), stage(method))
}

/// Title of a row of the table, with a capital.
pub(super) fn row(name: &str) -> String {
    units::capitalized(name)
}

/// Explains a row of the table.
pub(super) fn row_help(name: &str) -> &'static str {
    match name {
        "stages" => "What is trained, one after another.",
        "models in memory" => "What lies on the device in the stage that needs the most: one base, and adapters on it.",
        "their bytes, optimisers included" => "Weights, adapters, gradients and moments; activations are not counted.",
        "wall time" => "Time that the stages took, without measuring.",
        "tokens trained on" => "Tokens that went forward and backward.",
        "tokens sampled" => "Tokens that the policy wrote in order to be trained on them.",
        "held-out accuracy" => "The share of held-out pairs where the chosen answer is likelier.",
        "score of fresh answers by the reward model" => {
            "Mean and standard deviation, over answers to held-out prompts."
        }
        "KL to the base model, nats per answer" => "How far the model is from the base model, on its own answers.",
        "tokens per answer" => "Mean length of the fresh answers.",
        "truncated answers" => "Fresh answers that did not come to their end.",
        _ => "The gain in score, measured by how much the base model's own answers differ.",
    }
}

pub(super) fn beside(side: &str) -> String {
    format!("DPO beside {side}")
}

pub(super) fn rate_of(name: &str) -> String {
    format!("Win rate of {name}")
}
