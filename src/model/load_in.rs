//! `LoadIn`: how the linear layers of a base model lie on the device, as they are stored or quantised at load.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::gpu::Dtype;
use crate::kernels::QUANTISED_TOGETHER;

/// How the linear layers of the decoder lie on the device. Embedding, head, norms and biases, and adapters, stay as
/// they are; so do layers that a file stores in blocks, and those whose rows are no multiple of 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadIn {
    /// As they are stored.
    #[default]
    Stored,
    /// Q8_0: 8 bits and a scale for 32, 8.5 bits a weight.
    Int8,
    /// Q4_0: 4 bits and the scale that errs least for 32, 4.5 bits a weight.
    Int4,
    /// bitsandbytes' NF4: a place of 4 bits in its code book and a scale for 64, 4.5 bits a weight.
    Nf4,
}

impl LoadIn {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Stored, Self::Int8, Self::Int4, Self::Nf4];

    /// Its name, as settings and the command line have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Int8 => "int8",
            Self::Int4 => "int4",
            Self::Nf4 => "nf4",
        }
    }

    /// How a linear layer of rows of `columns` lies on the device that is stored as `stored`.
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

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|known| known.name() == name)
            .ok_or_else(|| "give stored, int8, int4 or nf4".to_owned())
    }
}

/// Bytes of a model's weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WeightBytes {
    /// As they are stored.
    pub stored: u64,
    /// Of them, those of the linear layers that can be quantised.
    pub(super) linear: u64,
    /// Elements of these layers.
    pub(super) elements: u64,
}

impl WeightBytes {
    /// Bytes on the device.
    pub fn on_device(&self, load_in: LoadIn) -> u64 {
        match load_in.of(Dtype::F32, 0) {
            Dtype::F32 => self.stored,
            blocks => self.stored - self.linear + blocks.bytes_of(self.elements),
        }
    }
}
