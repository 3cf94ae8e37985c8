//! `config.json` of a model, with the key names of transformers 4 and 5; what is unsupported is refused by name.

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::platform::{Folder, is_hub_name, licence_in, read_all};

const SUPPORTED: [&str; 1] = ["llama"];
/// Sizes are below this, so that twice a size is a buffer's index, and a product of two sizes is in range.
const SIZE_LIMIT: u64 = 1 << 31;

/// A decoder's dimensions and constants, under their Hugging Face names.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// The model family.
    pub model_type: String,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the MLP.
    pub intermediate_size: usize,
    /// Number of decoder layers.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads; divides the query heads.
    pub num_key_value_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Added to the mean square in RMSNorm.
    pub rms_norm_eps: f64,
    /// Rows of the embedding and of the head.
    pub vocab_size: usize,
    /// True if the head is the embedding.
    pub tie_word_embeddings: bool,
    /// Longest sequence the model was made for, in tokens.
    pub max_position_embeddings: usize,
    /// Rotary position embedding.
    pub rope: Rope,
    /// True if q, k, v and o projections have biases.
    pub attention_bias: bool,
    /// True if the MLP's projections have biases.
    pub mlp_bias: bool,
    /// First token of a text, if any.
    pub bos_token_id: Option<u32>,
    /// Tokens that end a text; published configs have one, several or none.
    pub eos_token_id: Vec<u32>,
    /// Padding token, if any.
    pub pad_token_id: Option<u32>,
    /// Type the weights were saved in (`dtype`, formerly `torch_dtype`), for example `bfloat16`.
    pub dtype: Option<String>,
}

/// Rotary position embedding: the base of its frequencies and how they are stretched.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    /// Base of the frequencies.
    pub theta: f64,
    /// How frequencies are changed for contexts longer than the original.
    pub scaling: RopeScaling,
}

/// The `rope_type` of a config.
#[derive(Debug, Clone, PartialEq)]
pub enum RopeScaling {
    /// Frequencies as they are.
    Default,
    /// All frequencies divided by a factor.
    Linear {
        /// The divisor.
        factor: f64,
    },
    /// Llama 3: low frequencies divided, high ones kept, those between interpolated.
    Llama3 {
        /// Divisor of the low frequencies.
        factor: f64,
        /// Wavelengths above `original_max_position_embeddings / low_freq_factor` are low frequencies.
        low_freq_factor: f64,
        /// Wavelengths below `original_max_position_embeddings / high_freq_factor` are high frequencies.
        high_freq_factor: f64,
        /// Context length before stretching, in tokens.
        original_max_position_embeddings: usize,
    },
}

/// The licence that a model's README states, as the Hub names it.
pub async fn licence(folder: &dyn Folder) -> Option<String> {
    if !folder.files().iter().any(|file| file == "README.md") {
        return None;
    }
    licence_in(&read_all(folder.open("README.md").ok()?.as_ref()).await.ok()?)
}

/// The name on the Hub that the `config.json` of a folder states, if it is that of this folder: often it is that of
/// the model which this one was tuned from.
pub async fn stated_name(folder: &dyn Folder) -> Option<String> {
    let bytes = read_all(folder.open("config.json").ok()?.as_ref()).await.ok()?;
    let config: Map<String, Value> = serde_json::from_slice(&bytes).ok()?;
    let stated = config.get("_name_or_path")?.as_str()?;
    let (_, name) = stated.rsplit_once('/').filter(|_| is_hub_name(stated))?;
    let is_own = folder.name().trim_end_matches('/').rsplit(['/', '\\']).next() == Some(name);
    is_own.then(|| stated.to_owned())
}

