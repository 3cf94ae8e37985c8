//! The metadata of a GGUF file as the `config.json` that transformers would have for the same model.
//!
//! Some facts are in llama.cpp's code and not in the file, such as the layers with a window and the scale of Gemma's
//! queries. They are filled in here.

use serde_json::{Map, Value as Json, json};

use super::blocks::GgmlType;
use super::file::Gguf;
use super::names::GgufArch;
use super::rope::RopeFactors;
use super::value::Value;
use crate::error::{Error, Result};

type Config = Map<String, Json>;

/// Sizes are below this, as in `config.json`.
const SIZE_LIMIT: u64 = 1 << 31;
/// No model has more layers, and there are lists with an entry for each.
const LAYER_LIMIT: u64 = 1 << 12;

/// The config of the model in a file: `model_type`, and the keys of transformers for that type.
///
/// Keys are those of transformers 4, which 5 reads too: `rope_theta` and `rope_scaling`. `vocab_size` is the number of
/// rows of the embedding; `tie_word_embeddings` says that there is no `output.weight`; biases are there if their
/// tensors are. Errors name the key of the metadata that is missing or cannot be used, or the architecture.
pub async fn gguf_config(gguf: &Gguf) -> Result<Config> {
    let name = gguf.architecture()?;
    let Some(arch) = GgufArch::of(name) else { return Err(unsupported_architecture(gguf, name)) };
    let meta = Meta { gguf, arch: name };
    if let Some(experts) = meta.number("expert_count")?.filter(|n| *n > 0) {
        return Err(Error::input(
            format!("The model is a mixture of {experts} experts, which is not supported"),
            "Use a dense model",
            gguf.at_key(&meta.key("expert_count")),
        ));
    }
    let mut config = match arch {
        GgufArch::Gpt2 => gpt2(&meta)?,
        _ => decoder(&meta, arch)?,
    };
    match arch {
        GgufArch::Llama => llama(&meta, &mut config)?,
        GgufArch::Gemma => put(&mut config, "hidden_act", "gelu_pytorch_tanh"),
        GgufArch::Gemma2 | GgufArch::Gemma3 => gemma(&meta, arch, &mut config)?,
        GgufArch::Phi3 => phi3(&meta, &mut config)?,
        GgufArch::GptNeox => gpt_neox(&meta, &mut config)?,
        GgufArch::Olmo2 => olmo2(&meta, &mut config)?,
        GgufArch::SmolLm3 => smollm3(&mut config),
        GgufArch::Granite => granite(&meta, &mut config)?,
        GgufArch::Lfm2 => lfm2(&meta, &mut config)?,
        GgufArch::Exaone4 => exaone4(&meta, &mut config)?,
        GgufArch::Mistral3 => put(&mut config, "sliding_window", Json::Null),
        GgufArch::Qwen2 | GgufArch::Qwen3 | GgufArch::Gpt2 | GgufArch::HunyuanDense => {}
    }
    if arch != GgufArch::Gpt2 {
        rope(&meta, arch, &mut config).await?;
    }
    Ok(config)
}

/// The error of an architecture that is not in the table.
pub(in crate::files) fn unsupported_architecture(gguf: &Gguf, name: &str) -> Error {
    Error::input(
        format!("The architecture \"{name}\" is not supported"),
        format!("Use a model of a supported architecture: {}", GgufArch::names()),
        gguf.at_key("general.architecture"),
    )
}

fn put(config: &mut Config, key: &str, value: impl Into<Json>) {
    config.insert(key.to_owned(), value.into());
}

