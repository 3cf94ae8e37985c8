//! LoRA and DoRA: the adapted modules, their matrices on the device, the adapter's PEFT form.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::architecture::{Architecture, Group, LinearSpec, Module, Stored};
use super::targets::{Part, Target, match_targets};
use super::weights::Weight;
use crate::error::{Error, Result};
use crate::files::{self, AdapterConfig, SCORE, Task};
use crate::gpu::{Dtype, Gpu, Recorder, Tensor};
use crate::kernels::{Segments, dora_norms, scale_segments, scaled_copy};

/// Settings of an adapter, resolved for a model.
#[derive(Debug, Clone, PartialEq)]
pub struct AdapterSettings {
    /// PEFT's settings: rank, alpha, targets.
    pub config: AdapterConfig,
    /// The linear layers that it targets in this model, in the order of the forward pass.
    pub targets: Vec<Target>,
    /// Factor of the adapter's effect: 1, unless a person compares strengths.
    pub strength: f32,
    /// Share of the inputs that training drops.
    pub dropout: f32,
}

impl AdapterSettings {
    /// Resolves the targets of `config` in a model; an error names a target that matches nothing.
    pub fn new(mut config: AdapterConfig, model: &Architecture) -> Result<Self> {
        let targets = match_targets(&config, model)?;
        config.fan_in_fan_out = targets.iter().any(|target| target.linear(model).stored == Stored::InOut);
        Ok(Self { config, targets, strength: 1.0, dropout: 0.0 })
    }

    /// Checks that `source` has the matrices of the targets and no others, before anything grows with its rank.
    ///
    /// An error names the first that is missing, unknown or of another shape, and says that it came from `from`.
    pub fn check(&self, model: &Architecture, source: &files::Adapter, from: &str) -> Result<()> {
        let parts = Part::of(self.config.use_dora);
        let shapes = self
            .targets
            .iter()
            .flat_map(|target| parts.iter().map(|&part| (target.key(model, part), target.shape(model, part))));
        let head = self.scores().then(|| (SCORE.to_owned(), vec![1, model.hidden_size]));
        check_matrices(shapes.chain(head), &source.tensors, from)
    }

    /// True if the adapter has a head that scores.
    pub fn scores(&self) -> bool {
        self.config.task == Task::SeqCls
    }

    /// The layers of the model that have an adapter.
    pub fn layers(&self) -> BTreeSet<usize> {
        self.targets.iter().map(|target| target.layer).collect()
    }

    /// Sum of the ranks of a group's modules, in the layer where it is largest.
    pub fn ranks(&self, group: Group) -> u32 {
        let of = |layer| self.adapted(layer, group).len() as u32 * self.padded_rank(layer, group);
        self.layers().into_iter().map(of).max().unwrap_or(0)
    }

    /// Floats of the tensors that DoRA derives from the model's weights on the device.
    pub fn norms_len(&self, model: &Architecture) -> u64 {
        let groups = |layer: usize| Group::ALL.into_iter().filter(move |group| !self.adapted(layer, *group).is_empty());
        let of = |layer: usize| {
            groups(layer).map(|group| NORMS * (model.dims(layer, group).1 as u64).next_multiple_of(64)).sum::<u64>()
        };
        if self.config.use_dora { self.layers().into_iter().map(of).sum() } else { 0 }
    }

    /// Largest number of floats that a layer's matrices take on the device.
    pub fn layer_len(&self, model: &Architecture) -> u64 {
        self.layers().into_iter().map(|layer| self.layout(model, layer).1).max().unwrap_or(0)
    }

    /// Rank of a group's matrices on the device: the largest of its modules, rounded up to a multiple of 4. Modules of
    /// a smaller rank are padded with zeros.
    fn padded_rank(&self, layer: usize, group: Group) -> u32 {
        let ranks = self.adapted(layer, group).into_iter().map(|target| target.rank as u32);
        ranks.max().unwrap_or(0).next_multiple_of(4)
    }

