//! Rotary position embedding: its description in a config, its table of cosines and sines, and tables on the device.

use serde_json::{Map, Value};

use super::architecture::QueryGrowth;
use super::families::fields::Fields;
use crate::error::{Error, Result};
use crate::gpu::{Dtype, Gpu, Tensor};

/// Rotary position embedding: the base of its frequencies and their stretching.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    /// Base of the frequencies.
    pub theta: f64,
    /// Columns of a head that rotate, from the first on.
    pub dim: usize,
    /// Longest sequence the model was made for, in tokens.
    pub max_position_embeddings: usize,
    /// Change of the frequencies for contexts longer than the original.
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
    /// A larger base for sequences that are longer than the model was made for.
    Dynamic {
        /// Factor by which the context is stretched.
        factor: f64,
    },
    /// YaRN: low frequencies divided, high ones kept, those between interpolated by their number of turns.
    Yarn {
        /// Divisor of the low frequencies.
        factor: f64,
        /// Factor of cosines and sines.
        attention_factor: f64,
        /// Turns over the original context from which on a frequency counts as high.
        beta_fast: f64,
        /// Turns over the original context up to which a frequency counts as low.
        beta_slow: f64,
        /// True if the two bounds are rounded to whole dimensions.
        truncate: bool,
        /// Context length before stretching, in tokens.
        original_max_position_embeddings: usize,
    },
    /// Phi-3's: a divisor for each frequency, in two sets.
    LongRope {
        /// Divisors for batches whose sequences are all within the original context.
        short_factor: Vec<f64>,
        /// Divisors for batches with a longer sequence.
        long_factor: Vec<f64>,
        /// Factor of cosines and sines.
        attention_factor: f64,
        /// Context length before stretching, in tokens.
        original_max_position_embeddings: usize,
    },
}

/// A family's rotary settings where a config is silent.
pub(super) struct RopeDefaults {
    /// Base of the frequencies.
    pub(super) theta: f64,
    /// Columns of a head that rotate.
    pub(super) dim: usize,
    /// Longest sequence the model was made for.
    pub(super) max_position_embeddings: usize,
}

/// Reads the rotary settings of a config: `rope_scaling` (transformers 4) or `rope_parameters` (5).
pub(super) fn settings<'a>(fields: &Fields<'a>) -> Result<Option<(&'static str, &'a Map<String, Value>)>> {
    for key in ["rope_scaling", "rope_parameters"] {
        if let Some(map) = fields.object(key)?.filter(|map| !map.is_empty()) {
            return Ok(Some((key, map)));
        }
    }
    Ok(None)
}

impl Rope {
    /// Reads the usual form: one set of settings for all layers, with `rope_theta` among them or outside.
    pub(super) fn read(fields: &Fields<'_>, defaults: &RopeDefaults) -> Result<Self> {
        let empty = Map::new();
        let (key, map) = settings(fields)?.unwrap_or(("rope_parameters", &empty));
        let theta = fields.positive_or("rope_theta", defaults.theta)?;
        Self::read_from(fields, key, map, &RopeDefaults { theta, ..*defaults })
    }

    /// Reads the set of settings under `key`; `defaults.theta` counts unless they have their own.
    pub(super) fn read_from(
        fields: &Fields<'_>,
        key: &str,
        map: &Map<String, Value>,
        defaults: &RopeDefaults,
    ) -> Result<Self> {
        let within = format!("{key}.");
        let inner = Fields { map, file: fields.file, within: &within };
        let theta = inner.positive_or("rope_theta", defaults.theta)?;
        let kind = inner.get("rope_type").or_else(|| inner.get("type"));
        let scaling = match kind.map(|kind| kind.as_str().unwrap_or_default()) {
            Some("default") => RopeScaling::Default,
            None if map.values().any(Value::is_object) => {
                return Err(fields.wrong(key, "it differs between kinds of layers, which is not supported".to_owned()));
            }
            None if !map.contains_key("factor") => RopeScaling::Default,
            Some("linear") => RopeScaling::Linear { factor: inner.positive("factor")? },
            Some("dynamic") => RopeScaling::Dynamic { factor: inner.positive("factor")? },
            Some("llama3") => inner.llama3(fields, defaults.max_position_embeddings)?,
            Some("yarn") => inner.yarn(fields, defaults.max_position_embeddings)?,
            Some("longrope" | "su") => inner.longrope(fields, defaults)?,
            _ => {
                let found = kind.map_or_else(|| "none".to_owned(), Value::to_string);
                return Err(Error::input(
                    format!("The rope_type {found} is not supported"),
                    "Use a model with one of: default, linear, dynamic, llama3, yarn, longrope",
                    fields.at(key),
                ));
            }
        };
        let RopeDefaults { dim, max_position_embeddings, .. } = *defaults;
        Ok(Self { theta, dim, max_position_embeddings, scaling })
    }