/// Reads the keys that nearly all architectures share.
fn decoder(meta: &Meta<'_>, arch: GgufArch) -> Result<Config> {
    use GgufArch::{Gemma2, Gemma3, GptNeox, Granite, HunyuanDense, Llama, Olmo2, Qwen3, SmolLm3};

    let hidden_size = meta.size("embedding_length")?;
    let heads = meta.same_size("attention.head_count")?;
    let mut config = Config::new();
    put(&mut config, "model_type", arch.model_type());
    put(&mut config, "vocab_size", meta.vocab_size(hidden_size)?);
    put(&mut config, "hidden_size", hidden_size);
    put(&mut config, "intermediate_size", meta.same_size("feed_forward_length")?);
    put(&mut config, "num_hidden_layers", meta.layers()?);
    put(&mut config, "num_attention_heads", heads);
    if meta.get("attention.head_count_kv").is_some() {
        put(&mut config, "num_key_value_heads", meta.same_size("attention.head_count_kv")?);
    } else {
        put(&mut config, "num_key_value_heads", heads);
    }
    put(&mut config, "head_dim", meta.head_dim(hidden_size, heads)?);
    put(&mut config, "hidden_act", "silu");
    put(&mut config, "max_position_embeddings", meta.size("context_length")?);
    if arch != GptNeox {
        put(&mut config, "rms_norm_eps", meta.positive("attention.layer_norm_rms_epsilon")?);
    }
    // Others have biases always or never.
    if matches!(arch, Llama | Qwen3 | Gemma2 | Gemma3 | Olmo2 | SmolLm3 | Granite | HunyuanDense) {
        put(&mut config, "attention_bias", meta.has_tensor("attn_q.bias"));
    }
    if matches!(arch, Llama | SmolLm3 | Granite) {
        put(&mut config, "mlp_bias", meta.has_tensor("ffn_up.bias"));
    }
    put(&mut config, "tie_word_embeddings", !meta.gguf.contains("output.weight"));
    common(meta, &mut config);
    Ok(config)
}

/// Tokens, and the type of weights that are not quantised.
fn common(meta: &Meta<'_>, config: &mut Config) {
    let token = |name: &str| meta.gguf.get(&format!("tokenizer.ggml.{name}_token_id")).and_then(Value::as_u64);
    put(config, "bos_token_id", token("bos"));
    // The end of a turn and of a message end a text too, as the lists in published configs say.
    let mut ends: Vec<u64> = Vec::new();
    for end in ["eos", "eot", "eom"].into_iter().filter_map(token) {
        if !ends.contains(&end) {
            ends.push(end);
        }
    }
    put(config, "eos_token_id", if ends.len() > 1 { json!(ends) } else { json!(ends.first()) });
    put(config, "pad_token_id", token("padding"));
    let types: Vec<_> = meta.gguf.names().map(|name| meta.gguf.info(name).map(|info| info.ggml_type)).collect();
    let has = |of: GgmlType| types.iter().any(|found| found.as_ref() == Ok(&of));
    let plain = |found: &Result<GgmlType>| found.as_ref().is_ok_and(|found| found.block_elements() == 1);
    if types.iter().all(plain) {
        let dtype = match (has(GgmlType::BF16), has(GgmlType::F16)) {
            (true, _) => "bfloat16",
            (false, true) => "float16",
            (false, false) => "float32",
        };
        put(config, "dtype", dtype);
    }
}

fn llama(meta: &Meta<'_>, config: &mut Config) -> Result<()> {
    // Files of Mistral say that they are Llamas. The same they are, but for the window, where they state one.
    if let Some(window) = meta.number("attention.sliding_window")?.filter(|n| *n > 0) {
        put(config, "model_type", "mistral");
        for key in ["attention_bias", "mlp_bias"] {
            config.shift_remove(key);
        }
        put(config, "sliding_window", window);
    }
    Ok(())
}

fn gemma(meta: &Meta<'_>, arch: GgufArch, config: &mut Config) -> Result<()> {
    let layers = meta.layers()?;
    let (heads, hidden) = (meta.same_size("attention.head_count")?, meta.size("embedding_length")?);
    config.shift_remove("hidden_act");
    put(config, "hidden_activation", "gelu_pytorch_tanh");
    // The largest model of each generation scales queries by another width; llama.cpp knows it by its layers too.
    let (largest, period) = if arch == GgufArch::Gemma2 { (46, 2) } else { (62, 6) };
    let head_dim = meta.head_dim(hidden, heads)?;
    put(config, "query_pre_attn_scalar", if layers == largest { hidden / heads } else { head_dim });
    let cap = |key: &str, default: Option<f64>| Ok::<_, Error>(meta.optional_positive(key)?.or(default));
    let defaults = if arch == GgufArch::Gemma2 { (Some(50.0), Some(30.0)) } else { (None, None) };
    put(config, "attn_logit_softcapping", cap("attn_logit_softcapping", defaults.0)?);
    put(config, "final_logit_softcapping", cap("final_logit_softcapping", defaults.1)?);
    let window = match (meta.number("attention.sliding_window")?, arch) {
        (Some(n), _) if n > 0 => Some(n),
        (None, GgufArch::Gemma2) => Some(4096),
        _ => None,
    };
    windows(meta, config, window, period)?;
    if arch == GgufArch::Gemma3 {
        put(config, "rope_local_base_freq", meta.optional_positive("rope.freq_base_swa")?.unwrap_or(10_000.0));
    }
    Ok(())
}