    /// The targets in a group of a layer.
    fn adapted(&self, layer: usize, group: Group) -> Vec<Target> {
        // The targets are sorted.
        let first = self.targets.partition_point(|target| (target.layer, target.module.group) < (layer, group));
        let rest = self.targets[first..].iter();
        rest.take_while(|target| (target.layer, target.module.group) == (layer, group)).copied().collect()
    }

    /// Returns the offsets of each group's matrices in a layer, and the length of all of them, in floats.
    ///
    /// A group has the As of its adapted modules one below the other, and one B with a row for each of its columns,
    /// which is zero where a module has no adapter. DoRA adds a number for each column.
    fn layout(&self, model: &Architecture, layer: usize) -> (Vec<Place>, u64) {
        let mut len = 0;
        let mut places = Vec::new();
        for group in Group::ALL {
            let targets = self.adapted(layer, group);
            if targets.is_empty() {
                continue;
            }
            let (input, output) = model.dims(layer, group);
            let rank = self.padded_rank(layer, group);
            // Each matrix begins at a multiple of 64 floats, 256 bytes.
            let a = len;
            let b = a + (targets.len() as u64 * u64::from(rank) * input as u64).next_multiple_of(64);
            len = b + (u64::from(rank) * output as u64).next_multiple_of(64);
            let magnitude = self.config.use_dora.then_some(len);
            len += if magnitude.is_some() { (output as u64).next_multiple_of(64) } else { 0 };
            places.push(Place { group, targets, rank, a, b, magnitude, strength: self.strength });
        }
        (places, len)
    }
}

/// Offsets of a group's matrices, in floats from the beginning of the layer's.
#[derive(Debug, Clone)]
struct Place {
    group: Group,
    targets: Vec<Target>,
    /// Padded rank, as on the device.
    rank: u32,
    a: u64,
    b: u64,
    magnitude: Option<u64>,
    strength: f32,
}

/// The matrices of the adapted modules of a group.
#[derive(Debug, Clone)]
pub struct LoraGroup {
    /// (ranks, in): the As of the modules, one below the other.
    pub a: Tensor,
    /// (out, r): the Bs, one below the other, zero for a module without an adapter.
    pub b: Tensor,
    /// Columns of each module, and offsets of the modules' inputs times A.
    pub segments: Segments,
    /// Factor of `B A x` for each module with an adapter; a single number if all are equal.
    pub scales: Vec<f32>,
    /// Offset of A's gradient among the layer's gradients, in floats.
    pub a_at: u32,
    /// Offset of B's gradient, in floats.
    pub b_at: u32,
    /// Lengths of the rows (DoRA only).
    pub magnitude: Option<Magnitude>,
}

/// The lengths of the rows of a group's adapted weights.
#[derive(Debug, Clone)]
pub struct Magnitude {
    /// (out): the lengths that the rows are brought to; zero for a module without an adapter.
    pub lengths: Tensor,
    /// (3, out rounded up to a multiple of 64): results of `dora_norms`.
    pub norms: Tensor,
    /// Offset of the gradient of `lengths`, in floats.
    pub at: u32,
}

/// Rows of `Magnitude::norms`.
const NORMS: u64 = 3;

/// The matrices of a layer.
#[derive(Debug, Clone)]
pub struct LoraLayer {
    groups: [Option<LoraGroup>; 4],
    /// Gradients of all groups, one after another.
    pub grads: Tensor,
}

impl LoraLayer {
    /// The matrices of a group, if one of its modules has an adapter.
    pub fn group(&self, group: Group) -> Option<&LoraGroup> {
        self.groups[group as usize].as_ref()
    }
}

/// A matrix of a module within the blocks of an adapter; DoRA's lengths are a column.
#[derive(Debug, Clone)]
struct Matrix {
    part: Part,
    block: usize,
    at: u64,
    rows: usize,
    cols: usize,
    /// Rank in PEFT's form.
    rank: usize,
    /// Rows of B or of a column in PEFT's form, in the order on the device: begin and number of each run.
    runs: Vec<(usize, usize)>,
}