    /// Longest sequence for which the first of two tables holds; `None` if there is one table for all.
    pub fn switches_at(&self) -> Option<usize> {
        match self.scaling {
            RopeScaling::LongRope { original_max_position_embeddings, .. } => Some(original_max_position_embeddings),
            _ => None,
        }
    }

    /// Angle per position of each pair of dimensions, in radians, length `dim / 2`, for batches whose longest sequence
    /// has `longest` tokens.
    ///
    /// Computed in f32 in the order of transformers' `modeling_rope_utils.py`, which decides the last bit.
    pub fn inverse_frequencies(&self, longest: usize) -> Vec<f32> {
        let powers = |theta: f64| {
            let dim = self.dim as f32;
            (0..self.dim / 2).map(move |i| {
                let exponent = (2 * i) as f32 / dim;
                f64::from(theta as f32).powf(f64::from(exponent)) as f32
            })
        };
        let base = powers(self.theta).map(|power| 1.0 / power);
        match &self.scaling {
            RopeScaling::Default => base.collect(),
            RopeScaling::Linear { factor } => base.map(|f| f / *factor as f32).collect(),
            RopeScaling::Dynamic { factor } => {
                let (dim, made_for) = (self.dim as f64, self.max_position_embeddings as f64);
                let stretch = factor * (longest as f64).max(made_for) / made_for - (factor - 1.0);
                powers(self.theta * stretch.powf(dim / (dim - 2.0))).map(|power| 1.0 / power).collect()
            }
            RopeScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_max_position_embeddings: original,
            } => base.map(|f| llama3(f, *factor, *low_freq_factor, *high_freq_factor, *original as f64)).collect(),
            RopeScaling::Yarn { factor, .. } => {
                let ramp = self.yarn_ramp();
                let mixed = powers(self.theta).zip(ramp).map(|(power, ramp)| {
                    let (kept, divided) = (1.0 / power, 1.0 / (*factor as f32 * power));
                    divided * ramp + kept * (1.0 - ramp)
                });
                mixed.collect()
            }
            RopeScaling::LongRope { short_factor, long_factor, original_max_position_embeddings, .. } => {
                let factors = if longest > *original_max_position_embeddings { long_factor } else { short_factor };
                powers(self.theta).zip(factors).map(|(power, factor)| 1.0 / (*factor as f32 * power)).collect()
            }
        }
    }

    /// Position of each frequency between the high ones, which are kept (0), and the low ones, which are divided (1).
    fn yarn_ramp(&self) -> Vec<f32> {
        let RopeScaling::Yarn { beta_fast, beta_slow, truncate, original_max_position_embeddings, .. } = self.scaling
        else {
            return Vec::new();
        };
        let (dim, original) = (self.dim as f64, original_max_position_embeddings as f64);
        // Dimension whose frequency makes `turns` turns over the original context.
        let at = |turns: f64| dim * (original / (turns * std::f64::consts::TAU)).ln() / (2.0 * self.theta.ln());
        let (mut low, mut high) = (at(beta_fast), at(beta_slow));
        if truncate {
            (low, high) = (low.floor(), high.ceil());
        }
        (low, high) = (low.max(0.0), high.min(dim - 1.0));
        if low == high {
            high += 0.001;
        }
        let (low, width) = (low as f32, (high - low) as f32);
        (0..self.dim / 2).map(|i| ((i as f32 - low) / width).clamp(0.0, 1.0)).collect()
    }

    /// `[cos, sin]` of position times inverse frequency, shape (positions, `dim / 2`), row-major, times the attention
    /// factor of the kinds that have one.
    ///
    /// The angle is rounded to f32 before the cosine, as in transformers.
    pub fn table(&self, positions: usize, longest: usize) -> Vec<[f32; 2]> {
        let frequencies = self.inverse_frequencies(longest);
        let factor = match self.scaling {
            RopeScaling::Yarn { attention_factor, .. } | RopeScaling::LongRope { attention_factor, .. } => {
                attention_factor as f32
            }
            _ => 1.0,
        };
        let row = |position: usize| {
            frequencies.iter().map(move |f| {
                let angle = f64::from(position as f32 * f);
                [angle.cos() as f32 * factor, angle.sin() as f32 * factor]
            })
        };
        (0..positions).flat_map(row).collect()
    }
}

fn llama3(f: f32, factor: f64, low_freq_factor: f64, high_freq_factor: f64, original: f64) -> f32 {
    let (low_wavelength, high_wavelength) = (original / low_freq_factor, original / high_freq_factor);
    // PyTorch divides a number by a tensor by multiplying it with the reciprocal.
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
}

