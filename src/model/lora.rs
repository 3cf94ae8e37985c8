//! LoRA: which modules have an adapter, its matrices on the device, its PEFT form.

use std::collections::{BTreeMap, BTreeSet};

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::error::{Error, Result};
use crate::files::{self, AdapterConfig, ModelConfig, TargetModules};
use crate::gpu::{Dtype, Gpu, Tensor};
use crate::kernels::Segments;

/// A linear layer that may have an adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
#[expect(missing_docs, reason = "the names are those of the Hugging Face modules")]
pub enum Module {
    QProj,
    KProj,
    VProj,
    OProj,
    GateProj,
    UpProj,
    DownProj,
}

impl Module {
    /// All of them, in the order of the forward pass.
    pub const ALL: [Self; 7] =
        [Self::QProj, Self::KProj, Self::VProj, Self::OProj, Self::GateProj, Self::UpProj, Self::DownProj];

    /// Full path of the module in layer `layer`, as PEFT writes it.
    pub fn path(self, layer: usize) -> String {
        let name = match self {
            Self::QProj => "self_attn.q_proj",
            Self::KProj => "self_attn.k_proj",
            Self::VProj => "self_attn.v_proj",
            Self::OProj => "self_attn.o_proj",
            Self::GateProj => "mlp.gate_proj",
            Self::UpProj => "mlp.up_proj",
            Self::DownProj => "mlp.down_proj",
        };
        format!("model.layers.{layer}.{name}")
    }

    /// Columns of its input and of its output.
    pub fn dims(self, config: &ModelConfig) -> (usize, usize) {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let queries = config.num_attention_heads * config.head_dim;
        let keys = config.num_key_value_heads * config.head_dim;
        match self {
            Self::QProj => (hidden, queries),
            Self::KProj | Self::VProj => (hidden, keys),
            Self::OProj => (queries, hidden),
            Self::GateProj | Self::UpProj => (hidden, inner),
            Self::DownProj => (inner, hidden),
        }
    }

    /// True if the model has a bias for it.
    pub(super) fn has_bias(self, config: &ModelConfig) -> bool {
        match self {
            Self::QProj | Self::KProj | Self::VProj | Self::OProj => config.attention_bias,
            Self::GateProj | Self::UpProj | Self::DownProj => config.mlp_bias,
        }
    }
}

/// Linear layers that read one input. They are computed as one, their outputs side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Group {
    /// Queries, keys and values.
    Qkv,
    /// The attention's output.
    Output,
    /// Gate and up.
    GateUp,
    /// Down.
    Down,
}

impl Group {
    /// All of them, in the order of the forward pass.
    pub const ALL: [Self; 4] = [Self::Qkv, Self::Output, Self::GateUp, Self::Down];

    /// Its layers, in the order of their columns.
    pub fn modules(self) -> &'static [Module] {
        match self {
            Self::Qkv => &[Module::QProj, Module::KProj, Module::VProj],
            Self::Output => &[Module::OProj],
            Self::GateUp => &[Module::GateProj, Module::UpProj],
            Self::Down => &[Module::DownProj],
        }
    }

    /// Columns of its input and of all its outputs.
    pub fn dims(self, config: &ModelConfig) -> (usize, usize) {
        let dims = self.modules().iter().map(|module| module.dims(config));
        dims.fold((0, 0), |(_, outputs), (input, output)| (input, outputs + output))
    }
}

/// What an adapter is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct AdapterSettings {
    /// PEFT's settings: rank, alpha, targets.
    pub config: AdapterConfig,
    /// The modules, as (layer, module), that `config.target_modules` names in this model.
    pub targets: Vec<(usize, Module)>,
}

impl AdapterSettings {
    /// Resolves the targets of `config` in a model; an error names a target that matches nothing.
    pub fn new(config: AdapterConfig, model: &ModelConfig) -> Result<Self> {
        let targets = match_targets(&config.target_modules, model)?;
        Ok(Self { config, targets })
    }

    /// Checks that `source` has the matrices of the targets and no others, before anything grows with its rank.
    ///
    /// An error names the first that is missing, unknown or of another shape, and says that it came from `from`.
    pub fn check(&self, model: &ModelConfig, source: &files::Adapter, from: &str) -> Result<()> {
        let r = self.config.r;
        let shapes = self.targets.iter().flat_map(|&(layer, module)| {
            let (input, out) = module.dims(model);
            [("A", vec![r, input]), ("B", vec![out, r])].map(|(side, shape)| (tensor_key(layer, module, side), shape))
        });
        check_matrices(shapes, &source.tensors, from)
    }