/// Matrices by their PEFT key.
pub type Matrices = BTreeMap<String, files::Tensor>;

/// An adapter on the device. All matrices lie in a few long blocks, so that clipping and AdamW take few dispatches.
pub struct Adapter {
    /// Settings of the adapter.
    pub settings: AdapterSettings,
    /// Parameters, one tensor per block.
    pub params: Vec<Tensor>,
    /// Gradients, laid out as the parameters.
    pub grads: Vec<Tensor>,
    layers: BTreeMap<usize, LoraLayer>,
    /// True if the matrices of all layers have the same layout.
    pub layers_alike: bool,
    /// The head that scores (1, hidden), if it has one, and its gradient.
    pub(super) score: Option<[Tensor; 2]>,
    /// True if DoRA's norms no longer match the parameters.
    pub(super) stale: Cell<bool>,
    /// Matrices by PEFT key.
    matrices: BTreeMap<String, Matrix>,
}

/// Most floats of a block, unless a single layer has more.
const BLOCK_LEN: u64 = 16 << 20;

impl Adapter {
    /// Makes an adapter of zeros for a model; `set` gives it values.
    pub fn new(gpu: &Gpu, model: &Architecture, settings: AdapterSettings) -> Self {
        let max_len = BLOCK_LEN.min(gpu.max_tensor_bytes() / 4);
        // Block and first float of each layer.
        let (mut lens, mut layouts) = (vec![0], Vec::new());
        for layer in settings.layers() {
            let (places, len) = settings.layout(model, layer);
            if lens[lens.len() - 1] + len > max_len && lens[lens.len() - 1] > 0 {
                lens.push(0);
            }
            let block = lens.len() - 1;
            layouts.push((layer, places, block, lens[block], len));
            lens[block] += len;
        }
        // The head that scores is a block of its own.
        let hidden = model.hidden_size;
        if settings.scores() {
            lens.push(hidden as u64);
        }
        let zeros = |name: &str| lens.iter().map(|&len| gpu.zeros(name, 1, len as u32, Dtype::F32)).collect();
        let (params, grads): (Vec<Tensor>, Vec<Tensor>) = (zeros("lora"), zeros("lora gradients"));
        let (mut layers, mut matrices) = (BTreeMap::new(), BTreeMap::new());
        for (layer, places, block, first, len) in layouts {
            let mut groups = [const { None }; 4];
            for place in places {
                matrices.extend(place.matrices(model, layer, block, first));
                groups[place.group as usize] = Some(place.group_of(gpu, model, layer, &params[block], first));
            }
            let grads = grads[block].slice(first, 1, len as u32);
            layers.insert(layer, LoraLayer { groups, grads });
        }
        let groups = |layer: usize| {
            let kind = |target: &Target| (target.module, target.rank, *target.linear(model));
            let here = settings.targets.iter().filter(|target| target.layer == layer).map(kind);
            here.collect::<Vec<(Module, usize, LinearSpec)>>()
        };
        let layers_alike = settings.layers().iter().all(|&layer| groups(layer) == groups(settings.targets[0].layer));
        let score = settings.scores().then(|| {
            let block = params.len() - 1;
            let runs = vec![(0, 1)];
            let matrix = Matrix { part: Part::B, block, at: 0, rows: 1, cols: hidden, rank: hidden, runs };
            matrices.insert(SCORE.to_owned(), matrix);
            [&params, &grads].map(|blocks| blocks[block].view(1, hidden as u32))
        });
        Self { settings, params, grads, layers, layers_alike, score, stale: Cell::new(true), matrices }
    }

    /// True if it has a head that scores.
    pub fn has_score(&self) -> bool {
        self.score.is_some()
    }

    /// Must be called whenever the parameters on the device have changed.
    pub fn changed(&self) {
        self.stale.set(true);
    }

    /// The matrices of a layer, if it has any.
    pub fn layer(&self, layer: usize) -> Option<&LoraLayer> {
        self.layers.get(&layer)
    }