impl Fields<'_> {
    /// Context length before stretching: a field of the whole config takes precedence over one of the rotary settings.
    fn original(&self, whole: &Fields<'_>, max_position_embeddings: usize) -> Result<usize> {
        let key = "original_max_position_embeddings";
        match whole.get(key) {
            Some(_) => whole.size(key),
            None => self.size_or(key, max_position_embeddings),
        }
    }

    fn llama3(&self, whole: &Fields<'_>, max_position_embeddings: usize) -> Result<RopeScaling> {
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
            original_max_position_embeddings: self.original(whole, max_position_embeddings)?,
        })
    }

    fn yarn(&self, whole: &Fields<'_>, max_position_embeddings: usize) -> Result<RopeScaling> {
        let original = self.original(whole, max_position_embeddings)?;
        let factor = self.positive_or("factor", max_position_embeddings as f64 / original as f64)?;
        let number = |key: &str| self.get(key).and_then(Value::as_f64).filter(|x| *x != 0.0);
        let scale = |mscale: f64| if factor <= 1.0 { 1.0 } else { 0.1 * mscale * factor.ln() + 1.0 };
        let attention_factor = match (self.get("attention_factor"), number("mscale"), number("mscale_all_dim")) {
            (Some(_), ..) => self.positive("attention_factor")?,
            (None, Some(mscale), Some(all_dim)) => scale(mscale) / scale(all_dim),
            _ => scale(1.0),
        };
        Ok(RopeScaling::Yarn {
            factor,
            attention_factor,
            beta_fast: number("beta_fast").unwrap_or(32.0),
            beta_slow: number("beta_slow").unwrap_or(1.0),
            // transformers reads `truncate` in the outermost settings, which lack it if settings are nested by kind of
            // layer.
            truncate: self.within.matches('.').count() > 1 || self.flag_or("truncate", true)?,
            original_max_position_embeddings: original,
        })
    }

    fn longrope(&self, whole: &Fields<'_>, defaults: &RopeDefaults) -> Result<RopeScaling> {
        let original = self.original(whole, defaults.max_position_embeddings)?;
        let factor = self.positive_or("factor", defaults.max_position_embeddings as f64 / original as f64)?;
        let usual = if factor <= 1.0 { 1.0 } else { (1.0 + factor.ln() / (original as f64).ln()).sqrt() };
        let factors = |key: &str| {
            let list = self.numbers(key)?;
            match list.len() == defaults.dim / 2 {
                true => Ok(list),
                false => {
                    let what = format!("it has {} numbers for {} pairs of columns", list.len(), defaults.dim / 2);
                    Err(self.wrong(key, what))
                }
            }
        };
        Ok(RopeScaling::LongRope {
            short_factor: factors("short_factor")?,
            long_factor: factors("long_factor")?,
            attention_factor: self.positive_or("attention_factor", usual)?,
            original_max_position_embeddings: original,
        })
    }
}

/// Tables of one rotary embedding: a single one, or one for short batches and one for long batches.
pub(super) struct RopeTables {
    /// Longest sequence that the short table is for.
    switches_at: Option<usize>,
    short: RopeTable,
    long: Option<RopeTable>,
}

/// A table (positions, rotated columns) of (cos, sin).
pub(super) struct RopeTable {
    pub(super) keys: Tensor,
    /// Table of the queries, if they grow with their position.
    pub(super) queries: Option<Tensor>,
}

impl RopeTables {
    /// Makes tables for sequences of at most `positions` tokens.
    pub(super) fn new(gpu: &Gpu, rope: &Rope, growth: Option<QueryGrowth>, positions: usize) -> Self {
        let table = |longest: usize| RopeTable::new(gpu, rope, growth, positions, longest);
        let switches_at = rope.switches_at().filter(|at| *at < positions);
        let (short, long) = (table(switches_at.unwrap_or(positions)), switches_at.map(|_| table(positions)));
        Self { switches_at, short, long }
    }

    /// The table for batches whose longest sequence has `longest` tokens.
    pub(super) fn of(&self, longest: usize) -> &RopeTable {
        match (&self.long, self.switches_at) {
            (Some(long), Some(at)) if longest > at => long,
            _ => &self.short,
        }
    }
}

impl RopeTable {
    fn new(gpu: &Gpu, rope: &Rope, growth: Option<QueryGrowth>, positions: usize, longest: usize) -> Self {
        let upload = |table: &[[f32; 2]]| {
            gpu.upload("rope_table", positions as u32, rope.dim as u32, Dtype::F32, table.as_flattened())
        };
        let table = rope.table(positions, longest);
        let queries = growth.map(|QueryGrowth { beta, original }| {
            let factor = |position: usize| (1.0 + beta * ((1 + position / original) as f64).ln()) as f32;
            let rows = table.chunks_exact(rope.dim / 2).enumerate();
            let grown = rows.flat_map(|(position, row)| row.iter().map(move |turn| turn.map(|v| v * factor(position))));
            upload(&grown.collect::<Vec<[f32; 2]>>())
        });
        Self { keys: upload(&table), queries }
    }
}
