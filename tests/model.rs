//! The cases of the oracle, whole: hidden states, logits, log-probabilities, gradients, every step of both runs,
//! the final adapters. `tests/fixtures/README.md` (the oracle's) says what the numbers are and how close is close.

mod common;
#[path = "common/random_llama.rs"]
mod random_llama;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use common::gpu;
use pairtune::bench::{self, RandomModel};
use pairtune::data::{Example, TokenPair, Tokenizer, read_pairs, tokenize};
use pairtune::files::{self, GgmlType, GgufArch, GgufValue, encode, parse, write_gguf};
use pairtune::gpu::{Dtype, Gpu, Precision};
use pairtune::kernels;
use pairtune::model::{
    Activations, Adapter, AdapterSettings, BatchSize, LinearSpec, LoadIn, Model, Packed, Part, Stored, fresh,
};
use pairtune::platform::native::{DiskFolder, DiskWriter};
use pairtune::platform::{Folder, MemoryFolder};
use pairtune::reference;
use pairtune::train::{PairLogps, PairSums, References, Scorer, TrainConfig, Trainer, batch_size, evaluation, plan};
use pollster::block_on;
use random_llama::{RandomLlama, Sizes};
use serde_json::{Map, Value, json};

const RUNS: [(&str, &str, &str); 2] =
    [("b_zero", "adapter_init", "adapter_final"), ("b_rand", "adapter_init_b", "adapter_final_b")];

/// A case of the oracle, its model on the device.
struct Case {
    name: &'static str,
    dir: PathBuf,
    spec: Value,
    expected: Value,
    tensors: BTreeMap<String, files::Tensor>,
    model: Model,
    tokenizer: Tokenizer,
    config: TrainConfig,
}

impl Case {
    fn open(gpu: &Gpu, name: &'static str) -> Self {
        Self::open_with_blocks(gpu, name, gpu.max_tensor_bytes())
    }

    fn open_with_blocks(gpu: &Gpu, name: &'static str, max_block_bytes: u64) -> Self {
        let dir = case_folder(name);
        let json = |file: &str| -> Value {
            let bytes = std::fs::read(dir.join(file)).expect("the fixture is there");
            serde_json::from_slice(&bytes).expect("the fixture is JSON")
        };
        let (spec, expected) = (json("case.json"), json("expected.json"));
        let bytes = std::fs::read(dir.join("grads.safetensors")).expect("the fixture is there");
        let tensors = parse("grads.safetensors", &bytes).expect("the fixture is sound");
        let folder = DiskFolder::open(&dir.join("model")).expect("the fixture is there");
        let model = block_on(async {
            let config = Model::config(&folder).await?;
            let room = longest(&expected);
            Model::load(gpu, &folder, config, LoadIn::Stored, room, max_block_bytes, &mut |_| true).await
        })
        .expect("the model loads");
        let tokenizer = block_on(Tokenizer::open(&folder)).expect("the tokenizer loads");
        let config = TrainConfig::from_map(&settings(&spec), "case.json").expect("the settings are known");
        Self { name, dir, spec, expected, tensors, model, tokenizer, config }
    }

    fn pairs(&self) -> Vec<TokenPair> {
        let bytes = std::fs::read(self.dir.join("pairs.jsonl")).expect("the fixture is there");
        let (records, errors) = read_pairs(&bytes, "pairs.jsonl").expect("the pairs can be read");
        assert!(errors.is_empty(), "every line is sound");
        tokenize(&records, &self.tokenizer, self.config.max_length).expect("pairs are left").pairs
    }

    fn adapter_file(&self, name: &str) -> files::Adapter {
        let folder = DiskFolder::open(&self.dir.join(name)).expect("the fixture is there");
        block_on(files::Adapter::read(&folder)).expect("the adapter can be read")
    }

    fn adapter(&self, gpu: &Gpu, name: &str) -> Adapter {
        let file = self.adapter_file(name);
        let settings = AdapterSettings::new(file.config.clone(), &self.model.config).expect("the targets exist");
        let adapter = Adapter::new(gpu, &self.model.config, settings);
        adapter.set(gpu, &file, name).expect("the adapter fits");
        adapter
    }

    fn scores(&self, gpu: &Gpu, pairs: &[TokenPair], adapter: Option<&Adapter>, batch: usize) -> Vec<PairLogps> {
        let settings = adapter.map(|a| &a.settings);
        let scorer = Scorer::new(gpu, &self.model, settings, pairs, batch).expect("the batch fits");
        block_on(scorer.score(pairs, adapter, &mut |_| true)).expect("scoring works")
    }

    fn references(&self, gpu: &Gpu, pairs: &[TokenPair], run: &str, init: &str) -> References {
        let adapter =
            (run == "b_rand" && self.spec["b_rand_reference"] == "initial_adapter").then(|| self.adapter(gpu, init));
        References { adapter, ..References::unknown(pairs.len()) }
    }

    fn trainer<'a>(&'a self, gpu: &'a Gpu, run: &str, init: &str) -> Trainer<'a> {
        let pairs = self.pairs();
        let reference = self.references(gpu, &pairs, run, init);
        let adapter = self.adapter(gpu, init);
        Trainer::new(gpu, &self.model, self.config.clone(), adapter, pairs, reference).expect("the run fits")
    }
}

/// The folder of a case.
fn case_folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// Tokens of the longest sequence of a case.
fn longest(expected: &Value) -> usize {
    let pairs = expected["tokens"].as_array().expect("a list").iter();
    let ids = pairs.flat_map(|pair| ["chosen", "rejected"].map(|side| pair[side]["input_ids"].as_array()));
    ids.flatten().map(Vec::len).max().expect("a pair")
}

/// TRL's names for the settings of a case.
fn settings(spec: &Value) -> Map<String, Value> {
    let (train, lora) = (&spec["train"], &spec["lora"]);
    let settings = json!({
        "loss_type": train["loss_type"],
        "loss_weights": train["loss_weights"],
        "beta": train["beta"],
        "label_smoothing": train["label_smoothing"],
        "per_device_train_batch_size": train["batch_size"],
        "gradient_accumulation_steps": train["grad_accum"],
        "max_steps": train["steps"],
        "learning_rate": train["lr"],
        "lr_scheduler_type": train["scheduler"],
        "warmup_steps": train["warmup_steps"],
        "weight_decay": train["weight_decay"],
        "max_grad_norm": train["max_grad_norm"],
        "max_length": train["max_length"],
        "adam_beta1": train["adam_beta1"],
        "adam_beta2": train["adam_beta2"],
        "adam_epsilon": train["adam_epsilon"],
        "train_sampling_strategy": "sequential",
        "r": lora["r"],
        "lora_alpha": lora["alpha"],
        "target_modules": lora["targets"],
        "use_rslora": lora["use_rslora"],
        "use_dora": lora.get("use_dora").unwrap_or(&json!(false)),
    });
    settings.as_object().expect("an object").clone()
}

#[track_caller]
fn assert_near(what: &str, got: f64, want: f64, tolerance: f64) {
    assert!((got - want).abs() <= tolerance, "{what}: {got}, expected {want} within {tolerance}");
}