    /// Rank as it is stored on the device: the next multiple of 4, the rest being zero.
    pub fn padded_rank(&self) -> u32 {
        (self.config.r as u32).next_multiple_of(4)
    }

    /// The layers of the model that have an adapter.
    pub fn layers(&self) -> BTreeSet<usize> {
        self.targets.iter().map(|(layer, _)| *layer).collect()
    }

    /// The most ranks that the modules of a group have together in a layer.
    pub fn ranks(&self, group: Group) -> u32 {
        let layers = self.layers().into_iter();
        layers.map(|layer| self.adapted(layer, group).len() as u32 * self.padded_rank()).max().unwrap_or(0)
    }

    /// The most floats that a layer's matrices take on the device.
    pub fn layer_len(&self, model: &ModelConfig) -> u64 {
        self.layers().into_iter().map(|layer| self.layout(model, layer).1).max().unwrap_or(0)
    }

    /// The modules of a group that have an adapter in a layer.
    fn adapted(&self, layer: usize, group: Group) -> Vec<Module> {
        let modules = group.modules().iter().copied();
        modules.filter(|module| self.targets.contains(&(layer, *module))).collect()
    }

    /// Where the matrices of each group of a layer begin, in floats, and the floats of all.
    ///
    /// A group has the As of its adapted modules one below the other, and one B with a row for each of its columns,
    /// which is zero where a module has no adapter.
    fn layout(&self, model: &ModelConfig, layer: usize) -> (Vec<Place>, u64) {
        let (r, mut len) = (u64::from(self.padded_rank()), 0);
        let mut places = Vec::new();
        for group in Group::ALL {
            let modules = self.adapted(layer, group);
            if modules.is_empty() {
                continue;
            }
            let (input, output) = group.dims(model);
            // Each matrix begins at a multiple of 64 floats, 256 bytes.
            let a = len;
            let b = a + (modules.len() as u64 * r * input as u64).next_multiple_of(64);
            len = b + (r * output as u64).next_multiple_of(64);
            places.push(Place { group, modules, a, b });
        }
        (places, len)
    }
}

/// The matrices of a group, in floats from the beginning of the layer's.
#[derive(Debug, Clone)]
struct Place {
    group: Group,
    modules: Vec<Module>,
    a: u64,
    b: u64,
}

/// The modules that `targets` names, by PEFT's rule: the whole path, or its end after a dot.
pub fn match_targets(targets: &TargetModules, model: &ModelConfig) -> Result<Vec<(usize, Module)>> {
    let all = || (0..model.num_hidden_layers).flat_map(|layer| Module::ALL.map(|module| (layer, module)));
    // Each name once: a file may repeat one any number of times.
    let names: BTreeSet<&String> = match targets {
        TargetModules::AllLinear => return Ok(all().collect()),
        TargetModules::Names(names) => names.iter().collect(),
    };
    let hits = |name: &str, (layer, module): (usize, Module)| {
        let path = module.path(layer);
        path == name || path.strip_suffix(name).is_some_and(|head| head.ends_with('.'))
    };
    for name in &names {
        if !all().any(|target| hits(name, target)) {
            return Err(Error::input(
                format!("target_modules names \"{name}\", which is no linear layer of this model that can be adapted"),
                "Use some of q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj, or \"all-linear\"",
                "target_modules",
            ));
        }
    }
    Ok(all().filter(|target| names.iter().any(|name| hits(name, *target))).collect())
}

/// The matrices of the adapted modules of a group.
#[derive(Debug, Clone)]
pub struct LoraGroup {
    /// (ranks, in): the As of the modules, one below the other.
    pub a: Tensor,
    /// (out, r): the Bs, one below the other, zero for a module without an adapter.
    pub b: Tensor,
    /// The columns of each module, and where its inputs times A lie.
    pub segments: Segments,
    /// Floats before the gradient of A among the layer's.
    pub a_at: u32,
    /// Floats before the gradient of B.
    pub b_at: u32,
}

/// The matrices of a layer.
#[derive(Debug, Clone)]
pub struct LoraLayer {
    groups: [Option<LoraGroup>; 4],
    /// The gradients of all of them, one after another.
    pub grads: Tensor,
}

impl LoraLayer {
    /// The matrices of a group, if one of its modules has an adapter.
    pub fn group(&self, group: Group) -> Option<&LoraGroup> {
        self.groups[group as usize].as_ref()
    }
}

/// A matrix of a module within the blocks of an adapter.
#[derive(Debug, Clone, Copy)]
struct Matrix {
    side: &'static str,
    block: usize,
    at: u64,
    rows: usize,
    cols: usize,
}

