//! LoRA: which modules have an adapter, its matrices on the device, its PEFT form.

use std::collections::{BTreeMap, BTreeSet};

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::error::{Error, Result};
use crate::files::{self, AdapterConfig, ModelConfig, TargetModules};
use crate::gpu::{Dtype, Gpu, Tensor};

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
        check_matrices(shapes, source, from)
    }

    /// Rank as it is stored on the device: the next multiple of 4, the rest being zero.
    pub fn padded_rank(&self) -> u32 {
        (self.config.r as u32).next_multiple_of(4)
    }
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

/// The matrices of one adapted module, and their gradients.
#[derive(Debug, Clone)]
pub struct LoraPair {
    /// (r, in)
    pub a: Tensor,
    /// (out, r)
    pub b: Tensor,
    /// (r, in)
    pub da: Tensor,
    /// (out, r)
    pub db: Tensor,
    /// Which block the matrices lie in, and where.
    place: Place,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    block: usize,
    a: u64,
    b: u64,
}

/// An adapter on the device. All matrices lie in a few long blocks, so that clipping and AdamW are a few dispatches.
pub struct Adapter {
    /// What it is made of.
    pub settings: AdapterSettings,
    /// Parameters, one tensor per block.
    pub params: Vec<Tensor>,
    /// Gradients, laid out as the parameters.
    pub grads: Vec<Tensor>,
    pairs: BTreeMap<(usize, Module), LoraPair>,
}

/// Floats of a block at most.
const BLOCK_LEN: u64 = 16 << 20;

impl Adapter {
    /// An adapter of zeros for a model; `set` gives it values.
    pub fn new(gpu: &Gpu, model: &ModelConfig, settings: AdapterSettings) -> Self {
        let r = settings.padded_rank();
        let max_len = BLOCK_LEN.min(gpu.max_tensor_bytes() / 4);
        let mut lens: Vec<u64> = vec![0];
        let mut places = Vec::new();
        for &(layer, module) in &settings.targets {
            let (input, out) = module.dims(model);
            // Each matrix begins at a multiple of 64 floats, 256 bytes.
            let a_len = (u64::from(r) * input as u64).next_multiple_of(64);
            let b_len = (u64::from(r) * out as u64).next_multiple_of(64);
            if lens[lens.len() - 1] + a_len + b_len > max_len && lens[lens.len() - 1] > 0 {
                lens.push(0);
            }
            let block = lens.len() - 1;
            let place = Place { block, a: lens[block], b: lens[block] + a_len };
            lens[block] += a_len + b_len;
            places.push(((layer, module), place, [input as u32, out as u32]));
        }
        let zeros = |name: &str| lens.iter().map(|&len| gpu.zeros(name, 1, len as u32, Dtype::F32)).collect();
        let (params, grads): (Vec<Tensor>, Vec<Tensor>) = (zeros("lora"), zeros("lora gradients"));
        let pairs = places
            .into_iter()
            .map(|(target, place, [input, out])| {
                let cut = |blocks: &[Tensor]| {
                    let block = &blocks[place.block];
                    (block.slice(place.a, r, input), block.slice(place.b, out, r))
                };
                let ((a, b), (da, db)) = (cut(&params), cut(&grads));
                (target, LoraPair { a, b, da, db, place })
            })
            .collect();
        Self { settings, params, grads, pairs }
    }

    /// The adapter of a module, if it has one.
    pub fn pair(&self, layer: usize, module: Module) -> Option<&LoraPair> {
        self.pairs.get(&(layer, module))
    }

    /// What `B A x` is multiplied by.
    pub fn scale(&self) -> f32 {
        self.settings.config.scale() as f32
    }