/// Relative L2 distance over all tensors together.
fn distance<'a>(pairs: impl Iterator<Item = (&'a [f32], &'a [f32])>) -> f64 {
    let (mut difference, mut size) = (0.0, 0.0);
    for (got, want) in pairs {
        assert_eq!(got.len(), want.len(), "tensors of one size");
        for (&g, &w) in got.iter().zip(want) {
            difference += (f64::from(g) - f64::from(w)).powi(2);
            size += f64::from(w).powi(2);
        }
    }
    (difference / size).sqrt()
}

/// The same tests for each case.
macro_rules! cases {
    ($($name:ident),+ $(,)?) => {
        $(mod $name {
            #[test]
            fn base_log_probabilities() {
                super::check_log_probabilities(stringify!($name));
            }

            #[test]
            fn hidden_states_and_logits() {
                super::check_hidden_states(stringify!($name));
            }

            #[test]
            fn first_batch_and_its_gradients() {
                super::check_first_batch(stringify!($name));
            }

            #[test]
            fn every_step_and_the_final_adapter() {
                super::check_runs(stringify!($name));
            }
        })+
    };
}

cases!(
    llama_sigmoid,
    llama3_tied_ipo,
    llama_bf16_rslora,
    qwen2_hinge,
    qwen3_chat_sigmoid,
    gemma3_robust,
    gpt2_apo_zero,
    gpt_neox_sigmoid_sft,
    mistral_window,
    ministral3_v4,
    smollm3_window,
    gemma_chat,
    gemma2_softcap,
    phi3_window,
    phi3_longrope_long,
    granite_bias,
    olmo2_bias_tied,
    olmo3_nested,
    lfm2,
    lfm2_convbias,
    qwen2_window,
    gpt_neox_sequential,
    gpt2_unscaled,
    exaone4_hybrid,
    hunyuan_bias,
    llama_yarn,
    llama_dynamic_long,
    lora_patterns,
    lora_regex,
    lora_layers_exclude,
    lora_dora,
    lora_dora_gpt2,
    lora_dora_neox,
);

fn check_log_probabilities(name: &'static str) {
    let gpu = gpu();
    let case = Case::open(&gpu, name);
    let pairs = case.pairs();
    let got = case.scores(&gpu, &pairs, None, 4);
    let want = case.expected["base_logps"].as_array().expect("a list");
    assert_eq!(got.len(), want.len(), "{name}: kept pairs");
    for (i, want) in want.iter().enumerate() {
        for (side, key) in ["chosen", "rejected"].into_iter().enumerate() {
            let value = want[key].as_f64().expect("a number");
            assert_near(&format!("{name}, pair {i}, {key}"), f64::from(got[i][side]), value, 5e-3);
        }
    }
}

fn check_hidden_states(name: &'static str) {
    let gpu = gpu();
    let case = Case::open(&gpu, name);
    let ids = case.pairs().swap_remove(0).chosen;
    let packed = Packed::sequence(&ids);
    let adapter = case.adapter(&gpu, "adapter_init_b");
    for (prefix, adapter) in [("base", None), ("b_rand", Some(&adapter))] {
        let config = &case.model.config;
        let acts = Activations::new(&gpu, config, adapter.map(|a| &a.settings), BatchSize::of(&packed), false)
            .expect("the batch fits")
            .load(&gpu, &packed);
        let (rows, last) = (ids.len() as u32, &acts.x[config.num_hidden_layers]);
        let normed = gpu.zeros("normed", rows, config.hidden_size as u32, Dtype::F32);
        let rstd = gpu.zeros("rstd", 2, rows, Dtype::F32);
        let vocab = (config.vocab_size as u32).next_multiple_of(4);
        let logits = gpu.zeros("logits", rows, vocab, Dtype::F32);
        let mut rec = gpu.recorder();
        case.model.forward(&mut rec, &acts, adapter);
        case.model.logits(&mut rec, last, &normed, &rstd, &logits);
        rec.submit();
        let check = |key: &str, got: &[f32]| {
            let key = format!("{prefix}.{key}");
            let want = &case.tensors[&key];
            assert_eq!(got.len(), want.data.len(), "{name} {key}: size");
            for (i, (&g, &w)) in got.iter().zip(&want.data).enumerate() {
                assert_near(&format!("{name} {key} at {i}"), g.into(), w.into(), 1e-4);
            }
        };
        let read = |tensor| block_on(gpu.read(tensor)).expect("the device works");
        check("hidden.embed", &read(&acts.x[0]));
        for layer in 0..config.num_hidden_layers {
            check(&format!("hidden.layer.{layer}"), &read(&acts.x[layer + 1]));
        }
        check("hidden.final_norm", &read(&normed));
        let all = read(&logits);
        let cut: Vec<f32> =
            all.chunks_exact(vocab as usize).flat_map(|row| &row[..config.vocab_size]).copied().collect();
        check("logits", &cut);
    }
}

fn check_first_batch(name: &'static str) {
    let gpu = gpu();
    for checkpointing in [false, true] {
        let mut case = Case::open(&gpu, name);
        case.config.gradient_checkpointing = checkpointing;
        for (run, init, _) in RUNS {
            check_gradients(&gpu, &case, run, init, &EXACT);
        }
    }
}

/// Largest differences of loss, figures and gradients (relative L2) from TRL's.
struct Tolerance {
    loss: f64,
    figures: f64,
    gradients: f64,
}

const EXACT: Tolerance = Tolerance { loss: 5e-4, figures: 5e-3, gradients: 3e-4 };
/// Tolerance for a variant that rounds the operands of products to f16.
const ROUNDED: Tolerance = Tolerance { loss: 5e-3, figures: 2e-2, gradients: 1e-2 };

fn check_gradients(gpu: &Gpu, case: &Case, run: &str, init: &str, tolerance: &Tolerance) {
    let name = case.name;
    let mut trainer = case.trainer(gpu, run, init);
    let (metrics, gradients) = block_on(trainer.first_batch()).expect("the device works");
    let want = &case.expected["runs"][run]["first_batch"];
    let loss = want["loss"].as_f64().expect("a number");
    assert_near(&format!("{name} {run} loss"), metrics["loss"].as_f64().expect("a number"), loss, tolerance.loss);
    for key in ["entropy", "logits/chosen", "logits/rejected", "mean_token_accuracy", "rewards/margins"] {
        let value = want["metrics"][key].as_f64().expect("a number");
        let got = metrics[key].as_f64().expect("a number");
        assert_near(&format!("{name} {run} {key}"), got, value, tolerance.figures);
    }
    // There parameters have the names that they have in PEFT's modules.
    let named = |key: &str| match key.ends_with("lora_magnitude_vector") {
        true => format!("{run}.grad.{key}.weight"),
        false => format!("{run}.grad.{key}"),
    };
    let tensors: Vec<_> =
        gradients.tensors.iter().map(|(key, got)| (&got.data[..], &case.tensors[&named(key)].data[..])).collect();
    let expected = case.tensors.keys().filter(|key| key.starts_with(&format!("{run}.grad."))).count();
    assert_eq!(tensors.len(), expected, "{name} {run}: every gradient");
    let distance = distance(tensors.into_iter());
    assert!(distance <= tolerance.gradients, "{name} {run}: gradients differ by {distance:.2e}");
}

