//! One decoder layer: forward and, beneath it, backward, mirrored line for line.

use super::activations::{Activations, Kept};
use super::lora::{Adapter, Group, LoraGroup};
use super::weights::Layer;
use crate::files::ModelConfig;
use crate::gpu::{Recorder, Tensor};
use crate::kernels::{
    AttentionShape, Class, Epilogue, Partials, Store, attention_backward_delta, attention_backward_kv,
    attention_backward_q, attention_decode, attention_forward, cache_append, lora_backward, matmul_backward_input,
    matmul_backward_weight, matmul_forward, rmsnorm_backward, rmsnorm_forward, rope, sum_partials, swiglu_backward,
    swiglu_forward,
};

/// What both passes of a layer need beside the activations.
pub(super) struct Context<'a> {
    pub(super) index: usize,
    pub(super) config: &'a ModelConfig,
    pub(super) layer: &'a Layer,
    pub(super) adapter: Option<&'a Adapter>,
    pub(super) rope_table: &'a Tensor,
}

/// Keys and values of the texts that are generated together, (rows of all texts, 2 kv_heads*D), and what is done with
/// them.
pub(super) struct Cache<'a> {
    pub(super) kv: &'a Tensor,
    /// The cache's row of each row of the batch.
    pub(super) slots: &'a Tensor,
    pub(super) stage: Stage,
}

/// What a batch of generation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Whole prompts, which see nothing but themselves.
    Prompts,
    /// One row for each text, which sees its text's rows in the cache.
    Rows,
}

