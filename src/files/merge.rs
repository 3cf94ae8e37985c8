//! A LoRA adapter added to a base weight: W += scale · B A, in the type W is stored in.

use super::safetensors::{Dtype, to_f32};

/// Adds `scale · B A` to rows of a weight, given and returned as stored bytes.
///
/// `rows` are n rows of W (n, in); `a` is A (r, in), and `b` the same n rows of B (n, r). Sums are in f32; the result
/// is rounded to nearest, ties to even.
pub fn merge_rows(dtype: Dtype, rows: &[u8], a: &[f32], b: &[f32], r: usize, scale: f32) -> Vec<u8> {
    let cols = a.len() / r;
    assert_eq!(rows.len(), b.len() / r * cols * dtype.size(), "B and W have the same rows");
    let mut values = to_f32(dtype, rows);
    let mut delta = vec![0.0f32; cols];
    for (row, b) in values.chunks_exact_mut(cols).zip(b.chunks_exact(r)) {
        delta.fill(0.0);
        for (b, a) in b.iter().zip(a.chunks_exact(cols)) {
            for (delta, a) in delta.iter_mut().zip(a) {
                *delta += b * a;
            }
        }
        for (w, delta) in row.iter_mut().zip(&delta) {
            *w += scale * delta;
        }
    }
    match dtype {
        Dtype::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Dtype::F16 => values.iter().flat_map(|v| half::f16::from_f32(*v).to_le_bytes()).collect(),
        Dtype::BF16 => values.iter().flat_map(|v| half::bf16::from_f32(*v).to_le_bytes()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // W (2, 3), A (2, 3), B (2, 2); every number is exact in every type.
    const W: [f32; 6] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    const A: [f32; 6] = [1.0, 0.0, -1.0, 2.0, 4.0, 8.0];
    const B: [f32; 4] = [1.0, 0.5, 0.0, -1.0];
    const MERGED: [f32; 6] = [5.0, 6.0, 9.0, 0.0, -3.0, -10.0];

    #[test]
    fn every_type_gets_the_product_added() {
        let bytes = |dtype: Dtype, values: &[f32]| -> Vec<u8> {
            let byte = |v: &f32| match dtype {
                Dtype::F32 => v.to_le_bytes().to_vec(),
                Dtype::F16 => half::f16::from_f32(*v).to_le_bytes().to_vec(),
                Dtype::BF16 => half::bf16::from_f32(*v).to_le_bytes().to_vec(),
            };
            values.iter().flat_map(byte).collect()
        };
        for dtype in [Dtype::F32, Dtype::F16, Dtype::BF16] {
            let got = merge_rows(dtype, &bytes(dtype, &W), &A, &B, 2, 2.0);
            assert_eq!(got, bytes(dtype, &MERGED), "{dtype:?}");
            // The second row alone.
            let row = merge_rows(dtype, &bytes(dtype, &W[3..]), &A, &B[2..], 2, 2.0);
            assert_eq!(row, bytes(dtype, &MERGED[3..]), "{dtype:?}, one row");
        }
    }

    #[test]
    fn halves_are_rounded_to_nearest_even() {
        // Beside 1 a bf16 has steps of 1/128: 1 + 1/256 is a tie and goes down, 1 + 3/256 is one and goes up.
        for (delta, want) in [(1.0 / 256.0, 1.0), (3.0 / 256.0, 1.0 + 2.0 / 128.0)] {
            let one = half::bf16::from_f32(1.0).to_le_bytes();
            let got = merge_rows(Dtype::BF16, &one, &[delta], &[1.0], 1, 1.0);
            assert_eq!(to_f32(Dtype::BF16, &got), [want], "1 + {delta}");
        }
    }
}
