//! Shared by the tests: numbers that look random, and tiny files.

use pairtune::error::{Error, Result};
use pairtune::files::{Array, GgmlType, Gguf, GgufValue, encode, write_gguf};
use pairtune::platform::MemorySource;

/// Knuth's generator; `tests/gguf_check.py` has the same.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn byte(&mut self) -> u8 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u8
    }

    pub(crate) fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.byte()).collect()
    }

    /// The next number from -1 to 1, with 16 bits.
    pub(crate) fn float(&mut self) -> f32 {
        f32::from(i16::from_le_bytes([self.byte(), self.byte()])) / 32768.0
    }

    /// Blocks whose halves are finite: scales of all sizes, subnormal ones too.
    pub(crate) fn blocks(&mut self, ggml_type: GgmlType, n: usize) -> Vec<u8> {
        let halves: &[usize] = match ggml_type {
            GgmlType::Q6K => &[208],
            GgmlType::Q4_1 | GgmlType::Q5_1 | GgmlType::Q4K | GgmlType::Q5K => &[0, 2],
            GgmlType::F32 => &[2],
            _ => &[0],
        };
        let mut bytes = self.bytes(n * ggml_type.block_bytes());
        for block in bytes.chunks_exact_mut(ggml_type.block_bytes()) {
            for at in halves {
                block[at + 1] &= 0xbf;
            }
        }
        bytes
    }
}

/// A sum in which every bit and every place counts.
pub(crate) fn fingerprint(values: impl IntoIterator<Item = u32>) -> u64 {
    let weight = |i: u64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    values.into_iter().zip(0..).fold(0u64, |sum, (x, i)| sum.wrapping_add(u64::from(x).wrapping_mul(weight(i))))
}

pub(crate) fn open(bytes: Vec<u8>) -> Result<Gguf> {
    pollster::block_on(Gguf::open(Box::new(MemorySource { name: "model.gguf".to_owned(), bytes })))
}

pub(crate) fn message<T>(result: Result<T>) -> String {
    result.err().as_ref().map(Error::to_string).unwrap_or_default()
}

pub(crate) fn entry(key: &str, value: impl Into<Entry>) -> (String, GgufValue) {
    (key.to_owned(), value.into().0)
}

/// A value that is written for short.
pub(crate) struct Entry(pub(crate) GgufValue);

impl From<u32> for Entry {
    fn from(n: u32) -> Self {
        Self(GgufValue::U32(n))
    }
}

impl From<f32> for Entry {
    fn from(x: f32) -> Self {
        Self(GgufValue::F32(x))
    }
}

impl From<bool> for Entry {
    fn from(flag: bool) -> Self {
        Self(GgufValue::Bool(flag))
    }
}

impl From<&str> for Entry {
    fn from(text: &str) -> Self {
        Self(GgufValue::String(text.to_owned()))
    }
}

impl From<Array> for Entry {
    fn from(array: Array) -> Self {
        Self(GgufValue::Array(array))
    }
}

pub(crate) type Stored = (String, Vec<usize>, GgmlType, Vec<u8>);

/// A tensor of random f32.
pub(crate) fn tensor(name: &str, shape: &[usize], random: &mut Random) -> Stored {
    let data: Vec<f32> = (0..shape.iter().product()).map(|_| random.float()).collect();
    let bytes = encode(GgmlType::F32, &data).expect("f32 can be written");
    (name.to_owned(), shape.to_vec(), GgmlType::F32, bytes)
}

/// A file of these entries and tensors.
pub(crate) fn file(metadata: &[(String, GgufValue)], tensors: &[Stored]) -> Vec<u8> {
    write_gguf(metadata, tensors).expect("the file can be written")
}
