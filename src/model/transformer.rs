//! The decoder: embed, layers, norm, head; backward in reverse.

use super::activations::{Activations, TOKEN_BLOCK};
use super::layer::{Cache, Context, Stage};
use super::lora::{Adapter, Module};
use super::weights::{Layer, Loader, Weight, stored_name};
use crate::error::{Error, Result};
use crate::files::{ModelConfig, TensorFiles};
use crate::gpu::{Dtype, Gpu, Recorder, Tensor};
use crate::kernels::{
    Class, Epilogue, Store, Tuning, embedding, gather_rows, logprob_backward, logprob_finish, logprob_forward,
    matmul_backward_input, matmul_forward, rmsnorm_backward, rmsnorm_forward, scatter_rows,
};
use crate::platform::{Folder, read_all};

/// A base model on the device, frozen. There is one copy of it; adapters are beside it.
pub struct Model {
    /// What `config.json` says.
    pub config: ModelConfig,
    /// Hash of every weight that was read and of the config.
    pub hash: String,
    embed_tokens: Weight, // (V, H)
    layers: Vec<Layer>,
    norm: Tensor,            // (H)
    lm_head: Option<Weight>, // (V, H); none if tied to embed_tokens
    rope_table: Tensor,      // (positions, D) of (cos, sin)
}

impl Model {
    /// Reads `config.json` of a model folder; an error says what kind of folder it is if it holds no model.
    pub async fn config(folder: &dyn Folder) -> Result<ModelConfig> {
        let files = folder.files();
        if !files.iter().any(|f| f == "config.json") {
            // The weights' reader knows what an adapter, a GGUF file or a pickle looks like.
            TensorFiles::open(folder).await?;
            return Err(Error::input(
                "There is no config.json",
                "Name a Hugging Face model folder with config.json, tokenizer.json and model.safetensors",
                folder.name(),
            ));
        }
        let source = folder.open("config.json")?;
        ModelConfig::from_bytes(&read_all(source.as_ref()).await?, source.name())
    }

    /// Name and shape of every tensor of a model, made one layer at a time: the number of layers may be anything.
    pub fn tensors(config: &ModelConfig, head: bool) -> impl Iterator<Item = (String, Vec<usize>)> {
        let (vocab, hidden) = (config.vocab_size, config.hidden_size);
        let mut outside = vec![
            ("model.embed_tokens.weight".to_owned(), vec![vocab, hidden]),
            ("model.norm.weight".to_owned(), vec![hidden]),
        ];
        if head {
            outside.push(("lm_head.weight".to_owned(), vec![vocab, hidden]));
        }
        outside.into_iter().chain((0..config.num_hidden_layers).flat_map(|layer| layer_tensors(config, layer)))
    }

    /// Bytes of the weights as they are stored, from the headers alone; checks every name and shape.
    ///
    /// Nothing may grow with a size of a config that did not pass here: a file can claim any.
    pub async fn weight_bytes(folder: &dyn Folder, config: &ModelConfig) -> Result<u64> {
        check_tensors(config, &TensorFiles::open(folder).await?)
    }

