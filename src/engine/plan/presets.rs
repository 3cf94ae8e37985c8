//! Three ways to train for those who do not want to choose numbers, and plain words for each number.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::data::Method;
use crate::engine::race::stage_config;
use crate::train::{METHOD, TrainConfig, all_settings};

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

/// Help on a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct FieldHelp {
    /// Its name on screen.
    pub label: &'static str,
    /// Effect of the setting.
    pub what: &'static str,
    /// Values that make sense, beside the default.
    pub range: &'static str,
    /// Effect of a lower value, or of off; empty if there is nothing to say.
    pub too_low: &'static str,
    /// Effect of a higher value, or of on; empty if there is nothing to say.
    pub too_high: &'static str,
}

/// Returns the help of a setting, by its name in TRL or PEFT; none for a name that is no setting. The last three texts
/// are empty if there is nothing to say of values.
pub fn field_help(key: &str) -> Option<FieldHelp> {
    let [label, what, range, too_low, too_high] = match key {
        "beta" => [
            "Beta (β)",
            "How close to stay to the base model: the higher, the less the tuned one may drift for your pairs.",
            "0.05–0.5",
            "The model drifts far, and may repeat itself or forget what it knew.",
            "The model hardly changes, whatever the pairs say.",
        ],
        "loss_type" => [
            "Loss",
            "The rule that turns a pair into a correction. Adding SFT to DPO also teaches the chosen answers as such.",
            "DPO (sigmoid); robust if some labels are wrong",
            "One alone is fine for most runs.",
            "With several, each pulls its own way, and the curves are harder to read.",
        ],
        "loss_weights" => [
            "Loss weights",
            "How much each loss counts, if there are several.",
            "one number per loss; 1 each if empty",
            "The loss hardly counts.",
            "The loss drowns the others.",
        ],
        "label_smoothing" => [
            "Label smoothing",
            "The share of pairs that you think are the wrong way round. The losses robust, exo_pair and aot read it.",
            "0–0.3, and below 0.5",
            "Wrong labels are learned like right ones.",
            "The model is told to doubt good labels too, and learns little.",
        ],
        "learning_rate" => [
            "Learning rate",
            "The size of each correction, at its peak. Change this first if a run does too little or too much.",
            "5e-6–5e-5; higher only for very small models",
            "Held-out accuracy hardly moves from that of the base model.",
            "The loss jumps, answers repeat themselves or turn to nonsense.",
        ],
        "lr_scheduler_type" => [
            "Learning-rate schedule",
            "How the learning rate falls during the run: along a curve (cosine), in a straight line, or not at all.",
            "cosine, linear, constant or constant_with_warmup",
            "Falling to nothing lets the run settle, but a run stopped early has not settled yet.",
            "Constant keeps correcting to the end, so that the last steps are still noisy.",
        ],
        "warmup_steps" => [
            "Warm-up steps",
            "Steps at the start over which the learning rate rises from nothing. Below 1, it is a share of the run.",
            "0–0.2 of the run",
            "The first steps are large while little is known of the pairs, and may upset the model.",
            "Much of the run is spent at a low learning rate.",
        ],
        "weight_decay" => [
            "Weight decay",
            "Pulls the adapter a little towards \"no change\" at every step.",
            "0–0.1; beta holds the model already",
            "Nothing pulls back but beta; that is fine.",
            "The adapter is held back and learns less.",
        ],
        "adam_beta1" => [
            "Adam β₁",
            "How much of the direction of earlier steps is kept. Leave it unless you know why.",
            "0.8–0.95",
            "Every step follows its own few pairs, and the path is jittery.",
            "Steps react slowly and may overshoot.",
        ],
        "adam_beta2" => [
            "Adam β₂",
            "How long the size of past corrections is remembered to scale new ones. Leave it unless you know why.",
            "0.95–0.999",
            "One unusual batch changes the scale, and steps become uneven.",
            "The scale adapts slowly when the pairs change.",
        ],
        "adam_epsilon" => [
            "Adam ε",
            "Keeps steps finite where corrections are close to nothing. Leave it unless you know why.",
            "1e-8–1e-6",
            "At 0, corrections that are hardly there are blown up to full steps.",
            "Small corrections are ignored, and the run learns less.",
        ],
        "max_grad_norm" => [
            "Gradient clipping (max norm)",
            "Shortens a correction that is larger than this, so that one odd batch cannot spoil the model.",
            "0.3–2; 0 switches it off",
            "Corrections are cut short most of the time. At 0, none is, and one odd batch can do harm.",
            "The limit is never reached and protects from nothing.",
        ],
        "per_device_train_batch_size" => [
            "Batch size",
            "Rows that the GPU works on at the same time. Changes memory and speed; what is learned depends on it \
             times the gradient accumulation.",
            "1–16, as memory allows",
            "Slower than the GPU could be.",
            "Does not fit into the GPU's memory.",
        ],
        "gradient_accumulation_steps" => [
            "Gradient accumulation",
            "Batches that are put together into one correction. Batch size times this is the rows of a step.",
            "enough for 16–64 pairs per step",
            "Each correction rests on few pairs and is noisy.",
            "Few corrections in all, so that a small file of pairs changes nothing.",
        ],
        "max_length" => [
            "Max length (tokens)",
            "Prompt and answer together; what is longer is truncated. A token is some three quarters of a word.",
            "256–2048; Pairs, Lengths says how many are truncated",
            "Answers are truncated, and the model does not learn how they end.",
            "More memory and time, if there are texts that long.",
        ],
        "max_steps" => [
            "Max steps",
            "Stops after so many corrections, however many pairs are left. Empty: the epochs decide.",
            "20–1000, or empty: by epochs",
            "The model hardly changes.",
            "The same pairs come again and again until they are learned by heart.",
        ],
        "num_train_epochs" => [
            "Epochs",
            "How often every pair is seen. Not used if max steps is set.",
            "1–3; more only for fewer than a few hundred pairs",
            "Few pairs leave hardly a trace.",
            "Pairs are learned by heart: training gets better, held-out pairs get worse.",
        ],
        "seed" => [
            "Seed",
            "Decides all that is left to chance: the order, what is held out, the adapter's start. The same seed gives \
             the same run; another one shows how much is chance.",
            "any whole number from 0",
            "",
            "",
        ],
        "train_sampling_strategy" => [
            "Order of the data",
            "Whether pairs are shuffled for every pass or taken as they stand in the file.",
            "random or sequential",
            "In file order, pairs that belong together come together, and the last ones count most.",
            "Shuffled, it is harder to follow a single pair; that is the only price.",
        ],
        "r" => [
            "LoRA rank (r)",
            "How much room the adapter has for what is new.",
            "8–64",
            "Too little room for a large change.",
            "A larger file, more memory, and more room to learn the pairs by heart.",
        ],
        "lora_alpha" => [
            "LoRA alpha",
            "How loudly the adapter speaks: it is scaled by this over the rank.",
            "once or twice the rank",
            "The same learning rate does less.",
            "The same learning rate does more, up to broken text.",
        ],
        "target_modules" => [
            "Target modules",
            "The parts of the model that get an adapter.",
            "all-linear, or names such as q_proj, v_proj",
            "Few parts: smaller and faster, but it learns less.",
            "All parts: a larger file, and what works best for most.",
        ],
        "use_rslora" => [
            "rsLoRA",
            "Divides by the square root of the rank instead of the rank, so that large adapters are not too quiet.",
            "off; on for a rank of 64 and more",
            "Large adapters speak quietly and learn more slowly.",
            "The adapter is louder, so the learning rate may have to be lower.",
        ],
        "use_dora" => [
            "DoRA",
            "Learns how far each row of a weight reaches apart from where it points to.",
            "off; on where a small rank learns too little",
            "Plain LoRA, which is faster.",
            "Often better at a small rank, but steps take longer, and not every program opens the adapter.",
        ],
        "lora_dropout" => [
            "LoRA dropout",
            "Share of what the adapter reads that each step leaves out by chance, against learning by heart.",
            "0, or 0.05 with few pairs",
            "Nothing is left out: few pairs are learned by heart sooner.",
            "Steps are noisier. It has no effect while \"Disable dropout\" is on.",
        ],
        "disable_dropout" => [
            "Disable dropout",
            "Switches dropout off whatever the adapter's settings say, as TRL does for preferences.",
            "on",
            "The adapter's dropout is used.",
            "Policy and reference are compared without chance.",
        ],
        "reference" => [
            "Reference",
            "What counts as \"no change\": the base model, or the adapter that the run starts from.",
            "base; initial_adapter if you go on from a tuned adapter",
            "With base, a run that goes on from an adapter is also pulled back to before that adapter.",
            "With initial_adapter, each further run may drift a bit more from the base model.",
        ],
        "f_divergence_type" => [
            "f-divergence",
            "How far the tuned model is from the base model, of the ratio of their probabilities (f-DPO).",
            "reverse_kl; forward_kl, js_divergence or alpha_divergence",
            "DPO as it was published (reverse_kl), which is fine for most runs.",
            "Other divergences keep more variety in what is said, and learn the pairs less firmly.",
        ],
        "f_alpha_divergence_coef" => [
            "f-divergence alpha",
            "The shape of alpha_divergence; no other divergence reads it.",
            "0–1",
            "Near 0 it is like forward_kl.",
            "Near 1 it is like reverse_kl.",
        ],
        "ld_alpha" => [
            "LD-DPO alpha",
            "What the tokens of the longer answer count beyond the length of the shorter one.",
            "0–1, or empty for all",
            "At 0 only as many tokens count as the shorter answer has: length itself is not learned.",
            "At 1 all tokens count, as in plain DPO, and longer answers may win for their length.",
        ],
        "use_weighting" => [
            "WPO weighting",
            "Pairs count more the likelier the model itself would say their answers.",
            "off; on for pairs that another model wrote",
            "Every pair counts the same.",
            "Pairs that are unlike anything the model says hardly count.",
        ],
        "discopop_tau" => [
            "DiscoPOP tau",
            "How sharply the discopop loss goes over from one of its parts to the other; no other loss reads it.",
            "0.05, which is what was found",
            "The two parts are cut apart sharply.",
            "The two parts are mixed, and the loss is closer to their mean.",
        ],
        "precompute_ref_log_probs" => [
            "Precompute reference",
            "TRL's switch for scoring all pairs with the base model first. Here every pair is scored once anyway.",
            "off or on; no difference",
            "A pair is scored when a step first needs it.",
            "The same, since nothing is scored twice in any case.",
        ],
        "eval_split" => [
            "Held out (%)",
            "Pairs kept aside to see whether the model learns what you mean or only these pairs by heart.",
            "10–20, and at least 20 pairs",
            "Nothing, or only chance, tells learning from learning by heart.",
            "Fewer pairs are left to learn from.",
        ],
        "load_in" => [
            "Load base in",
            "How the frozen weights lie in the GPU's memory: as they are stored, or rounded to 8 or 4 bits as they are \
             loaded. The adapter keeps its full precision, and a merged model is made of the full weights.",
            "stored; int8 or int4 if the model does not fit, nf4 to train on what QLoRA trains on",
            "Few bits (int4, nf4): least memory, but the model that is trained differs a little from the stored one.",
            "As stored: exact, and the most memory.",
        ],
        "gradient_checkpointing" => [
            "Gradient checkpointing",
            "Forgets intermediate results and works them out again: a third more work for much less memory.",
            "on or off",
            "Faster, but long texts and large batches may not fit.",
            "Fits more, but every step takes about a third longer. The result is the same.",
        ],
        "fp16" => [
            "Half precision (fp16)",
            "Rounds the numbers that are multiplied to 16 bits, as mixed precision does. Sums, weights and the adapter \
             keep theirs.",
            "off; on for speed, on a GPU with f16 arithmetic",
            "The numbers agree with TRL's in float32.",
            "Faster on most GPUs. Numbers agree to three digits. A GPU without f16, and a software device, gain \
             nothing and change nothing.",
        ],
        "save_steps" => [
            "Save every … steps",
            "How often the run is saved along the way, to go back to or to go on from after a crash.",
            "20–200, or empty: by time",
            "Saving often takes disk space and a little time.",
            "A crash loses more steps. Empty: the app saves every minute, the command line only at the end.",
        ],
        "num_generations" => [
            "Answers per prompt",
            "Answers that are sampled to each prompt; each is judged against the others.",
            "4–16; it divides the answers of a batch",
            "The comparison rests on few answers and is noisy.",
            "Steps take longer: most of the time goes into writing.",
        ],
        "max_completion_length" => [
            "Max answer length (tokens)",
            "The longest answer that is sampled.",
            "64–512, as long as a good answer is",
            "Answers are truncated, and what is judged is half an answer.",
            "More time and memory, above all before the model has learned to stop.",
        ],
        "response_length" => [
            "Max answer length (tokens)",
            "The longest answer that is sampled.",
            "as long as a good answer is",
            "Answers are truncated, and what is judged is half an answer.",
            "More time and memory, above all before the model has learned to stop.",
        ],
        "temperature" => [
            "Temperature",
            "How freely answers are sampled; probabilities are taken at the same temperature.",
            "0.7–1",
            "Answers are alike, so that there is little to compare.",
            "Answers are wild, and good ones become rare.",
        ],
        "epsilon" => [
            "Clip range (ε)",
            "How far a step may move from the model that wrote the answers.",
            "0.1–0.3",
            "The model hardly changes within a batch of answers.",
            "Single answers may pull the model far.",
        ],
        "cliprange" => [
            "Clip range",
            "How far a step may move from the model that wrote the answers.",
            "0.1–0.3",
            "The model hardly changes within a batch of answers.",
            "Single answers may pull the model far.",
        ],
        "kl_coef" => [
            "KL coefficient",
            "What it costs to move away from the base model, per nat.",
            "0.02–0.2",
            "The model finds answers that please the reward and nobody else.",
            "The model hardly changes, whatever the reward says.",
        ],
        "num_ppo_epochs" => [
            "Passes over each batch",
            "How often PPO goes over a batch of answers before it samples new ones.",
            "1–4",
            "Every answer is used once: safe, and slow to learn.",
            "The model fits old answers, and the clip range holds more of them back.",
        ],
        "num_iterations" => [
            "Passes over each batch",
            "How often a batch of answers is used before new ones are sampled.",
            "1–4; more than 1 where writing takes most of the time",
            "Every answer is used once, as GRPO was published.",
            "The model fits old answers, and the clip range holds more of them back.",
        ],
        "total_episodes" => [
            "Answers in all",
            "Answers that the whole run samples; if it is empty, epochs times the prompts.",
            "a few hundred and more",
            "The model hardly changes.",
            "The run takes long, and drifts further from the base model.",
        ],
        "missing_eos_penalty" => [
            "Penalty without an end",
            "What an answer loses that was truncated before it ended.",
            "1, or empty for none",
            "Nothing teaches the model to stop.",
            "The end of an answer matters more than what it says.",
        ],
        "completion_only_loss" => [
            "Completion only",
            "Whether only the answers are learned, or the prompts too. By itself: only the answers, where there are \
             prompts.",
            "empty, for what suits the file",
            "The model also learns to write prompts.",
            "Only answers are learned.",
        ],
        "assistant_only_loss" => [
            "Assistant turns only",
            "Whether only the assistant's turns of a conversation are learned; the chat template has to mark them.",
            "on for conversations of several turns",
            "All that comes after the prompt is learned.",
            "What the user says in later turns is read, not learned.",
        ],
        "center_rewards_coefficient" => [
            "Centre rewards",
            "Pulls the scores of a pair to a mean of 0, so that scores of different prompts can be compared.",
            "0.01, or empty for none",
            "At 0 only differences within a pair mean something.",
            "Centring weighs more than telling good from bad.",
        ],
        "desirable_weight" => [
            "Weight of liked answers",
            "What a liked answer counts. With few of them, raise it.",
            "so that liked and disliked answers count alike, up to a third more",
            "Liked answers hardly count.",
            "Disliked answers hardly count.",
        ],
        "undesirable_weight" => [
            "Weight of disliked answers",
            "What a disliked answer counts. With few of them, raise it.",
            "so that liked and disliked answers count alike, up to a third more",
            "Disliked answers hardly count.",
            "Liked answers hardly count.",
        ],
        "cpo_alpha" => [
            "Weight of imitation",
            "What imitating the chosen answers counts beside preferring them.",
            "1; 0 for SimPO as it was published",
            "Only the preference is learned, and answers may become unlikely as a whole.",
            "Chosen answers are imitated, and the preference counts for little.",
        ],
        "simpo_gamma" => [
            "SimPO margin (γ)",
            "How far the chosen answer's reward is to be above the other's (loss simpo).",
            "0.5–1.5",
            "Any difference is enough.",
            "The model is pushed on where it has long learned the pair.",
        ],
        key => return labelled(key),
    };
    Some(FieldHelp { label, what, range, too_low, too_high })
}

