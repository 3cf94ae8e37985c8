//! Quantisation of weights to blocks, and the values of NF4's blocks. Scales are rounded as they are stored, to f16 or
//! f32.

/// Quantises to Q8_0, 32 weights at a time: the bits of each block's f16 scale, then its 32 numbers.
///
/// `d = f16(max |w| / 127)`; each number is the integer nearest to `w / d`, the lower of two.
pub fn quantise_q8_0(w: &[f64]) -> Vec<(u16, Vec<i32>)> {
    let blocks = w.chunks_exact(32).map(|block| {
        let largest = block.iter().fold(0.0, |largest: f64, w| largest.max(w.abs()));
        let scale = half_bits(largest as f32 * (1.0 / 127.0));
        (scale, block.iter().map(|w| nearest(*w, half_value(scale), -127, 127)).collect())
    });
    blocks.collect()
}

/// Quantises to Q4_0, 32 weights at a time: the bits of each block's f16 scale, then its 32 numbers.
///
/// Let m be the weight furthest from 0. The scale d is the `f16(-m k / 256)`, k from 28 to 42, with the least sum of
/// squared errors, the first of several. Each number is the integer from -8 to 7 nearest to `w / d`.
pub fn quantise_q4_0(w: &[f64]) -> Vec<(u16, Vec<i32>)> {
    w.chunks_exact(32).map(quantised_q4_0).collect()
}

fn quantised_q4_0(block: &[f64]) -> (u16, Vec<i32>) {
    let furthest = block.iter().fold(0.0, |furthest: f64, w| if w.abs() > furthest.abs() { *w } else { furthest });
    let sign = if furthest > 0.0 { -1.0 } else { 1.0 };
    let mut best: Option<(f64, u16, Vec<i32>)> = None;
    for k in 28..=42 {
        let bits = half_bits(furthest.abs() as f32 * (k as f32 / 256.0));
        let scale = half_value(bits);
        let numbers: Vec<i32> = block.iter().map(|w| nearest(sign * w, scale, -8, 7)).collect();
        let off = numbers.iter().zip(block).map(|(q, w)| (sign * f64::from(*q) * scale - w).powi(2));
        let error: f64 = off.sum();
        if best.as_ref().is_none_or(|(least, ..)| error < *least) {
            best = Some((error, bits | if sign < 0.0 { 0x8000 } else { 0 }, numbers));
        }
    }
    best.map(|(_, bits, numbers)| (bits, numbers)).unwrap_or_default()
}

/// The code book of NF4: quantiles of the normal distribution (Dettmers et al. 2023), in bitsandbytes' digits.
pub const NF4: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

/// Quantises to NF4, 64 weights at a time: each block's largest absolute weight, then its 64 indices into the code
/// book.
///
/// An index is the number of midpoints between neighbours in the code book, times the scale, that the weight is above.
pub fn quantise_nf4(w: &[f64]) -> Vec<(f32, Vec<u8>)> {
    let middle = |pair: &[f32]| ((f64::from(pair[0]) + f64::from(pair[1])) / 2.0) as f32;
    let middles: Vec<f32> = NF4.windows(2).map(middle).collect();
    let blocks = w.chunks_exact(64).map(|block| {
        let scale = block.iter().fold(0.0, |largest: f32, w| largest.max(w.abs() as f32));
        let place = |w: &f64| middles.iter().filter(|middle| *w as f32 > **middle * scale).count() as u8;
        (scale, block.iter().map(place).collect())
    });
    blocks.collect()
}

/// Values of NF4 blocks: an f32 scale, then 32 bytes of two indices each, the lower bits first.
pub fn nf4_values(bytes: &[u8]) -> Vec<f32> {
    let blocks = bytes.chunks_exact(36).flat_map(|block| {
        let scale = f32::from_le_bytes([block[0], block[1], block[2], block[3]]);
        block[4..].iter().flat_map(move |byte| [byte & 15, byte >> 4].map(|place| NF4[usize::from(place)] * scale))
    });
    blocks.collect()
}

/// The integer from `low` to `high` that times `scale` is nearest to `x`, the lower of two.
fn nearest(x: f64, scale: f64, low: i32, high: i32) -> i32 {
    if scale == 0.0 { 0 } else { ((x / scale - 0.5).ceil() as i32).clamp(low, high) }
}

/// The bits of a number from 0 up to f16's largest, rounded to f16, ties to even.
fn half_bits(x: f32) -> u16 {
    let bits = match x {
        _ if x < 2.0f32.powi(-14) => (f64::from(x) * 2.0f64.powi(24)).round_ties_even() as u32,
        _ => (x.to_bits() - 0x3800_0000 + 0xfff + ((x.to_bits() >> 13) & 1)) >> 13,
    };
    bits.min(0x7bff) as u16
}

/// The value of an f16's bits, which have no sign.
fn half_value(bits: u16) -> f64 {
    match bits {
        ..0x400 => f64::from(bits) * 2.0f64.powi(-24),
        _ => f64::from(f32::from_bits((u32::from(bits) << 13) + 0x3800_0000)),
    }
}
