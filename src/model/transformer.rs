//! The decoder: embed, layers, norm, head; backward in reverse.

use serde_json::Map;

use super::activations::{Activations, TOKEN_BLOCK};
use super::architecture::{Architecture, Group, Mixer, NormKind, QkNorm};
use super::layer::{Cache, Context, Stage};
use super::load_in::{LoadIn, WeightBytes};
use super::lora::Adapter;
use super::rope::RopeTables;
use super::weights::{Layer, Loader, Norm, Weight, dtype_of, stored_name};
use crate::error::{Error, Result};
use crate::files::{HfTensor, ModelFiles, gguf_in};
use crate::gpu::{Dtype, Gpu, Recorder, Tensor};
use crate::kernels::{
    Class, Epilogue, Logits, Store, Tuning, add_positions, embedding, entropy_backward, gather_rows, logprob_backward,
    logprob_finish, logprob_forward, matmul_backward_input, matmul_forward, scatter_rows, softcap, value_backward,
    value_backward_weight, value_forward,
};
use crate::platform::{Folder, read_all};

/// A base model on the device, frozen. There is one copy of it; adapters are separate.
pub struct Model {
    /// Architecture, from `config.json`.
    pub config: Architecture,
    /// Hash of every weight that was read, of the config, and of how the weights were quantised if they were.
    pub hash: String,
    embedding: Weight,         // (V, H)
    positions: Option<Tensor>, // (positions, H), where they are learned
    layers: Vec<Layer>,
    norm: Norm,
    head: Option<Weight>, // (V, H); none if it is the embedding
    ropes: Vec<RopeTables>,
    /// Tokens of the longest sequence that fits.
    room: usize,
}

impl Model {
    /// Reads `config.json` of a model folder, or a GGUF file's description of its model. If the folder holds no model,
    /// an error says what kind of folder it is.
    pub async fn config(folder: &dyn Folder) -> Result<Architecture> {
        let files = folder.files();
        if gguf_in(folder).is_some() {
            let files = ModelFiles::open(folder).await?;
            return Architecture::from_map(files.config().unwrap_or(&Map::new()), files.name());
        }
        if !files.iter().any(|f| f == "config.json") {
            // The weights' reader knows what an adapter or a pickle looks like.
            ModelFiles::open(folder).await?;
            return Err(Error::input(
                "There is no config.json",
                "Name a Hugging Face model folder with config.json, tokenizer.json and model.safetensors",
                folder.name(),
            ));
        }
        let source = folder.open("config.json")?;
        Architecture::from_bytes(&read_all(source.as_ref()).await?, source.name())
    }