/// `sliding_window`, and which layers have it: all but every `period`-th, if the file does not say.
fn windows(meta: &Meta<'_>, config: &mut Config, window: Option<u64>, period: u64) -> Result<()> {
    let layers = meta.layers()?;
    let key = "attention.sliding_window_pattern";
    let listed = meta.get(key).and_then(Value::as_flags);
    if let Some(flags) = listed.filter(|flags| (flags.len() as u64) < layers) {
        return Err(meta.wrong(key, format!("it has {} entries for {layers} layers", flags.len())));
    }
    let period = match meta.get(key) {
        Some(value) if listed.is_none() => match value.as_u64() {
            Some(n) if n > 0 => n,
            _ => return Err(meta.wrong(key, format!("{} is neither a list nor a number", value.describe()))),
        },
        _ => period,
    };
    let has = |layer: u64| match listed {
        _ if window.is_none() => false,
        Some(flags) => flags[layer as usize],
        None => !(layer + 1).is_multiple_of(period),
    };
    let kind = |layer| if has(layer) { "sliding_attention" } else { "full_attention" };
    put(config, "sliding_window", window);
    put(config, "layer_types", (0..layers).map(kind).collect::<Vec<_>>());
    Ok(())
}

fn phi3(meta: &Meta<'_>, config: &mut Config) -> Result<()> {
    let context = meta.size("context_length")?;
    let original = meta.number("rope.scaling.original_context_length")?.filter(|n| *n > 0).unwrap_or(context);
    put(config, "original_max_position_embeddings", original);
    // Zero stands for none here.
    put(config, "sliding_window", meta.number("attention.sliding_window")?.filter(|n| *n > 0));
    meta.partial_rotary(config, "partial_rotary_factor")
}

fn gpt_neox(meta: &Meta<'_>, config: &mut Config) -> Result<()> {
    config.shift_remove("num_key_value_heads");
    put(config, "hidden_act", "gelu");
    put(config, "layer_norm_eps", meta.positive("attention.layer_norm_epsilon")?);
    put(config, "use_parallel_residual", meta.get("use_parallel_residual").and_then(Value::as_bool).unwrap_or(true));
    put(config, "attention_bias", meta.has_tensor("attn_qkv.bias"));
    put(config, "rotary_emb_base", meta.optional_positive("rope.freq_base")?.unwrap_or(10_000.0));
    meta.partial_rotary(config, "rotary_pct")
}

fn olmo2(meta: &Meta<'_>, config: &mut Config) -> Result<()> {
    if let Some(window) = meta.number("attention.sliding_window")?.filter(|n| *n > 0) {
        put(config, "model_type", "olmo3");
        windows(meta, config, Some(window), 4)?;
    }
    Ok(())
}

fn smollm3(config: &mut Config) {
    // llama.cpp has this in its code, not in the file: every fourth layer has no rotary embedding.
    let layers = config.get("num_hidden_layers").and_then(Json::as_u64).unwrap_or(0);
    put(config, "no_rope_layer_interval", 4);
    put(config, "no_rope_layers", (1..=layers).map(|layer| u8::from(layer % 4 != 0)).collect::<Vec<_>>());
    put(config, "use_sliding_window", false);
    put(config, "layer_types", vec!["full_attention"; layers as usize]);
}