    /// Reads a model folder onto the device, `positions` rows of the rotary table included.
    ///
    /// No weight is ever whole in host memory; `progress` is told the bytes read so far and may stop
    /// by returning false.
    pub async fn load(
        gpu: &Gpu,
        folder: &dyn Folder,
        config: ModelConfig,
        positions: usize,
        max_block_bytes: u64,
        progress: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Self> {
        let files = TensorFiles::open(folder).await?;
        check_tensors(&config, &files)?;
        let hash = blake3::Hasher::new();
        let last_hash = hash.finalize();
        let mut loader = Loader { gpu, files: &files, max_block_bytes, hash, last_hash, progress, done: 0 };
        loader.hash.update(format!("{config:?}").as_bytes());
        let (vocab, hidden) = (config.vocab_size, config.hidden_size);
        let embed_tokens = loader.weight("model.embed_tokens.weight", vocab, hidden).await?;
        let embedding_hash = loader.last_hash;
        let mut layers = Vec::with_capacity(config.num_hidden_layers);
        for index in 0..config.num_hidden_layers {
            layers.push(loader.layer(&config, index).await?);
        }
        let norm = loader.vector("model.norm.weight", hidden).await?;
        let mut lm_head = None;
        if has_head(&config, &files) {
            let head = loader.weight("lm_head.weight", vocab, hidden).await?;
            // As transformers 5: a tied head that is stored all the same counts if it differs from the embedding.
            if !config.tie_word_embeddings || loader.last_hash != embedding_hash {
                lm_head = Some(head);
            }
            if config.tie_word_embeddings && lm_head.is_some() {
                log::warn!("config.json ties the head to the embedding, but the file has another head: it is used");
            }
        }
        let hash = loader.hash.finalize().to_hex().to_string();
        let table = config.rope_table(positions);
        let (rows, cols) = (positions as u32, config.head_dim as u32);
        let rope_table = gpu.upload("rope_table", rows, cols, Dtype::F32, table.as_flattened());
        gpu.check()?;
        Ok(Self { config, hash, embed_tokens, layers, norm, lm_head, rope_table })
    }

    /// What the choice of kernels follows from.
    pub fn tuning(&self) -> Tuning {
        let linears = self.layers.iter().flat_map(|layer| &layer.linears).map(|linear| &linear.weight);
        let weights = linears.chain([&self.embed_tokens]).chain(&self.lm_head);
        let mut formats: Vec<Dtype> = weights.map(Weight::dtype).collect();
        formats.sort();
        formats.dedup();
        Tuning { formats, head_dim: self.config.head_dim as u32 }
    }

    /// Positions that the rotary table covers: no sequence may be longer.
    pub fn positions(&self) -> usize {
        self.rope_table.rows() as usize
    }

    /// The layers' outputs of a batch into `acts.x`; `acts` comes from `Activations::load`.
    pub fn forward(&self, rec: &mut Recorder<'_>, acts: &Activations, adapter: Option<&Adapter>) {
        self.embed(rec, acts);
        for index in 0..self.layers.len() {
            self.context(index, adapter).forward(rec, acts, None);
        }
    }

    /// Log-probability, mean logit, entropy and hit of every scored token into `acts.token_stats`.
    ///
    /// The vocabulary is taken in chunks, the tokens in blocks, so that a batch's logits never exist at once. With
    /// `want_pull` the derivative of each log-probability with respect to its hidden row is made on the way.
    pub fn score(&self, rec: &mut Recorder<'_>, acts: &Activations, want_pull: bool) {
        let (last, head) = (&acts.x[self.layers.len()], self.head());
        gather_rows(rec, last, &acts.rows, &acts.picked);
        rmsnorm_forward(rec, &acts.picked, &self.norm, self.config.rms_norm_eps as f32, &acts.normed, &acts.rstd);
        for (first, block) in &head.blocks {
            embedding(rec, &acts.labels, block, *first, &acts.label_rows);
        }
        let n = acts.picked.rows();
        for first in (0..n).step_by(TOKEN_BLOCK as usize) {
            let rows = TOKEN_BLOCK.min(n - first);
            let part = |t: &Tensor| t.row_range(first, rows);
            let labels = acts.labels.row_range(first, rows);
            let (normed, state, pull) = (part(&acts.normed), part(&acts.state), part(&acts.pull));
            for (i, (column, chunk)) in chunks(head, acts.logits.cols()).into_iter().enumerate() {
                let logits = acts.logits.view(rows, chunk.rows().next_multiple_of(4));
                matmul_forward(rec, Class::Main, &normed, &chunk, 1.0, 0, Epilogue::default(), &logits);
                logprob_forward(rec, &labels, &logits, column, chunk.rows(), i == 0, want_pull, &state, &pull);
                if want_pull {
                    let store = if i == 0 { Store::Set } else { Store::Add };
                    matmul_backward_input(rec, &logits, &chunk, 1.0, store, 0, None, &pull);
                }
            }
            let (label_rows, stats) = (part(&acts.label_rows), part(&acts.token_stats));
            logprob_finish(rec, &labels, &state, &label_rows, head.rows, want_pull, &stats, &pull);
        }
    }

    /// Adds to the adapter's gradients, given `dlogp` (sequences): the derivative of the loss with respect to the
    /// log-probability of every token of each sequence. Follows `forward` and `score` with `want_pull`.
    pub fn backward(&self, rec: &mut Recorder<'_>, acts: &Activations, adapter: &Adapter, dlogp: &Tensor) {
        logprob_backward(rec, dlogp, &acts.sequence, &acts.pull);
        rec.clear(&acts.dpicked);
        rmsnorm_backward(rec, &acts.pull, &acts.picked, &self.norm, &acts.rstd, &acts.dpicked);
        scatter_rows(rec, &acts.dpicked, &acts.sources, &acts.dx);
        let lowest = adapter.settings.targets.iter().map(|(layer, _)| *layer).min().unwrap_or(0);
        for index in (lowest..self.layers.len()).rev() {
            let context = self.context(index, Some(adapter));
            if acts.checkpointing() {
                context.forward(rec, acts, None);
            }
            context.backward(rec, acts, index > lowest);
        }
    }

    /// Logits of the picked rows, over the whole vocabulary, into `logits` (N, V up to rounding).
    pub fn last_logits(&self, rec: &mut Recorder<'_>, acts: &Activations, logits: &Tensor) {
        gather_rows(rec, &acts.x[self.layers.len()], &acts.rows, &acts.picked);
        self.logits(rec, &acts.picked, &acts.normed, &acts.rstd, logits);
    }

    /// The final norm of a few rows of the residual stream, and their logits over the whole vocabulary.
    pub fn logits(&self, rec: &mut Recorder<'_>, x: &Tensor, normed: &Tensor, rstd: &Tensor, logits: &Tensor) {
        rmsnorm_forward(rec, x, &self.norm, self.config.rms_norm_eps as f32, normed, rstd);
        for (first, block) in &self.head().blocks {
            matmul_forward(rec, Class::Decode, normed, block, 1.0, *first, Epilogue::default(), logits);
        }
    }

    /// As `forward`, for texts that are generated: their keys and values go to the rows `slots` of the caches.
    pub(super) fn forward_cached(
        &self,
        rec: &mut Recorder<'_>,
        acts: &Activations,
        adapter: Option<&Adapter>,
        caches: &[Tensor],
        slots: &Tensor,
        stage: Stage,
    ) {
        self.embed(rec, acts);
        for (index, kv) in caches.iter().enumerate() {
            self.context(index, adapter).forward(rec, acts, Some(&Cache { kv, slots, stage }));
        }
    }

    fn embed(&self, rec: &mut Recorder<'_>, acts: &Activations) {
        for (first, block) in &self.embed_tokens.blocks {
            embedding(rec, &acts.ids, block, *first, &acts.x[0]);
        }
    }

    fn head(&self) -> &Weight {
        self.lm_head.as_ref().unwrap_or(&self.embed_tokens)
    }

    fn context<'a>(&'a self, index: usize, adapter: Option<&'a Adapter>) -> Context<'a> {
        let (config, rope_table) = (&self.config, &self.rope_table);
        Context { index, config, layer: &self.layers[index], adapter, rope_table }
    }
}

/// The head's rows in parts of at most `len` rows, with the first row of each.
fn chunks(head: &Weight, len: u32) -> Vec<(u32, Tensor)> {
    let mut chunks = Vec::new();
    for (first, block) in &head.blocks {
        for row in (0..block.rows()).step_by(len as usize) {
            chunks.push((first + row, block.row_range(row, len.min(block.rows() - row))));
        }
    }
    chunks
}

/// True if a head is read: it must be there unless it is tied, and then it may be.
fn has_head(config: &ModelConfig, files: &TensorFiles) -> bool {
    !config.tie_word_embeddings || files.contains("lm_head.weight")
}

/// Bytes of all tensors of a model, each of which is in the headers with the config's shape.
fn check_tensors(config: &ModelConfig, files: &TensorFiles) -> Result<u64> {
    let (layers, tensors) = (config.num_hidden_layers, files.names().count());
    if layers > tensors {
        return Err(Error::input(
            format!("config.json has {layers} layers (num_hidden_layers), but the weights are {tensors} tensors"),
            "Use the config.json that came with these weights",
            files.folder(),
        ));
    }
    let mut bytes = 0;
    for (name, shape) in Model::tensors(config, has_head(config, files)) {
        bytes += files.expect(&stored_name(files, &name), &shape)?.bytes();
    }
    Ok(bytes)
}

fn layer_tensors(config: &ModelConfig, layer: usize) -> Vec<(String, Vec<usize>)> {
    let at = |name: &str| format!("model.layers.{layer}.{name}.weight");
    let norms = ["input_layernorm", "post_attention_layernorm"];
    let mut tensors: Vec<(String, Vec<usize>)> = norms.map(|norm| (at(norm), vec![config.hidden_size])).into();
    for module in Module::ALL {
        let (path, (input, output)) = (module.path(layer), module.dims(config));
        tensors.push((format!("{path}.weight"), vec![output, input]));
        if module.has_bias(config) {
            tensors.push((format!("{path}.bias"), vec![output]));
        }
    }
    tensors
}