    /// Lists name and shape of every tensor of a model, one layer at a time, because a config may claim any number of
    /// layers.
    ///
    /// `head` is the name of the head, if it is separate from the embedding.
    pub fn tensors<'a>(
        config: &'a Architecture,
        head: Option<&str>,
    ) -> impl Iterator<Item = (String, Vec<usize>)> + use<'a> {
        let (vocab, hidden, names) = (config.vocab_size, config.hidden_size, &config.names);
        let at = |name: &str| format!("{}.{name}", names.base);
        let mut outside = vec![(format!("{}.weight", at(names.embedding)), vec![vocab, hidden])];
        if config.learned_positions {
            outside.push((format!("{}.weight", at(names.positions)), vec![config.max_position_embeddings, hidden]));
        }
        outside.extend(norm_tensors(config, &at(names.norm)));
        if let Some(head) = head {
            outside.push((format!("{head}.weight"), vec![vocab, hidden]));
        }
        outside.into_iter().chain((0..config.num_hidden_layers).flat_map(|layer| layer_tensors(config, layer)))
    }

    /// Lists the tensors of a model in files: name, name in the file, and shape.
    pub fn stored_tensors(config: &Architecture, files: &ModelFiles) -> Vec<HfTensor> {
        let tensors = Self::tensors(config, head_name(config, files));
        tensors.map(|(name, shape)| (name.clone(), stored_name(config, files, &name), shape)).collect()
    }

    /// Returns the bytes of the weights, stored and on the device, from the headers alone; checks every name and shape.
    ///
    /// Nothing may grow with a size of a config that did not pass this check, because a file can claim any size.
    pub async fn weight_bytes(folder: &dyn Folder, config: &Architecture) -> Result<WeightBytes> {
        check_tensors(config, &ModelFiles::open(folder).await?)
    }

    /// Reads a model folder onto the device, with `positions` rows of the rotary table. `load_in` quantises its linear
    /// layers on the way.
    ///
    /// No weight is ever whole in host memory; `progress` receives the bytes read so far and may stop by returning
    /// false.
    pub async fn load(
        gpu: &Gpu,
        folder: &dyn Folder,
        config: Architecture,
        load_in: LoadIn,
        positions: usize,
        max_block_bytes: u64,
        progress: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Self> {
        let files = ModelFiles::open(folder).await?;
        check_tensors(&config, &files)?;
        let hash = blake3::Hasher::new();
        let last_hash = hash.finalize();
        let mut loader = Loader {
            gpu,
            config: &config,
            files: &files,
            load_in,
            max_block_bytes,
            hash,
            last_hash,
            progress,
            done: 0,
        };
        loader.hash.update(config.identity.as_bytes());
        // Weights as stored add nothing, because their hashes are older than the choice.
        if load_in != LoadIn::Stored {
            loader.hash.update(load_in.name().as_bytes());
        }
        let (vocab, hidden, names) = (config.vocab_size, config.hidden_size, &config.names);
        let at = |name: &str| format!("{}.{name}", names.base);
        let embedding = loader.weight(&format!("{}.weight", at(names.embedding)), vocab, hidden).await?;
        let embedding_hash = loader.last_hash;
        let positions_table = match config.learned_positions {
            true => Some(loader.positions(&format!("{}.weight", at(names.positions))).await?),
            false => None,
        };
        let mut layers = Vec::with_capacity(config.num_hidden_layers);
        for index in 0..config.num_hidden_layers {
            layers.push(loader.layer(index).await?);
        }
        let norm = loader.norm(&at(names.norm)).await?;
        let mut head = None;
        if let Some(name) = head_name(&config, &files) {
            let weight = loader.weight(&format!("{name}.weight"), vocab, hidden).await?;
            // A tied head that is stored all the same counts if it differs from the embedding, as in transformers 5.
            if !config.tie_word_embeddings || loader.last_hash != embedding_hash {
                head = Some(weight);
            }
            if config.tie_word_embeddings && head.is_some() {
                log::warn!("config.json ties the head to the embedding, but the file has another head: it is used");
            }
        }
        let hash = loader.hash.finalize().to_hex().to_string();
        let growth = config.attention.query_growth;
        let ropes = config.ropes.iter().map(|rope| RopeTables::new(gpu, rope, growth, positions)).collect();
        let room = if config.learned_positions { positions.min(config.max_position_embeddings) } else { positions };
        gpu.check()?;
        Ok(Self { config, hash, embedding, positions: positions_table, layers, norm, head, ropes, room })
    }

    /// Properties of the model that decide the choice of kernels.
    pub fn tuning(&self) -> Tuning {
        let linears = self.layers.iter().flat_map(|layer| &layer.linears).map(|linear| &linear.weight);
        let weights = linears.chain([&self.embedding]).chain(&self.head);
        let mut formats: Vec<Dtype> = weights.flat_map(Weight::dtypes).collect();
        formats.sort();
        formats.dedup();
        Tuning { formats, head_dim: self.config.wide_head_dim() as u32 }
    }

    /// Number of positions: no sequence may be longer.
    pub fn positions(&self) -> usize {
        self.room
    }

    /// Computes the layers' outputs of a batch into `acts.x`; `acts` comes from `Activations::load`.
    pub fn forward(&self, rec: &mut Recorder<'_>, acts: &Activations, adapter: Option<&Adapter>) {
        self.refresh(rec, adapter);
        self.embed(rec, acts);
        for index in 0..self.layers.len() {
            self.context(index, adapter).forward(rec, acts, None);
        }
    }

    /// Computes log-probability, mean logit, entropy and hit of every scored token into `acts.token_stats`, from logits
    /// divided by a `temperature`.
    ///
    /// It takes the vocabulary in chunks and the tokens in blocks, so that a batch's logits never exist at once. If
    /// `want_pull`, it also computes the derivative of each log-probability with respect to its hidden row.
    pub fn score(&self, rec: &mut Recorder<'_>, acts: &Activations, temperature: f32, want_pull: bool) {
        let head = self.head();
        self.pick(rec, acts);
        for (first, block) in &head.blocks {
            embedding(rec, &acts.labels, block, *first, 1.0, &acts.label_rows);
        }
        let (n, kind) = (acts.picked.rows(), self.logits_kind().at(temperature));
        for first in (0..n).step_by(TOKEN_BLOCK as usize) {
            let rows = TOKEN_BLOCK.min(n - first);
            let part = |t: &Tensor| t.row_range(first, rows);
            let labels = acts.labels.row_range(first, rows);
            let (normed, state, pull) = (part(&acts.normed), part(&acts.state), part(&acts.pull));
            for (i, (column, chunk)) in chunks(head, acts.logits.cols()).into_iter().enumerate() {
                let logits = acts.logits.view(rows, chunk.rows().next_multiple_of(4));
                matmul_forward(
                    rec,
                    Class::Main,
                    &normed,
                    &chunk,
                    kind.product_scale(),
                    0,
                    Epilogue::default(),
                    &logits,
                );
                logprob_forward(rec, &labels, &logits, column, chunk.rows(), i == 0, want_pull, kind, &state, &pull);
                if want_pull {
                    let store = if i == 0 { Store::Set } else { Store::Add };
                    matmul_backward_input(rec, &logits, &chunk, kind.product_scale(), store, 0, None, &pull);
                }
            }
            let (label_rows, stats) = (part(&acts.label_rows), part(&acts.token_stats));
            logprob_finish(rec, &labels, &state, &label_rows, head.rows, want_pull, kind, &stats, &pull);
        }
    }

    /// Computes the score of every scored token's row into `values` (N,1), by the adapter's head.
    pub fn values(&self, rec: &mut Recorder<'_>, acts: &Activations, adapter: &Adapter, values: &Tensor) {
        self.pick(rec, acts);
        if let Some([head, _]) = &adapter.score {
            value_forward(rec, &acts.normed, head, values);
        }
    }

    /// Adds to the gradients of the adapter and its head, given `dvalues` (N,1): the derivative of the loss with
    /// respect to every score. Follows `forward` and `values`.
    pub fn backward_values(&self, rec: &mut Recorder<'_>, acts: &Activations, adapter: &Adapter, dvalues: &Tensor) {
        if let Some([head, gradient]) = &adapter.score {
            value_backward_weight(rec, dvalues, &acts.normed, gradient);
            value_backward(rec, dvalues, head, &acts.pull);
        }
        self.backward_of_normed(rec, acts, adapter);
    }

    /// Gathers the rows that predict, and norms them.
    fn pick(&self, rec: &mut Recorder<'_>, acts: &Activations) {
        gather_rows(rec, &acts.x[self.layers.len()], &acts.rows, &acts.picked);
        self.norm.forward(rec, &self.config, &acts.picked, &acts.normed, &acts.rstd);
    }

    /// Adds to the adapter's gradients, given `dlogp` (N): the derivative of the loss with respect to the
    /// log-probability of every scored token. Follows `forward` and `score` with `want_pull`.
    pub fn backward(&self, rec: &mut Recorder<'_>, acts: &Activations, adapter: &Adapter, dlogp: &Tensor) {
        logprob_backward(rec, dlogp, &acts.pull);
        self.backward_of_normed(rec, acts, adapter);
    }

    /// Like `backward`, for log-probabilities at a `temperature`. `dentropy` (N) is the derivative of the loss with
    /// respect to every scored token's entropy; its part costs one more pass over the vocabulary.
    pub fn backward_with_entropy(
        &self,
        rec: &mut Recorder<'_>,
        acts: &Activations,
        adapter: &Adapter,
        dlogp: &Tensor,
        dentropy: Option<&Tensor>,
        temperature: f32,
    ) {
        logprob_backward(rec, dlogp, &acts.pull);
        if let Some(dentropy) = dentropy {
            self.entropy(rec, acts, dentropy, temperature);
        }
        self.backward_of_normed(rec, acts, adapter);
    }

    /// Adds the entropies' part to the gradient of the hidden rows.
    fn entropy(&self, rec: &mut Recorder<'_>, acts: &Activations, dentropy: &Tensor, temperature: f32) {
        let (head, n, kind) = (self.head(), acts.picked.rows(), self.logits_kind().at(temperature));
        for first in (0..n).step_by(TOKEN_BLOCK as usize) {
            let rows = TOKEN_BLOCK.min(n - first);
            let part = |t: &Tensor| t.row_range(first, rows);
            let (normed, state, pull) = (part(&acts.normed), part(&acts.state), part(&acts.pull));
            let dentropy = dentropy.slice(u64::from(first), 1, rows);
            for (_, chunk) in chunks(head, acts.logits.cols()) {
                let logits = acts.logits.view(rows, chunk.rows().next_multiple_of(4));
                let scale = kind.product_scale();
                matmul_forward(rec, Class::Main, &normed, &chunk, scale, 0, Epilogue::default(), &logits);
                entropy_backward(rec, &logits, &state, &dentropy, chunk.rows(), kind);
                matmul_backward_input(rec, &logits, &chunk, scale, Store::Add, 0, None, &pull);
            }
        }
    }

    /// Like `backward`, given the derivative with respect to the final norm's output in `acts.pull` (N,H).
    fn backward_of_normed(&self, rec: &mut Recorder<'_>, acts: &Activations, adapter: &Adapter) {
        self.norm.backward(rec, &acts.pull, &acts.picked, &acts.rstd, Store::Set, &acts.dpicked);
        scatter_rows(rec, &acts.dpicked, &acts.sources, &acts.dx);
        let lowest = adapter.settings.targets.iter().map(|target| target.layer).min().unwrap_or(0);
        for index in (lowest..self.layers.len()).rev() {
            let context = self.context(index, Some(adapter));
            if acts.checkpointing() {
                context.forward(rec, acts, None);
            }
            context.backward(rec, acts, index > lowest);
        }
    }

    /// Computes the logits of the picked rows over the whole vocabulary into `logits` (N, V up to rounding).
    pub fn last_logits(&self, rec: &mut Recorder<'_>, acts: &Activations, logits: &Tensor) {
        gather_rows(rec, &acts.x[self.layers.len()], &acts.rows, &acts.picked);
        self.logits(rec, &acts.picked, &acts.normed, &acts.rstd, logits);
    }

    /// Computes the final norm of a few rows of the residual stream, and their logits over the whole vocabulary.
    pub fn logits(&self, rec: &mut Recorder<'_>, x: &Tensor, normed: &Tensor, rstd: &Tensor, logits: &Tensor) {
        self.norm.forward(rec, &self.config, x, normed, rstd);
        let kind = self.logits_kind();
        for (first, block) in &self.head().blocks {
            matmul_forward(rec, Class::Decode, normed, block, kind.scale, *first, Epilogue::default(), logits);
        }
        if kind.softcap > 0.0 {
            softcap(rec, logits, kind.softcap);
        }
    }

    /// Columns that layer `index` keeps of each token of a text that is generated.
    pub(super) fn cache_columns(&self, index: usize) -> usize {
        match self.config.kind(index).mixer {
            Mixer::Attention { .. } => 2 * self.config.attention.kv_heads * self.config.wide_head_dim(),
            Mixer::ShortConv { .. } => self.config.hidden_size,
        }
    }

    /// Like `forward`, for texts that are generated: layers store what they keep in the rows `slots` of the caches.
    pub(super) fn forward_cached(
        &self,
        rec: &mut Recorder<'_>,
        acts: &Activations,
        adapter: Option<&Adapter>,
        caches: &[Tensor],
        slots: &Tensor,
        stage: Stage,
    ) {
        self.refresh(rec, adapter);
        self.embed(rec, acts);
        for (index, kept) in caches.iter().enumerate() {
            self.context(index, adapter).forward(rec, acts, Some(&Cache { kept, slots, stage }));
        }
    }

    /// Gives a fresh DoRA adapter the lengths of the weights' rows; does nothing for LoRA.
    ///
    /// The adapter's other matrices are on the device already, and add nothing.
    pub fn measure(&self, gpu: &Gpu, adapter: &Adapter) {
        let mut rec = gpu.recorder();
        self.norms(&mut rec, adapter, true);
        rec.submit();
        adapter.changed();
    }

    /// Updates DoRA's norms from parameters and weights, if the parameters have changed since.
    fn refresh(&self, rec: &mut Recorder<'_>, adapter: Option<&Adapter>) {
        if let Some(adapter) = adapter.filter(|adapter| adapter.stale.take()) {
            self.norms(rec, adapter, false);
        }
    }

    fn norms(&self, rec: &mut Recorder<'_>, adapter: &Adapter, fresh: bool) {
        let strength = adapter.settings.strength;
        for (index, layer) in self.layers.iter().enumerate() {
            for group in Group::ALL {
                if let Some(lora) = adapter.layer(index).and_then(|lora| lora.group(group)) {
                    lora.measure(rec, &layer.linear(group).weight, strength, fresh);
                }
            }
        }
    }

    fn embed(&self, rec: &mut Recorder<'_>, acts: &Activations) {
        for (first, block) in &self.embedding.blocks {
            embedding(rec, &acts.ids, block, *first, self.config.embedding_multiplier as f32, &acts.x[0]);
        }
        if let Some(table) = &self.positions {
            add_positions(rec, &acts.spans, table, &acts.x[0]);
        }
    }

    fn head(&self) -> &Weight {
        self.head.as_ref().unwrap_or(&self.embedding)
    }

    fn logits_kind(&self) -> Logits {
        let softcap = self.config.logits_softcap.unwrap_or(0.0) as f32;
        Logits { scale: self.config.logits_multiplier as f32, softcap, temperature: 1.0 }
    }

    fn context<'a>(&'a self, index: usize, adapter: Option<&'a Adapter>) -> Context<'a> {
        let rope = match self.config.kind(index).mixer {
            Mixer::Attention { rope, .. } => rope.map(|rope| &self.ropes[rope]),
            Mixer::ShortConv { .. } => None,
        };
        Context { index, config: &self.config, layer: &self.layers[index], adapter, rope }
    }
}