fn check_runs(name: &'static str) {
    let gpu = gpu();
    let case = Case::open(&gpu, name);
    for (run, init, last) in RUNS {
        check_run(&gpu, &case, run, init, last);
    }
}

fn check_run(gpu: &Gpu, case: &Case, run: &str, init: &str, last: &str) {
    let mut trainer = case.trainer(gpu, run, init);
    let log = case.expected["runs"][run]["log"].as_array().expect("a list");
    assert_eq!(trainer.n_steps, log.len(), "{} {run}: steps", case.name);
    for want in log {
        let got = block_on(trainer.step()).expect("the step is finite");
        let step = &want["step"];
        for (key, absolute, relative) in [
            ("step", 0.0, 0.0),
            ("epoch", 1e-9, 0.0),
            ("loss", 5e-4, 0.0),
            ("grad_norm", 0.0, 5e-4),
            ("learning_rate", 1e-12, 0.0),
            ("rewards/chosen", 5e-3, 0.0),
            ("rewards/rejected", 5e-3, 0.0),
            ("rewards/margins", 5e-3, 0.0),
            ("rewards/accuracies", 1e-6, 0.0),
            ("logps/chosen", 1e-2, 0.0),
            ("logps/rejected", 1e-2, 0.0),
            ("logits/chosen", 1e-4, 0.0),
            ("logits/rejected", 1e-4, 0.0),
            ("entropy", 1e-4, 0.0),
            ("mean_token_accuracy", 1e-6, 0.0),
            ("num_tokens", 0.0, 0.0),
        ] {
            let (got, want) = (got[key].as_f64().expect("a number"), want[key].as_f64().expect("a number"));
            let what = format!("{} {run} step {step} {key}", case.name);
            assert_near(&what, got, want, absolute + relative * want.abs());
        }
    }
    let got = block_on(trainer.adapter.get(gpu)).expect("the device works");
    let (start, want) = (case.adapter_file(init), case.adapter_file(last));
    let update = |end: &files::Adapter, key: &String| -> Vec<f32> {
        end.tensors[key].data.iter().zip(&start.tensors[key].data).map(|(e, s)| e - s).collect()
    };
    let updates: Vec<_> = want.tensors.keys().map(|key| (update(&got, key), update(&want, key))).collect();
    let distance = distance(updates.iter().map(|(g, w)| (&g[..], &w[..])));
    assert!(distance <= 1e-2, "{} {run}: final update differs by {distance:.2e}", case.name);
}

/// Loss, figures and every gradient of a case with every variant of every operation in turn, the others by their usual
/// ones.
fn each_variant_has_the_gradients_of(name: &'static str) {
    let gpu = common::gpu_as_it_is();
    let case = Case::open(&gpu, name);
    for &op in kernels::ops().iter().filter(|op| op.variants.len() > 1) {
        for variant in gpu.variants(op) {
            // Shown where the check fails.
            println!("{} {}", op.name, variant.name);
            gpu.force(op, Some(variant));
            let tolerance = if variant.precision == Precision::F32 { &EXACT } else { &ROUNDED };
            // Both A and B are at work in this run, since it does not begin with a B of zeros.
            let (run, init, _) = RUNS[1];
            check_gradients(&gpu, &case, run, init, tolerance);
        }
        gpu.force(op, None);
    }
}

#[test]
fn each_variant_has_the_gradients_of_sigmoid() {
    each_variant_has_the_gradients_of("llama_sigmoid");
}

#[test]
fn each_variant_has_the_gradients_of_llama3() {
    each_variant_has_the_gradients_of("llama3_tied_ipo");
}

#[test]
fn each_variant_has_the_gradients_of_bf16() {
    each_variant_has_the_gradients_of("llama_bf16_rslora");
}

/// The variants for graphics processors, all together; `every_step_and_the_final_adapter` takes the last of each list.
#[test]
fn variants_for_graphics_processors_make_the_same_run() {
    let gpu = common::gpu_as_it_is();
    for op in kernels::ops() {
        gpu.force(op, gpu.variants(op).first().copied());
    }
    let case = Case::open(&gpu, "llama_sigmoid");
    let (run, init, last) = RUNS[1];
    check_run(&gpu, &case, run, init, last);
}

#[test]
fn weights_in_many_small_blocks_give_the_same_numbers() {
    let gpu = gpu();
    let whole = Case::open(&gpu, "llama_bf16_rslora");
    let split = Case::open_with_blocks(&gpu, "llama_bf16_rslora", 128 * 128 * 2);
    let pairs = whole.pairs();
    let (a, b) = (whole.scores(&gpu, &pairs, None, 4), split.scores(&gpu, &pairs, None, 4));
    for (a, b) in a.iter().flatten().zip(b.iter().flatten()) {
        assert_near("log-probability", f64::from(*b), f64::from(*a), 1e-3);
    }
    let (run, init, last) = RUNS[1];
    check_run(&gpu, &split, run, init, last);
}

#[test]
fn a_pair_scores_the_same_whatever_it_is_batched_with() {
    let gpu = gpu();
    let case = Case::open(&gpu, "llama_sigmoid");
    let mut pairs = case.pairs();
    let together = case.scores(&gpu, &pairs, None, 7);
    pairs.reverse();
    let mut reversed = case.scores(&gpu, &pairs, None, 3);
    reversed.reverse();
    assert_eq!(together, reversed, "to the last bit: the first rewards of a run must be exactly zero");
}

/// A Llama fixture as a GGUF file, as llama.cpp writes one; `stored` says how each matrix is stored.
fn gguf_of(case: &Case, stored: impl Fn(&str, usize) -> GgmlType) -> MemoryFolder {
    let dir = case.dir.join("model");
    let config: Map<String, Value> =
        serde_json::from_slice(&std::fs::read(dir.join("config.json")).expect("there")).expect("JSON");
    let number = |key: &str| config[key].as_u64().expect("a number") as u32;
    let arch = GgufArch::of("llama").expect("known");
    let metadata = [
        ("general.architecture", GgufValue::String("llama".to_owned())),
        ("llama.context_length", GgufValue::U32(number("max_position_embeddings"))),
        ("llama.embedding_length", GgufValue::U32(number("hidden_size"))),
        ("llama.block_count", GgufValue::U32(number("num_hidden_layers"))),
        ("llama.feed_forward_length", GgufValue::U32(number("intermediate_size"))),
        ("llama.attention.head_count", GgufValue::U32(number("num_attention_heads"))),
        ("llama.attention.head_count_kv", GgufValue::U32(number("num_key_value_heads"))),
        (
            "llama.attention.layer_norm_rms_epsilon",
            GgufValue::F32(config["rms_norm_eps"].as_f64().expect("eps") as f32),
        ),
        ("llama.rope.freq_base", GgufValue::F32(10_000.0)),
        ("llama.vocab_size", GgufValue::U32(number("vocab_size"))),
    ];
    let metadata = metadata.map(|(key, value)| (key.to_owned(), value));
    let weights = parse("m", &std::fs::read(dir.join("model.safetensors")).expect("there")).expect("sound");
    let tensors: Vec<_> = weights
        .iter()
        .map(|(name, tensor)| {
            let mapped = arch.map(name, &config).expect("a tensor of a Llama");
            let (rows, width) = (tensor.shape[0], tensor.data.len() / tensor.shape[0]);
            let mut data = vec![0.0; tensor.data.len()];
            for (row, values) in tensor.data.chunks_exact(width).enumerate() {
                let to = if tensor.shape.len() == 2 { mapped.change.stored_row(row, rows) } else { row };
                data[to * width..][..width].copy_from_slice(values);
            }
            let kind = if tensor.shape.len() == 2 { stored(name, width) } else { GgmlType::F32 };
            (mapped.names[0].clone(), tensor.shape.clone(), kind, encode(kind, &data).expect("it can be written"))
        })
        .collect();
    let bytes = write_gguf(&metadata, &tensors).expect("the file can be written");
    MemoryFolder { name: "a gguf".to_owned(), files: vec![("model.gguf".to_owned(), bytes)] }
}

