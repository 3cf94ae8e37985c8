//! Models and adapters as GGUF files, whose metadata is read back and compared with the model.

use serde_json::{Map, Value as Json};

use crate::data::{GgufTokenizer, Modelfile, Tokenizer};
use crate::engine::compare::writing;
use crate::error::{Error, Result};
use crate::files::{
    self, Array, GgmlType, Gguf, GgufArch, GgufModel, GgufValue as Value, Llama3Scaling, ModelFiles, RopeFactors,
    TensorFiles, gguf_config,
};
use crate::model::{Architecture, Mixer, Model, NormKind, Rope, RopeScaling};
use crate::platform::{Folder, FolderWriter, read_all};

/// A model folder to export, and what was read of it.
pub struct GgufSource<'a> {
    /// Its files.
    pub folder: &'a dyn Folder,
    /// Its config.
    pub config: &'a Architecture,
    /// Its tokenizer.
    pub tokenizer: &'a Tokenizer,
    /// Name of the model in the file.
    pub name: &'a str,
}

/// Content of a GGUF file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GgufKind {
    /// The adapter by itself, in full precision.
    Lora,
    /// The whole model, matrices in this type.
    Model(GgmlType),
}

/// Result of writing a GGUF file.
#[derive(Debug, Clone, Copy)]
pub struct Written {
    /// Bytes of the GGUF file.
    pub bytes: u64,
    /// Weights that the adapter was added to, or that it has matrices for.
    pub adapted: usize,
}

/// Writes a GGUF file called `file` and Ollama's file for it, `modelfile`.
///
/// `adapter` comes with its origin, for errors; without one the model is written as it is. `progress` is told the bytes
/// done and in all, and may stop by returning false.
///
/// The metadata is read back before any weight is read. An error names a difference that would make another model or
/// other tokens, a family or a setting that GGUF has no words for, or an adapter that does not fit.
pub async fn write_gguf(
    source: &GgufSource<'_>,
    adapter: Option<(&files::Adapter, &str)>,
    kind: GgufKind,
    to: &mut dyn FolderWriter,
    [file, modelfile]: [&str; 2],
    progress: &mut dyn FnMut(u64, u64) -> bool,
) -> Result<Written> {
    let files = ModelFiles::open(source.folder).await?;
    let ends = writing::eos_ids(source.folder, source.config, source.tokenizer).await;
    let model = plan(source, &files, &ends).await?;
    let written = match (kind, adapter) {
        (GgufKind::Lora, None) => {
            return Err(Error::input("There is no adapter to write", "Name one, or write the whole model", ""));
        }
        (GgufKind::Lora, Some((values, from))) => {
            let bytes = model.lora(values, from, source.name)?;
            to.begin(file).await?;
            to.write(&bytes).await?;
            to.end().await?;
            Written { bytes: bytes.len() as u64, adapted: values.tensors.len() / 2 }
        }
        (GgufKind::Model(ggml_type), adapter) => {
            if matches!(files, ModelFiles::Safetensors(_)) {
                check(source, &model, ggml_type).await?;
            }
            let adapted = model.write(adapter, ggml_type, to, file, progress).await?;
            Written { bytes: model.bytes(ggml_type)?, adapted }
        }
    };
    let text = Modelfile {
        gguf: file,
        is_adapter: kind == GgufKind::Lora,
        tokenizer: source.tokenizer,
        ends: &ends,
        context: source.config.max_position_embeddings,
        generation: &generation_config(source.folder).await,
    };
    to.begin(modelfile).await?;
    to.write(text.text().as_bytes()).await?;
    to.end().await?;
    Ok(written)
}

/// The adapter that `write_gguf` wrote, read again; `adapter` is what it was. Errors say what is missing in it.
pub async fn read_lora(source: &GgufSource<'_>, file: &Gguf, adapter: &files::Adapter) -> Result<files::Adapter> {
    let files = ModelFiles::open(source.folder).await?;
    plan(source, &files, &[]).await?.read_lora(file, adapter).await
}

