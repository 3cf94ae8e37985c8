//! A Llama of frozen random weights with LoRA on every linear layer of its blocks.

use burn::prelude::*;
use burn::tensor::Distribution;
use burn::tensor::activation::{silu, softmax};

pub(crate) const VOCAB: usize = 8192;
const HIDDEN: usize = 256;
const INNER: usize = 2048;
const LAYERS: usize = 6;
const HEADS: usize = 8;
const HEAD: usize = HIDDEN / HEADS;
const ROPE_THETA: f32 = 10000.0;
const RMS_EPSILON: f32 = 1e-5;
const RANK: usize = 8;
const LORA_ALPHA: f32 = 16.0;

/// The adapter's matrices: `a` and `b` of every linear layer, in the order in which the model uses them.
pub(crate) type Adapter = Vec<Tensor<2>>;

pub(crate) struct Llama {
    embedding: Tensor<2>,
    blocks: Vec<Block>,
    norm: Tensor<2>,
    head: Tensor<2>,
}

struct Block {
    input_norm: Tensor<2>,
    q: Tensor<2>,
    k: Tensor<2>,
    v: Tensor<2>,
    o: Tensor<2>,
    post_norm: Tensor<2>,
    gate: Tensor<2>,
    up: Tensor<2>,
    down: Tensor<2>,
}

/// What every layer's attention needs, for one length of the sequences.
struct Positions {
    cos: Tensor<4>,
    sin: Tensor<4>,
    /// Zero where a query may look, and a large negative number where it may not.
    causal: Tensor<4>,
}

impl Llama {
    /// Weights of the sizes and the spread of `benches/train.rs`, and a fresh adapter, whose `b` is zero.
    pub(crate) fn random(device: &Device) -> (Self, Adapter) {
        let weight = |rows: usize, columns: usize, fan_in: usize| {
            let bound = 1.7 / (fan_in as f64).sqrt();
            Tensor::<2>::random([rows, columns], Distribution::Uniform(-bound, bound), device)
        };
        let linear = |inputs: usize, outputs: usize| weight(inputs, outputs, inputs);
        let ones = || Tensor::<2>::ones([1, HIDDEN], device);
        let block = || Block {
            input_norm: ones(),
            q: linear(HIDDEN, HIDDEN),
            k: linear(HIDDEN, HIDDEN),
            v: linear(HIDDEN, HIDDEN),
            o: linear(HIDDEN, HIDDEN),
            post_norm: ones(),
            gate: linear(HIDDEN, INNER),
            up: linear(HIDDEN, INNER),
            down: linear(INNER, HIDDEN),
        };
        let model = Self {
            embedding: weight(VOCAB, HIDDEN, HIDDEN),
            blocks: (0..LAYERS).map(|_| block()).collect(),
            norm: ones(),
            head: linear(HIDDEN, VOCAB),
        };
        let linears = model.blocks.iter().flat_map(|b| [&b.q, &b.k, &b.v, &b.o, &b.gate, &b.up, &b.down]);
        let adapter = linears
            .flat_map(|linear| {
                let [inputs, outputs] = linear.dims();
                let bound = 1.0 / (inputs as f64).sqrt();
                let a = Tensor::random([inputs, RANK], Distribution::Uniform(-bound, bound), device);
                [a, Tensor::zeros([RANK, outputs], device)]
            })
            .map(Tensor::require_grad)
            .collect();
        (model, adapter)
    }

    /// Logits of the positions from `first` on but the last one, which predicts nothing: `[sequence, position, token]`.
    pub(crate) fn logits(&self, adapter: &Adapter, ids: Tensor<2, Int>, first: usize) -> Tensor<3> {
        let [sequences, tokens] = ids.dims();
        let positions = Positions::new(tokens, &ids.device());
        let mut hidden = self.embedding.clone().select(0, ids.reshape([sequences * tokens]));
        let mut pairs = adapter.chunks_exact(2);
        for block in &self.blocks {
            // Rows are tokens, so that a linear layer is one matrix product.
            let mut linear = |x: &Tensor<2>, weight: &Tensor<2>| {
                let pair = pairs.next().expect("every linear layer has its two matrices");
                let update = x.clone().matmul(pair[0].clone()).matmul(pair[1].clone());
                x.clone().matmul(weight.clone()) + update * (LORA_ALPHA / RANK as f32)
            };
            let x = rms_norm(&hidden, &block.input_norm);
            let heads = |x: Tensor<2>| x.reshape([sequences, tokens, HEADS, HEAD]).swap_dims(1, 2);
            let q = positions.rotate(heads(linear(&x, &block.q)));
            let k = positions.rotate(heads(linear(&x, &block.k)));
            let v = heads(linear(&x, &block.v));
            let scores = q.matmul(k.swap_dims(2, 3)) / (HEAD as f32).sqrt() + positions.causal.clone();
            let context = softmax(scores, 3).matmul(v).swap_dims(1, 2).reshape([sequences * tokens, HIDDEN]);
            hidden = hidden + linear(&context, &block.o);
            let x = rms_norm(&hidden, &block.post_norm);
            let inner = silu(linear(&x, &block.gate)) * linear(&x, &block.up);
            hidden = hidden + linear(&inner, &block.down);
        }
        let kept = tokens - 1 - first;
        let hidden = hidden.reshape([sequences, tokens, HIDDEN]).narrow(1, first, kept);
        let hidden = rms_norm(&hidden.reshape([sequences * kept, HIDDEN]), &self.norm);
        hidden.matmul(self.head.clone()).reshape([sequences, kept, VOCAB])
    }
}

impl Positions {
    fn new(tokens: usize, device: &Device) -> Self {
        let at = Tensor::<1, Int>::arange(0..tokens as i64, device).float().reshape([tokens, 1]);
        let pair = Tensor::<1, Int>::arange(0..HEAD as i64 / 2, device).float().reshape([1, HEAD / 2]);
        let angles = at * (pair * (-2.0 * ROPE_THETA.ln() / HEAD as f32)).exp();
        let angles: Tensor<4> = Tensor::cat(vec![angles.clone(), angles], 1).unsqueeze();
        let causal = Tensor::<2>::full([tokens, tokens], -1e9, device).triu(1).unsqueeze();
        Self { cos: angles.clone().cos(), sin: angles.sin(), causal }
    }

    /// RoPE over the two halves of a head, as transformers computes it for a Llama.
    fn rotate(&self, x: Tensor<4>) -> Tensor<4> {
        let left = x.clone().narrow(3, 0, HEAD / 2);
        let right = x.clone().narrow(3, HEAD / 2, HEAD / 2);
        x * self.cos.clone() + Tensor::cat(vec![-right, left], 3) * self.sin.clone()
    }
}

fn rms_norm(x: &Tensor<2>, weight: &Tensor<2>) -> Tensor<2> {
    let scale = (x.clone().square().mean_dim(1) + RMS_EPSILON).sqrt();
    x.clone() / scale * weight.clone()
}
