//! EXAONE 4: norms come after attention and MLP, heads are normed, and layers that see everything have no positions.

use super::fields::Fields;
use super::usual::{LLAMA, Usual, llama_like, sliding_layers};
use crate::error::Result;
use crate::model::architecture::{Architecture, Mixer, Norms, QkNorm};

const EXAONE4: Usual = Usual { kv_heads: Some(32), eps: 1e-5, ..LLAMA };

pub(in crate::model) fn read(fields: &Fields<'_>) -> Result<Architecture> {
    let mut exaone = llama_like(fields, &EXAONE4, false)?;
    exaone.norms = Norms::AFTER;
    exaone.attention.qk_norm = QkNorm::PerHead;
    let Some(window) = fields.positive_or_null("sliding_window", Some(4096.0))? else { return Ok(exaone) };
    let period = fields.get("sliding_window_pattern").and_then(serde_json::Value::as_u64).unwrap_or(4).max(1) as usize;
    let layers = exaone.num_hidden_layers;
    let slides = sliding_layers(fields, layers, period, |layer| !(layer + 1).is_multiple_of(period))?;
    let window = exaone.window(Some(window as usize));
    let mixer = |slides: &bool| Mixer::Attention { rope: slides.then_some(0), window: window.filter(|_| *slides) };
    exaone.set_mixers(slides.iter().map(mixer));
    Ok(exaone)
}
