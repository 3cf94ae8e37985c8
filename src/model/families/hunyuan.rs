//! Hunyuan's dense models: heads are normed after rotation.

use super::fields::Fields;
use super::usual::{LLAMA, Usual, llama_like};
use crate::error::Result;
use crate::model::architecture::{Architecture, QkNorm};
use crate::model::rope::{RopeScaling, settings};

const HUNYUAN: Usual = Usual { eps: 1e-5, ..LLAMA };

pub(in crate::model) fn read(fields: &Fields<'_>) -> Result<Architecture> {
    let mut hunyuan = llama_like(fields, &HUNYUAN, false)?;
    hunyuan.attention.qk_norm = QkNorm::PerHeadRotated;
    hunyuan.attention.qk_norm_names = ["self_attn.query_layernorm", "self_attn.key_layernorm"];
    // A dynamic embedding with an alpha is a static one with another base.
    let alpha = settings(fields)?.and_then(|(_, map)| map.get("alpha")?.as_f64()).filter(|alpha| *alpha > 0.0);
    let rope = &mut hunyuan.ropes[0];
    if let (RopeScaling::Dynamic { .. }, Some(alpha)) = (&rope.scaling, alpha) {
        let dim = rope.dim as f64;
        rope.theta *= alpha.powf(dim / (dim - 2.0));
        rope.scaling = RopeScaling::Default;
    }
    Ok(hunyuan)
}
