//! A Llama of random weights as a model folder in memory, of any size.

use std::collections::BTreeMap;

use pairtune::error::Result;
use pairtune::files::serialize_f32;
use pairtune::platform::{ByteSource, Folder, MemorySource};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

/// Sizes of a model; heads are not grouped, and the head is not tied.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) vocab: usize,
    pub(crate) hidden: usize,
    pub(crate) inner: usize,
    pub(crate) layers: usize,
    pub(crate) heads: usize,
}

/// A model folder in memory.
pub(crate) struct RandomLlama {
    pub(crate) config: Vec<u8>,
    weights: Vec<u8>,
}

impl RandomLlama {
    pub(crate) fn new(sizes: Sizes) -> Self {
        let Sizes { vocab, hidden, inner, layers, heads } = sizes;
        let config = json!({
            "model_type": "llama", "vocab_size": vocab, "hidden_size": hidden, "intermediate_size": inner,
            "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": heads,
            "max_position_embeddings": 1024, "rms_norm_eps": 1e-5, "tie_word_embeddings": false, "hidden_act": "silu",
            "rope_theta": 10000.0,
        });
        let mut shapes: BTreeMap<String, Vec<usize>> = BTreeMap::from([
            ("model.embed_tokens.weight".to_owned(), vec![vocab, hidden]),
            ("lm_head.weight".to_owned(), vec![vocab, hidden]),
            ("model.norm.weight".to_owned(), vec![hidden]),
        ]);
        for layer in 0..layers {
            for (module, shape) in [
                ("input_layernorm", vec![hidden]),
                ("post_attention_layernorm", vec![hidden]),
                ("self_attn.q_proj", vec![hidden, hidden]),
                ("self_attn.k_proj", vec![hidden, hidden]),
                ("self_attn.v_proj", vec![hidden, hidden]),
                ("self_attn.o_proj", vec![hidden, hidden]),
                ("mlp.gate_proj", vec![inner, hidden]),
                ("mlp.up_proj", vec![inner, hidden]),
                ("mlp.down_proj", vec![hidden, inner]),
            ] {
                shapes.insert(format!("model.layers.{layer}.{module}.weight"), shape);
            }
        }
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let data: Vec<(String, Vec<usize>, Vec<f32>)> = shapes
            .into_iter()
            .map(|(name, shape)| {
                let len = shape.iter().product();
                let bound = 1.7 / (shape[shape.len() - 1] as f32).sqrt();
                let values = match shape.len() {
                    1 => vec![1.0; len],
                    _ => (0..len).map(|_| rng.random_range(-bound..bound)).collect(),
                };
                (name, shape, values)
            })
            .collect();
        let views: Vec<_> = data.iter().map(|(n, s, v)| (n.clone(), s.clone(), v.as_slice())).collect();
        Self { config: config.to_string().into_bytes(), weights: serialize_f32(&views, &BTreeMap::new()) }
    }
}

impl Folder for RandomLlama {
    fn name(&self) -> &str {
        "random-llama-15m"
    }

    fn files(&self) -> Vec<String> {
        vec!["config.json".to_owned(), "model.safetensors".to_owned()]
    }

    fn open(&self, file: &str) -> Result<Box<dyn ByteSource>> {
        let bytes = if file == "config.json" { self.config.clone() } else { self.weights.clone() };
        Ok(Box::new(MemorySource { name: file.to_owned(), bytes }))
    }
}