fn granite(meta: &Meta<'_>, config: &mut Config) -> Result<()> {
    for (key, name) in [
        ("attention.scale", "attention_multiplier"),
        ("embedding_scale", "embedding_multiplier"),
        ("residual_scale", "residual_multiplier"),
        ("logit_scale", "logits_scaling"),
    ] {
        put(config, name, meta.optional_positive(key)?.unwrap_or(1.0));
    }
    Ok(())
}

fn lfm2(meta: &Meta<'_>, config: &mut Config) -> Result<()> {
    for key in ["hidden_act", "head_dim"] {
        config.shift_remove(key);
    }
    // A layer without key heads is a convolution.
    let key = "attention.head_count_kv";
    let layers = meta.layers()?;
    let heads = meta.get(key).and_then(Value::as_integers).filter(|list| list.len() as u64 == layers);
    let Some(heads) = heads else {
        return Err(meta.wrong(key, format!("it is not a list with an entry for each of {layers} layers")));
    };
    let kind = |heads: &i64| if *heads > 0 { "full_attention" } else { "conv" };
    put(config, "layer_types", heads.iter().map(kind).collect::<Vec<_>>());
    let full = heads.iter().enumerate().filter(|(_, heads)| **heads > 0).map(|(layer, _)| layer);
    put(config, "full_attn_idxs", full.collect::<Vec<_>>());
    let epsilon = config.shift_remove("rms_norm_eps").unwrap_or(Json::Null);
    put(config, "norm_eps", epsilon);
    put(config, "conv_L_cache", meta.size("shortconv.l_cache")?);
    let biased = |name: &str| name.starts_with("blk.") && name.ends_with("shortconv.in_proj.bias");
    put(config, "conv_bias", meta.gguf.names().any(biased));
    // The width is the final one, which transformers would change again.
    put(config, "block_auto_adjust_ff_dim", false);
    Ok(())
}

fn exaone4(meta: &Meta<'_>, config: &mut Config) -> Result<()> {
    windows(meta, config, meta.number("attention.sliding_window")?.filter(|n| *n > 0), 4)
}

fn gpt2(meta: &Meta<'_>) -> Result<Config> {
    let n_embd = meta.size("embedding_length")?;
    let heads = meta.same_size("attention.head_count")?;
    meta.head_dim(n_embd, heads)?;
    let context = meta.size("context_length")?;
    let inner = meta.optional_size("feed_forward_length")?.filter(|n| *n != 4 * n_embd);
    let mut config = Config::new();
    put(&mut config, "model_type", "gpt2");
    put(&mut config, "vocab_size", meta.vocab_size(n_embd)?);
    put(&mut config, "n_embd", n_embd);
    put(&mut config, "n_layer", meta.layers()?);
    put(&mut config, "n_head", heads);
    put(&mut config, "n_positions", context);
    put(&mut config, "n_ctx", context);
    put(&mut config, "n_inner", inner);
    put(&mut config, "activation_function", "gelu_new");
    put(&mut config, "layer_norm_epsilon", meta.positive("attention.layer_norm_epsilon")?);
    put(&mut config, "tie_word_embeddings", !meta.gguf.contains("output.weight"));
    common(meta, &mut config);
    Ok(config)
}