    /// Writes a PEFT adapter's matrices; an error names the first that is missing, unknown or of another shape.
    pub fn set(&self, gpu: &Gpu, source: &files::Adapter, from: &str) -> Result<()> {
        let matrices = || {
            self.pairs.iter().flat_map(|(&(layer, module), pair)| {
                [("A", &pair.a), ("B", &pair.b)].map(|(side, tensor)| (tensor_key(layer, module, side), side, tensor))
            })
        };
        check_matrices(matrices().map(|(key, side, tensor)| (key, self.stored_shape(side, tensor))), source, from)?;
        for (key, side, tensor) in matrices() {
            gpu.write(tensor, &self.pad(side, tensor, &source.tensors[&key].data));
        }
        Ok(())
    }

    /// The adapter in PEFT's form.
    pub async fn get(&self, gpu: &Gpu) -> Result<files::Adapter> {
        self.export(gpu, &self.params).await
    }

    /// Its gradients under the same names.
    pub async fn gradients(&self, gpu: &Gpu) -> Result<files::Adapter> {
        self.export(gpu, &self.grads).await
    }

    async fn export(&self, gpu: &Gpu, blocks: &[Tensor]) -> Result<files::Adapter> {
        let mut contents = Vec::new();
        for block in blocks {
            contents.push(gpu.read(block).await?);
        }
        let mut tensors = BTreeMap::new();
        for (&(layer, module), pair) in &self.pairs {
            for (side, tensor, at) in [("A", &pair.a, pair.place.a), ("B", &pair.b, pair.place.b)] {
                let block = &contents[pair.place.block];
                let data = self.unpad(side, tensor, &block[at as usize..at as usize + tensor.len() as usize]);
                let shape = self.stored_shape(side, tensor);
                tensors.insert(tensor_key(layer, module, side), files::Tensor { shape, data });
            }
        }
        Ok(files::Adapter { config: self.settings.config.clone(), tensors })
    }

    fn stored_shape(&self, side: &str, tensor: &Tensor) -> Vec<usize> {
        let [rows, cols] = tensor.dims().map(|n| n as usize);
        if side == "A" { vec![self.settings.config.r, cols] } else { vec![rows, self.settings.config.r] }
    }

    /// From rank r to the padded rank: rows of A, columns of B.
    fn pad(&self, side: &str, tensor: &Tensor, data: &[f32]) -> Vec<f32> {
        let [rows, cols] = tensor.dims().map(|n| n as usize);
        let mut padded = vec![0.0; rows * cols];
        let width = if side == "A" { cols } else { self.settings.config.r };
        for (to, from) in padded.chunks_exact_mut(cols).zip(data.chunks_exact(width)) {
            to[..width].copy_from_slice(from);
        }
        padded
    }

    fn unpad(&self, side: &str, tensor: &Tensor, data: &[f32]) -> Vec<f32> {
        let cols = tensor.cols() as usize;
        let r = self.settings.config.r;
        if side == "A" {
            data[..r * cols].to_vec()
        } else {
            data.chunks_exact(cols).flat_map(|row| row[..r].iter().copied()).collect()
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
fn check_matrices(
    wanted: impl Iterator<Item = (String, Vec<usize>)>,
    source: &files::Adapter,
    from: &str,
) -> Result<()> {
    let wrong = |key: &str, what: String| {
        Error::input(what, "Use the adapter with the base model it was made for", format!("{from}, tensor {key}"))
    };
    let mut known = BTreeSet::new();
    for (key, want) in wanted {
        match source.tensors.get(&key) {
            None => return Err(wrong(&key, "The adapter lacks this matrix".to_owned())),
            Some(found) if found.shape != want => {
                let what = format!("The matrix has the shape {:?}, but the model asks for {want:?}", found.shape);
                return Err(wrong(&key, what));
            }
            Some(_) => known.insert(key),
        };
    }
    match source.tensors.keys().find(|key| !known.contains(*key)) {
        Some(key) => Err(wrong(key, "This matrix belongs to no target module of this model".to_owned())),
        None => Ok(()),
    }
}

fn tensor_key(layer: usize, module: Module, side: &str) -> String {
    format!("base_model.model.{}.lora_{side}.weight", module.path(layer))
}
