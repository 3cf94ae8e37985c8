//! The gated short convolution of LFM2: each column by itself, over the last tokens of a sequence.

/// The weight and bias of a convolution.
#[derive(Debug, Clone, Copy)]
pub struct ShortConv<'a> {
    /// (taps, H), the earliest token first.
    pub weight: &'a [f64],
    /// (H), or empty.
    pub bias: &'a [f64],
    /// H.
    pub hidden: usize,
}

impl ShortConv<'_> {
    fn taps(&self) -> usize {
        self.weight.len() / self.hidden
    }

    /// The convolution of column `c` at a token, given `z` of it and the tokens before it, the latest first.
    fn at(&self, c: usize, z: impl Iterator<Item = f64>) -> f64 {
        let weights = (0..self.taps()).rev().map(|tap| self.weight[tap * self.hidden + c]);
        self.bias.get(c).copied().unwrap_or(0.0) + weights.zip(z).map(|(w, z)| w * z).sum::<f64>()
    }
}

/// `y = C (convolution of B x)`, where B, C and x are the three parts of each row of `gates` (R, 3H). Returns (R,H).
///
/// `history[r]` lists the rows of the tokens before row r's, the latest first.
pub fn short_conv_forward(gates: &[f64], history: &[Vec<usize>], conv: ShortConv<'_>) -> Vec<f64> {
    let h = conv.hidden;
    let z = short_conv_append(gates, h);
    let mut y = Vec::new();
    for (r, before) in history.iter().enumerate() {
        for c in 0..h {
            let rows = std::iter::once(r).chain(before.iter().copied());
            y.push(gates[3 * r * h + h + c] * conv.at(c, rows.map(|row| z[row * h + c])));
        }
    }
    y
}

/// The gradient of [`short_conv_forward`] with respect to `gates`, given `dy` (R,H). Returns (R, 3H).
///
/// `dC = dy` times the convolution; the gradient of a row's z is the sum of `w dy C` over the rows whose history it is
/// in.
pub fn short_conv_backward(gates: &[f64], history: &[Vec<usize>], conv: ShortConv<'_>, dy: &[f64]) -> Vec<f64> {
    let (h, taps) = (conv.hidden, conv.taps());
    let z = short_conv_append(gates, h);
    let (mut dgates, mut dz) = (vec![0.0; gates.len()], vec![0.0; z.len()]);
    for (r, before) in history.iter().enumerate() {
        for c in 0..h {
            let rows: Vec<usize> = std::iter::once(r).chain(before.iter().copied()).take(taps).collect();
            dgates[3 * r * h + h + c] = dy[r * h + c] * conv.at(c, rows.iter().map(|row| z[row * h + c]));
            let pull = dy[r * h + c] * gates[3 * r * h + h + c];
            for (d, row) in rows.iter().enumerate() {
                dz[row * h + c] += conv.weight[(taps - 1 - d) * h + c] * pull;
            }
        }
    }
    for (r, dz) in dz.chunks_exact(h).enumerate() {
        for (c, dz) in dz.iter().enumerate() {
            let at = 3 * r * h + c;
            (dgates[at], dgates[at + 2 * h]) = (dz * gates[at + 2 * h], dz * gates[at]);
        }
    }
    dgates
}

/// The input of the convolution, `B x`, of each row of `gates` (R, 3H). Returns (R,H).
pub fn short_conv_append(gates: &[f64], hidden: usize) -> Vec<f64> {
    let row = |row: &[f64]| (0..hidden).map(|c| row[c] * row[2 * hidden + c]).collect::<Vec<f64>>();
    gates.chunks_exact(3 * hidden).flat_map(row).collect()
}

/// Like [`short_conv_forward`] for one new row of each text, over the rows `texts[r]` (first, last) of `cache` (rows,
/// H).
pub fn short_conv_decode(gates: &[f64], cache: &[f64], texts: &[[u32; 2]], conv: ShortConv<'_>) -> Vec<f64> {
    let h = conv.hidden;
    let mut y = Vec::new();
    for (r, &[first, last]) in texts.iter().enumerate() {
        for c in 0..h {
            let rows = (first..=last).rev().map(|row| cache[row as usize * h + c]);
            y.push(gates[3 * r * h + h + c] * conv.at(c, rows));
        }
    }
    y
}
