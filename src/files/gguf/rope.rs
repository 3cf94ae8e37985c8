//! Factors that a GGUF file keeps in tensors of its own, by which the frequencies of rotary embeddings are divided.
//!
//! transformers computes those of Llama 3 from four numbers of the config. The file has only the result, from which
//! the numbers are found again; where that fails, the factors themselves are given. Both directions are here.

use serde_json::{Map, Value as Json, json};

use super::file::Gguf;
use crate::error::{Error, Result};

const FREQUENCIES: &str = "rope_freqs.weight";
const LONG: &str = "rope_factors_long.weight";
const SHORT: &str = "rope_factors_short.weight";
/// No model turns more dimensions than this; a tensor that claims to is not read.
const MOST: usize = 1 << 12;

/// Divisors of frequencies, one for each pair of dimensions that is turned.
#[derive(Debug, Clone, PartialEq)]
pub enum RopeFactors {
    /// The file has none.
    None,
    /// Factors for all texts: `rope_freqs.weight`.
    Always(Vec<f32>),
    /// Factors for texts longer than the original context, and for shorter ones: `rope_factors_long.weight` and
    /// `rope_factors_short.weight`.
    ByLength {
        /// Longer ones.
        long: Vec<f32>,
        /// Others.
        short: Vec<f32>,
    },
}

impl RopeFactors {
    /// Reads the factors; `pairs` is how many there must be. Errors name the tensor: of another length, or not finite
    /// and positive.
    pub async fn read(gguf: &Gguf, pairs: usize) -> Result<Self> {
        if gguf.contains(LONG) && gguf.contains(SHORT) {
            return Ok(Self::ByLength {
                long: factors(gguf, LONG, pairs).await?,
                short: factors(gguf, SHORT, pairs).await?,
            });
        }
        if gguf.contains(FREQUENCIES) {
            return Ok(Self::Always(factors(gguf, FREQUENCIES, pairs).await?));
        }
        Ok(Self::None)
    }

    /// Computes the factors of Llama 3's scaling for `pairs` pairs of dimensions.
    pub fn llama3(scaling: &Llama3Scaling, theta: f64, pairs: usize) -> Self {
        Self::Always((0..pairs).map(|i| scaling.divisor(i, pairs, theta) as f32).collect())
    }

    /// The tensors in which a file keeps them.
    pub fn tensors(self) -> Vec<(&'static str, Vec<f32>)> {
        match self {
            Self::None => Vec::new(),
            Self::Always(factors) => vec![(FREQUENCIES, factors)],
            Self::ByLength { long, short } => vec![(LONG, long), (SHORT, short)],
        }
    }

    /// Enters the factors into a `rope_scaling` that already holds the other settings.
    ///
    /// `gguf_tensor` names the tensor that they come from. The other entries depend on `rope_type`: `llama3` has
    /// transformers' own numbers; `gguf_factors`, which transformers does not know, divides frequency i by
    /// `factors[i]`; `longrope` has `long_factor` and `short_factor`, which are transformers' own.
    pub fn enter(&self, scaling: &mut Map<String, Json>, theta: f64, original_context: Option<u64>) {
        match self {
            Self::None => {}
            Self::ByLength { long, short } => {
                scaling.insert("rope_type".to_owned(), "longrope".into());
                scaling.insert("long_factor".to_owned(), numbers(long));
                scaling.insert("short_factor".to_owned(), numbers(short));
                scaling.insert("gguf_tensor".to_owned(), LONG.into());
            }
            Self::Always(factors) => {
                let originals = original_context.into_iter().chain([8192]);
                let found = originals.into_iter().find_map(|original| llama3(factors, theta, original));
                let entries =
                    found.unwrap_or_else(|| json!({"rope_type": "gguf_factors", "factors": numbers(factors)}));
                if let Json::Object(entries) = entries {
                    scaling.extend(entries);
                }
                scaling.insert("gguf_tensor".to_owned(), FREQUENCIES.into());
            }
        }
    }
}

async fn factors(gguf: &Gguf, name: &str, pairs: usize) -> Result<Vec<f32>> {
    let wrong = |what: String| {
        Error::input(what, "The file contradicts itself: use another conversion of this model", gguf.at_tensor(name))
    };
    let found = gguf.info(name)?.elements();
    if found != pairs || found > MOST {
        return Err(wrong(format!("There are {found} factors for {pairs} pairs of dimensions")));
    }
    let factors = gguf.read_f32(name).await?;
    match factors.iter().find(|x| !(x.is_finite() && **x > 0.0)) {
        None => Ok(factors),
        Some(x) => Err(wrong(format!("The factor {x} is not a positive number"))),
    }
}

fn numbers(list: &[f32]) -> Json {
    list.iter().map(|x| Json::from(x.to_string().parse::<f64>().unwrap_or_else(|_| f64::from(*x)))).collect()
}

/// The numbers from which transformers computes Llama 3's factors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Llama3Scaling {
    /// Divisor of the low frequencies.
    pub factor: f64,
    /// Wavelengths above `original / low` are low frequencies.
    pub low: f64,
    /// Wavelengths below `original / high` are high frequencies.
    pub high: f64,
    /// Context length before stretching, in tokens.
    pub original: f64,
}

impl Llama3Scaling {
    /// Divisor of the `i`-th of `pairs` frequencies.
    fn divisor(&self, i: usize, pairs: usize, theta: f64) -> f64 {
        let wavelength = std::f64::consts::TAU * theta.powf(i as f64 / pairs as f64);
        if wavelength < self.original / self.high {
            1.0
        } else if wavelength > self.original / self.low {
            self.factor
        } else {
            let smooth = (self.original / wavelength - self.low) / (self.high - self.low);
            1.0 / ((1.0 - smooth) / self.factor + smooth)
        }
    }
}

/// The config of Llama 3's scaling that yields these factors, if there is one with its usual thresholds.
fn llama3(factors: &[f32], theta: f64, original: u64) -> Option<Json> {
    let factor = f64::from(factors.iter().copied().fold(1.0, f32::max));
    let scaling = Llama3Scaling { factor, low: 1.0, high: 4.0, original: original as f64 };
    let expected = |i: usize| scaling.divisor(i, factors.len(), theta);
    let alike = |(i, factor): (usize, &f32)| (f64::from(*factor) / expected(i) - 1.0).abs() < 1e-3;
    factors.iter().enumerate().all(alike).then(|| {
        json!({
            "rope_type": "llama3",
            "factor": factor,
            "low_freq_factor": scaling.low,
            "high_freq_factor": scaling.high,
            "original_max_position_embeddings": original,
        })
    })
}