/// Matrices by their PEFT key.
pub type Matrices = BTreeMap<String, files::Tensor>;

/// An adapter on the device. All matrices lie in a few long blocks, so that clipping and AdamW are a few dispatches.
pub struct Adapter {
    /// What it is made of.
    pub settings: AdapterSettings,
    /// Parameters, one tensor per block.
    pub params: Vec<Tensor>,
    /// Gradients, laid out as the parameters.
    pub grads: Vec<Tensor>,
    layers: BTreeMap<usize, LoraLayer>,
    /// True if the matrices of all layers lie alike.
    pub layers_alike: bool,
    /// By PEFT key.
    matrices: BTreeMap<String, Matrix>,
}

/// Floats of a block at most, unless a single layer has more.
const BLOCK_LEN: u64 = 16 << 20;

impl Adapter {
    /// An adapter of zeros for a model; `set` gives it values.
    pub fn new(gpu: &Gpu, model: &ModelConfig, settings: AdapterSettings) -> Self {
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
        let zeros = |name: &str| lens.iter().map(|&len| gpu.zeros(name, 1, len as u32, Dtype::F32)).collect();
        let (params, grads): (Vec<Tensor>, Vec<Tensor>) = (zeros("lora"), zeros("lora gradients"));
        let (mut layers, mut matrices) = (BTreeMap::new(), BTreeMap::new());
        for (layer, places, block, first, len) in layouts {
            let mut groups = [const { None }; 4];
            for place in places {
                matrices.extend(place.matrices(model, &settings, layer, block, first));
                groups[place.group as usize] = Some(place.group_of(model, &settings, &params[block], first));
            }
            let grads = grads[block].slice(first, 1, len as u32);
            layers.insert(layer, LoraLayer { groups, grads });
        }
        let groups = |layer: usize| Group::ALL.map(|group| settings.adapted(layer, group));
        let layers_alike = settings.layers().iter().all(|&layer| groups(layer) == groups(settings.targets[0].0));
        Self { settings, params, grads, layers, layers_alike, matrices }
    }

    /// The matrices of a layer, if it has any.
    pub fn layer(&self, layer: usize) -> Option<&LoraLayer> {
        self.layers.get(&layer)
    }

