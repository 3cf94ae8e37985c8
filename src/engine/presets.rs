//! Three ways to train for those who do not want to choose numbers, and plain words for each number.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::train::TrainConfig;

/// Settings for a purpose. Each sets the same keys, so that changing one's mind leaves nothing behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// For a model that already answers well: a change of tone that costs little of what it knows.
    Gentle,
    /// For most pairs and models; the settings' defaults.
    Standard,
    /// For a clear change of behaviour from many consistent pairs; watch the held-out pairs and the samples.
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

    /// What it is for, in one sentence.
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

/// Every setting as it is unless somebody says otherwise.
pub fn defaults() -> Map<String, Value> {
    TrainConfig::defaults().to_map()
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

/// The preset that settings are closest to: the one of whose values they share most, Standard before the others.
pub fn nearest(settings: &Map<String, Value>) -> Preset {
    let changed = |preset: &Preset| overrides(*preset).iter().filter(|(k, v)| settings.get(*k) != Some(v)).count();
    let order = [Preset::Standard, Preset::Gentle, Preset::Strong];
    order.into_iter().min_by_key(changed).unwrap_or(Preset::Standard)
}

/// The preset that settings are like. The passes over the pairs may be others: they depend on how many there are.
pub fn of(settings: &Map<String, Value>) -> Option<Preset> {
    let like = |(key, value): (String, Value)| key == EPOCHS || settings.get(&key) == Some(&value);
    Preset::ALL.into_iter().find(|preset| overrides(*preset).into_iter().all(like))
}

/// Passes over the pairs to suggest in place of the preset's own, for pairs so few that it would hardly take a step.
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

/// What to know of a setting before touching it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct FieldHelp {
    /// Its name on screen.
    pub label: &'static str,
    /// What it does.
    pub what: &'static str,
    /// Values that make sense.
    pub range: &'static str,
    /// What happens if it is too low, or off.
    pub too_low: &'static str,
    /// What happens if it is too high, or on.
    pub too_high: &'static str,
}