/// Splits the head's rows into parts of at most `len` rows, with the first row of each.
fn chunks(head: &Weight, len: u32) -> Vec<(u32, Tensor)> {
    let mut chunks = Vec::new();
    for (first, block) in &head.blocks {
        for row in (0..block.rows()).step_by(len as usize) {
            chunks.push((first + row, block.row_range(row, len.min(block.rows() - row))));
        }
    }
    chunks
}

/// Name of the head in the files. A head that is not tied must be there; a tied one may be.
fn head_name(config: &Architecture, files: &ModelFiles) -> Option<&'static str> {
    let stored = config.names.heads.iter().find(|name| files.contains(&format!("{name}.weight")));
    stored.or(config.names.heads.first().filter(|_| !config.tie_word_embeddings)).copied()
}

/// Returns the bytes of all tensors of a model; each must be in the headers with the config's shape.
fn check_tensors(config: &Architecture, files: &ModelFiles) -> Result<WeightBytes> {
    let (layers, tensors) = (config.num_hidden_layers, files.n_tensors());
    if layers > tensors {
        return Err(Error::input(
            format!("config.json has {layers} layers (num_hidden_layers), but the weights are {tensors} tensors"),
            "Use the config.json that came with these weights",
            files.name(),
        ));
    }
    let mut bytes = WeightBytes { stored: 0, linear: 0, elements: 0 };
    for (name, shape) in Model::tensors(config, head_name(config, files)) {
        bytes.stored += files.expect(&stored_name(config, files, &name), &shape)?.bytes;
    }
    for layer in 0..layers {
        for module in config.modules(layer) {
            let (linear, name) = (config.linear(layer, module), format!("{}.weight", config.path(layer, module)));
            let matrix = files.expect(&stored_name(config, files, &name), &linear.shape())?;
            if WeightBytes::is_quantised(dtype_of(matrix.stored), linear.input) {
                bytes.linear += matrix.bytes;
                bytes.elements += (linear.input * linear.output) as u64;
            }
        }
    }
    Ok(bytes)
}