/// `rope_theta` and `rope_scaling`.
async fn rope(meta: &Meta<'_>, arch: GgufArch, config: &mut Config) -> Result<()> {
    let default = if arch == GgufArch::Gemma3 { 1_000_000.0 } else { 10_000.0 };
    let theta = meta.optional_positive("rope.freq_base")?.unwrap_or(default);
    put(config, "rope_theta", theta);
    let original = meta.number("rope.scaling.original_context_length")?.filter(|n| *n > 0);
    let mut scaling = Config::new();
    let old_factor = meta.optional_positive("rope.scale_linear")?.filter(|factor| *factor != 1.0);
    let kind = meta.get("rope.scaling.type").map_or(Some("none"), Value::as_str);
    match (kind, old_factor) {
        (Some("linear"), _) => {
            put(&mut scaling, "rope_type", "linear");
            put(&mut scaling, "factor", meta.positive("rope.scaling.factor")?);
        }
        (Some("none"), Some(factor)) => {
            put(&mut scaling, "rope_type", "linear");
            put(&mut scaling, "factor", factor);
        }
        (Some("yarn"), _) => yarn(meta, original, &mut scaling)?,
        (Some("none" | "longrope"), _) => {}
        _ => {
            let value = meta.get("rope.scaling.type").map_or_else(String::new, Value::describe);
            return Err(Error::input(
                format!("The rope scaling {value} is not supported"),
                "Use a model with one of: none, linear, yarn, longrope",
                meta.gguf.at_key(&meta.key("rope.scaling.type")),
            ));
        }
    }
    let head_dim = meta.head_dim(meta.size("embedding_length")?, meta.same_size("attention.head_count")?)?;
    let turned = meta.optional_size("rope.dimension_count")?.unwrap_or(head_dim);
    let factors = RopeFactors::read(meta.gguf, (turned / 2) as usize).await?;
    factors.enter(&mut scaling, theta, original);
    if matches!(factors, RopeFactors::ByLength { .. }) {
        longrope(meta, original, &mut scaling)?;
    } else if kind == Some("longrope") {
        let what = "the file has no rope_factors_long.weight and rope_factors_short.weight".to_owned();
        return Err(meta.wrong("rope.scaling.type", what));
    }
    put(config, "rope_scaling", if scaling.is_empty() { Json::Null } else { Json::Object(scaling) });
    Ok(())
}

fn yarn(meta: &Meta<'_>, original: Option<u64>, scaling: &mut Config) -> Result<()> {
    put(scaling, "rope_type", "yarn");
    put(scaling, "factor", meta.positive("rope.scaling.factor")?);
    if let Some(original) = original {
        put(scaling, "original_max_position_embeddings", original);
    }
    for (key, names) in [
        ("rope.scaling.yarn_beta_fast", &["beta_fast"][..]),
        ("rope.scaling.yarn_beta_slow", &["beta_slow"]),
        ("rope.scaling.yarn_attn_factor", &["attention_factor"]),
        ("rope.scaling.yarn_ext_factor", &["extrapolation_factor"]),
        // Ministral's, whose two scales are the same and so have no effect but on each other.
        ("rope.scaling.yarn_log_multiplier", &["mscale_all_dim", "mscale"]),
        ("attention.temperature_scale", &["llama_4_scaling_beta"]),
    ] {
        if let Some(x) = meta.optional_positive(key)? {
            names.iter().for_each(|name| put(scaling, name, x));
        }
    }
    Ok(())
}

fn longrope(meta: &Meta<'_>, original: Option<u64>, scaling: &mut Config) -> Result<()> {
    let context = meta.size("context_length")?;
    let original = original.unwrap_or(context);
    put(scaling, "original_max_position_embeddings", original);
    // transformers computes the factor from both lengths; it is stated only where it is another.
    let ratio = context as f64 / original as f64;
    let usual = if ratio > 1.0 { (1.0 + ratio.ln() / (original as f64).ln()).sqrt() } else { 1.0 };
    if let Some(factor) = meta.optional_positive("rope.scaling.attn_factor")?
        && (factor / usual - 1.0).abs() > 1e-5
    {
        put(scaling, "attention_factor", factor);
    }
    Ok(())
}

/// The keys of one architecture, read with checks.
struct Meta<'a> {
    gguf: &'a Gguf,
    arch: &'a str,
}

