//! The arithmetic of `shaders/fma_peak.wgsl`, to check that the loop really ran.

/// Result of invocation `index` after `rounds` rounds of 4 steps `x = x * factor + factor` on 8 chains of 4 equal
/// components each. The chains start at index, index + 1, .. index + 7; the result is the sum over all 32 components.
pub fn fma_peak(index: usize, rounds: u32, factor: f64) -> f64 {
    (0..8)
        .map(|chain| {
            let start = (index + chain) as f64;
            4.0 * (0..4 * rounds).fold(start, |x, _| x * factor + factor)
        })
        .sum()
}
