//! Qwen 2 and 2.5, Qwen 3.

use super::fields::Fields;
use super::usual::{LLAMA, Sizes, Usual, act, decoder, sliding_layers};
use crate::error::Result;
use crate::kernels::Act;
use crate::model::architecture::{Architecture, LinearSpec, Mixer, QkNorm};

const QWEN2: Usual = Usual { kv_heads: Some(32), ..LLAMA };
const QWEN3: Usual = Usual { head_dim: Some(128), ..QWEN2 };

/// Reads Qwen 2: only the projections of queries, keys and values have biases.
pub(in crate::model) fn read_qwen2(fields: &Fields<'_>) -> Result<Architecture> {
    let sizes = Sizes::read(fields, &QWEN2)?;
    let attention = sizes.attention(true, false);
    with_windows(fields, &QWEN2, &sizes, attention)
}

/// Reads Qwen 3: heads are normed.
pub(in crate::model) fn read_qwen3(fields: &Fields<'_>) -> Result<Architecture> {
    let sizes = Sizes::read(fields, &QWEN3)?;
    let bias = fields.flag("attention_bias")?;
    let mut qwen = with_windows(fields, &QWEN3, &sizes, sizes.attention(bias, bias))?;
    qwen.attention.qk_norm = QkNorm::PerHead;
    Ok(qwen)
}

/// Builds a decoder whose layers from `max_window_layers` on have a sliding window, if `use_sliding_window` is set.
fn with_windows(
    fields: &Fields<'_>,
    usual: &Usual,
    sizes: &Sizes,
    attention: [Vec<LinearSpec>; 2],
) -> Result<Architecture> {
    let linears = [attention, sizes.mlp(false)];
    let rope = sizes.rope(fields, usual.theta)?;
    let mut qwen = decoder(fields, usual, sizes, linears, vec![rope], act(fields, "hidden_act", Act::Silu)?)?;
    if fields.flag("use_sliding_window")? {
        let window = qwen.window(Some(fields.size_or("sliding_window", 4096)?));
        let first = fields.get("max_window_layers").and_then(serde_json::Value::as_u64).unwrap_or(28) as usize;
        let layers = sizes.layers.min(MOST_LISTED);
        let slides = sliding_layers(fields, sizes.layers, layers, |layer| layer >= first)?;
        let mixer = |slides: &bool| Mixer::Attention { rope: Some(0), window: window.filter(|_| *slides) };
        qwen.set_mixers(slides.iter().map(mixer));
    }
    Ok(qwen)
}

/// Most layers that are told apart one by one: no published model has as many.
const MOST_LISTED: usize = 1024;
