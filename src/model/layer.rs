//! One decoder layer: forward and, beneath it, backward, mirrored line for line.

use super::activations::{Activations, Dropout, Kept};
use super::architecture::{Architecture, Group, Mixer, QkNorm};
use super::lora::{Adapter, LoraGroup, Magnitude};
use super::rope::RopeTables;
use super::weights::{Layer, Norm};
use crate::gpu::{Recorder, Tensor};
use crate::kernels::{
    AttentionShape, Class, Epilogue, Heads, Partials, QkParts, ShortConv, Store, activation_backward,
    activation_forward, attention_backward_delta, attention_backward_kv, attention_backward_q, attention_decode,
    attention_forward, cache_append, dora_backward_lengths, dropout, glu_backward, glu_forward, lora_backward,
    matmul_backward_input, matmul_backward_weight, matmul_forward, qk_norm_backward, qk_norm_forward, resize_heads,
    rmsnorm_backward, rmsnorm_forward, rope, scale_columns, scaled_copy, short_conv_append, short_conv_backward,
    short_conv_decode, short_conv_forward, sum_partials,
};

/// Inputs of both passes of a layer, besides the activations.
pub(super) struct Context<'a> {
    pub(super) index: usize,
    pub(super) config: &'a Architecture,
    pub(super) layer: &'a Layer,
    pub(super) adapter: Option<&'a Adapter>,
    /// Rotary tables for this layer's queries and keys; `None` if they are not rotated.
    pub(super) rope: Option<&'a RopeTables>,
}

/// Cache of a layer for the texts that are generated together, and the way a batch uses it.
pub(super) struct Cache<'a> {
    /// Keys and values (rows of all texts, 2 kv_heads*D), or a convolution's gated inputs (rows of all texts, H).
    pub(super) kept: &'a Tensor,
    /// Cache row of each row of the batch.
    pub(super) slots: &'a Tensor,
    pub(super) stage: Stage,
}

/// Kind of batch in generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Whole prompts, whose tokens see nothing but their own prompt.
    Prompts,
    /// One row for each text, which sees its text's rows in the cache.
    Rows,
}

/// Norm after a branch, if there is one, with its input and the statistics that it keeps for the backward pass.
type After<'a> = (Option<&'a Norm>, &'a Tensor, &'a Tensor);

