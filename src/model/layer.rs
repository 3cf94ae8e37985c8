//! One decoder layer: forward and, beneath it, backward, mirrored line for line.

use super::activations::{Activations, Kept};
use super::lora::{Adapter, Module};
use super::weights::{Layer, Linear};
use crate::files::ModelConfig;
use crate::gpu::{Recorder, Tensor};
use crate::kernels::{
    AttentionShape, Store, add, attention_backward_delta, attention_backward_kv, attention_backward_q,
    attention_forward, bias, matmul_backward_input, matmul_backward_weight, matmul_forward, rmsnorm_backward,
    rmsnorm_forward, rope, swiglu_backward, swiglu_forward,
};

/// What both passes of a layer need beside the activations.
pub(super) struct Context<'a> {
    pub(super) index: usize,
    pub(super) config: &'a ModelConfig,
    pub(super) layer: &'a Layer,
    pub(super) adapter: Option<&'a Adapter>,
    pub(super) rope_table: &'a Tensor,
}

/// Keys and values of earlier tokens, for generation: (capacity, kv_heads*D) each, of which `len` rows are filled.
pub(super) struct Cache<'a> {
    pub(super) k: &'a Tensor,
    pub(super) v: &'a Tensor,
    pub(super) len: u32,
}

impl Context<'_> {
    /// From `acts.x[index]` to `acts.x[index + 1]`.
    pub(super) fn forward(&self, rec: &mut Recorder<'_>, acts: &Activations, cache: Option<&Cache<'_>>) {
        let kept = acts.kept(self.index);
        let (x, y) = (&acts.x[self.index], &acts.x[self.index + 1]);

        self.attention_input(rec, x, acts, kept);
        self.linear(rec, Module::QProj, &acts.h, kept, &kept.q);
        self.linear(rec, Module::KProj, &acts.h, kept, &kept.k);
        self.linear(rec, Module::VProj, &acts.h, kept, &kept.v);
        let first_row = cache.map_or(0, |cache| cache.len);
        rope(rec, self.rope_table, &acts.spans, first_row, 1.0, &kept.q);
        rope(rec, self.rope_table, &acts.spans, first_row, 1.0, &kept.k);
        let shape = self.shape(first_row);
        match cache {
            None => attention_forward(rec, &kept.q, &kept.k, &kept.v, &acts.spans, shape, &kept.out, &kept.lse),
            Some(cache) => {
                let rows = kept.k.rows();
                rec.copy_rows(&kept.k, 0, rows, cache.k, cache.len);
                rec.copy_rows(&kept.v, 0, rows, cache.v, cache.len);
                let filled = |t: &Tensor| t.view(cache.len + rows, t.cols());
                let (k, v) = (filled(cache.k), filled(cache.v));
                attention_forward(rec, &kept.q, &k, &v, &acts.spans, shape, &kept.out, &kept.lse);
            }
        }
        self.linear(rec, Module::OProj, &kept.out, kept, &acts.dh);
        add(rec, x, &acts.dh, &kept.x_mid);

        self.mlp_input(rec, acts, kept);
        self.linear(rec, Module::GateProj, &acts.h, kept, &kept.gate);
        self.linear(rec, Module::UpProj, &acts.h, kept, &kept.up);
        swiglu_forward(rec, &kept.gate, &kept.up, &acts.act);
        self.linear(rec, Module::DownProj, &acts.act, kept, &acts.dh);
        add(rec, &kept.x_mid, &acts.dh, y);
    }

    /// `acts.dx` from the gradient of the layer's output to that of its input; adds to the adapter's gradients.
    ///
    /// Without `need_dx` (below the first adapted layer nothing is trained) the input's gradient is left unfinished.
    pub(super) fn backward(&self, rec: &mut Recorder<'_>, acts: &Activations, need_dx: bool) {
        let (layer, kept) = (self.layer, acts.kept(self.index));
        let x = &acts.x[self.index];

        swiglu_forward(rec, &kept.gate, &kept.up, &acts.act);
        self.linear_backward(rec, Module::DownProj, &acts.dx, &acts.act, acts, kept, Some((&acts.dact, Store::Set)));
        swiglu_backward(rec, &acts.dact, &kept.gate, &kept.up);
        let (dgate, dup) = (&kept.gate, &kept.up);
        self.mlp_input(rec, acts, kept);
        self.linear_backward(rec, Module::UpProj, dup, &acts.h, acts, kept, Some((&acts.dh, Store::Set)));
        self.linear_backward(rec, Module::GateProj, dgate, &acts.h, acts, kept, Some((&acts.dh, Store::Add)));
        rmsnorm_backward(rec, &acts.dh, &kept.x_mid, &layer.post_attention_layernorm, &kept.rstd2, &acts.dx);

        self.linear_backward(rec, Module::OProj, &acts.dx, &kept.out, acts, kept, Some((&acts.dout, Store::Set)));
        let shape = self.shape(0);
        let (q, k, v) = (&kept.q, &kept.k, &kept.v);
        attention_backward_delta(rec, &acts.dout, &kept.out, &kept.lse, shape.head_dim, &acts.stats);
        attention_backward_q(rec, &acts.dout, q, k, v, &acts.stats, &acts.spans, shape, &acts.dq);
        attention_backward_kv(rec, &acts.dout, q, k, v, &acts.stats, &acts.spans, shape, &acts.dk, &acts.dv);
        rope(rec, self.rope_table, &acts.spans, 0, -1.0, &acts.dq);
        rope(rec, self.rope_table, &acts.spans, 0, -1.0, &acts.dk);
        self.attention_input(rec, x, acts, kept);
        let dh = |store| need_dx.then_some((&acts.dh, store));
        self.linear_backward(rec, Module::VProj, &acts.dv, &acts.h, acts, kept, dh(Store::Set));
        self.linear_backward(rec, Module::KProj, &acts.dk, &acts.h, acts, kept, dh(Store::Add));
        self.linear_backward(rec, Module::QProj, &acts.dq, &acts.h, acts, kept, dh(Store::Add));
        if need_dx {
            rmsnorm_backward(rec, &acts.dh, x, &layer.input_layernorm, &kept.rstd1, &acts.dx);
        }
    }

    /// The normed input of the attention into `acts.h`; made again in the backward pass rather than kept.
    fn attention_input(&self, rec: &mut Recorder<'_>, x: &Tensor, acts: &Activations, kept: &Kept) {
        let eps = self.config.rms_norm_eps as f32;
        rmsnorm_forward(rec, x, &self.layer.input_layernorm, eps, &acts.h, &kept.rstd1);
    }

    /// The normed input of the MLP into `acts.h`.
    fn mlp_input(&self, rec: &mut Recorder<'_>, acts: &Activations, kept: &Kept) {
        let eps = self.config.rms_norm_eps as f32;
        rmsnorm_forward(rec, &kept.x_mid, &self.layer.post_attention_layernorm, eps, &acts.h, &kept.rstd2);
    }

    /// `y = x Wᵀ (+ bias) (+ scale (x Aᵀ) Bᵀ)`; keeps `u = x Aᵀ`.
    fn linear(&self, rec: &mut Recorder<'_>, module: Module, x: &Tensor, kept: &Kept, y: &Tensor) {
        let linear = self.weights(module);
        for (first, block) in &linear.weight.blocks {
            matmul_forward(rec, x, block, 1.0, Store::Set, *first, y);
        }
        if let Some(b) = &linear.bias {
            bias(rec, b, y);
        }
        if let Some(adapter) = self.adapter
            && let Some(pair) = adapter.pair(self.index, module)
        {
            let u = &kept.u[module as usize];
            matmul_forward(rec, x, &pair.a, 1.0, Store::Set, 0, u);
            matmul_forward(rec, u, &pair.b, adapter.scale(), Store::Add, 0, y);
        }
    }

    /// Adds to dA and dB and, where asked, sets or adds to `dx = dy W + scale (dy B) A`.
    fn linear_backward(
        &self,
        rec: &mut Recorder<'_>,
        module: Module,
        dy: &Tensor,
        x: &Tensor,
        acts: &Activations,
        kept: &Kept,
        dx: Option<(&Tensor, Store)>,
    ) {
        if let Some((dx, mut store)) = dx {
            for (first, block) in &self.weights(module).weight.blocks {
                matmul_backward_input(rec, dy, block, 1.0, store, *first, dx);
                store = Store::Add;
            }
        }
        if let Some(adapter) = self.adapter
            && let Some(pair) = adapter.pair(self.index, module)
        {
            matmul_backward_weight(rec, dy, &kept.u[module as usize], adapter.scale(), &pair.db);
            matmul_backward_input(rec, dy, &pair.b, adapter.scale(), Store::Set, 0, &acts.du);
            matmul_backward_weight(rec, &acts.du, x, 1.0, &pair.da);
            if let Some((dx, _)) = dx {
                matmul_backward_input(rec, &acts.du, &pair.a, 1.0, Store::Add, 0, dx);
            }
        }
    }

    fn weights(&self, module: Module) -> &Linear {
        match module {
            Module::QProj => &self.layer.q_proj,
            Module::KProj => &self.layer.k_proj,
            Module::VProj => &self.layer.v_proj,
            Module::OProj => &self.layer.o_proj,
            Module::GateProj => &self.layer.gate_proj,
            Module::UpProj => &self.layer.up_proj,
            Module::DownProj => &self.layer.down_proj,
        }
    }

    fn shape(&self, first_row: u32) -> AttentionShape {
        let head_dim = self.config.head_dim as u32;
        AttentionShape {
            heads: self.config.num_attention_heads as u32,
            kv_heads: self.config.num_key_value_heads as u32,
            head_dim,
            scale: 1.0 / (head_dim as f32).sqrt(),
            first_row,
        }
    }
}