impl ModelConfig {
    /// Reads the bytes of `config.json`; `file` is what messages call it.
    ///
    /// Errors name the field: missing, of the wrong type, zero, or with a value that is not supported.
    pub fn from_bytes(bytes: &[u8], file: &str) -> Result<Self> {
        let map: Map<String, Value> = serde_json::from_slice(bytes).map_err(|e| {
            Error::input(format!("This is not a JSON object: {e}"), "Download the model's config.json again", file)
        })?;
        let fields = Fields { map: &map, file, within: "" };
        let model_type = fields.model_type()?;
        fields.refuse_unsupported()?;

        let num_attention_heads = fields.size("num_attention_heads")?;
        let hidden_size = fields.multiple_of_4("hidden_size", fields.size("hidden_size")?)?;
        let num_key_value_heads = fields.size_or("num_key_value_heads", num_attention_heads)?;
        if !num_attention_heads.is_multiple_of(num_key_value_heads) {
            return Err(fields.wrong(
                "num_key_value_heads",
                format!("{num_key_value_heads} does not divide the {num_attention_heads} of num_attention_heads"),
            ));
        }
        let head_dim = fields.size_or("head_dim", hidden_size / num_attention_heads)?;
        if num_attention_heads as u64 * head_dim as u64 >= SIZE_LIMIT {
            let what = format!("{num_attention_heads} heads of {head_dim} columns are 2^31 columns or more");
            return Err(fields.wrong("num_attention_heads", what));
        }
        let max_position_embeddings = fields.size("max_position_embeddings")?;
        Ok(Self {
            model_type,
            hidden_size,
            intermediate_size: fields.multiple_of_4("intermediate_size", fields.size("intermediate_size")?)?,
            num_hidden_layers: fields.size("num_hidden_layers")?,
            num_attention_heads,
            num_key_value_heads,
            head_dim: fields.multiple_of_4("head_dim", head_dim)?,
            rms_norm_eps: fields.positive("rms_norm_eps")?,
            vocab_size: fields.size("vocab_size")?,
            tie_word_embeddings: fields.flag("tie_word_embeddings")?,
            max_position_embeddings,
            rope: fields.rope(max_position_embeddings)?,
            attention_bias: fields.flag("attention_bias")?,
            mlp_bias: fields.flag("mlp_bias")?,
            bos_token_id: fields.token("bos_token_id")?,
            eos_token_id: fields.tokens("eos_token_id")?,
            pad_token_id: fields.token("pad_token_id")?,
            dtype: ["dtype", "torch_dtype"].iter().find_map(|key| map.get(*key)?.as_str().map(str::to_owned)),
        })
    }

    /// Angle per position of each pair of dimensions, radians, length `head_dim / 2`.
    ///
    /// Computed in f32 in the order of transformers' `modeling_rope_utils.py`, which decides the last bit.
    pub fn inverse_frequencies(&self) -> Vec<f32> {
        let dim = self.head_dim as f32;
        let base = (0..self.head_dim / 2).map(|i| {
            let exponent = (2 * i) as f32 / dim;
            1.0 / (f64::from(self.rope.theta as f32).powf(f64::from(exponent)) as f32)
        });
        match self.rope.scaling {
            RopeScaling::Default => base.collect(),
            RopeScaling::Linear { factor } => base.map(|f| f / factor as f32).collect(),
            RopeScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_max_position_embeddings: original,
            } => {
                let original = original as f64;
                let (low_wavelength, high_wavelength) = (original / low_freq_factor, original / high_freq_factor);
                base.map(|f| {
                    // PyTorch divides a number by a tensor as the number times the reciprocal.
                    let wavelength = f.recip() * std::f32::consts::TAU;
                    if wavelength > low_wavelength as f32 {
                        f / factor as f32
                    } else if wavelength < high_wavelength as f32 {
                        f
                    } else {
                        let smooth = (wavelength.recip() * original as f32 - low_freq_factor as f32)
                            / (high_freq_factor - low_freq_factor) as f32;
                        (1.0 - smooth) * f / factor as f32 + smooth * f
                    }
                })
                .collect()
            }
        }
    }

    /// `[cos, sin]` of position times inverse frequency, shape (positions, `head_dim / 2`), row-major.
    ///
    /// The angle is rounded to f32 before the cosine, as in transformers.
    pub fn rope_table(&self, positions: usize) -> Vec<[f32; 2]> {
        let frequencies = self.inverse_frequencies();
        let row = |position: usize| {
            frequencies.iter().map(move |f| {
                let angle = f64::from(position as f32 * f);
                [angle.cos() as f32, angle.sin() as f32]
            })
        };
        (0..positions).flat_map(row).collect()
    }
}

