//! LFM2: most layers are short gated convolutions.

use serde_json::Value;

use super::fields::Fields;
use super::usual::{LLAMA, Sizes, Usual, decoder};
use crate::error::Result;
use crate::kernels::{Act, MAX_TAPS};
use crate::model::architecture::{Architecture, LayerKind, LinearSpec, Mixer, Names, Norms, QkNorm};

const LFM2: Usual = Usual { kv_heads: Some(8), eps: 1e-5, tied: true, theta: 1e6, ..LLAMA };

pub(in crate::model) fn read(fields: &Fields<'_>) -> Result<Architecture> {
    let mut sizes = Sizes::read(fields, &LFM2)?;
    sizes.inner = fields.multiple_of_4("intermediate_size", inner(fields, sizes.inner)?)?;
    let (hidden, queries) = (sizes.hidden, sizes.heads * sizes.head_dim);
    let [qkv, _] = sizes.attention(false, false);
    let up = |path| LinearSpec::new(path, hidden, sizes.inner);
    let mlp = [
        vec![up("feed_forward.w1"), up("feed_forward.w3")],
        vec![LinearSpec::new("feed_forward.w2", sizes.inner, hidden)],
    ];
    let out = vec![LinearSpec::new("self_attn.out_proj", queries, hidden)];
    let rope = sizes.rope(fields, LFM2.theta)?;
    let mut lfm = decoder(fields, &LFM2, &sizes, [[qkv, out], mlp.clone()], vec![rope], Act::Silu)?;
    lfm.norm_eps = fields.positive_or("norm_eps", 1e-5)?;
    lfm.tie_word_embeddings = fields.flag_or("tie_embedding", lfm.tie_word_embeddings)?;
    lfm.norms = Norms { before_mixer: Some("operator_norm"), before_mlp: Some("ffn_norm"), ..Norms::BEFORE };
    lfm.attention.qk_norm = QkNorm::PerHead;
    lfm.attention.qk_norm_names = ["self_attn.q_layernorm", "self_attn.k_layernorm"];
    lfm.names = Names { norm: "embedding_norm", ..Names::USUAL };
    let bias = fields.flag("conv_bias")?;
    let [mlp_in, mlp_out] = mlp;
    let linears = [
        vec![LinearSpec::new("conv.in_proj", hidden, 3 * hidden).with_bias(bias)],
        vec![LinearSpec::new("conv.out_proj", hidden, hidden).with_bias(bias)],
        mlp_in,
        mlp_out,
    ];
    let taps = fields.size_or("conv_L_cache", 3)?;
    if taps > MAX_TAPS {
        return Err(fields.wrong("conv_L_cache", format!("{taps} is more than the {MAX_TAPS} that are supported")));
    }
    lfm.kinds.push(LayerKind { mixer: Mixer::ShortConv { taps, bias }, linears });
    lfm.pattern = pattern(fields, sizes.layers)?;
    Ok(lfm)
}

/// Width of the MLP, which the older fields give in a roundabout way.
fn inner(fields: &Fields<'_>, given: usize) -> Result<usize> {
    let given = fields.size_or("block_ff_dim", given)?;
    if !fields.flag_or("block_auto_adjust_ff_dim", true)? {
        return Ok(given);
    }
    let mut inner = 2 * given / 3;
    if let Some(multiplier) = fields.positive_or_null("block_ffn_dim_multiplier", Some(1.0))? {
        let step = fields.size_or("block_multiple_of", 256)?;
        inner = ((multiplier * inner as f64) as usize).div_ceil(step) * step;
    }
    Ok(inner)
}

/// Kind of each layer: 1 for a convolution, 0 for attention.
fn pattern(fields: &Fields<'_>, layers: usize) -> Result<Vec<usize>> {
    if let Some(types) = fields.by_layer("layer_types", layers)? {
        let kind = |kind: &Value| match kind.as_str() {
            Some("conv") => Ok(1),
            Some("full_attention") => Ok(0),
            _ => Err(fields.wrong("layer_types", format!("the kind of layer {kind} is not supported"))),
        };
        return types.iter().map(kind).collect();
    }
    let Some(Value::Array(full)) = fields.get("full_attn_idxs") else { return Ok(vec![0]) };
    let is_full = |layer: usize| full.iter().any(|index| index.as_u64() == Some(layer as u64));
    Ok((0..layers.min(1024)).map(|layer| usize::from(!is_full(layer))).collect())
}