/// The same weights in another container give the same numbers; and weights in blocks, of several types in one group of
/// layers, give those of the numbers that the blocks stand for.
#[test]
fn a_gguf_file_has_the_numbers_of_its_weights() {
    let gpu = gpu();
    let mut case = Case::open(&gpu, "llama_sigmoid");
    let pairs = case.pairs();
    let load = |folder: &MemoryFolder| {
        block_on(async {
            let config = Model::config(folder).await?;
            Model::load(&gpu, folder, config, LoadIn::Stored, 512, gpu.max_tensor_bytes(), &mut |_| true).await
        })
        .expect("the file is a model")
    };
    let want = case.scores(&gpu, &pairs, None, 4);
    case.model = load(&gguf_of(&case, |_, _| GgmlType::F32));
    let got = case.scores(&gpu, &pairs, None, 4);
    for (got, want) in got.iter().flatten().zip(want.iter().flatten()) {
        assert_near("log-probability", f64::from(*got), f64::from(*want), 1e-3);
    }

    let blocks = |name: &str, width: usize| match name {
        _ if !width.is_multiple_of(32) => GgmlType::F16,
        _ if name.contains("k_proj") || name.contains("embed") => GgmlType::Q4_0,
        _ => GgmlType::Q8_0,
    };
    // The same numbers, written out.
    let folder = gguf_of(&case, blocks);
    let files = block_on(files::ModelFiles::open(&folder)).expect("the file is sound");
    case.model = load(&folder);
    let stored = case.scores(&gpu, &pairs, None, 4);
    let gradients = |case: &Case| {
        let mut trainer = case.trainer(&gpu, "b_rand", "adapter_init_b");
        block_on(trainer.first_batch()).expect("the device works").1.tensors
    };
    let stored_gradients = gradients(&case);
    let tensors: Vec<(String, Vec<usize>, Vec<f32>)> = Model::tensors(&case.model.config, Some("lm_head"))
        .map(|(name, shape)| {
            let data = block_on(files.read_f32(&name)).expect("the tensor is there");
            (name, shape, data)
        })
        .collect();
    let tensors: Vec<_> = tensors.iter().map(|(name, shape, data)| (name.clone(), shape.clone(), &data[..])).collect();
    let bytes = files::serialize_f32(&tensors, &BTreeMap::new());
    let config = std::fs::read(case.dir.join("model/config.json")).expect("there");
    let files = vec![("config.json".to_owned(), config), ("model.safetensors".to_owned(), bytes)];
    case.model = load(&MemoryFolder { name: "written out".to_owned(), files });
    let written = case.scores(&gpu, &pairs, None, 4);
    assert_ne!(want, written, "blocks cost something");
    for (stored, written) in stored.iter().flatten().zip(written.iter().flatten()) {
        assert_near("log-probability", f64::from(*stored), f64::from(*written), 1e-3);
    }
    let written = gradients(&case);
    let both = stored_gradients.iter().map(|(key, stored)| (&stored.data[..], &written[key].data[..]));
    let distance = distance(both);
    assert!(distance <= 1e-3, "gradients differ by {distance:.2e}");
}

/// The weights of a case's linear layers as `load_in` leaves them, written out by the twins.
fn dequantised(case: &Case, load_in: LoadIn) -> MemoryFolder {
    let dir = case.dir.join("model");
    let files = block_on(files::ModelFiles::open(&DiskFolder::open(&dir).expect("there"))).expect("sound");
    let config = &case.model.config;
    let linears: BTreeMap<String, LinearSpec> = (0..config.num_hidden_layers)
        .flat_map(|layer| config.modules(layer).map(move |module| (layer, module)))
        .map(|(layer, module)| (format!("{}.weight", config.path(layer, module)), *config.linear(layer, module)))
        .collect();
    let head = (!config.tie_word_embeddings).then_some(config.names.heads[0]);
    let mut quantised = 0;
    let tensors: Vec<(String, Vec<usize>, Vec<f32>)> = Model::tensors(config, head)
        .map(|(name, shape)| {
            let short = name.strip_prefix(config.names.base).map_or("", |rest| rest.trim_start_matches('.'));
            let stored = if files.contains(&name) { &name } else { short };
            let mut data = block_on(files.read_f32(stored)).expect("the tensor is there");
            if let Some(linear) = linears.get(&name).filter(|linear| linear.input.is_multiple_of(64)) {
                quantised += 1;
                let is_turned = linear.stored == Stored::InOut;
                let rows = if is_turned { transposed(&data, linear.input) } else { data };
                let rows = as_quantised(load_in, &rows);
                data = if is_turned { transposed(&rows, linear.output) } else { rows };
            }
            (name, shape, data)
        })
        .collect();
    assert!(quantised > 2, "{}: something is quantised", case.name);
    let views: Vec<_> = tensors.iter().map(|(name, shape, data)| (name.clone(), shape.clone(), &data[..])).collect();
    let weights = files::serialize_f32(&views, &BTreeMap::new());
    let config = std::fs::read(dir.join("config.json")).expect("there");
    let files = vec![("config.json".to_owned(), config), ("model.safetensors".to_owned(), weights)];
    MemoryFolder { name: "written out".to_owned(), files }
}

/// A matrix of `rows` rows with its columns as rows.
fn transposed(data: &[f32], rows: usize) -> Vec<f32> {
    let cols = data.len() / rows;
    (0..cols).flat_map(|col| (0..rows).map(move |row| data[row * cols + col])).collect()
}

/// Values of weights after quantisation.
fn as_quantised(load_in: LoadIn, weights: &[f32]) -> Vec<f32> {
    let wide: Vec<f64> = weights.iter().map(|w| f64::from(*w)).collect();
    let times = |(scale, numbers): (u16, Vec<i32>)| {
        let scale = half::f16::from_bits(scale).to_f32();
        numbers.into_iter().map(move |q| q as f32 * scale)
    };
    let places = |(scale, places): (f32, Vec<u8>)| {
        places.into_iter().map(move |place| reference::NF4[usize::from(place)] * scale)
    };
    match load_in {
        LoadIn::Stored => weights.to_vec(),
        LoadIn::Int8 => reference::quantise_q8_0(&wide).into_iter().flat_map(times).collect(),
        LoadIn::Int4 => reference::quantise_q4_0(&wide).into_iter().flat_map(times).collect(),
        LoadIn::Nf4 => reference::quantise_nf4(&wide).into_iter().flat_map(places).collect(),
    }
}