fn norm_tensors(config: &Architecture, path: &str) -> Vec<(String, Vec<usize>)> {
    let parts: &[&str] = if config.norm == NormKind::Layer { &["weight", "bias"] } else { &["weight"] };
    parts.iter().map(|part| (format!("{path}.{part}"), vec![config.hidden_size])).collect()
}

fn layer_tensors(config: &Architecture, layer: usize) -> Vec<(String, Vec<usize>)> {
    let path = config.layer_path(layer);
    let mut tensors: Vec<_> =
        config.norms.iter().flat_map(|name| norm_tensors(config, &format!("{path}.{name}"))).collect();
    let mut add = |name: &str, shape: Vec<usize>| tensors.push((format!("{path}.{name}"), shape));
    for linear in config.kind(layer).linears.iter().flatten() {
        add(&format!("{}.weight", linear.path), linear.shape());
        if linear.bias {
            add(&format!("{}.bias", linear.path), vec![linear.output]);
        }
    }
    match config.kind(layer).mixer {
        Mixer::ShortConv { taps, bias } => {
            add("conv.conv.weight", vec![config.hidden_size, 1, taps]);
            if bias {
                add("conv.conv.bias", vec![config.hidden_size]);
            }
        }
        Mixer::Attention { .. } if config.norms_qk() => {
            let (queries, keys) = config.head_columns();
            for (name, columns) in config.attention.qk_norm_names.into_iter().zip([queries, keys]) {
                let whole = config.attention.qk_norm == QkNorm::Whole;
                add(&format!("{name}.weight"), vec![if whole { columns } else { config.attention.head_dim }]);
            }
        }
        Mixer::Attention { .. } => {}
    }
    tensors
}