impl Context<'_> {
    /// From `acts.x[index]` to `acts.x[index + 1]`.
    pub(super) fn forward(&self, rec: &mut Recorder<'_>, acts: &Activations, cache: Option<&Cache<'_>>) {
        let kept = acts.kept(self.index);
        let (x, y) = (&acts.x[self.index], &acts.x[self.index + 1]);
        let (class, shape) = (class_of(cache), self.shape());

        self.attention_input(rec, x, acts, kept);
        self.linear(rec, class, Group::Qkv, &acts.h, kept, None, &kept.qkv);
        rope(rec, self.rope_table, &acts.spans, shape.heads + shape.kv_heads, 1.0, &kept.qkv);
        if let Some(cache) = cache {
            cache_append(rec, &kept.qkv, cache.slots, shape, cache.kv);
        }
        match cache {
            Some(cache) if cache.stage == Stage::Rows => {
                attention_decode(rec, &kept.qkv, cache.kv, &acts.spans, shape, &kept.out);
            }
            _ => attention_forward(rec, &kept.qkv, &acts.spans, shape, &kept.out, &kept.lse),
        }
        self.linear(rec, class, Group::Output, &kept.out, kept, Some(x), &kept.x_mid);

        self.mlp_input(rec, acts, kept);
        self.linear(rec, class, Group::GateUp, &acts.h, kept, None, &kept.gate_up);
        swiglu_forward(rec, &kept.gate_up, &acts.act);
        self.linear(rec, class, Group::Down, &acts.act, kept, Some(&kept.x_mid), y);
    }

    /// `acts.dx` from the gradient of the layer's output to that of its input; adds to the adapter's gradients.
    ///
    /// Without `need_dx` (below the first adapted layer nothing is trained) the input's gradient is left unfinished.
    pub(super) fn backward(&self, rec: &mut Recorder<'_>, acts: &Activations, need_dx: bool) {
        let (layer, kept) = (self.layer, acts.kept(self.index));
        let (x, shape) = (&acts.x[self.index], self.shape());
        let partials = acts.partials();

        if self.adapter.is_some_and(|adapter| !adapter.layers_alike) {
            // Between this layer's matrices another layer's may have left something.
            rec.clear(&partials.tensor);
        }
        self.input_backward(rec, Group::Down, &acts.dx, acts, &acts.act);
        // The gradient of the activation becomes the activation, which Down read.
        swiglu_backward(rec, &acts.act, &kept.gate_up);
        self.weight_backward(rec, Group::Down, &acts.dx, &acts.act, acts, kept, &partials);
        let dgate_up = &kept.gate_up;
        self.input_backward(rec, Group::GateUp, dgate_up, acts, &acts.dh);
        self.mlp_input(rec, acts, kept);
        self.weight_backward(rec, Group::GateUp, dgate_up, &acts.h, acts, kept, &partials);
        rmsnorm_backward(rec, &acts.dh, &kept.x_mid, &layer.post_attention_layernorm, &kept.rstd2, &acts.dx);

        self.input_backward(rec, Group::Output, &acts.dx, acts, &acts.dout);
        self.weight_backward(rec, Group::Output, &acts.dx, &kept.out, acts, kept, &partials);
        attention_backward_delta(rec, &acts.dout, &kept.out, &kept.lse, shape.head_dim, &acts.stats);
        attention_backward_q(rec, &acts.dout, &kept.qkv, &acts.stats, &acts.spans, shape, &acts.dqkv);
        attention_backward_kv(rec, &acts.dout, &kept.qkv, &acts.stats, &acts.spans, shape, &acts.dqkv);
        rope(rec, self.rope_table, &acts.spans, shape.heads + shape.kv_heads, -1.0, &acts.dqkv);
        if need_dx {
            self.input_backward(rec, Group::Qkv, &acts.dqkv, acts, &acts.dh);
        } else {
            self.lora_input_backward(rec, Group::Qkv, &acts.dqkv, acts);
        }
        self.attention_input(rec, x, acts, kept);
        self.weight_backward(rec, Group::Qkv, &acts.dqkv, &acts.h, acts, kept, &partials);
        if need_dx {
            rmsnorm_backward(rec, &acts.dh, x, &layer.input_layernorm, &kept.rstd1, &acts.dx);
        }
        if let Some(lora) = self.adapter.and_then(|adapter| adapter.layer(self.index)) {
            sum_partials(rec, &partials, acts.size().rows, &lora.grads);
        }
    }

    /// The normed input of the attention into `acts.h`; made again in the backward pass rather than kept.
    fn attention_input(&self, rec: &mut Recorder<'_>, x: &Tensor, acts: &Activations, kept: &Kept<Tensor>) {
        let eps = self.config.rms_norm_eps as f32;
        rmsnorm_forward(rec, x, &self.layer.input_layernorm, eps, &acts.h, &kept.rstd1);
    }

    /// The normed input of the MLP into `acts.h`.
    fn mlp_input(&self, rec: &mut Recorder<'_>, acts: &Activations, kept: &Kept<Tensor>) {
        let eps = self.config.rms_norm_eps as f32;
        rmsnorm_forward(rec, &kept.x_mid, &self.layer.post_attention_layernorm, eps, &acts.h, &kept.rstd2);
    }

    /// `y = x Wᵀ (+ bias) (+ u Bᵀ) (+ residual)` with `u = scale x Aᵀ`, which is kept.
    fn linear(
        &self,
        rec: &mut Recorder<'_>,
        class: Class,
        group: Group,
        x: &Tensor,
        kept: &Kept<Tensor>,
        residual: Option<&Tensor>,
        y: &Tensor,
    ) {
        let linear = self.layer.linear(group);
        let lora = self.lora(group).map(|(lora, scale)| {
            let u = columns(&kept.u[group as usize], lora);
            matmul_forward(rec, thin(class), x, &lora.a, scale, 0, Epilogue::default(), &u);
            (u, lora)
        });
        let lora = lora.as_ref().map(|(u, lora)| (u, &lora.b, &lora.segments));
        let epilogue = Epilogue { bias: linear.bias.as_ref(), lora, residual };
        for (first, block) in &linear.weight.blocks {
            matmul_forward(rec, class, x, block, 1.0, *first, epilogue, y);
        }
    }

    /// `dx = dy W (+ du A)` with `du = scale dy B`, which stays in `acts.du`.
    fn input_backward(&self, rec: &mut Recorder<'_>, group: Group, dy: &Tensor, acts: &Activations, dx: &Tensor) {
        let du = self.lora_input_backward(rec, group, dy, acts);
        let mut lora = du.as_ref().map(|(du, lora)| (du, &lora.a));
        let mut store = Store::Set;
        for (first, block) in &self.layer.linear(group).weight.blocks {
            matmul_backward_input(rec, dy, block, 1.0, store, *first, lora.take(), dx);
            store = Store::Add;
        }
    }

    /// `du = scale dy B`.
    fn lora_input_backward(
        &self,
        rec: &mut Recorder<'_>,
        group: Group,
        dy: &Tensor,
        acts: &Activations,
    ) -> Option<(Tensor, &LoraGroup)> {
        self.lora(group).map(|(lora, scale)| {
            let du = columns(&acts.du, lora);
            lora_backward(rec, dy, &lora.b, scale, &lora.segments, &du);
            (du, lora)
        })
    }

    /// The parts of `dB = dyᵀ u` and `dA = duᵀ x`, after `input_backward`.
    fn weight_backward(
        &self,
        rec: &mut Recorder<'_>,
        group: Group,
        dy: &Tensor,
        x: &Tensor,
        acts: &Activations,
        kept: &Kept<Tensor>,
        partials: &Partials,
    ) {
        if let Some((lora, _)) = self.lora(group) {
            let (u, du) = (columns(&kept.u[group as usize], lora), columns(&acts.du, lora));
            matmul_backward_weight(rec, dy, &u, Some(&lora.segments), partials, lora.b_at, lora.b.cols());
            matmul_backward_weight(rec, &du, x, None, partials, lora.a_at, x.cols());
        }
    }

    /// A group's LoRA matrices and what `B A x` is multiplied by.
    fn lora(&self, group: Group) -> Option<(&LoraGroup, f32)> {
        let adapter = self.adapter?;
        Some((adapter.layer(self.index)?.group(group)?, adapter.scale()))
    }

    fn shape(&self) -> AttentionShape {
        let head_dim = self.config.head_dim as u32;
        AttentionShape {
            heads: self.config.num_attention_heads as u32,
            kv_heads: self.config.num_key_value_heads as u32,
            head_dim,
            scale: 1.0 / (head_dim as f32).sqrt(),
        }
    }
}

/// A matrix of the ranks of all groups at most, with as many columns as one group has.
fn columns(u: &Tensor, lora: &LoraGroup) -> Tensor {
    u.view(u.rows(), lora.a.rows())
}

fn class_of(cache: Option<&Cache<'_>>) -> Class {
    match cache {
        Some(cache) if cache.stage == Stage::Rows => Class::Decode,
        _ => Class::Main,
    }
}

fn thin(class: Class) -> Class {
    if class == Class::Decode { Class::Decode } else { Class::Thin }
}