/// The help of a setting, by its name in `TrainConfig`; none for a name that is no setting.
pub fn field_help(key: &str) -> Option<FieldHelp> {
    let [label, what, range, too_low, too_high] = match key {
        "beta" => [
            "Strength of the leash (β)",
            "Holds the tuned model to the original one: the higher, the less it may drift for the sake of your pairs.",
            "0.05 to 0.5; 0.1 is usual",
            "The model drifts far, and may repeat itself or forget what it knew.",
            "The model hardly changes, whatever the pairs say.",
        ],
        "loss_type" => [
            "Loss",
            "The rule that turns a pair into a correction. \"sigmoid\" is DPO itself; adding \"sft\" also teaches the \
             chosen answers as such.",
            "sigmoid; ipo, robust, apo_zero, sft and ten others, or several of them",
            "With only one, plain DPO: fine for most runs.",
            "With several, each pulls its own way, and the curves are harder to read.",
        ],
        "loss_weights" => [
            "Weights of the losses",
            "How much each loss counts, if there are several.",
            "one number per loss; 1 each if left empty",
            "The loss hardly counts.",
            "The loss drowns the others.",
        ],
        "label_smoothing" => [
            "Share of wrong labels",
            "The share of pairs that you think are the wrong way round. Only the \"robust\" loss reads it.",
            "0 to 0.3, and below 0.5",
            "Wrong labels are learned like right ones.",
            "The model is told to doubt good labels too, and learns little.",
        ],
        "learning_rate" => [
            "Learning rate",
            "The size of each correction, at its peak. Change this first if a run does too little or too much.",
            "5e-6 to 5e-5; higher only for very small models",
            "Held-out accuracy hardly moves from where it began.",
            "The loss jumps, answers repeat themselves or turn to nonsense.",
        ],
        "lr_scheduler_type" => [
            "Learning rate over time",
            "How the learning rate falls during the run: along a curve (cosine), in a straight line, or not at all.",
            "cosine, linear, constant or constant_with_warmup",
            "Falling to nothing lets the run settle, but a run stopped early has not settled yet.",
            "Constant keeps correcting to the end, so that the last steps are still noisy.",
        ],
        "warmup_steps" => [
            "Warm-up",
            "Steps at the start over which the learning rate rises from nothing. Below 1, it is a share of the run.",
            "0 to 0.2 of the run; 0.1 is usual",
            "The first steps are large while little is known of the pairs, and may upset the model.",
            "Much of the run is spent at a low learning rate.",
        ],
        "weight_decay" => [
            "Weight decay",
            "Pulls the adapter a little towards \"no change\" at every step.",
            "0 to 0.1; 0 is usual, since β holds the model already",
            "Nothing pulls back but β; that is fine.",
            "The adapter is held back and learns less.",
        ],
        "adam_beta1" => [
            "Momentum (Adam β₁)",
            "How much of the direction of earlier steps is kept. Leave it unless you know why.",
            "0.8 to 0.95; 0.9 is usual",
            "Every step follows its own few pairs, and the path is jittery.",
            "Steps react slowly and may overshoot.",
        ],
        "adam_beta2" => [
            "Memory of sizes (Adam β₂)",
            "How long the size of past corrections is remembered to scale new ones. Leave it unless you know why.",
            "0.95 to 0.999; 0.999 is usual",
            "One unusual batch changes the scale, and steps become uneven.",
            "The scale adapts slowly when the pairs change.",
        ],
        "adam_epsilon" => [
            "Smallest scale (Adam ε)",
            "Keeps steps finite where corrections are close to nothing. Leave it unless you know why.",
            "1e-8; up to 1e-6",
            "At 0, corrections that are hardly there are blown up to full steps.",
            "Small corrections are ignored, and the run learns less.",
        ],
        "max_grad_norm" => [
            "Gradient limit",
            "Shortens a correction that is larger than this, so that one odd batch cannot spoil the model.",
            "0.3 to 2; 1 is usual, 0 switches it off",
            "Corrections are cut short most of the time. At 0, none is, and one odd batch can do harm.",
            "The limit is never reached and protects from nothing.",
        ],
        "per_device_train_batch_size" => [
            "Pairs at once",
            "Pairs that the GPU works on at the same time. Changes memory and speed; what is learned depends on it \
             times the next setting.",
            "1 to 16, as memory allows",
            "Slower than the GPU could be.",
            "Does not fit into the GPU's memory.",
        ],
        "gradient_accumulation_steps" => [
            "Batches per step",
            "Batches that are put together into one correction. Pairs at once times this is the pairs per step.",
            "enough for 16 to 64 pairs per step",
            "Each correction rests on few pairs and is noisy.",
            "Few corrections in all, so that a small file of pairs changes nothing.",
        ],
        "max_length" => [
            "Longest text in tokens",
            "Prompt and answer together; what is longer loses its end. A token is some three quarters of a word.",
            "256 to 2048; the check of the pairs says how many are cut",
            "Answers are cut off, and the model does not learn how they end.",
            "More memory and time, if there are texts that long.",
        ],
        "max_steps" => [
            "Number of steps",
            "Stops after so many corrections, however many pairs are left. -1 goes by passes instead.",
            "-1, or 20 to 1000",
            "The model hardly changes.",
            "The same pairs come again and again until they are learned by heart.",
        ],
        "num_train_epochs" => [
            "Passes over the pairs",
            "How often every pair is seen. Not used if there is a number of steps.",
            "1 to 3; more only for fewer than a few hundred pairs",
            "Few pairs leave hardly a trace.",
            "Pairs are learned by heart: training gets better, held-out pairs get worse.",
        ],
        "seed" => [
            "Seed",
            "Decides all that is left to chance: the order, what is held out, the adapter's start. The same seed gives \
             the same run.",
            "any whole number from 0",
            "No number is better than another.",
            "No number is better than another; try a second to see how much is chance.",
        ],
        "train_sampling_strategy" => [
            "Order of the pairs",
            "Whether pairs are shuffled for every pass or taken as they stand in the file.",
            "random or sequential",
            "In file order, pairs that belong together come together, and the last ones count most.",
            "Shuffled, it is harder to follow a single pair; that is the only price.",
        ],
        "r" => [
            "Size of the adapter (rank)",
            "How much room the adapter has for what is new.",
            "8 to 64; 16 is usual",
            "Too little room for a large change.",
            "A larger file, more memory, and more room to learn the pairs by heart.",
        ],
        "lora_alpha" => [
            "Volume of the adapter (alpha)",
            "How loudly the adapter speaks: it is scaled by this over the rank.",
            "once or twice the rank",
            "The same learning rate does less.",
            "The same learning rate does more, up to broken text.",
        ],
        "target_modules" => [
            "Where the adapter sits",
            "The parts of the model that get an adapter.",
            "all-linear, or names such as q_proj, v_proj",
            "Few parts: smaller and faster, but it learns less.",
            "All parts: a larger file, and what works best for most.",
        ],
        "use_rslora" => [
            "Scale by root of rank (rsLoRA)",
            "Divides by the square root of the rank instead of the rank, so that large adapters are not too quiet.",
            "off; on for a rank of 64 and more",
            "Off: large adapters speak quietly and learn more slowly.",
            "On: the adapter is louder, so the learning rate may have to be lower.",
        ],
        "use_dora" => [
            "Train lengths too (DoRA)",
            "Learns how far each row of a weight reaches apart from where it points to.",
            "off; on where a small rank learns too little",
            "Off: plain LoRA, which is faster.",
            "On: often better at a small rank, but steps take longer, and not every program opens the adapter.",
        ],
        "lora_dropout" => [
            "Dropout of the adapter",
            "Share of what the adapter reads that each step leaves out by chance, against learning by heart.",
            "0, or 0.05 with few pairs",
            "Nothing is left out: few pairs are learned by heart sooner.",
            "Steps are noisier. It has no effect while \"Without dropout\" is on.",
        ],
        "disable_dropout" => [
            "Without dropout",
            "Switches dropout off whatever the adapter's settings say, as TRL does for preferences.",
            "on",
            "Off: the adapter's dropout is used.",
            "On: policy and reference are compared without chance.",
        ],
        "reference" => [
            "Measured against",
            "What counts as \"no change\": the base model, or the adapter that the run starts from.",
            "base; initial_adapter if you go on from a tuned adapter",
            "With base, a run that goes on from an adapter is also pulled back to before that adapter.",
            "With initial_adapter, each further run may drift a bit more from the base model.",
        ],
        "f_divergence_type" => [
            "Divergence",
            "How far the tuned model is from the original one, of the ratio of their probabilities (f-DPO).",
            "reverse_kl; forward_kl, js_divergence or alpha_divergence",
            "DPO as it was published (reverse_kl), which is fine for most runs.",
            "Other divergences keep more variety in what is said, and learn the pairs less firmly.",
        ],
        "f_alpha_divergence_coef" => [
            "Alpha of the divergence",
            "The shape of alpha_divergence; no other divergence reads it.",
            "0 to 1; 0.5 is usual",
            "Near 0 it is like forward_kl.",
            "Near 1 it is like reverse_kl.",
        ],
        "ld_alpha" => [
            "Weight of extra length (LD-DPO)",
            "What the tokens of the longer answer count beyond the length of the shorter one.",
            "empty for all; 0 to 1",
            "At 0 only as many tokens count as the shorter answer has: length itself is not learned.",
            "At 1 all tokens count, as in plain DPO, and longer answers may win for their length.",
        ],
        "use_weighting" => [
            "Weigh by likelihood (WPO)",
            "Pairs count more the likelier the model itself would say their answers.",
            "off; on for pairs that another model wrote",
            "Off: every pair counts the same.",
            "On: pairs that are unlike anything the model says hardly count.",
        ],
        "discopop_tau" => [
            "Temperature of DiscoPOP",
            "How sharply the discopop loss goes over from one of its parts to the other; no other loss reads it.",
            "0.05 is what was found",
            "The two parts are cut apart sharply.",
            "The two parts are mixed, and the loss is closer to their mean.",
        ],
        "precompute_ref_log_probs" => [
            "Reference first",
            "TRL's switch for scoring all pairs with the original model first. Here every pair is scored once anyway.",
            "off or on; no difference",
            "Off: a pair is scored when a step first needs it.",
            "On: the same, since nothing is scored twice in any case.",
        ],
        "eval_split" => [
            "Held-out share",
            "Pairs kept aside to see whether the model learns what you mean or only these pairs by heart.",
            "0.1 to 0.2, and at least 20 pairs",
            "Nothing, or only chance, tells learning from learning by heart.",
            "Fewer pairs are left to learn from.",
        ],
        "load_in" => [
            "Base model in memory",
            "How the frozen weights lie in the GPU's memory: as they are stored, or rounded to 8 or 4 bits as they are \
             loaded. The adapter keeps its full precision, and a merged model is made of the full weights.",
            "stored; int8 or int4 if the model does not fit, nf4 to train on what QLoRA trains on",
            "Few bits (int4, nf4): least memory, but the model that is trained differs a little from the stored one.",
            "As stored: exact, and the most memory.",
        ],
        "gradient_checkpointing" => [
            "Save memory",
            "Forgets intermediate results and works them out again: a third more work for much less memory.",
            "on or off",
            "Off: faster, but long texts and large batches may not fit.",
            "On: fits more, but every step takes about a third longer. The result is the same.",
        ],
        "save_steps" => [
            "Steps between checkpoints",
            "How often the run is saved along the way, to go back to or to go on from after a crash.",
            "20 to 200; 0 saves none along the way",
            "Saving often takes disk space and a little time.",
            "A crash loses more steps. At 0, the app still saves every minute; the command line only at the end.",
        ],
        _ => return None,
    };
    Some(FieldHelp { label, what, range, too_low, too_high })
}