/// A model that is quantised as it is loaded has the numbers of the same weights written out: matrices of f32 and bf16,
/// stored (out, in), (in, out) and head by head, and rows that are no whole blocks.
#[test]
fn a_model_quantised_at_load_has_the_numbers_of_its_weights() {
    let gpu = gpu();
    for (name, formats) in [
        ("llama_sigmoid", &[LoadIn::Int8, LoadIn::Int4, LoadIn::Nf4][..]),
        ("llama_bf16_rslora", &[LoadIn::Nf4]),
        ("gpt2_apo_zero", &[LoadIn::Int4]),
        ("gpt_neox_sigmoid_sft", &[LoadIn::Int8]),
    ] {
        let mut case = Case::open(&gpu, name);
        let (pairs, room) = (case.pairs(), longest(&case.expected));
        let stored = (case.model.hash.clone(), case.scores(&gpu, &pairs, None, 4));
        let mut hashes = vec![stored.0];
        for &load_in in formats {
            let what = format!("{name}, {}", load_in.name());
            let numbers = |case: &mut Case, folder: &dyn Folder, load_in: LoadIn| {
                case.model = block_on(async {
                    let config = Model::config(folder).await?;
                    Model::load(&gpu, folder, config, load_in, room, gpu.max_tensor_bytes(), &mut |_| true).await
                })
                .expect("the model loads");
                let mut trainer = case.trainer(&gpu, "b_rand", "adapter_init_b");
                let gradients = block_on(trainer.first_batch()).expect("the device works").1.tensors;
                drop(trainer);
                (case.scores(&gpu, &pairs, None, 4), gradients, case.model.hash.clone())
            };
            let folder = DiskFolder::open(&case_folder(name).join("model")).expect("the fixture is there");
            let (got, gradients, hash) = numbers(&mut case, &folder, load_in);
            hashes.push(hash);
            let written = dequantised(&case, load_in);
            let (want, wanted, _) = numbers(&mut case, &written, LoadIn::Stored);
            assert_ne!(got, stored.1, "{what}: it costs something");
            for (got, want) in got.iter().flatten().zip(want.iter().flatten()) {
                assert_near(&format!("{what}: log-probability"), f64::from(*got), f64::from(*want), 1e-3);
            }
            let distance = distance(gradients.iter().map(|(key, got)| (&got.data[..], &wanted[key].data[..])));
            assert!(distance <= 1e-3, "{what}: gradients differ by {distance:.2e}");
        }
        hashes.sort();
        hashes.dedup();
        assert_eq!(hashes.len(), 1 + formats.len(), "{name}: runs and scores of one base are not taken for another's");
    }
}

/// A Llama-3.2-1B in 4 bits is planned on a pair of 512 tokens, with rank 8, in less than 1.5 GB.
#[test]
fn a_model_of_a_billion_weights_in_4_bits_needs_less_than_one_and_a_half_gigabytes() {
    let folder = RandomModel::new(bench::Sizes::LLAMA_3_2_1B).expect("made up");
    let config = block_on(Model::config(&folder)).expect("a Llama");
    let weights = block_on(Model::weight_bytes(&folder, &config)).expect("headers alone");
    let settings = TrainConfig { r: 8, ..TrainConfig::defaults() };
    let adapter = AdapterSettings::new(settings.adapter("base"), &config).expect("all layers");
    let ids: Vec<u32> = (0..512).collect();
    let rejected: Vec<u32> = ids.iter().map(|id| id + 256 * (id / 256)).collect();
    let pair = TokenPair { row: 0, prompt_len: 256, untruncated: [512; 2], chosen: ids, rejected };
    let size = batch_size(&[pair], 1);
    let total = |load_in| plan(&config, weights.on_device(load_in), &adapter, size, true).total();
    for load_in in [LoadIn::Int4, LoadIn::Nf4] {
        assert!(total(load_in) < 1_500_000_000, "{load_in:?}: {}", total(load_in));
    }
    assert!(total(LoadIn::Int8) < total(LoadIn::Stored) && total(LoadIn::Stored) > 2_400_000_000, "and as stored more");
}

/// A plan counts the bytes that a quantised model takes on the device, and such a model trains.
#[test]
fn a_plan_counts_quantised_weights_as_they_lie_on_the_device() {
    let gpu = gpu();
    let sizes = bench::Sizes { vocab: 256, hidden: 256, inner: 512, layers: 2, heads: 4, kv_heads: 2, head_dim: 64 };
    let folder = RandomModel::new(sizes).expect("made up");
    let config = block_on(Model::config(&folder)).expect("a Llama");
    let weights = block_on(Model::weight_bytes(&folder, &config)).expect("headers alone");
    let mut beside = Vec::new();
    for load_in in LoadIn::ALL {
        let before = gpu.live_bytes();
        let max = gpu.max_tensor_bytes();
        let model =
            block_on(async { Model::load(&gpu, &folder, config.clone(), load_in, 64, max, &mut |_| true).await })
                .expect("the model loads");
        beside.push(gpu.live_bytes() - before - weights.on_device(load_in));
        let settings = json!({
            "per_device_train_batch_size": 1, "gradient_accumulation_steps": 1, "max_steps": 2, "warmup_steps": 0,
            "learning_rate": 1e-3,
        });
        let settings = TrainConfig::from_map(settings.as_object().expect("an object"), "test").expect("known");
        let lora = AdapterSettings::new(settings.adapter("base"), &model.config).expect("all layers");
        let adapter = Adapter::new(&gpu, &model.config, lora.clone());
        adapter.set(&gpu, &fresh(&lora, &model.config, 1), "fresh").expect("it fits");
        let [chosen, rejected] = [[5, 6, 7, 8], [5, 6, 9, 10]].map(Vec::from);
        let pair = TokenPair { row: 0, prompt_len: 2, untruncated: [4; 2], chosen, rejected };
        let mut trainer =
            Trainer::new(&gpu, &model, settings, adapter, vec![pair], References::unknown(1)).expect("the run fits");
        let losses = [0, 1].map(|_| block_on(trainer.step()).expect("a step")["loss"].as_f64().expect("a loss"));
        assert!((losses[0] - std::f64::consts::LN_2).abs() < 1e-6, "{load_in:?}: the reference is the same base");
        assert!(losses[1] < losses[0], "{load_in:?}: it trains, {losses:?}");
    }
    // Rotary tables, and norms in f32.
    assert!(beside.iter().all(|bytes| *bytes == beside[0] && *bytes < 32 << 10), "beside what was planned: {beside:?}");
}

/// Version 0.1 identified these models by these hashes: its runs, and the scores that it kept, are still theirs.
#[test]
fn models_are_told_apart_as_before() {
    let gpu = gpu();
    for (name, hash) in [
        ("llama_sigmoid", "ceb18ffb876fa461fba505bb02770cb21da9bec82ea78753060ccfae096c99e6"),
        ("llama3_tied_ipo", "90e6992273a642a30c41d42202f87a786e91bf5bddefe6b7837ed84e80461637"),
        ("llama_bf16_rslora", "97d68b103807a1eda502ec66cbe78ae6eceafc3f57d803ae8a3db6e173871aa2"),
    ] {
        assert_eq!(Case::open(&gpu, name).model.hash, hash, "{name}");
    }
}