/// The help of a setting that few people touch: its usual name, and the line of the command line's help.
fn labelled(key: &str) -> Option<FieldHelp> {
    let label = match key {
        "steps_per_generation" => "Micro-batches per sampling",
        "top_p" => "Top p",
        "top_k" => "Top k",
        "epsilon_high" => "Clip range upwards",
        "reward_weights" => "Reward weights",
        "mask_truncated_completions" => "Skip truncated answers",
        "shuffle_dataset" => "Shuffle prompts",
        "delta" => "Two-sided clip (δ)",
        "scale_rewards" => "Scale rewards by",
        "importance_sampling_level" => "Ratio of each",
        "multi_objective_aggregation" => "Several rewards",
        "use_bias_correction_kl" => "Bias-corrected KL",
        "top_entropy_quantile" => "Top entropy share",
        "entropy_coef" => "Entropy coefficient",
        "off_policy_mask_threshold" => "Off-policy limit (nats)",
        "sapo_temperature_pos" => "SAPO temperature, good",
        "sapo_temperature_neg" => "SAPO temperature, bad",
        "vespo_k_pos" => "VESPO power, good",
        "vespo_lambda_pos" => "VESPO rate, good",
        "vespo_k_neg" => "VESPO power, bad",
        "vespo_lambda_neg" => "VESPO rate, bad",
        "normalize_advantages" => "Normalise advantages",
        "reward_clip_range" => "Reward range",
        "alpha" => "AlphaPO alpha",
        "num_mini_batches" => "Mini-batches",
        "stop_token" => "Stop token",
        "kl_estimator" => "KL estimator",
        "whiten_rewards" => "Whiten rewards",
        "gamma" => "Discount (γ)",
        "lam" => "GAE lambda (λ)",
        "cliprange_value" => "Clip range of values",
        "vf_coef" => "Value coefficient",
        _ => return None,
    };
    let setting = all_settings().into_iter().find(|setting| setting.key == key)?;
    Some(FieldHelp { label, what: setting.help, range: "", too_low: "", too_high: "" })
}
