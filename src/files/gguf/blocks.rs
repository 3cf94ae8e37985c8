//! ggml's types of tensor elements: their sizes, and decoding to f32 with the bits of ggml's `dequantize_row_*`.
//!
//! A block is a run of 32 or 256 elements of one row with what they share: a scale, or scales of scales and minima.

use super::header::known_type;

/// The types that can be read. Their ids are ggml's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum GgmlType {
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of a single.
    BF16,
    /// Four bits and a scale for 32.
    Q4_0,
    /// Four bits, a scale and a minimum for 32.
    Q4_1,
    /// Five bits and a scale for 32.
    Q5_0,
    /// Five bits, a scale and a minimum for 32.
    Q5_1,
    /// Eight bits and a scale for 32.
    Q8_0,
    /// Four bits, with scales and minima of six bits for 32 of a block of 256.
    Q4K,
    /// Five bits, with scales and minima of six bits for 32 of a block of 256.
    Q5K,
    /// Six bits, with scales of eight bits for 16 of a block of 256.
    Q6K,
}

impl GgmlType {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::F32,
        Self::F16,
        Self::BF16,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q8_0,
        Self::Q4K,
        Self::Q5K,
        Self::Q6K,
    ];

    /// Its number in a file.
    pub fn id(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q4_0 => 2,
            Self::Q4_1 => 3,
            Self::Q5_0 => 6,
            Self::Q5_1 => 7,
            Self::Q8_0 => 8,
            Self::Q4K => 12,
            Self::Q5K => 13,
            Self::Q6K => 14,
            Self::BF16 => 30,
        }
    }

    /// The type with this number, if it is one of these.
    pub fn of(id: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.id() == id)
    }

    /// ggml's name of the type, as in `Q4_K`.
    pub fn name(self) -> &'static str {
        known_type(self.id()).expect("the table of ggml's types holds those that can be read").name
    }

    /// Elements of one block; 1 if there are no blocks.
    pub fn block_elements(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::BF16 => 1,
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 => 32,
            Self::Q4K | Self::Q5K | Self::Q6K => 256,
        }
    }

    /// Bytes of one block.
    pub fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
            Self::Q4K => 144,
            Self::Q5K => 176,
            Self::Q6K => 210,
        }
    }

    /// Bytes of a row of `columns` elements, which must be whole blocks.
    pub fn row_bytes(self, columns: usize) -> usize {
        assert!(columns.is_multiple_of(self.block_elements()), "{columns} columns are whole blocks of {}", self.name());
        columns / self.block_elements() * self.block_bytes()
    }

    /// Converts stored bytes to f32; a last incomplete block is left out.
    pub fn to_f32(self, bytes: &[u8]) -> Vec<f32> {
        let halves = || bytes.as_chunks::<2>().0.iter();
        match self {
            Self::F32 => bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            Self::F16 => halves().map(|b| half::f16::from_le_bytes(*b).to_f32()).collect(),
            Self::BF16 => halves().map(|b| half::bf16::from_le_bytes(*b).to_f32()).collect(),
            Self::Q4_0 => blocks(bytes, q4_0),
            Self::Q4_1 => blocks(bytes, q4_1),
            Self::Q5_0 => blocks(bytes, q5_0),
            Self::Q5_1 => blocks(bytes, q5_1),
            Self::Q8_0 => blocks(bytes, q8_0),
            Self::Q4K => blocks(bytes, q4_k),
            Self::Q5K => blocks(bytes, q5_k),
            Self::Q6K => blocks(bytes, q6_k),
        }
    }
}

/// Blocks of `B` bytes, each expanded to `E` elements.
fn blocks<const B: usize, const E: usize>(bytes: &[u8], expand: fn(&[u8; B], &mut [f32; E])) -> Vec<f32> {
    let stored = bytes.as_chunks::<B>().0;
    let mut out = vec![0.0; stored.len() * E];
    for (block, out) in stored.iter().zip(out.as_chunks_mut::<E>().0) {
        expand(block, out);
    }
    out
}