/// 152k entries by 1,024 tokens: as f32 the logits would be 593 MiB, and the head is cut into blocks of 16 MiB.
#[test]
fn a_large_vocabulary_is_scored_in_chunks() {
    let gpu = gpu();
    let folder = RandomLlama::new(Sizes { vocab: 151_936, hidden: 64, inner: 64, layers: 1, heads: 1 });
    let model = block_on(async {
        let config = Model::config(&folder).await?;
        Model::load(&gpu, &folder, config, LoadIn::Stored, 1025, 16 << 20, &mut |_| true).await
    })
    .expect("the model loads");
    let ids: Vec<u32> = (0..1025).map(|i| (i * 7919) % 151_936).collect();
    let packed = Packed::sequence(&ids);
    let before = gpu.live_bytes();
    let acts = Activations::new(&gpu, &model.config, None, BatchSize::of(&packed), true).expect("the batch fits");
    assert!(gpu.live_bytes() - before < 96 << 20, "a batch's logits never exist at once");
    let acts = acts.load(&gpu, &packed);
    let mut rec = gpu.recorder();
    model.forward(&mut rec, &acts, None);
    model.score(&mut rec, &acts, 1.0, true);
    rec.submit();
    let stats = block_on(gpu.read(&acts.token_stats)).expect("the device works");

    // The same for a few rows the plain way: all logits, then the definition.
    let (normed, rstd) = (gpu.zeros("normed", 1, 64, Dtype::F32), gpu.zeros("rstd", 1, 1, Dtype::F32));
    let logits = gpu.zeros("logits", 1, 151_936, Dtype::F32);
    for row in [0u32, 1, 500, 1023] {
        let mut rec = gpu.recorder();
        model.logits(&mut rec, &acts.x[1].row_range(row, 1), &normed, &rstd, &logits);
        rec.submit();
        let logits = block_on(gpu.read(&logits)).expect("the device works");
        let largest = logits.iter().copied().fold(f32::MIN, f32::max);
        let sum: f64 = logits.iter().map(|l| f64::from(l - largest).exp()).sum();
        let want = f64::from(logits[ids[row as usize + 1] as usize] - largest) - sum.ln();
        assert_near(&format!("token {row}"), stats[4 * row as usize].into(), want, 1e-4);
        let mean: f64 = logits.iter().map(|&l| f64::from(l)).sum::<f64>() / 151_936.0;
        assert_near(&format!("mean logit {row}"), stats[4 * row as usize + 1].into(), mean, 1e-5);
    }
}

fn load(gpu: &Gpu, folder: &RandomLlama) -> Model {
    block_on(async {
        let config = Model::config(folder).await?;
        Model::load(gpu, folder, config, LoadIn::Stored, 64, gpu.max_tensor_bytes(), &mut |_| true).await
    })
    .expect("the model loads")
}

const SMALL: Sizes = Sizes { vocab: 40, hidden: 16, inner: 24, layers: 2, heads: 2 };

/// transformers 5 does the same for a config that ties the head while the file holds another one.
#[test]
fn a_stored_head_that_differs_from_a_tied_embedding_is_used() {
    let gpu = gpu();
    let untied = RandomLlama::new(SMALL);
    let mut tied = RandomLlama::new(SMALL);
    let config = String::from_utf8(tied.config).expect("JSON");
    tied.config = config.replace("\"tie_word_embeddings\":false", "\"tie_word_embeddings\":true").into_bytes();
    assert_ne!(tied.config, untied.config, "the config was changed");
    let pair = TokenPair {
        row: 0,
        prompt_len: 2,
        untruncated: [5, 4],
        chosen: vec![1, 2, 3, 4, 5],
        rejected: vec![1, 2, 7, 8],
    };
    let scores = [&untied, &tied].map(|folder| {
        let model = load(&gpu, folder);
        let pairs = std::slice::from_ref(&pair);
        let scorer = Scorer::new(&gpu, &model, None, pairs, 1).expect("the batch fits");
        block_on(scorer.score(pairs, None, &mut |_| true)).expect("scoring works")
    });
    assert_eq!(scores[0], scores[1], "the same head");
}

/// An empty prompt without BOS and one-token answers: TRL's numbers are ln 2 and zeros.
#[test]
fn a_batch_in_which_nothing_is_scored_trains_nothing() {
    let gpu = gpu();
    let model = load(&gpu, &RandomLlama::new(SMALL));
    let pair = TokenPair { row: 0, prompt_len: 0, untruncated: [1, 1], chosen: vec![1], rejected: vec![2] };
    let config =
        TrainConfig::from_map(&Map::from_iter([("max_steps".to_owned(), json!(1))]), "test").expect("settings");
    let settings = AdapterSettings::new(config.adapter("random"), &model.config).expect("the targets exist");
    let adapter = Adapter::new(&gpu, &model.config, settings);
    let mut trainer =
        Trainer::new(&gpu, &model, config, adapter, vec![pair], References::unknown(1)).expect("the run fits");
    let metrics = block_on(trainer.step()).expect("the step is finite");
    assert_near("loss", metrics["loss"].as_f64().expect("a number"), 2f64.ln(), 1e-6);
    for key in ["grad_norm", "logps/chosen", "rewards/margins", "logits/chosen", "entropy", "mean_token_accuracy"] {
        assert_eq!(metrics[key], json!(0.0), "{key}");
    }
    assert_eq!(metrics["num_tokens"], json!(2.0), "both tokens are counted");
}

/// Pairs of several lengths: a batch of one must not need what another batch does not.
fn uneven_pairs(n: usize) -> Vec<TokenPair> {
    let tokens = |from: usize, n: usize| (0..n).map(|i| ((from + 7 * i) % SMALL.vocab) as u32).collect::<Vec<u32>>();
    (0..n)
        .map(|row| {
            let prompt = tokens(row, 1 + row % 5);
            let answer = |n: usize| [prompt.clone(), tokens(3 * row, n)].concat();
            let (chosen, rejected) = (answer(2 + row % 7), answer(3 + row % 4));
            let untruncated = [chosen.len(), rejected.len()];
            TokenPair { row, prompt_len: prompt.len(), untruncated, chosen, rejected }
        })
        .collect()
}