    /// What `B A x` is multiplied by.
    pub fn scale(&self) -> f32 {
        self.settings.config.scale() as f32
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

    /// Its gradients under the same names.
    pub async fn gradients(&self, gpu: &Gpu) -> Result<files::Adapter> {
        self.in_peft_form(gpu, &self.grads).await
    }

    async fn in_peft_form(&self, gpu: &Gpu, blocks: &[Tensor]) -> Result<files::Adapter> {
        Ok(files::Adapter { config: self.settings.config.clone(), tensors: self.read(gpu, blocks).await? })
    }

    /// An error that names the first matrix that is missing, unknown or of another shape; they came `from` there.
    pub fn check(&self, matrices: &Matrices, from: &str) -> Result<()> {
        let wanted = self.matrices.iter().map(|(key, matrix)| (key.clone(), self.stored_shape(matrix)));
        check_matrices(wanted, matrices, from)
    }

    /// Matrices out of blocks that are laid out as the parameters.
    pub async fn read(&self, gpu: &Gpu, blocks: &[Tensor]) -> Result<Matrices> {
        let mut contents = Vec::new();
        for block in blocks {
            contents.push(gpu.read(block).await?);
        }
        let matrices = self.matrices.iter().map(|(key, matrix)| {
            let data = &contents[matrix.block][matrix.at as usize..][..matrix.rows * matrix.cols];
            (key.clone(), files::Tensor { shape: self.stored_shape(matrix), data: self.unpad(matrix, data) })
        });
        Ok(matrices.collect())
    }

    /// Puts matrices, which passed `check`, into blocks that are laid out as the parameters.
    pub fn write(&self, gpu: &Gpu, blocks: &[Tensor], matrices: &Matrices) {
        for (key, matrix) in &self.matrices {
            let padded = self.pad(matrix, &matrices[key].data);
            gpu.write_bytes(&blocks[matrix.block], 4 * matrix.at, bytemuck::cast_slice(&padded));
        }
    }

    /// Matrices out of values in the order of versions before 0.2: each module's A and B, in the order of the targets.
    pub fn from_old_layout(&self, model: &ModelConfig, values: &[f32]) -> Option<Matrices> {
        let (mut rest, r) = (values, self.settings.padded_rank() as usize);
        let mut matrices = Matrices::new();
        for &(layer, module) in &self.settings.targets {
            let (input, output) = module.dims(model);
            for (side, rows, cols) in [("A", r, input), ("B", output, r)] {
                let (mine, others) = rest.split_at_checked((rows * cols).next_multiple_of(64))?;
                let key = tensor_key(layer, module, side);
                let matrix = self.matrices.get(&key)?;
                let data = self.unpad(matrix, &mine[..rows * cols]);
                matrices.insert(key, files::Tensor { shape: self.stored_shape(matrix), data });
                rest = others;
            }
        }
        rest.is_empty().then_some(matrices)
    }

    fn stored_shape(&self, matrix: &Matrix) -> Vec<usize> {
        let r = self.settings.config.r;
        if matrix.side == "A" { vec![r, matrix.cols] } else { vec![matrix.rows, r] }
    }

    /// From rank r to the padded rank: rows of A, columns of B.
    fn pad(&self, matrix: &Matrix, data: &[f32]) -> Vec<f32> {
        let mut padded = vec![0.0; matrix.rows * matrix.cols];
        let width = if matrix.side == "A" { matrix.cols } else { self.settings.config.r };
        for (to, from) in padded.chunks_exact_mut(matrix.cols).zip(data.chunks_exact(width)) {
            to[..width].copy_from_slice(from);
        }
        padded
    }

    fn unpad(&self, matrix: &Matrix, data: &[f32]) -> Vec<f32> {
        let r = self.settings.config.r;
        match matrix.side {
            "A" => data[..r * matrix.cols].to_vec(),
            _ => data.chunks_exact(matrix.cols).flat_map(|row| row[..r].iter().copied()).collect(),
        }
    }
}

impl Place {
    /// The matrices of the modules by PEFT key, for a layer that begins at float `first` of a block.
    fn matrices(
        &self,
        model: &ModelConfig,
        settings: &AdapterSettings,
        layer: usize,
        block: usize,
        first: u64,
    ) -> Vec<(String, Matrix)> {
        let r = settings.padded_rank() as usize;
        let (input, _) = self.group.dims(model);
        let (mut a, mut b) = (first + self.a, first + self.b);
        let mut matrices = Vec::new();
        for &module in self.group.modules() {
            let (_, output) = module.dims(model);
            if self.modules.contains(&module) {
                let of_a = Matrix { side: "A", block, at: a, rows: r, cols: input };
                let of_b = Matrix { side: "B", block, at: b, rows: output, cols: r };
                matrices.extend([of_a, of_b].map(|matrix| (tensor_key(layer, module, matrix.side), matrix)));
                a += (r * input) as u64;
            }
            b += (r * output) as u64;
        }
        matrices
    }

    /// The matrices of the group as they are used, for a layer that begins at float `first` of `params`.
    fn group_of(&self, model: &ModelConfig, settings: &AdapterSettings, params: &Tensor, first: u64) -> LoraGroup {
        let (r, (input, output)) = (settings.padded_rank(), self.group.dims(model));
        let (mut end, mut ranks) = (0, 0);
        let mut segments = Segments { ends: Vec::new(), u_at: Vec::new() };
        for &module in self.group.modules() {
            end += module.dims(model).1 as u32;
            let adapted = self.modules.contains(&module);
            segments.ends.push(end);
            segments.u_at.push(adapted.then_some(ranks));
            ranks += if adapted { r } else { 0 };
        }
        LoraGroup {
            a: params.slice(first + self.a, ranks, input as u32),
            b: params.slice(first + self.b, output as u32, r),
            segments,
            a_at: self.a as u32,
            b_at: self.b as u32,
        }
    }
}

/// A fresh adapter as PEFT initialises it: A uniform in ±1/sqrt(in) (Kaiming with a = sqrt 5), B zero.
pub fn fresh(settings: &AdapterSettings, model: &ModelConfig, seed: u64) -> files::Adapter {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let r = settings.config.r;
    let mut tensors = BTreeMap::new();
    for &(layer, module) in &settings.targets {
        let (input, out) = module.dims(model);
        let bound = 1.0 / (input as f32).sqrt();
        let a = (0..r * input).map(|_| rng.random_range(-bound..bound)).collect();
        tensors.insert(tensor_key(layer, module, "A"), files::Tensor { shape: vec![r, input], data: a });
        let b = files::Tensor { shape: vec![out, r], data: vec![0.0; out * r] };
        tensors.insert(tensor_key(layer, module, "B"), b);
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

fn tensor_key(layer: usize, module: Module, side: &str) -> String {
    format!("base_model.model.{}.lora_{side}.weight", module.path(layer))
}