    /// Writes a PEFT adapter's matrices; an error names the first that is missing, unknown or of another shape.
    pub fn set(&self, gpu: &Gpu, source: &files::Adapter, from: &str) -> Result<()> {
        self.check(&source.tensors, from)?;
        self.write(gpu, &self.params, &source.tensors);
        Ok(())
    }

    /// The adapter in PEFT's form.
    pub async fn get(&self, gpu: &Gpu) -> Result<files::Adapter> {
        self.in_peft_form(gpu, &self.params).await
    }

    /// The adapter's gradients, under the same keys.
    pub async fn gradients(&self, gpu: &Gpu) -> Result<files::Adapter> {
        self.in_peft_form(gpu, &self.grads).await
    }

    async fn in_peft_form(&self, gpu: &Gpu, blocks: &[Tensor]) -> Result<files::Adapter> {
        Ok(files::Adapter { config: self.settings.config.clone(), tensors: self.read(gpu, blocks).await? })
    }

    /// Checks matrices that came from `from`; an error names the first that is missing, unknown or of another shape.
    pub fn check(&self, matrices: &Matrices, from: &str) -> Result<()> {
        let wanted = self.matrices.iter().map(|(key, matrix)| (key.clone(), matrix.stored_shape()));
        check_matrices(wanted, matrices, from)
    }

    /// Reads matrices from blocks that are laid out like the parameters.
    pub async fn read(&self, gpu: &Gpu, blocks: &[Tensor]) -> Result<Matrices> {
        let mut contents = Vec::new();
        for block in blocks {
            contents.push(gpu.read(block).await?);
        }
        let matrices = self.matrices.iter().map(|(key, matrix)| {
            let data = &contents[matrix.block][matrix.at as usize..][..matrix.rows * matrix.cols];
            (key.clone(), files::Tensor { shape: matrix.stored_shape(), data: matrix.unpad(data) })
        });
        Ok(matrices.collect())
    }

    /// Writes matrices that passed `check` into blocks that are laid out like the parameters.
    pub fn write(&self, gpu: &Gpu, blocks: &[Tensor], matrices: &Matrices) {
        self.changed();
        for (key, matrix) in &self.matrices {
            let padded = matrix.pad(&matrices[key].data);
            gpu.write_bytes(&blocks[matrix.block], 4 * matrix.at, bytemuck::cast_slice(&padded));
        }
    }

    /// Reads matrices from values in the order of versions before 0.2: each module's A and B, in the order of the
    /// targets.
    pub fn from_old_layout(&self, model: &Architecture, values: &[f32]) -> Option<Matrices> {
        let mut rest = values;
        let mut matrices = Matrices::new();
        for target in &self.settings.targets {
            let (linear, r) = (target.linear(model), target.rank.next_multiple_of(4));
            for (part, rows, cols) in [(Part::A, r, linear.input), (Part::B, linear.output, r)] {
                let (mine, others) = rest.split_at_checked((rows * cols).next_multiple_of(64))?;
                let key = target.key(model, part);
                let matrix = Matrix { rows, cols, ..self.matrices.get(&key)?.clone() };
                let data = matrix.unpad(&mine[..rows * cols]);
                matrices.insert(key, files::Tensor { shape: matrix.stored_shape(), data });
                rest = others;
            }
        }
        rest.is_empty().then_some(matrices)
    }
}

impl Matrix {
    fn stored_shape(&self) -> Vec<usize> {
        match self.part {
            Part::A => vec![self.rank, self.cols],
            Part::B => vec![self.rows, self.rank],
            Part::Magnitude => vec![self.rows],
        }
    }

    /// Pads a matrix from PEFT's form to the padded rank: rows of A, columns of B.
    fn pad(&self, data: &[f32]) -> Vec<f32> {
        let mut padded = vec![0.0; self.rows * self.cols];
        if self.part == Part::A {
            padded[..data.len()].copy_from_slice(data);
            return padded;
        }
        let sources = self.runs.iter().flat_map(|&(first, n)| first..first + n);
        for (to, from) in padded.chunks_exact_mut(self.cols).zip(sources) {
            to[..self.rank].copy_from_slice(&data[from * self.rank..][..self.rank]);
        }
        padded
    }

