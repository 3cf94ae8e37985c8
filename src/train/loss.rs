//! TRL's loss types, by name.

use serde::{Deserialize, Serialize};

use crate::kernels::LossWeights;

/// A value of `loss_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "kernels::LossWeights says what each is")]
pub enum LossType {
    Sigmoid,
    Ipo,
    Hinge,
    Robust,
    ApoZero,
    Sft,
}

/// Every name that `loss_type` takes.
pub(super) const NAMES: &str = "sigmoid, ipo, hinge, robust, apo_zero, sft";

/// How much of each loss there is: `loss_weights`, or 1 each.
pub(super) fn weights(types: &[LossType], weights: Option<&[f64]>) -> LossWeights {
    let mut sum = LossWeights::default();
    for (i, kind) in types.iter().enumerate() {
        let weight = weights.and_then(|w| w.get(i)).copied().unwrap_or(1.0) as f32;
        *match kind {
            LossType::Sigmoid => &mut sum.sigmoid,
            LossType::Ipo => &mut sum.ipo,
            LossType::Hinge => &mut sum.hinge,
            LossType::Robust => &mut sum.robust,
            LossType::ApoZero => &mut sum.apo_zero,
            LossType::Sft => &mut sum.sft,
        } += weight;
    }
    sum
}