impl Meta<'_> {
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.arch)
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.gguf.get(&self.key(name))
    }

    /// A whole number, if the key is there.
    fn number(&self, name: &str) -> Result<Option<u64>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match value.as_u64() {
            Some(n) if n < SIZE_LIMIT => Ok(Some(n)),
            _ => Err(self.wrong(name, format!("{} is not a whole number below 2^31", value.describe()))),
        }
    }

    fn size(&self, name: &str) -> Result<u64> {
        match self.number(name)? {
            Some(0) => Err(self.wrong(name, "it is zero".to_owned())),
            Some(n) => Ok(n),
            None => Err(self.missing(name)),
        }
    }

    fn optional_size(&self, name: &str) -> Result<Option<u64>> {
        if self.get(name).is_some() { self.size(name).map(Some) } else { Ok(None) }
    }

    /// A size that may be stated for each layer, and must be the same for all that have one.
    fn same_size(&self, name: &str) -> Result<u64> {
        let Some(list) = self.get(name).and_then(Value::as_integers) else { return self.size(name) };
        let mut sizes = list.iter().copied().filter(|n| *n != 0);
        match sizes.next().map(|first| (first, sizes.all(|other| other == first))) {
            Some((first, true)) if (1..SIZE_LIMIT as i64).contains(&first) => Ok(first.unsigned_abs()),
            Some((_, false)) => Err(self.wrong(name, "it differs between layers, which is not supported".to_owned())),
            _ => Err(self.wrong(name, "it has no positive entry below 2^31".to_owned())),
        }
    }

    fn positive(&self, name: &str) -> Result<f64> {
        self.optional_positive(name)?.ok_or_else(|| self.missing(name))
    }

    fn optional_positive(&self, name: &str) -> Result<Option<f64>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match value.as_f64() {
            Some(x) if x > 0.0 && x <= f64::from(f32::MAX) => Ok(Some(x)),
            _ => Err(self.wrong(name, format!("{} is not a positive number", value.describe()))),
        }
    }

    /// Decoder layers, without those that only predict further tokens.
    fn layers(&self) -> Result<u64> {
        let all = self.size("block_count")?;
        let layers = all.saturating_sub(self.number("nextn_predict_layers")?.unwrap_or(0));
        match layers {
            1..=LAYER_LIMIT => Ok(layers),
            _ => Err(self.wrong("block_count", format!("{layers} layers are not between 1 and {LAYER_LIMIT}"))),
        }
    }

    fn head_dim(&self, hidden_size: u64, heads: u64) -> Result<u64> {
        if let Some(width) = self.optional_size("attention.key_length")? {
            return Ok(width);
        }
        // Files of Llamas before there was a key for it.
        if matches!(self.arch, "llama" | "mistral3")
            && let Some(width) = self.optional_size("rope.dimension_count")?
        {
            return Ok(width);
        }
        if hidden_size.is_multiple_of(heads) {
            return Ok(hidden_size / heads);
        }
        Err(self.wrong("attention.head_count", format!("{heads} heads do not divide the width {hidden_size}")))
    }

    /// Rows of the embedding, whose columns must be the model's width.
    fn vocab_size(&self, hidden_size: u64) -> Result<u64> {
        match self.gguf.shape("token_embd.weight") {
            Some([rows, columns]) if *columns as u64 == hidden_size && (*rows as u64) < SIZE_LIMIT => Ok(*rows as u64),
            Some(shape) => Err(Error::input(
                format!("The embedding has the shape {shape:?}, but the model's width is {hidden_size}"),
                "The file contradicts itself: use another conversion of this model",
                self.gguf.at_tensor("token_embd.weight"),
            )),
            None => self.gguf.info("token_embd.weight").map(|_| 0),
        }
    }

    /// Enters the fraction of a head that is rotated, as `name`.
    fn partial_rotary(&self, config: &mut Config, name: &str) -> Result<()> {
        let head_dim = self.head_dim(self.size("embedding_length")?, self.same_size("attention.head_count")?)?;
        let turned = self.optional_size("rope.dimension_count")?.unwrap_or(head_dim);
        if turned > head_dim || turned % 2 == 1 {
            return Err(self.wrong("rope.dimension_count", format!("{turned} of {head_dim} dimensions are turned")));
        }
        put(config, name, turned as f64 / head_dim as f64);
        Ok(())
    }

    /// True if the first layer has this tensor.
    fn has_tensor(&self, name: &str) -> bool {
        self.gguf.contains(&format!("blk.0.{name}"))
    }

    fn missing(&self, name: &str) -> Error {
        Error::input(
            format!("The key {} is missing", self.key(name)),
            "Use another conversion of this model",
            self.gguf.at_key(&self.key(name)),
        )
    }

    fn wrong(&self, name: &str, what: String) -> Error {
        Error::input(
            format!("The value of {} cannot be used: {what}", self.key(name)),
            "Use a supported model, or another conversion of it",
            self.gguf.at_key(&self.key(name)),
        )
    }
}