/// The keys of one JSON object, read with checks.
struct Fields<'a> {
    map: &'a Map<String, Value>,
    file: &'a str,
    /// The object's own key with a dot, empty for the whole file.
    within: &'a str,
}

impl Fields<'_> {
    fn model_type(&self) -> Result<String> {
        let supported = SUPPORTED.join(", ");
        let Some(found) = self.get("model_type").and_then(Value::as_str) else {
            return Err(Error::input(
                "The config has no model_type",
                format!("Name a folder with a Hugging Face model of a supported type ({supported})"),
                self.at("model_type"),
            ));
        };
        if SUPPORTED.contains(&found) {
            return Ok(found.to_owned());
        }
        Err(Error::input(
            format!("The model_type \"{found}\" is not supported"),
            format!("Use a model of a supported type: {supported}"),
            self.at("model_type"),
        ))
    }

    fn refuse_unsupported(&self) -> Result<()> {
        if let Some(quantization) = self.get("quantization_config") {
            let method = quantization.get("quant_method").and_then(Value::as_str).unwrap_or("unknown");
            return Err(Error::input(
                format!("The weights are quantised (method: {method}), which is not supported"),
                "Use the unquantised original of this model",
                self.at("quantization_config"),
            ));
        }
        match self.get("hidden_act") {
            None => Ok(()),
            Some(Value::String(act)) if act == "silu" => Ok(()),
            Some(act) => Err(Error::input(
                format!("The activation {act} is not supported"),
                "Use a model with hidden_act \"silu\"",
                self.at("hidden_act"),
            )),
        }
    }

    /// Reads `rope_parameters` (transformers 5), or `rope_theta` and `rope_scaling` (transformers 4).
    fn rope(&self, max_position_embeddings: usize) -> Result<Rope> {
        let (key, within) = match self.get("rope_parameters") {
            Some(_) => ("rope_parameters", "rope_parameters."),
            None => ("rope_scaling", "rope_scaling."),
        };
        let empty = Map::new();
        let map = match self.get(key) {
            None => &empty,
            Some(Value::Object(map)) => map,
            Some(other) => return Err(self.wrong(key, format!("{other} is not an object"))),
        };
        let inner = Fields { map, file: self.file, within };
        let theta = match inner.get("rope_theta") {
            Some(_) => inner.positive("rope_theta")?,
            None if self.get("rope_theta").is_some() => self.positive("rope_theta")?,
            None => 10_000.0,
        };
        for partial in [self.get("partial_rotary_factor"), inner.get("partial_rotary_factor")].into_iter().flatten() {
            if partial.as_f64() != Some(1.0) {
                return Err(self.wrong("partial_rotary_factor", format!("{partial} is not supported, only 1")));
            }
        }
        let kind = inner.get("rope_type").or_else(|| inner.get("type"));
        let scaling = match kind.map(|kind| kind.as_str().unwrap_or_default()) {
            Some("default") => RopeScaling::Default,
            None if map.values().any(Value::is_object) => {
                return Err(self.wrong(key, "it differs between kinds of layers, which is not supported".to_owned()));
            }
            None if !map.contains_key("factor") => RopeScaling::Default,
            Some("linear") => RopeScaling::Linear { factor: inner.positive("factor")? },
            Some("llama3") => inner.llama3(max_position_embeddings)?,
            _ => {
                let found = kind.map_or_else(|| "none".to_owned(), Value::to_string);
                return Err(Error::input(
                    format!("The rope_type {found} is not supported"),
                    "Use a model with one of: default, linear, llama3",
                    self.at(key),
                ));
            }
        };
        Ok(Rope { theta, scaling })
    }

    fn llama3(&self, max_position_embeddings: usize) -> Result<RopeScaling> {
        let (low_freq_factor, high_freq_factor) =
            (self.positive("low_freq_factor")?, self.positive("high_freq_factor")?);
        if high_freq_factor <= low_freq_factor {
            return Err(self.wrong(
                "high_freq_factor",
                format!("{high_freq_factor} is not above the {low_freq_factor} of low_freq_factor"),
            ));
        }
        Ok(RopeScaling::Llama3 {
            factor: self.positive("factor")?,
            low_freq_factor,
            high_freq_factor,
            original_max_position_embeddings: self
                .size_or("original_max_position_embeddings", max_position_embeddings)?,
        })
    }

    /// A value that is there and not null.
    fn get(&self, key: &str) -> Option<&Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    fn size(&self, key: &str) -> Result<usize> {
        let Some(value) = self.get(key) else { return Err(self.missing(key)) };
        match value.as_u64() {
            Some(n) if (1..SIZE_LIMIT).contains(&n) => Ok(n as usize),
            _ => Err(self.wrong(key, format!("{value} is not a positive whole number below 2^31"))),
        }
    }

    fn size_or(&self, key: &str, default: usize) -> Result<usize> {
        if self.get(key).is_some() { self.size(key) } else { Ok(default) }
    }

    fn multiple_of_4(&self, key: &str, size: usize) -> Result<usize> {
        match size {
            0 => Err(self.wrong(key, "it is zero".to_owned())),
            _ if size.is_multiple_of(4) => Ok(size),
            _ => Err(self.wrong(key, format!("{size} is not a multiple of 4, which the kernels need"))),
        }
    }

    fn positive(&self, key: &str) -> Result<f64> {
        let Some(value) = self.get(key) else { return Err(self.missing(key)) };
        match value.as_f64() {
            Some(x) if x > 0.0 && x <= f64::from(f32::MAX) => Ok(x),
            _ => Err(self.wrong(key, format!("{value} is not a positive number"))),
        }
    }

    /// A flag; false, as in transformers, if the key is missing.
    fn flag(&self, key: &str) -> Result<bool> {
        match self.get(key) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(self.wrong(key, format!("{other} is neither true nor false"))),
        }
    }

    fn token(&self, key: &str) -> Result<Option<u32>> {
        // Some configs say -1 where they mean that there is none.
        match self.get(key).filter(|value| value.as_i64() != Some(-1)) {
            None => Ok(None),
            Some(value) => match value.as_u64().and_then(|id| u32::try_from(id).ok()) {
                Some(id) => Ok(Some(id)),
                None => Err(self.wrong(key, format!("{value} is not a token id"))),
            },
        }
    }

    fn tokens(&self, key: &str) -> Result<Vec<u32>> {
        let Some(Value::Array(list)) = self.get(key) else { return Ok(self.token(key)?.into_iter().collect()) };
        let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
        list.iter().map(|v| id(v).ok_or_else(|| self.wrong(key, format!("{v} is not a token id")))).collect()
    }

    fn missing(&self, key: &str) -> Error {
        Error::input(
            format!("The field {}{key} is missing", self.within),
            "Use the config.json that came with the model",
            self.at(key),
        )
    }

    fn wrong(&self, key: &str, what: String) -> Error {
        Error::input(
            format!("The value of {}{key} cannot be used: {what}", self.within),
            "Use a supported model, with the config.json that came with it",
            self.at(key),
        )
    }

    fn at(&self, key: &str) -> String {
        format!("{}, field {}{key}", self.file, self.within)
    }
}
