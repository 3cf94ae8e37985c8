//! GPT-2: learned positions, LayerNorm, weights stored (in, out).

use super::fields::Fields;
use super::usual::{LLAMA, Sizes, Usual, act, decoder};
use crate::error::Result;
use crate::kernels::Act;
use crate::model::architecture::{Architecture, LinearSpec, Mixer, Names, NormKind, Norms, Stored};

const GPT2: Usual = Usual { tied: true, ..LLAMA };

pub(in crate::model) fn read(fields: &Fields<'_>) -> Result<Architecture> {
    let size = |key: &str, other: &str, usual: usize| match fields.get(key) {
        Some(_) => fields.size(key),
        None => fields.size_or(other, usual),
    };
    let hidden = fields.multiple_of_4("n_embd", size("n_embd", "hidden_size", 768)?)?;
    let heads = size("n_head", "num_attention_heads", 12)?;
    if !hidden.is_multiple_of(heads) {
        return Err(fields.wrong("n_head", format!("{heads} heads do not divide the {hidden} of n_embd")));
    }
    let sizes = Sizes {
        hidden,
        heads,
        kv_heads: heads,
        head_dim: hidden / heads,
        inner: fields.multiple_of_4("n_inner", fields.size_or("n_inner", 4 * hidden)?)?,
        layers: size("n_layer", "num_hidden_layers", 12)?,
        positions: size("n_positions", "max_position_embeddings", 1024)?,
    };
    let one = |path, input, output| {
        vec![LinearSpec { stored: Stored::InOut, ..LinearSpec::new(path, input, output).with_bias(true) }]
    };
    let linears = [
        [one("attn.c_attn", hidden, 3 * hidden), one("attn.c_proj", hidden, hidden)],
        [one("mlp.c_fc", hidden, sizes.inner), one("mlp.c_proj", sizes.inner, hidden)],
    ];
    let act = act(fields, "activation_function", Act::GeluTanh)?;
    let mut gpt2 = decoder(fields, &GPT2, &sizes, linears, Vec::new(), act)?;
    gpt2.norm = NormKind::Layer;
    gpt2.norm_eps = fields.positive_or("layer_norm_epsilon", 1e-5)?;
    gpt2.norms = Norms { before_mixer: Some("ln_1"), before_mlp: Some("ln_2"), ..Norms::BEFORE };
    gpt2.mlp.gated = false;
    gpt2.learned_positions = true;
    if !fields.flag_or("scale_attn_weights", true)? {
        gpt2.attention.scale = 1.0;
    }
    gpt2.attention.scale_by_layer = fields.flag("scale_attn_by_inverse_layer_idx")?;
    gpt2.set_mixers([Mixer::Attention { rope: None, window: None }]);
    gpt2.names = Names {
        base: "transformer",
        layers: "h",
        embedding: "wte",
        positions: "wpe",
        norm: "ln_f",
        heads: &["lm_head"],
    };
    Ok(gpt2)
}