fn half_at(block: &[u8], at: usize) -> f32 {
    half::f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

fn q4_0(block: &[u8; 18], out: &mut [f32; 32]) {
    let d = half_at(block, 0);
    for (j, byte) in block[2..].iter().enumerate() {
        out[j] = (i32::from(byte & 15) - 8) as f32 * d;
        out[j + 16] = (i32::from(byte >> 4) - 8) as f32 * d;
    }
}

fn q4_1(block: &[u8; 20], out: &mut [f32; 32]) {
    let (d, m) = (half_at(block, 0), half_at(block, 2));
    for (j, byte) in block[4..].iter().enumerate() {
        out[j] = f32::from(byte & 15) * d + m;
        out[j + 16] = f32::from(byte >> 4) * d + m;
    }
}

/// The fifth bit of element `j`, in its place.
fn fifth(bits: &[u8], j: usize) -> u8 {
    ((bits[j / 8] >> (j % 8)) & 1) << 4
}

fn q5_0(block: &[u8; 22], out: &mut [f32; 32]) {
    let d = half_at(block, 0);
    for (j, byte) in block[6..].iter().enumerate() {
        out[j] = (i32::from(byte & 15 | fifth(&block[2..6], j)) - 16) as f32 * d;
        out[j + 16] = (i32::from(byte >> 4 | fifth(&block[2..6], j + 16)) - 16) as f32 * d;
    }
}

fn q5_1(block: &[u8; 24], out: &mut [f32; 32]) {
    let (d, m) = (half_at(block, 0), half_at(block, 2));
    for (j, byte) in block[8..].iter().enumerate() {
        out[j] = f32::from(byte & 15 | fifth(&block[4..8], j)) * d + m;
        out[j + 16] = f32::from(byte >> 4 | fifth(&block[4..8], j + 16)) * d + m;
    }
}

fn q8_0(block: &[u8; 34], out: &mut [f32; 32]) {
    let d = half_at(block, 0);
    for (out, byte) in out.iter_mut().zip(&block[2..]) {
        *out = f32::from(byte.cast_signed()) * d;
    }
}

/// Scale and minimum of the `j`-th group of 32 (of 8), six bits each, packed in 12 bytes.
fn scale_and_minimum(packed: &[u8], j: usize) -> (f32, f32) {
    let (scale, minimum) = if j < 4 {
        (packed[j] & 63, packed[j + 4] & 63)
    } else {
        ((packed[j + 4] & 15) | ((packed[j - 4] >> 6) << 4), (packed[j + 4] >> 4) | ((packed[j] >> 6) << 4))
    };
    (f32::from(scale), f32::from(minimum))
}

fn q4_k(block: &[u8; 144], out: &mut [f32; 256]) {
    let (d, dmin) = (half_at(block, 0), half_at(block, 2));
    for (group, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (scale, minimum) = scale_and_minimum(&block[4..16], group);
        let (d, m) = (d * scale, dmin * minimum);
        let stored = &block[16 + group / 2 * 32..][..32];
        for (out, byte) in out.iter_mut().zip(stored) {
            *out = d * f32::from((byte >> (group % 2 * 4)) & 15) - m;
        }
    }
}

fn q5_k(block: &[u8; 176], out: &mut [f32; 256]) {
    let (d, dmin) = (half_at(block, 0), half_at(block, 2));
    for (group, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (scale, minimum) = scale_and_minimum(&block[4..16], group);
        let (d, m) = (d * scale, dmin * minimum);
        let stored = &block[48 + group / 2 * 32..][..32];
        for ((out, byte), high) in out.iter_mut().zip(stored).zip(&block[16..48]) {
            *out = d * f32::from((byte >> (group % 2 * 4)) & 15 | ((high >> group) & 1) << 4) - m;
        }
    }
}

fn q6_k(block: &[u8; 210], out: &mut [f32; 256]) {
    let d = half_at(block, 208);
    for (group, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (part, quarter) = (group / 4, group % 4);
        let lower = &block[part * 64 + quarter % 2 * 32..][..32];
        let upper = &block[128 + part * 32..][..32];
        for (j, out) in out.iter_mut().enumerate() {
            let scale = d * f32::from(block[192 + group * 2 + j / 16].cast_signed());
            let six = (lower[j] >> (quarter / 2 * 4)) & 15 | ((upper[j] >> (quarter * 2)) & 3) << 4;
            *out = scale * (i32::from(six) - 32) as f32;
        }
    }
}
