//! A Llama of any size whose weights are made up as they are read: nothing is stored.

use serde_json::{Map, json};

use crate::error::Result;
use crate::model::{Architecture, Model};
use crate::platform::{ByteSource, Folder, LocalFuture, MemorySource, missing_file, short_read};

/// Sizes of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Sizes {
    /// Entries of the vocabulary.
    pub vocab: usize,
    /// Columns of the residual stream.
    pub hidden: usize,
    /// Columns of the MLP.
    pub inner: usize,
    /// Decoder layers.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Columns of a head.
    pub head_dim: usize,
}

impl Sizes {
    /// The bundled demo's model.
    pub const DEMO: Self =
        Self { vocab: 1024, hidden: 128, inner: 352, layers: 4, heads: 4, kv_heads: 2, head_dim: 32 };
    /// SmolLM2-135M.
    pub const SMOLLM2_135M: Self =
        Self { vocab: 49_152, hidden: 576, inner: 1536, layers: 30, heads: 9, kv_heads: 3, head_dim: 64 };
    /// Qwen3-0.6B.
    pub const QWEN3_0_6B: Self =
        Self { vocab: 151_936, hidden: 1024, inner: 3072, layers: 28, heads: 16, kv_heads: 8, head_dim: 128 };
    /// Llama-3.2-1B.
    pub const LLAMA_3_2_1B: Self =
        Self { vocab: 128_256, hidden: 2048, inner: 8192, layers: 16, heads: 32, kv_heads: 8, head_dim: 64 };

    /// Weights that a token passes through: all but the embedding, which is only looked up; the head is one.
    pub fn parameters(&self) -> f64 {
        let (queries, keys) = (self.heads * self.head_dim, self.kv_heads * self.head_dim);
        let layer = self.hidden * (2 * queries + 2 * keys + 3 * self.inner);
        (self.layers * layer + self.vocab * self.hidden) as f64
    }
}

/// A model folder of bfloat16 weights.
pub struct RandomModel {
    config: Vec<u8>,
    header: Vec<u8>,
    /// Begin and end of each norm's bytes among the tensors', ascending.
    norms: Vec<[u64; 2]>,
    bytes: u64,
}

impl RandomModel {
    /// A model of these sizes, its head tied to its embedding.
    pub fn new(sizes: Sizes) -> Result<Self> {
        let config = config_of(sizes);
        let (mut entries, mut norms, mut end) = (Map::new(), Vec::new(), 0);
        for (name, shape) in Model::tensors(&Architecture::from_bytes(&config, CONFIG)?, None) {
            let begin = end;
            end += 2 * shape.iter().product::<usize>() as u64;
            if shape.len() == 1 {
                norms.push([begin, end]);
            }
            entries.insert(name, json!({ "dtype": "BF16", "shape": shape, "data_offsets": [begin, end] }));
        }
        let mut json = serde_json::to_vec(&entries).unwrap_or_default();
        json.resize(json.len().next_multiple_of(8), b' ');
        let header = [&(json.len() as u64).to_le_bytes()[..], &json].concat();
        Ok(Self { config, header, norms, bytes: end })
    }
}

/// `config.json` of a Llama of these sizes.
fn config_of(Sizes { vocab, hidden, inner, layers, heads, kv_heads, head_dim }: Sizes) -> Vec<u8> {
    let config = json!({
        "model_type": "llama", "vocab_size": vocab, "hidden_size": hidden, "intermediate_size": inner,
        "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": kv_heads,
        "head_dim": head_dim, "max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "tie_word_embeddings": true,
        "hidden_act": "silu", "rope_theta": 10000.0, "dtype": "bfloat16",
    });
    serde_json::to_vec(&config).unwrap_or_default()
}

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";

impl Folder for RandomModel {
    fn name(&self) -> &str {
        "random model"
    }

    fn files(&self) -> Vec<String> {
        [CONFIG, WEIGHTS].map(str::to_owned).into()
    }

    fn open(&self, file: &str) -> Result<Box<dyn ByteSource>> {
        match file {
            CONFIG => Ok(Box::new(MemorySource { name: CONFIG.to_owned(), bytes: self.config.clone() })),
            WEIGHTS => {
                let (header, norms) = (self.header.clone(), self.norms.clone());
                Ok(Box::new(Weights { header, norms, bytes: self.bytes }))
            }
            _ => Err(missing_file(self.name(), file, &self.files())),
        }
    }
}

struct Weights {
    header: Vec<u8>,
    norms: Vec<[u64; 2]>,
    bytes: u64,
}

impl Weights {
    /// The bytes of two elements: 1 in a norm, else of either sign and from 0.0156 to 0.031, by their place.
    fn pair(&self, at: u64) -> [u8; 4] {
        let norm = self.norms.get(self.norms.partition_point(|[_, end]| *end <= at));
        let is_norm = norm.is_some_and(|[begin, _]| *begin <= at);
        // SplitMix64 (Steele et al. 2014).
        let mut z = at.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let element = |bits: u64| (((bits & 0x80) << 8) | 0x3c80 | (bits & 0x7f)) as u16;
        let [low, high] = if is_norm { [0x3f80; 2] } else { [element(z), element(z >> 32)] };
        let ([a, b], [c, d]) = (low.to_le_bytes(), high.to_le_bytes());
        [a, b, c, d]
    }
}

impl ByteSource for Weights {
    fn name(&self) -> &str {
        WEIGHTS
    }

    fn len(&self) -> u64 {
        self.header.len() as u64 + self.bytes
    }

    fn read_at(&self, offset: u64, len: usize) -> LocalFuture<'_, Result<Vec<u8>>> {
        Box::pin(async move {
            let end = offset + len as u64;
            if end > self.len() {
                return Err(short_read(WEIGHTS, offset, len, self.len()));
            }
            let header = self.header.len() as u64;
            let mut bytes = Vec::with_capacity(len + 8);
            if offset < header {
                bytes.extend(&self.header[offset as usize..end.min(header) as usize]);
            }
            if end > header {
                let (from, to) = (offset.max(header) - header, end - header);
                let first = from / 4 * 4;
                let made: Vec<u8> = (first..to).step_by(4).flat_map(|at| self.pair(at)).collect();
                bytes.extend(&made[(from - first) as usize..(to - first) as usize]);
            }
            Ok(bytes)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_weights_is_what_the_whole_has_there() {
        let read = async {
            let source = RandomModel::new(Sizes::DEMO)?.open(WEIGHTS)?;
            let whole = source.read_at(0, 20_000).await?;
            for (offset, len) in [(0, 8), (3, 9_001), (7_777, 5_555), (19_999, 1)] {
                assert!(source.read_at(offset, len).await? == whole[offset as usize..][..len], "{len} from {offset}");
            }
            assert!(source.read_at(source.len() - 1, 2).await.is_err(), "there is nothing beyond the end");
            Result::Ok(())
        };
        pollster::block_on(read).expect("the weights are made");
    }
}