    fn unpad(&self, data: &[f32]) -> Vec<f32> {
        if self.part == Part::A {
            return data[..self.rank * self.cols].to_vec();
        }
        let mut stored = vec![0.0; self.rows * self.rank];
        let sources = self.runs.iter().flat_map(|&(first, n)| first..first + n);
        for (from, to) in data.chunks_exact(self.cols).zip(sources) {
            stored[to * self.rank..][..self.rank].copy_from_slice(&from[..self.rank]);
        }
        stored
    }
}

impl Place {
    /// The matrices of the modules by PEFT key, for a layer that begins at float `first` of a block.
    fn matrices(&self, model: &Architecture, layer: usize, block: usize, first: u64) -> Vec<(String, Matrix)> {
        let r = self.rank as usize;
        let (mut a, mut b) = (first + self.a, first + self.b);
        let mut lengths = self.magnitude.map(|at| first + at);
        let mut matrices = Vec::new();
        for (at, linear) in model.linears(layer, self.group).iter().enumerate() {
            if let Some(target) = self.targets.iter().find(|target| target.module.at == at) {
                let (rank, runs) = (target.rank, linear.runs());
                let of_a = Matrix { part: Part::A, block, at: a, rows: r, cols: linear.input, rank, runs: Vec::new() };
                let of_b = Matrix { part: Part::B, block, at: b, rows: linear.output, cols: r, rank, runs };
                let column = |at| Matrix { part: Part::Magnitude, at, cols: 1, rank: 1, ..of_b.clone() };
                let of_module = [Some(of_a), lengths.map(column), Some(of_b)].into_iter().flatten();
                matrices.extend(of_module.map(|matrix| (target.key(model, matrix.part), matrix)));
                a += (r * linear.input) as u64;
            }
            b += (r * linear.output) as u64;
            lengths = lengths.map(|at| at + linear.output as u64);
        }
        matrices
    }

    /// The matrices of the group as they are used, for a layer that begins at float `first` of `params`.
    fn group_of(&self, gpu: &Gpu, model: &Architecture, layer: usize, params: &Tensor, first: u64) -> LoraGroup {
        let (r, (input, output)) = (self.rank, model.dims(layer, self.group));
        let (mut end, mut ranks) = (0, 0);
        let mut segments = Segments { ends: Vec::new(), u_at: Vec::new() };
        let mut scales: Vec<f32> = Vec::new();
        for (at, linear) in model.linears(layer, self.group).iter().enumerate() {
            end += linear.output as u32;
            let target = self.targets.iter().find(|target| target.module.at == at);
            segments.ends.push(end);
            segments.u_at.push(target.map(|_| ranks));
            if let Some(target) = target {
                scales.push(target.scale as f32 * self.strength);
                ranks += r;
            }
        }
        if scales.iter().all(|scale| *scale == scales[0]) {
            scales.truncate(1);
        }
        LoraGroup {
            a: params.slice(first + self.a, ranks, input as u32),
            b: params.slice(first + self.b, output as u32, r),
            segments,
            scales,
            a_at: self.a as u32,
            b_at: self.b as u32,
            magnitude: self.magnitude.map(|at| Magnitude {
                lengths: params.slice(first + at, 1, output as u32),
                // Each row begins at a multiple of 256 bytes.
                norms: gpu.zeros("row norms", NORMS as u32, (output as u32).next_multiple_of(64), Dtype::F32),
                at: at as u32,
            }),
        }
    }
}