/// A dispatch costs 24 to 71 µs in a browser, and a bind group more than that.
/// Each batch counts by its pairs, the last one being smaller, and its loss is the twin's.
#[test]
fn an_evaluation_is_the_loss_of_each_batch_by_its_pairs() {
    const BATCH: usize = 3;
    let gpu = gpu();
    let twins = [
        (json!({"loss_type": "sigmoid"}), vec![(reference::PairLoss::Sigmoid, 1.0)]),
        (json!({"loss_type": "ipo"}), vec![(reference::PairLoss::Ipo, 1.0)]),
        (
            json!({"loss_type": ["hinge", "apo_zero"], "loss_weights": [0.5, 2.0]}),
            vec![(reference::PairLoss::Hinge, 0.5), (reference::PairLoss::ApoZero, 2.0)],
        ),
    ];
    // Nothing precedes the first token of every other pair, which then has no log-probability.
    let pair = |i: usize| TokenPair {
        row: i,
        prompt_len: 2 * (i % 2),
        untruncated: [0, 0],
        chosen: vec![1; 4 + i],
        rejected: vec![1; 9 - i],
    };
    let examples: Vec<Example> = (0..7).map(pair).map(Example::from).collect();
    let logps = |seed: usize| -> Vec<[f32; 2]> {
        let value = |k: usize| -0.5 - ((k * 37 + seed * 11) % 23) as f32;
        (0..examples.len()).map(|i| [value(2 * i), value(2 * i + 1)]).collect()
    };
    let (policy, base) = (logps(1), logps(2));
    let sums: Vec<PairSums> =
        policy.iter().map(|logps| logps.map(|logp| [logp, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])).collect();
    for (mut settings, losses) in twins {
        settings["beta"] = json!(0.5);
        settings["per_device_train_batch_size"] = json!(BATCH);
        let config = TrainConfig::from_map(settings.as_object().expect("an object"), "test").expect("settings");
        let twin = reference::PreferenceSettings {
            beta: 0.5,
            label_smoothing: 0.0,
            divergence: reference::Divergence::ReverseKl,
            by_token: false,
            discopop_tau: 0.05,
            gamma: 0.0,
            dpop_lambda: 50.0,
        };
        let mut want = 0.0;
        for rows in (0..examples.len()).collect::<Vec<_>>().chunks(BATCH) {
            let both = |of: &dyn Fn(usize, usize) -> f64| -> Vec<f64> {
                [0, 1].iter().flat_map(|&side| rows.iter().map(move |&i| of(i, side))).collect()
            };
            let length = |i: usize, side: usize| examples[i].sequences[side].len() - examples[i].starts[side];
            let pairs = reference::Pairs {
                logps: &both(&|i, side| policy[i][side].into()),
                reference: &both(&|i, side| base[i][side].into()),
                lengths: &both(&|i, side| length(i, side) as f64),
                scored: &both(&|i, side| (length(i, side) - usize::from(examples[i].starts[side] == 0)) as f64),
                weights: &vec![1.0; 2 * rows.len()],
            };
            let loss: f64 =
                losses.iter().map(|(loss, weight)| weight * reference::preference(*loss, &pairs, &twin).0).sum();
            want += loss * rows.len() as f64 / examples.len() as f64;
        }
        let metrics = block_on(evaluation(&gpu, &config, &examples, &sums, &base)).expect("the device works");
        assert_near("eval_loss", metrics["eval_loss"].as_f64().expect("a number"), want, 1e-5 * want.abs().max(1.0));
        let won = policy.iter().filter(|logps| logps[0] > logps[1]).count() as f64 / examples.len() as f64;
        assert_near("won", metrics["eval_preference_accuracy"].as_f64().expect("a number"), won, 1e-9);
    }
}

#[test]
fn a_layer_takes_few_dispatches_and_a_run_few_bind_groups() {
    let gpu = gpu();
    let settings = json!({
        "max_steps": 9, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 1, "r": 4,
        "target_modules": "all-linear",
    });
    let config = TrainConfig::from_map(settings.as_object().expect("an object"), "test").expect("settings");
    let dispatches = [2, 3].map(|layers| {
        let model = load(&gpu, &RandomLlama::new(Sizes { layers, ..SMALL }));
        let settings = AdapterSettings::new(config.adapter("random"), &model.config).expect("the targets exist");
        let adapter = Adapter::new(&gpu, &model.config, settings.clone());
        adapter.set(&gpu, &fresh(&settings, &model.config, 1), "fresh").expect("it fits");
        let pairs = uneven_pairs(8);
        let known = References { known: vec![Some([-1.0, -2.0]); pairs.len()], adapter: None };
        let mut trainer = Trainer::new(&gpu, &model, config.clone(), adapter, pairs, known).expect("the run fits");
        for _ in 0..2 {
            block_on(trainer.step()).expect("the step is finite");
        }
        let before = gpu.counters();
        for _ in 0..4 {
            block_on(trainer.step()).expect("the step is finite");
        }
        let counted = gpu.counters() - before;
        assert_eq!(counted.bind_groups, 0, "after two micro-batches every bind group is there: {counted:?}");
        assert_eq!(counted.readbacks, 4, "one for each step: {counted:?}");
        assert!(counted.submissions <= 4 * 3, "a few for each step: {counted:?}");
        counted.dispatches / 4
    });
    let per_layer = dispatches[1] - dispatches[0];
    assert!((30..=40).contains(&per_layer), "a layer takes {per_layer} dispatches, forward and backward");
}

/// Checkpoints of versions before 0.2 hold the moments module by module, each matrix filled up to a multiple of 64.
#[test]
fn moments_of_earlier_versions_are_read() {
    let gpu = gpu();
    let model = load(&gpu, &RandomLlama::new(SMALL));
    let (r, padded) = (6, 8);
    let settings = json!({ "r": r, "target_modules": ["q_proj", "v_proj", "down_proj"] });
    let config = TrainConfig::from_map(settings.as_object().expect("an object"), "test").expect("settings");
    let settings = AdapterSettings::new(config.adapter("random"), &model.config).expect("the targets exist");
    let values = fresh(&settings, &model.config, 3).tensors;
    let mut old = Vec::new();
    for target in &settings.targets {
        let (input, output) = (target.linear(&model.config).input, target.linear(&model.config).output);
        let matrix = |part| &values[&target.key(&model.config, part)].data;
        let mut a = matrix(Part::A).clone();
        a.resize((padded * input).next_multiple_of(64), 0.0);
        old.extend(a);
        let mut b = Vec::new();
        for row in matrix(Part::B).chunks_exact(r) {
            b.extend(row);
            b.extend(vec![0.0; padded - r]);
        }
        b.resize((padded * output).next_multiple_of(64), 0.0);
        old.extend(b);
    }
    let adapter = Adapter::new(&gpu, &model.config, settings);
    assert_eq!(adapter.from_old_layout(&model.config, &old), Some(values), "every matrix is found");
    assert_eq!(adapter.from_old_layout(&model.config, &old[1..]), None, "another model's are not taken");
}

/// A fresh DoRA adapter changes nothing, whatever the weights are.
#[test]
fn a_fresh_dora_adapter_has_the_scores_of_the_base_model() {
    let gpu = gpu();
    let case = Case::open(&gpu, "qwen2_hinge");
    let pairs = case.pairs();
    let config = TrainConfig { use_dora: true, r: 5, ..case.config.clone() };
    let settings = AdapterSettings::new(config.adapter("base"), &case.model.config).expect("the targets exist");
    let adapter = Adapter::new(&gpu, &case.model.config, settings.clone());
    adapter.set(&gpu, &fresh(&settings, &case.model.config, 7), "fresh").expect("it fits");
    case.model.measure(&gpu, &adapter);
    let base = case.scores(&gpu, &pairs, None, 3);
    assert_eq!(case.scores(&gpu, &pairs, Some(&adapter), 3), base, "bit for bit");
    // Its file holds the lengths, and comes back the same.
    let file = block_on(adapter.get(&gpu)).expect("the device works");
    let lengths = file.tensors.iter().filter(|(key, _)| key.ends_with("lora_magnitude_vector"));
    assert!(lengths.clone().count() > 0 && lengths.flat_map(|(_, t)| &t.data).all(|v| *v > 0.0), "lengths");
    let again = Adapter::new(&gpu, &case.model.config, settings);
    again.set(&gpu, &file, "file").expect("it fits");
    assert_eq!(case.scores(&gpu, &pairs, Some(&again), 3), base, "bit for bit again");
}