impl Context<'_> {
    /// Computes `acts.x[index + 1]` from `acts.x[index]`.
    pub(super) fn forward(&self, rec: &mut Recorder<'_>, acts: &Activations, cache: Option<&Cache<'_>>) {
        let (layer, kept) = (self.layer, &self.kept(acts));
        let (x, y) = (&acts.x[self.index], &acts.x[self.index + 1]);
        let class = class_of(cache);

        let input = self.normed(rec, layer.before_mixer.as_ref(), x, acts, &kept.before_mixer);
        self.linear(rec, class, Group::MixerIn, input, acts, kept, None, &kept.mixer_in);
        match self.mixer() {
            Mixer::Attention { .. } => self.attention(rec, acts, kept, cache),
            Mixer::ShortConv { .. } => self.short_conv(rec, acts, kept, cache),
        }
        let after = (layer.after_mixer.as_ref(), &kept.mixed, &kept.after_mixer);
        self.add_branch(rec, class, Group::MixerOut, &kept.out, acts, kept, after, x, &kept.x_mid);

        let base = if self.config.parallel_residual { x } else { &kept.x_mid };
        let input = self.normed(rec, layer.before_mlp.as_ref(), base, acts, &kept.before_mlp);
        self.linear(rec, class, Group::MlpIn, input, acts, kept, None, &kept.mlp_in);
        match self.config.mlp.gated {
            true => glu_forward(rec, &kept.mlp_in, self.config.mlp.act, &acts.act),
            false => activation_forward(rec, &kept.mlp_in, self.config.mlp.act, &acts.act),
        }
        let after = (layer.after_mlp.as_ref(), &kept.mlp_out, &kept.after_mlp);
        self.add_branch(rec, class, Group::MlpOut, &acts.act, acts, kept, after, &kept.x_mid, y);
    }

    /// Turns `acts.dx` from the gradient of the layer's output into that of its input; adds to the adapter's gradients.
    ///
    /// Without `need_dx` the input's gradient is left unfinished, because nothing is trained below the first adapted
    /// layer.
    pub(super) fn backward(&self, rec: &mut Recorder<'_>, acts: &Activations, need_dx: bool) {
        let (layer, kept) = (self.layer, &self.kept(acts));
        let x = &acts.x[self.index];
        let partials = acts.partials();

        if self.adapter.is_some_and(|adapter| !adapter.layers_alike) {
            // Another layer may have left values between this layer's matrices.
            rec.clear(&partials.tensor);
        }
        let after = (layer.after_mlp.as_ref(), &kept.mlp_out, &kept.after_mlp);
        let dbranch = self.branch_backward(rec, acts, after);
        self.input_backward(rec, Group::MlpOut, dbranch, acts, Store::Set, &acts.act);
        // This also replaces the activation's gradient by the activation, which `weight_backward` needs.
        match self.config.mlp.gated {
            true => glu_backward(rec, &acts.act, &kept.mlp_in, self.config.mlp.act),
            false => activation_backward(rec, &acts.act, &kept.mlp_in, self.config.mlp.act),
        }
        self.weight_backward(rec, Group::MlpOut, dbranch, &acts.act, acts, kept, &partials);
        let base = if self.config.parallel_residual { x } else { &kept.x_mid };
        let norm = (layer.before_mlp.as_ref(), base, &kept.before_mlp);
        self.branch_input_backward(rec, Group::MlpIn, &kept.mlp_in, norm, acts, kept, &partials, true);

        let after = (layer.after_mixer.as_ref(), &kept.mixed, &kept.after_mixer);
        // Attention beside a parallel MLP takes the gradient from before the MLP's was added.
        let dbranch = if self.config.parallel_residual { dbranch } else { self.branch_backward(rec, acts, after) };
        let dout = &exactly(&acts.dout, kept.out.cols());
        self.input_backward(rec, Group::MixerOut, dbranch, acts, Store::Set, dout);
        self.weight_backward(rec, Group::MixerOut, dbranch, &kept.out, acts, kept, &partials);
        let dmixer_in = &exactly(&acts.dmixer_in, kept.mixer_in.cols());
        match self.mixer() {
            Mixer::Attention { .. } => self.attention_backward(rec, acts, kept, dout, dmixer_in),
            Mixer::ShortConv { .. } => {
                let (links, gates) = (&acts.links, &kept.mixer_in);
                short_conv_backward(rec, gates, &acts.spans, self.conv(), links, dout, dmixer_in);
            }
        }
        let norm = (layer.before_mixer.as_ref(), x, &kept.before_mixer);
        self.branch_input_backward(rec, Group::MixerIn, dmixer_in, norm, acts, kept, &partials, need_dx);
        if let Some(lora) = self.adapter.and_then(|adapter| adapter.layer(self.index)) {
            sum_partials(rec, &partials, acts.size().rows, &lora.grads);
        }
    }

    /// Computes `kept.out` from `kept.mixer_in`.
    fn attention(&self, rec: &mut Recorder<'_>, acts: &Activations, kept: &Kept<Tensor>, cache: Option<&Cache<'_>>) {
        let shape = self.wide_shape();
        self.turn_first(rec, acts, kept);
        let heads = self.normed_heads(rec, acts, kept);
        let qkv = self.wide(rec, heads, &acts.wide_qkv);
        let out = if self.config.widens_heads() { &acts.wide_out } else { &kept.out };
        if let Some(cache) = cache {
            cache_append(rec, qkv, cache.slots, shape, cache.kept);
        }
        match cache {
            Some(cache) if cache.stage == Stage::Rows => {
                attention_decode(rec, qkv, cache.kept, &acts.spans, shape, out);
            }
            _ => attention_forward(rec, qkv, &acts.spans, shape, out, &kept.lse),
        }
        self.narrow(rec, out, &kept.out);
    }

    /// Heads as attention reads them: padded with zeros in `wide`, if their columns are not a multiple of four.
    fn wide<'b>(&self, rec: &mut Recorder<'_>, heads: &'b Tensor, wide: &'b Tensor) -> &'b Tensor {
        if !self.config.widens_heads() {
            return heads;
        }
        resize_heads(rec, heads, self.config.attention.head_dim as u32, self.config.wide_head_dim() as u32, wide);
        wide
    }

    /// Undoes `wide`.
    fn narrow(&self, rec: &mut Recorder<'_>, wide: &Tensor, heads: &Tensor) {
        if self.config.widens_heads() {
            resize_heads(rec, wide, self.config.wide_head_dim() as u32, self.config.attention.head_dim as u32, heads);
        }
    }

    /// Computes `dqkv`, the gradient of the outputs of the query, key and value projections, from `dout`.
    fn attention_backward(
        &self,
        rec: &mut Recorder<'_>,
        acts: &Activations,
        kept: &Kept<Tensor>,
        dout: &Tensor,
        dqkv: &Tensor,
    ) {
        let (shape, eps) = (self.wide_shape(), self.config.norm_eps as f32);
        let heads = self.normed_heads(rec, acts, kept);
        let qkv = self.wide(rec, heads, &acts.wide_qkv);
        let (out, dout) = (self.wide(rec, &kept.out, &acts.wide_out), self.wide(rec, dout, &acts.wide_dout));
        let wide_dqkv = if self.config.widens_heads() { &acts.wide_dqkv } else { dqkv };
        attention_backward_delta(rec, dout, out, &kept.lse, shape.head_dim, &acts.stats);
        attention_backward_q(rec, dout, qkv, &acts.stats, &acts.spans, shape, wide_dqkv);
        attention_backward_kv(rec, dout, qkv, &acts.stats, &acts.spans, shape, wide_dqkv);
        self.narrow(rec, wide_dqkv, dqkv);
        if let (Some(gain), true) = (&self.layer.qk_gain, self.norms_before_turning()) {
            self.turn(rec, acts, -1.0, dqkv);
            qk_norm_backward(rec, &kept.mixer_in, gain, self.qk_parts(), eps, dqkv);
            return;
        }
        if let Some(gain) = &self.layer.qk_gain {
            qk_norm_backward(rec, &kept.mixer_in, gain, self.qk_parts(), eps, dqkv);
        }
        self.turn(rec, acts, -1.0, dqkv);
    }

    /// Rotates queries and keys in place, unless they are normed first.
    fn turn_first(&self, rec: &mut Recorder<'_>, acts: &Activations, kept: &Kept<Tensor>) {
        if !self.norms_before_turning() {
            self.turn(rec, acts, 1.0, &kept.mixer_in);
        }
    }

    /// Queries and keys as attention reads them. Normed heads are computed in both passes, into `acts.turned`.
    fn normed_heads<'b>(&self, rec: &mut Recorder<'_>, acts: &'b Activations, kept: &'b Kept<Tensor>) -> &'b Tensor {
        let Some(gain) = &self.layer.qk_gain else { return &kept.mixer_in };
        let eps = self.config.norm_eps as f32;
        qk_norm_forward(rec, &kept.mixer_in, gain, self.qk_parts(), eps, &acts.turned);
        if self.norms_before_turning() {
            self.turn(rec, acts, 1.0, &acts.turned);
        }
        &acts.turned
    }

    fn norms_before_turning(&self) -> bool {
        matches!(self.config.attention.qk_norm, QkNorm::PerHead | QkNorm::Whole)
    }

    /// Rotates queries and keys by their positions, in place; a direction of -1 rotates them back.
    fn turn(&self, rec: &mut Recorder<'_>, acts: &Activations, direction: f32, qkv: &Tensor) {
        let Some(table) = self.rope.map(|rope| rope.of(acts.longest())) else { return };
        let AttentionShape { heads, kv_heads, head_dim, .. } = self.shape();
        match &table.queries {
            None => {
                let all = Heads { first: 0, heads: heads + kv_heads, head_dim };
                rope(rec, &table.keys, &acts.spans, all, direction, qkv);
            }
            Some(growing) => {
                let keys = Heads { first: heads * head_dim, heads: kv_heads, head_dim };
                rope(rec, growing, &acts.spans, Heads { first: 0, heads, head_dim }, direction, qkv);
                rope(rec, &table.keys, &acts.spans, keys, direction, qkv);
            }
        }
    }

    /// Computes `kept.out` from `kept.mixer_in`.
    fn short_conv(&self, rec: &mut Recorder<'_>, acts: &Activations, kept: &Kept<Tensor>, cache: Option<&Cache<'_>>) {
        if let Some(cache) = cache {
            short_conv_append(rec, &kept.mixer_in, cache.slots, cache.kept);
        }
        match cache {
            Some(cache) if cache.stage == Stage::Rows => {
                short_conv_decode(rec, &kept.mixer_in, cache.kept, &acts.spans, self.conv(), &kept.out);
            }
            _ => short_conv_forward(rec, &kept.mixer_in, &acts.spans, self.conv(), &kept.out),
        }
    }

    /// The normed input of attention or MLP in `acts.h`, or the input itself where there is no norm. The backward pass
    /// computes it again instead of keeping it.
    fn normed<'b>(
        &self,
        rec: &mut Recorder<'_>,
        norm: Option<&Norm>,
        x: &'b Tensor,
        acts: &'b Activations,
        stats: &Tensor,
    ) -> &'b Tensor {
        let Some(norm) = norm else { return x };
        norm.forward(rec, self.config, x, &acts.h, stats);
        &acts.h
    }

    /// `y = base + norm(linear(x))`, without the norm where there is none.
    fn add_branch(
        &self,
        rec: &mut Recorder<'_>,
        class: Class,
        group: Group,
        x: &Tensor,
        acts: &Activations,
        kept: &Kept<Tensor>,
        (norm, before, stats): After<'_>,
        base: &Tensor,
        y: &Tensor,
    ) {
        let Some(norm) = norm else { return self.linear(rec, class, group, x, acts, kept, Some(base), y) };
        self.linear(rec, class, group, x, acts, kept, None, before);
        rmsnorm_forward(rec, before, &norm.gain, self.config.norm_eps as f32, Some(base), y, stats);
    }

    /// The gradient of the output of a branch's last linear layer: `acts.dx` itself if neither a norm nor a factor
    /// stands between.
    fn branch_backward<'b>(
        &self,
        rec: &mut Recorder<'_>,
        acts: &'b Activations,
        (norm, before, stats): After<'_>,
    ) -> &'b Tensor {
        let multiplier = self.config.residual_multiplier as f32;
        if let Some(norm) = norm {
            rmsnorm_backward(rec, &acts.dx, before, &norm.gain, stats, Store::Set, &acts.dbranch);
        } else if multiplier != 1.0 || self.config.parallel_residual {
            scaled_copy(rec, &acts.dx, multiplier, &acts.dbranch);
        } else {
            return &acts.dx;
        }
        &acts.dbranch
    }

    /// Adds to `acts.dx` the gradient through a branch's first linear layer and the norm before it, and adds to the
    /// adapter's gradients; without `need_dx` only the latter.
    fn branch_input_backward(
        &self,
        rec: &mut Recorder<'_>,
        group: Group,
        dy: &Tensor,
        (norm, x, stats): After<'_>,
        acts: &Activations,
        kept: &Kept<Tensor>,
        partials: &Partials,
        need_dx: bool,
    ) {
        match norm {
            _ if !need_dx => {
                let dz = self.product_backward(rec, group, dy, acts);
                self.lora_input_backward(rec, group, &dz, acts);
            }
            Some(_) => self.input_backward(rec, group, dy, acts, Store::Set, &acts.dh),
            None => self.input_backward(rec, group, dy, acts, Store::Add, &acts.dx),
        }
        let input = self.normed(rec, norm, x, acts, stats);
        self.weight_backward(rec, group, dy, input, acts, kept, partials);
        if let Some(norm) = norm.filter(|_| need_dx) {
            norm.backward(rec, &acts.dh, x, stats, Store::Add, &acts.dx);
        }
    }

    /// `y = multiplier (x Wᵀ + u Bᵀ) (+ bias) (+ residual)` with `u = scale x Aᵀ`, which is kept. DoRA also scales the
    /// columns of the product.
    fn linear(
        &self,
        rec: &mut Recorder<'_>,
        class: Class,
        group: Group,
        x: &Tensor,
        acts: &Activations,
        kept: &Kept<Tensor>,
        residual: Option<&Tensor>,
        y: &Tensor,
    ) {
        let linear = self.layer.linear(group);
        let lora = self.lora(group).map(|lora| {
            let u = exactly(&kept.u[group as usize], lora.a.rows());
            let x = &self.dropped(rec, group, x, acts);
            matmul_forward(rec, thin(class), x, &lora.a, lora.one_scale(), 0, Epilogue::default(), &u);
            lora.scale_each(rec, &u);
            (u, lora)
        });
        let lora = lora.as_ref().map(|(u, lora)| (u, &lora.b, &lora.segments));
        let multiplier = match group {
            Group::MixerOut | Group::MlpOut => self.config.residual_multiplier as f32,
            Group::MixerIn | Group::MlpIn => 1.0,
        };
        let bias = linear.bias.as_ref();
        if let Some(magnitude) = self.magnitude(group) {
            let z = &exactly(&acts.z, y.cols());
            self.product(rec, class, group, x, 1.0, Epilogue { lora, ..Epilogue::default() }, z);
            scale_columns(rec, z, &magnitude.gain(), multiplier, bias, residual, y);
        } else {
            self.product(rec, class, group, x, multiplier, Epilogue { bias, lora, residual }, y);
        }
    }

    /// Returns the input of LoRA's A, some of which may be dropped in training. The modules of a group drop the same.
    fn dropped(&self, rec: &mut Recorder<'_>, group: Group, x: &Tensor, acts: &Activations) -> Tensor {
        let Some(Dropout { rate, seed }) = acts.dropout(self.index, group) else { return x.clone() };
        let kept = exactly(&acts.dropped, x.cols());
        dropout(rec, x, rate, seed, Store::Set, &kept);
        kept
    }

    /// `y = multiplier x Wᵀ`, plus the epilogue.
    fn product(
        &self,
        rec: &mut Recorder<'_>,
        class: Class,
        group: Group,
        x: &Tensor,
        multiplier: f32,
        epilogue: Epilogue<'_>,
        y: &Tensor,
    ) {
        for (first, block) in &self.layer.linear(group).weight.blocks {
            matmul_forward(rec, class, x, block, multiplier, *first, epilogue, y);
        }
    }

    /// Returns the gradient of a product whose columns DoRA scales, given that of the scaled product, in `acts.z`.
    /// Without DoRA both gradients are the same.
    fn product_backward(&self, rec: &mut Recorder<'_>, group: Group, dy: &Tensor, acts: &Activations) -> Tensor {
        let Some(magnitude) = self.magnitude(group) else { return dy.clone() };
        let dz = exactly(&acts.z, dy.cols());
        scale_columns(rec, dy, &magnitude.gain(), 1.0, None, None, &dz);
        dz
    }

    /// `dx = dy W (+ du A)`, set or added, with `du = scale dy B`, which stays in `acts.du`.
    fn input_backward(
        &self,
        rec: &mut Recorder<'_>,
        group: Group,
        dy: &Tensor,
        acts: &Activations,
        mut store: Store,
        dx: &Tensor,
    ) {
        let dy = &self.product_backward(rec, group, dy, acts);
        let du = self.lora_input_backward(rec, group, dy, acts);
        let mut lora = du.as_ref().map(|(du, lora)| (du, &lora.a));
        let dropped = acts.dropout(self.index, group);
        let through_dropout = lora.take_if(|_| dropped.is_some());
        for (first, block) in &self.layer.linear(group).weight.blocks {
            matmul_backward_input(rec, dy, block, 1.0, store, *first, lora.take(), dx);
            store = Store::Add;
        }
        if let (Some((du, a)), Some(Dropout { rate, seed })) = (through_dropout, dropped) {
            let dkept = &exactly(&acts.dropped, dx.cols());
            matmul_backward_input(rec, du, a, 1.0, Store::Set, 0, None, dkept);
            dropout(rec, dkept, rate, seed, Store::Add, dx);
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
        self.lora(group).map(|lora| {
            let du = exactly(&acts.du, lora.a.rows());
            lora_backward(rec, dy, &lora.b, lora.one_scale(), &lora.segments, &du);
            lora.scale_each(rec, &du);
            (du, lora)
        })
    }

    /// Computes the parts of `dB = dyᵀ u` and `dA = duᵀ x`, after `input_backward`, and those of DoRA's lengths.
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
        if let Some(lora) = self.lora(group) {
            let ranks = lora.a.rows();
            let (u, du) = (exactly(&kept.u[group as usize], ranks), exactly(&acts.du, ranks));
            // `input_backward` left the gradient of the product in `acts.z`.
            let scaled = lora.magnitude.as_ref().map(|magnitude| (magnitude, exactly(&acts.z, dy.cols())));
            let dz = scaled.as_ref().map_or(dy, |(_, dz)| dz);
            matmul_backward_weight(rec, dz, &u, Some(&lora.segments), partials, lora.b_at, lora.b.cols());
            let kept_x = &self.dropped(rec, group, x, acts);
            matmul_backward_weight(rec, &du, kept_x, None, partials, lora.a_at, x.cols());
            if let Some((magnitude, z)) = &scaled {
                // The product is computed again in the same place, instead of being kept.
                let epilogue = Epilogue { lora: Some((&u, &lora.b, &lora.segments)), ..Epilogue::default() };
                self.product(rec, Class::Main, group, x, 1.0, epilogue, z);
                dora_backward_lengths(rec, dy, z, &magnitude.inverse(), partials, magnitude.at);
            }
        }
    }

    /// A group's LoRA matrices.
    fn lora(&self, group: Group) -> Option<&LoraGroup> {
        self.adapter?.layer(self.index)?.group(group)
    }

    fn magnitude(&self, group: Group) -> Option<&Magnitude> {
        self.lora(group)?.magnitude.as_ref()
    }

    fn mixer(&self) -> Mixer {
        self.config.kind(self.index).mixer
    }

    /// Tensors that this layer keeps, at the width of its kind of layer.
    fn kept(&self, acts: &Activations) -> Kept<Tensor> {
        let kept = acts.kept(self.index);
        let (_, mixer_in) = self.config.dims(self.index, Group::MixerIn);
        let (out, _) = self.config.dims(self.index, Group::MixerOut);
        let (mixer_in, out) = (exactly(&kept.mixer_in, mixer_in as u32), exactly(&kept.out, out as u32));
        Kept { mixer_in, out, ..kept.clone() }
    }

    fn conv(&self) -> ShortConv<'_> {
        match &self.layer.conv {
            Some(conv) => ShortConv { weight: &conv.weight, bias: conv.bias.as_ref() },
            None => unreachable!("a layer with a convolution has its weight"),
        }
    }

    fn qk_parts(&self) -> QkParts {
        let AttentionShape { heads, kv_heads, head_dim, .. } = self.shape();
        match self.config.attention.qk_norm {
            QkNorm::Whole => {
                QkParts { queries: 1, query_cols: heads * head_dim, keys: 1, key_cols: kv_heads * head_dim }
            }
            _ => QkParts { queries: heads, query_cols: head_dim, keys: kv_heads, key_cols: head_dim },
        }
    }

    /// Shape of attention with widened heads.
    fn wide_shape(&self) -> AttentionShape {
        AttentionShape { head_dim: self.config.wide_head_dim() as u32, ..self.shape() }
    }

    fn shape(&self) -> AttentionShape {
        let attention = &self.config.attention;
        let by_layer = if attention.scale_by_layer { (self.index + 1) as f64 } else { 1.0 };
        let window = match self.mixer() {
            Mixer::Attention { window: Some(window), .. } => window as u32,
            _ => u32::MAX,
        };
        AttentionShape {
            heads: attention.heads as u32,
            kv_heads: attention.kv_heads as u32,
            head_dim: attention.head_dim as u32,
            scale: (attention.scale / by_layer) as f32,
            softcap: attention.softcap.unwrap_or(0.0) as f32,
            window,
        }
    }
}

/// A matrix of `cols` columns in the memory of a wider one.
fn exactly(tensor: &Tensor, cols: u32) -> Tensor {
    tensor.view(tensor.rows(), cols)
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