/// A fresh adapter as PEFT initialises it: A uniform in ±1/sqrt(in) (Kaiming with a = sqrt 5), B zero. DoRA's lengths
/// are zero too: they follow from the weights, and `Model::measure` sets them. A head that scores is drawn as
/// transformers does it by default, normal with a deviation of 0.02.
pub fn fresh(settings: &AdapterSettings, model: &Architecture, seed: u64) -> files::Adapter {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut tensors = BTreeMap::new();
    for target in &settings.targets {
        let bound = 1.0 / (target.linear(model).input as f32).sqrt();
        for &part in Part::of(settings.config.use_dora) {
            let shape = target.shape(model, part);
            let len = shape.iter().product();
            let data = match part {
                Part::A => (0..len).map(|_| rng.random_range(-bound..bound)).collect(),
                Part::B | Part::Magnitude => vec![0.0; len],
            };
            tensors.insert(target.key(model, part), files::Tensor { shape, data });
        }
    }
    if settings.scores() {
        let mut normal = || {
            let (u, v): (f32, f32) = (rng.random_range(f32::EPSILON..1.0), rng.random_range(0.0..1.0));
            (-2.0 * u.ln()).sqrt() * (2.0 * std::f32::consts::PI * v).cos() * 0.02
        };
        let data = (0..model.hidden_size).map(|_| normal()).collect();
        tensors.insert(SCORE.to_owned(), files::Tensor { shape: vec![1, model.hidden_size], data });
    }
    files::Adapter { config: settings.config.clone(), tensors }
}

/// Compares the matrices of an adapter with those that a model asks for, by key and shape.
fn check_matrices(wanted: impl Iterator<Item = (String, Vec<usize>)>, found: &Matrices, from: &str) -> Result<()> {
    let wrong = |key: &str, what: String| {
        Error::input(what, "Use the adapter with the base model it was made for", format!("{from}, tensor {key}"))
    };
    let mut known = BTreeSet::new();
    for (key, want) in wanted {
        match found.get(&key) {
            None => return Err(wrong(&key, "The adapter lacks this matrix".to_owned())),
            Some(matrix) if matrix.shape != want => {
                let what = format!("The matrix has the shape {:?}, but the model asks for {want:?}", matrix.shape);
                return Err(wrong(&key, what));
            }
            Some(_) => known.insert(key),
        };
    }
    match found.keys().find(|key| !known.contains(*key)) {
        Some(key) => Err(wrong(key, "This matrix belongs to no target module of this model".to_owned())),
        None => Ok(()),
    }
}

impl Magnitude {
    /// Factors of the product's columns.
    pub(super) fn gain(&self) -> Tensor {
        self.norm(0)
    }

    /// Reciprocal lengths of the rows of the adapted weights.
    pub(super) fn inverse(&self) -> Tensor {
        self.norm(1)
    }

    fn norm(&self, row: u32) -> Tensor {
        self.norms.row_range(row, 1).view(1, self.lengths.len())
    }
}

impl LoraGroup {
    /// Computes DoRA's norms from the parameters. If `fresh`, it then stores the current lengths of the rows as the
    /// lengths that they are brought to.
    pub(super) fn measure(&self, rec: &mut Recorder<'_>, weight: &Weight, strength: f32, fresh: bool) {
        let Some(magnitude) = &self.magnitude else { return };
        let Magnitude { lengths, norms, .. } = magnitude;
        for (first, block) in &weight.blocks {
            let (segments, scales) = (&self.segments, &self.scales);
            dora_norms(rec, &self.a, block, *first, &self.b, lengths, segments, scales, strength, norms);
        }
        if fresh {
            scaled_copy(rec, &magnitude.norm(2), 1.0, lengths);
        }
    }

    /// The factor of all modules' products; 1 if each module has its own.
    pub(super) fn one_scale(&self) -> f32 {
        if let [scale] = self.scales[..] { scale } else { 1.0 }
    }

    /// Scales the inputs or the gradients of each module by its own factor, if the factors differ.
    pub(super) fn scale_each(&self, rec: &mut Recorder<'_>, u: &Tensor) {
        if self.scales.len() > 1 {
            scale_segments(rec, u, &self.scales);
        }
    }
}
