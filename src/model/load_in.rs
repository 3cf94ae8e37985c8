//! `LoadIn`: the format of a base model's linear layers on the device, as stored or quantised at load.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::architecture::Architecture;
use crate::error::{Error, Result};
use crate::gpu::Dtype;
use crate::kernels::QUANTISED_TOGETHER;

/// Format of the decoder's linear layers on the device. Embedding, head, norms, biases and adapters stay as they are.
/// So do layers that a file stores in blocks, and layers whose rows are not a multiple of 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadIn {
    /// The format in the file.
    #[default]
    Stored,
    /// Q8_0: 8 bits a weight and a scale for every 32 weights, together 8.5 bits a weight.
    Int8,
    /// Q4_0: 4 bits a weight and, for every 32 weights, the scale that errs least; together 4.5 bits a weight.
    Int4,
    /// bitsandbytes' NF4: 4 bits a weight, an index into its code book, and a scale for every 64 weights; together 4.5
    /// bits a weight.
    Nf4,
}

impl LoadIn {
    /// All formats.
    pub const ALL: [Self; 4] = [Self::Stored, Self::Int8, Self::Int4, Self::Nf4];

    /// Its name in settings and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Int8 => "int8",
            Self::Int4 => "int4",
            Self::Nf4 => "nf4",
        }
    }

    /// Type on the device of a linear layer that is stored as `stored` in rows of `columns`.
    pub(super) fn of(self, stored: Dtype, columns: usize) -> Dtype {
        let can = stored.block().0 == 1 && columns.is_multiple_of(QUANTISED_TOGETHER as usize);
        match self {
            Self::Int8 if can => Dtype::Q8_0,
            Self::Int4 if can => Dtype::Q4_0,
            Self::Nf4 if can => Dtype::Nf4,
            _ => stored,
        }
    }
}

impl FromStr for LoadIn {
    type Err = String;

    fn from_str(name: &str) -> std::result::Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|known| known.name() == name)
            .ok_or_else(|| "give stored, int8, int4 or nf4".to_owned())
    }
}

/// Bytes of a model's weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WeightBytes {
    /// All bytes, as stored.
    pub stored: u64,
    /// Stored bytes of the linear layers that can be quantised.
    pub(super) linear: u64,
    /// Elements of these layers.
    pub(super) elements: u64,
}

/// Layers of a model, at most; those of the largest known models are some hundred.
const MOST_LAYERS: usize = 4096;

impl WeightBytes {
    /// Returns the bytes of weights that nobody has read yet, by their number and their bytes as stored.
    ///
    /// # Errors
    ///
    /// If the layers of `config` have more weights than there are.
    pub fn expected(config: &Architecture, parameters: u64, stored: u64) -> Result<Self> {
        let (mut all, mut elements) = (0, 0);
        for layer in 0..config.num_hidden_layers.min(MOST_LAYERS) {
            for module in config.modules(layer) {
                let linear = config.linear(layer, module);
                let n = (linear.input as u64).saturating_mul(linear.output as u64);
                all = u64::saturating_add(all, n);
                if Self::is_quantised(Dtype::F32, linear.input) {
                    elements = u64::saturating_add(elements, n);
                }
            }
        }
        if all > parameters || config.num_hidden_layers > MOST_LAYERS {
            let layers = config.num_hidden_layers;
            let what = format!("config.json has {layers} layers, which are larger than {parameters} weights can be");
            return Err(Error::input(what, "Choose another model", "num_hidden_layers"));
        }
        let linear = (elements as f64 * stored as f64 / parameters.max(1) as f64) as u64;
        Ok(Self { stored, linear: linear.min(stored), elements })
    }

    /// True for a linear layer that is stored as `stored` in rows of `columns`, if it can be quantised.
    pub(super) fn is_quantised(stored: Dtype, columns: usize) -> bool {
        LoadIn::Int8.of(stored, columns) == Dtype::Q8_0
    }

    /// Bytes on the device.
    pub fn on_device(&self, load_in: LoadIn) -> u64 {
        match load_in.of(Dtype::F32, 0) {
            Dtype::F32 => self.stored,
            blocks => self.stored - self.linear + blocks.bytes_of(self.elements),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn weights_that_nobody_has_read_are_no_larger_than_there_are() {
        let config = |more: &[(&str, u64)]| {
            let bytes = include_bytes!("../../assets/demo/model/config.json");
            let mut map: serde_json::Map<_, _> = serde_json::from_slice(bytes).expect("the demo's config");
            map.extend(more.iter().map(|(key, value)| ((*key).to_owned(), json!(value))));
            Architecture::from_bytes(&serde_json::to_vec(&map).expect("JSON"), "config.json").expect("it is right")
        };
        let expected = |more: &[(&str, u64)], n: u64| WeightBytes::expected(&config(more), n, 2 * n);
        let bytes = expected(&[], 2_000_000).expect("they are enough");
        assert!(bytes.on_device(LoadIn::Int4) < bytes.on_device(LoadIn::Int8), "fewer bits take less");
        assert!(bytes.on_device(LoadIn::Int8) < bytes.stored, "{bytes:?}");
        for more in [&[("num_hidden_layers", 1_000_000_000)][..], &[("intermediate_size", 2_000_000_000)]] {
            assert!(expected(more, 2_000_000).is_err(), "{more:?} is more than there is");
        }
        // Sizes that no number of 64 bits can multiply.
        let endless = [("intermediate_size", 2_147_483_644), ("hidden_size", 2_147_483_584), ("head_dim", 64)];
        assert!(expected(&endless, u64::MAX / 4).is_err(), "the sum does not start again from 0");
    }
}
