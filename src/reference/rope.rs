//! Rotary position embedding (Su et al. 2021, `RoFormer`), in the half-split layout of Hugging Face's `rotate_half`:
//! column i of a head rotates with column i + D/2, where D is the number of rotated columns; further columns stay.

/// Rotates each head of `x` (R, heads D) by the angle of its row's position times `direction`.
///
/// `table` (positions, D/2) holds the cosine and the sine of each angle, with D = `rotary_dim`; `positions` (R) gives
/// the table row of each row of `x`. Let `i < D/2`, `cos` and `sin` be those at `table[positions[r], i]`, and `sin` be
/// multiplied by `direction`:
///
/// `y[i] = x[i] cos - x[i + D/2] sin` and `y[i + D/2] = x[i + D/2] cos + x[i] sin`.
///
/// `direction` is +1 in the forward pass. It is -1 in the backward pass: a rotation's transpose is its inverse, so
/// the same call with -1 turns `dy` into `dx`. A table that also scales (`YaRN`) scales both ways, as it must.
pub fn rope(
    x: &[f64],
    table: &[[f64; 2]],
    positions: &[u32],
    heads: usize,
    head_dim: usize,
    rotary_dim: usize,
    direction: f64,
) -> Vec<f64> {
    let half = rotary_dim / 2;
    let mut y = x.to_vec();
    for (r, &position) in positions.iter().enumerate() {
        for h in 0..heads {
            let start = (r * heads + h) * head_dim;
            for i in 0..half {
                let [cos, sin] = table[position as usize * half + i];
                let sin = sin * direction;
                let (low, high) = (x[start + i], x[start + i + half]);
                y[start + i] = low * cos - high * sin;
                y[start + i + half] = high * cos + low * sin;
            }
        }
    }
    y
}