/// `generation_config.json`, which is optional, and so is whatever is in it.
async fn generation_config(folder: &dyn Folder) -> Map<String, Json> {
    let Ok(source) = folder.open("generation_config.json") else { return Map::new() };
    let bytes = read_all(source.as_ref()).await.unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

/// The tensors of a model and its metadata, if it has an architecture in GGUF.
async fn plan<'a>(source: &GgufSource<'_>, files: &'a ModelFiles, ends: &[u32]) -> Result<GgufModel<'a>> {
    let tensors = match files {
        ModelFiles::Gguf(weights) => {
            let mut model = GgufModel::of_gguf(weights)?;
            if let Some(template) = source.tokenizer.chat().written(source.tokenizer.own_template()) {
                model.set("tokenizer.chat_template", Value::String(template));
            }
            return Ok(model);
        }
        ModelFiles::Safetensors(tensors) => tensors,
    };
    let config = source.config;
    let Some(arch) = GgufArch::of_model_type(&config.model_type) else {
        return Err(Error::input(
            format!("llama.cpp's name for the model_type \"{}\" is not known", config.model_type),
            format!("Export it as safetensors, or use a model of one of: {}", GgufArch::names()),
            source.folder.name(),
        ));
    };
    let (mut metadata, factors) = metadata(source, arch)?;
    metadata.extend(source.tokenizer.gguf_metadata(config.vocab_size, ends)?);
    let heads = [("num_attention_heads", config.attention.heads), ("num_key_value_heads", config.attention.kv_heads)];
    let heads = heads.into_iter().map(|(key, n)| (key.to_owned(), n.into())).collect();
    let mut stored = Model::stored_tensors(config, files);
    if config.tie_word_embeddings {
        let is_head = |name: &str| config.names.heads.iter().any(|head| name.strip_suffix(".weight") == Some(head));
        let (embedding, head) = (stored[0].1.clone(), stored.iter().position(|(name, ..)| is_head(name)));
        // A head that is the embedding once more says nothing new.
        if let Some(at) = head
            && are_same(tensors, &embedding, &stored[at].1).await?
        {
            stored.remove(at);
        }
    }
    GgufModel::new(tensors, arch, heads, metadata, factors, stored)
}

/// True if two tensors have the same bytes.
async fn are_same(files: &TensorFiles, a: &str, b: &str) -> Result<bool> {
    const SLICE_BYTES: u64 = 32 << 20;
    let len = files.info(a)?.bytes();
    if files.info(b)?.bytes() != len {
        return Ok(false);
    }
    for at in (0..len).step_by(SLICE_BYTES as usize) {
        let n = SLICE_BYTES.min(len - at) as usize;
        if files.read(a, at, n).await? != files.read(b, at, n).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The metadata of one architecture, key by key.
struct Keys {
    arch: &'static str,
    list: Vec<(String, Value)>,
}

impl Keys {
    fn put(&mut self, key: &str, value: Value) {
        self.list.push((format!("{}.{key}", self.arch), value));
    }

    fn size(&mut self, key: &str, n: usize) {
        self.put(key, Value::U32(n as u32));
    }

    fn number(&mut self, key: &str, x: f64) {
        self.put(key, Value::F32(x as f32));
    }

    fn text(&mut self, key: &str, text: &str) {
        self.put(key, Value::String(text.to_owned()));
    }
}

/// Returns the metadata of a model as llama.cpp's converter writes it, and the factors of its rotary embeddings. The
/// inverse is `files::gguf_config`.
fn metadata(source: &GgufSource<'_>, arch: GgufArch) -> Result<(Vec<(String, Value)>, RopeFactors)> {
    let config = source.config;
    let text = |key: &str, text: &str| (format!("general.{key}"), Value::String(text.to_owned()));
    let list = vec![text("architecture", arch.name()), text("type", "model"), text("name", source.name)];
    let mut keys = Keys { arch: arch.name(), list };
    keys.size("block_count", config.num_hidden_layers);
    keys.size("context_length", config.max_position_embeddings);
    keys.size("embedding_length", config.hidden_size);
    keys.size("feed_forward_length", config.mlp.inner);
    keys.size("attention.head_count", config.attention.heads);
    match arch {
        GgufArch::Lfm2 => {
            let heads = |layer| match config.kind(layer).mixer {
                Mixer::Attention { .. } => config.attention.kv_heads as i32,
                Mixer::ShortConv { .. } => 0,
            };
            let heads = (0..config.num_hidden_layers).map(heads).collect();
            keys.put("attention.head_count_kv", Value::Array(Array::I32(heads)));
        }
        _ => keys.size("attention.head_count_kv", config.attention.kv_heads),
    }
    keys.number(
        match config.norm {
            NormKind::Rms { .. } => "attention.layer_norm_rms_epsilon",
            NormKind::Layer => "attention.layer_norm_epsilon",
        },
        config.norm_eps,
    );
    keys.size("vocab_size", config.vocab_size);
    if !matches!(arch, GgufArch::Gpt2 | GgufArch::GptNeox | GgufArch::Phi3 | GgufArch::Lfm2) {
        keys.size("attention.key_length", config.attention.head_dim);
        keys.size("attention.value_length", config.attention.head_dim);
    }
    windows(source, arch, &mut keys)?;
    particulars(config, arch, &mut keys);
    let factors = rope(source, arch, &mut keys)?;
    Ok((keys.list, factors))
}

/// Adds the window, and the layers that have it for architectures where they differ.
fn windows(source: &GgufSource<'_>, arch: GgufArch, keys: &mut Keys) -> Result<()> {
    let config = source.config;
    let window = |layer| match config.kind(layer).mixer {
        Mixer::Attention { window, .. } => window,
        Mixer::ShortConv { .. } => None,
    };
    let slides: Vec<bool> = (0..config.num_hidden_layers).map(|layer| window(layer).is_some()).collect();
    let Some(width) = (0..config.num_hidden_layers).find_map(window) else {
        // Zero stands for none where llama.cpp wants the key.
        if arch == GgufArch::Phi3 {
            keys.size("attention.sliding_window", 0);
        }
        return Ok(());
    };
    // llama.cpp derives the layers that slide from the number of layers, and knows only the published model's 64.
    if arch == GgufArch::Exaone4 && config.num_hidden_layers != 64 {
        return Err(inexpressible(source, "windows in EXAONE 4 of other than 64 layers"));
    }
    keys.size("attention.sliding_window", width);
    if matches!(arch, GgufArch::Olmo2 | GgufArch::Exaone4) {
        keys.put("attention.sliding_window_pattern", Value::Array(Array::Bool(slides)));
    }
    Ok(())
}

/// Adds the keys that only some architectures have.
fn particulars(config: &Architecture, arch: GgufArch, keys: &mut Keys) {
    match arch {
        GgufArch::Gemma2 => {
            for (key, cap) in [
                ("attn_logit_softcapping", config.attention.softcap),
                ("final_logit_softcapping", config.logits_softcap),
            ] {
                if let Some(cap) = cap {
                    keys.number(key, cap);
                }
            }
        }
        GgufArch::GptNeox => keys.put("use_parallel_residual", Value::Bool(config.parallel_residual)),
        GgufArch::Granite => {
            keys.number("attention.scale", config.attention.scale);
            keys.number("embedding_scale", config.embedding_multiplier);
            keys.number("residual_scale", config.residual_multiplier);
            keys.number("logit_scale", 1.0 / config.logits_multiplier);
        }
        GgufArch::Lfm2 => {
            let taps = config.kinds.iter().find_map(|kind| match kind.mixer {
                Mixer::ShortConv { taps, .. } => Some(taps),
                Mixer::Attention { .. } => None,
            });
            keys.size("shortconv.l_cache", taps.unwrap_or(3));
        }
        GgufArch::Mistral3 => {
            if let Some(growth) = config.attention.query_growth {
                keys.number("attention.temperature_scale", growth.beta);
            }
        }
        _ => {}
    }
}

/// The rotary embedding of the layers that see everything; Gemma 3 has another for those that slide.
fn rope(source: &GgufSource<'_>, arch: GgufArch, keys: &mut Keys) -> Result<RopeFactors> {
    let config = source.config;
    let Some(rope) = config.ropes.first() else { return Ok(RopeFactors::None) };
    keys.size("rope.dimension_count", rope.dim);
    keys.number("rope.freq_base", rope.theta);
    if let (GgufArch::Gemma3, Some(sliding)) = (arch, config.ropes.get(1)) {
        keys.number("rope.freq_base_swa", sliding.theta);
    }
    let floats = |list: &[f64]| list.iter().map(|x| *x as f32).collect();
    let original = |keys: &mut Keys, n: usize| keys.size("rope.scaling.original_context_length", n);
    match &rope.scaling {
        RopeScaling::Default => {
            if arch == GgufArch::Phi3 {
                original(keys, config.max_position_embeddings);
            }
        }
        RopeScaling::Linear { factor } => {
            keys.text("rope.scaling.type", "linear");
            keys.number("rope.scaling.factor", *factor);
        }
        RopeScaling::Yarn { factor, beta_fast, beta_slow, original_max_position_embeddings, .. } => {
            keys.text("rope.scaling.type", "yarn");
            keys.number("rope.scaling.factor", *factor);
            original(keys, *original_max_position_embeddings);
            keys.number("rope.scaling.yarn_beta_fast", *beta_fast);
            keys.number("rope.scaling.yarn_beta_slow", *beta_slow);
            // Ministral's scales of cosines and sines, which are the same and so have no effect.
            if arch == GgufArch::Mistral3 {
                keys.number("rope.scaling.yarn_log_multiplier", 1.0);
            }
        }
        // llama.cpp refuses a file with factors that the graph of its architecture does not take.
        RopeScaling::Llama3 { .. } if !matches!(arch, GgufArch::Llama | GgufArch::Exaone4) => {
            return Err(inexpressible(source, "the rope_type \"llama3\" in this family"));
        }
        RopeScaling::LongRope { .. } if arch != GgufArch::Phi3 => {
            return Err(inexpressible(source, "the rope_type \"longrope\" in this family"));
        }
        RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_position_embeddings } => {
            original(keys, *original_max_position_embeddings);
            let scaling = Llama3Scaling {
                factor: *factor,
                low: *low_freq_factor,
                high: *high_freq_factor,
                original: *original_max_position_embeddings as f64,
            };
            return Ok(RopeFactors::llama3(&scaling, rope.theta, rope.dim / 2));
        }
        RopeScaling::LongRope { short_factor, long_factor, attention_factor, original_max_position_embeddings } => {
            original(keys, *original_max_position_embeddings);
            keys.number("rope.scaling.attn_factor", *attention_factor);
            return Ok(RopeFactors::ByLength { long: floats(long_factor), short: floats(short_factor) });
        }
        RopeScaling::Dynamic { .. } => return Err(inexpressible(source, "the rope_type \"dynamic\"")),
    }
    Ok(RopeFactors::None)
}

/// The error of a model that GGUF, as llama.cpp reads it, has no words for.
fn inexpressible(source: &GgufSource<'_>, what: &str) -> Error {
    Error::input(
        format!("llama.cpp would compute another model from a GGUF file: it does not know {what}"),
        "Export the model as safetensors instead",
        source.folder.name(),
    )
}

/// Reads the metadata of a file that is to be written, and compares the model and the tokens with those that are meant.
async fn check(source: &GgufSource<'_>, model: &GgufModel<'_>, ggml_type: GgmlType) -> Result<()> {
    let gguf = Gguf::open(model.outline(ggml_type, source.folder.name())?).await?;
    let read = Architecture::from_map(&gguf_config(&gguf).await?, gguf.name())?;
    if let Some((what, meant, found)) = difference(source.config, &read) {
        return Err(inexpressible(source, &format!("{what} {meant}, but takes {found}")));
    }
    let read = GgufTokenizer::new(&gguf)?;
    for text in SAMPLES {
        let meant = source.tokenizer.encode(text, true)?;
        let found = read.tokenizer.encode_fast(text, true).map(|found| found.get_ids().to_vec());
        if found.as_ref().ok() != Some(&meant) {
            return Err(Error::input(
                format!("GGUF cannot hold this tokenizer: {text:?} would be other tokens"),
                "Export the model as safetensors instead",
                source.folder.name(),
            ));
        }
    }
    Ok(())
}

/// Texts whose tokens tell ways to cut text apart.
const SAMPLES: [&str; 7] = [
    "Hello world, it's a test: we're sure THEY'LL see 3 33 333 3333.",
    "  Leading and trailing  \n\n\n next\tline\r\n ",
    "def f(x):\n    return x**2  # 'quoted' \"text\"\n",
    "\u{4f60}\u{597d}\u{ff0c}\u{4e16}\u{754c} \u{65e5}\u{672c}\u{8a9e} \u{41f}\u{440}\u{438}\u{432}\u{435}\u{442}",
    "na\u{ef}ve caf\u{e9} \u{1f680} \u{2705} 3.14 \u{20ac}5 \u{661}\u{662}",
    "https://example.com/a?b=1&c=2 snake_case CamelCase x=y; !!! ... ???",
    "<|im_start|>user\nHi<|im_end|>\n<start_of_turn>model\nYes<end_of_turn>\n<s>[INST] a [/INST]</s>",
];

/// Returns the first difference between two models: its name, the intended value and the value read. Names of tensors,
/// the type of weights, and whether the head is stored by itself may differ.
fn difference(meant: &Architecture, read: &Architecture) -> Option<(String, String, String)> {
    let [a, b] = [meant, read];
    let (m, n) = (&a.attention, &b.attention);
    let growth = |model: &Architecture| model.attention.query_growth.map_or(0.0, |growth| growth.beta);
    let numbers = [
        ("an epsilon of", a.norm_eps, b.norm_eps),
        ("a scale of attention of", m.scale, n.scale),
        ("a cap of scores of", m.softcap.unwrap_or(0.0), n.softcap.unwrap_or(0.0)),
        ("a cap of logits of", a.logits_softcap.unwrap_or(0.0), b.logits_softcap.unwrap_or(0.0)),
        ("a residual_multiplier of", a.residual_multiplier, b.residual_multiplier),
        ("an embedding_multiplier of", a.embedding_multiplier, b.embedding_multiplier),
        ("a multiplier of logits of", a.logits_multiplier, b.logits_multiplier),
        ("a growth of queries of", growth(a), growth(b)),
    ];
    if let Some((what, x, y)) = numbers.into_iter().find(|(_, x, y)| !is_close(*x, *y)) {
        return Some((what.to_owned(), x.to_string(), y.to_string()));
    }
    let sizes = |model: &Architecture| {
        let attention = &model.attention;
        [
            ("layers:", format!("{}", model.num_hidden_layers)),
            ("a width of", format!("{}", model.hidden_size)),
            ("a vocabulary of", format!("{}", model.vocab_size)),
            ("a context of", format!("{}", model.max_position_embeddings)),
            ("the norm", format!("{:?}", model.norm)),
            ("the MLP", format!("{:?}", model.mlp)),
            ("heads:", format!("{:?}", [attention.heads, attention.kv_heads, attention.head_dim])),
            ("norms of queries and keys:", format!("{:?}", attention.qk_norm)),
            ("attention that is scaled by layer:", attention.scale_by_layer.to_string()),
            ("a parallel residual:", model.parallel_residual.to_string()),
        ]
    };
    if let Some(((what, x), (_, y))) = sizes(a).into_iter().zip(sizes(b)).find(|(x, y)| x != y) {
        return Some((what.to_owned(), x, y));
    }
    (0..a.num_hidden_layers).find_map(|layer| {
        let (x, y) = (a.kind(layer), b.kind(layer));
        let at = |what: &str| format!("{what} in layer {layer}:");
        if x.linears != y.linears {
            return Some((at("linear layers"), format!("{:?}", x.linears), format!("{:?}", y.linears)));
        }
        let (window, turn) = (window_of(x.mixer), rope_of(a, x.mixer));
        let (other, other_turn) = (window_of(y.mixer), rope_of(b, y.mixer));
        if window != other {
            return Some((at("a window"), format!("{window:?}"), format!("{other:?}")));
        }
        let same = match (turn, other_turn) {
            (None, None) => true,
            (Some(x), Some(y)) => turns_alike(x, y, a.max_position_embeddings),
            _ => false,
        };
        (!same).then(|| (at("a rotary embedding"), format!("{turn:?}"), format!("{other_turn:?}")))
    })
}

/// Returns true and the window for attention, false and the number of taps for a convolution.
fn window_of(mixer: Mixer) -> (bool, Option<usize>) {
    match mixer {
        Mixer::Attention { window, .. } => (true, window),
        Mixer::ShortConv { taps, .. } => (false, Some(taps)),
    }
}

fn rope_of(model: &Architecture, mixer: Mixer) -> Option<&Rope> {
    match mixer {
        Mixer::Attention { rope, .. } => rope.and_then(|rope| model.ropes.get(rope)),
        Mixer::ShortConv { .. } => None,
    }
}

/// True if two rotary embeddings turn by the same angles, in short texts and in the longest.
fn turns_alike(a: &Rope, b: &Rope, longest: usize) -> bool {
    [1, longest].into_iter().all(|longest| {
        let (x, y) = (a.table(2, longest), b.table(2, longest));
        let flat = |table: Vec<[f32; 2]>| table.into_iter().flatten().collect::<Vec<f32>>();
        let (x, y) = (flat(x), flat(y));
        x.len() == y.len() && x.iter().zip(&y).all(|(x, y)| is_close(f64::from(*x), f64::from(*y)))
    })
}

/// Equal but for the rounding to single precision.
fn is_close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-5 * a.abs().max(b.abs())
}