/// DoRA merged into weights that are stored (out, in) and (in, out).
#[test]
fn a_merged_dora_adapter_has_the_scores_of_the_adapter() {
    let gpu = gpu();
    for name in ["lora_dora", "lora_dora_gpt2", "lora_dora_neox"] {
        let case = Case::open(&gpu, name);
        let (pairs, adapter) = (case.pairs(), case.adapter(&gpu, "adapter_final_b"));
        let want = case.scores(&gpu, &pairs, Some(&adapter), 3);
        let base = DiskFolder::open(&case.dir.join("model")).expect("the fixture is there");
        let to = tempfile::tempdir().expect("a folder");
        let mut writer = DiskWriter::new(to.path());
        let values = case.adapter_file("adapter_final_b");
        block_on(files::merge_model(&base, &values, "adapter", &[], &mut writer, &mut |_, _| true)).expect("merged");
        let merged = DiskFolder::open(to.path()).expect("the merged model");
        let (config, room) = (case.model.config.clone(), longest(&case.expected));
        let max = gpu.max_tensor_bytes();
        let model = block_on(Model::load(&gpu, &merged, config, LoadIn::Stored, room, max, &mut |_| true));
        let case = Case { model: model.expect("the model loads"), ..case };
        for (got, want) in case.scores(&gpu, &pairs, None, 3).iter().flatten().zip(want.iter().flatten()) {
            assert_near(name, f64::from(*got), f64::from(*want), 5e-3);
        }
    }
}

/// At strength 0 an adapter is the base model, at 1 itself; between, it is neither.
#[test]
fn the_strength_of_an_adapter_goes_from_the_base_model_to_all_of_it() {
    let gpu = gpu();
    for name in ["llama_sigmoid", "lora_patterns", "lora_dora"] {
        let case = Case::open(&gpu, name);
        let (pairs, file) = (case.pairs(), case.adapter_file("adapter_final_b"));
        let at = |strength| {
            let mut settings = AdapterSettings::new(file.config.clone(), &case.model.config).expect("targets");
            settings.strength = strength;
            let adapter = Adapter::new(&gpu, &case.model.config, settings);
            adapter.set(&gpu, &file, "file").expect("it fits");
            case.scores(&gpu, &pairs, Some(&adapter), 3)
        };
        let (base, whole) = (case.scores(&gpu, &pairs, None, 3), at(1.0));
        assert_eq!(at(0.0), base, "{name}: nothing of it");
        let half = at(0.5);
        let moved = |scores: &[PairLogps]| {
            scores.iter().zip(&base).map(|(score, base)| f64::from(score[0] - base[0]).abs()).sum::<f64>()
        };
        assert!(moved(&half) > 0.1 * moved(&whole) && moved(&half) < 0.9 * moved(&whole), "{name}: half of it");
    }
}

/// The loss is a function of the parameters if the same elements are dropped, and its derivative is the gradient.
#[test]
fn the_gradient_with_dropout_is_the_derivative_of_the_loss() {
    let gpu = gpu();
    for name in ["llama_sigmoid", "gpt2_apo_zero"] {
        let mut case = Case::open(&gpu, name);
        (case.config.lora_dropout, case.config.beta) = (0.3, 1.0);
        let loss = |case: &Case, values: &files::Adapter| {
            let pairs = case.pairs();
            let settings = case.config.adapter_settings(values.config.clone(), &case.model.config).expect("targets");
            let adapter = Adapter::new(&gpu, &case.model.config, settings);
            adapter.set(&gpu, values, "values").expect("it fits");
            let references = References::unknown(pairs.len());
            let mut trainer =
                Trainer::new(&gpu, &case.model, case.config.clone(), adapter, pairs, references).expect("the run fits");
            let (metrics, gradients) = block_on(trainer.first_batch()).expect("the device works");
            (metrics["loss"].as_f64().expect("a number"), gradients)
        };
        let start = case.adapter_file("adapter_init_b");
        let (without, _) = loss(&case, &start);
        case.config.disable_dropout = false;
        let (with, gradients) = loss(&case, &start);
        assert!((with - without).abs() > 1e-4, "{name}: something is dropped: {with}, {without}");
        assert_eq!(loss(&case, &start).0, with, "{name}: the same again");
        for checkpointing in [false, true] {
            case.config.gradient_checkpointing = checkpointing;
            let moved = |step: f64| {
                let mut values = start.clone();
                for (key, tensor) in &mut values.tensors {
                    let along = &gradients.tensors[key].data;
                    tensor.data.iter_mut().zip(along).for_each(|(v, g)| *v += (step * f64::from(*g)) as f32);
                }
                loss(&case, &values).0
            };
            let square: f64 = gradients.tensors.values().flat_map(|t| &t.data).map(|g| f64::from(*g).powi(2)).sum();
            // So far that the loss moves by some thousandths.
            let step = 2e-3 / square;
            let slope = (moved(step) - moved(-step)) / (2.0 * step);
            assert_near(&format!("{name}: slope"), slope / square, 1.0, 1e-2);
        }
    }
}

/// Layers with different targets share the room for parts of gradients.
#[test]
fn layers_with_different_targets_do_not_mix_their_gradients() {
    let gpu = gpu();
    let model = load(&gpu, &RandomLlama::new(SMALL));
    let run = |targets: Value| {
        let settings = json!({
            "max_steps": 1, "per_device_train_batch_size": 2, "r": 4, "target_modules": targets, "lora_alpha": 8,
        });
        let config = TrainConfig::from_map(settings.as_object().expect("an object"), "test").expect("settings");
        let settings = AdapterSettings::new(config.adapter("random"), &model.config).expect("the targets exist");
        let adapter = Adapter::new(&gpu, &model.config, settings.clone());
        adapter.set(&gpu, &fresh(&settings, &model.config, 1), "fresh").expect("it fits");
        let mut trainer =
            Trainer::new(&gpu, &model, config, adapter, uneven_pairs(2), References::unknown(2)).expect("the run fits");
        let (_, gradients) = block_on(trainer.first_batch()).expect("the device works");
        let norm = block_on(trainer.step()).expect("the step is finite")["grad_norm"].as_f64().expect("a number");
        let squares = gradients.tensors.values().flat_map(|tensor| &tensor.data).map(|g| f64::from(*g).powi(2));
        (norm, squares.sum::<f64>().sqrt())
    };
    let lower = "model.layers.0.self_attn.k_proj";
    for targets in [json!([lower, "model.layers.1.mlp.down_proj"]), json!(["q_proj", lower])] {
        let (norm, of_matrices) = run(targets);
        assert!(norm > 0.0, "something is learned");
        assert_near("the norm is that of the matrices", norm, of_matrices, 1e-5 * of_matrices);
    }
}
