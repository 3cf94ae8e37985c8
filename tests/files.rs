//! The file layer on the fixtures that transformers and PEFT wrote, and on missing, damaged and unsupported files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pairtune::data::{ChatTemplate, Tokenizer};
use pairtune::engine::library::folder::RunFolder;
use pairtune::engine::protocol::{RunRecord, Status};
use pairtune::files::{
    Adapter, Dtype, ModelCard, TargetModules, Task, Tensor, TensorFiles, TrainerState, parse, serialize_f32,
};
use pairtune::model::{AdapterSettings, Architecture, BatchSize, Model, RopeScaling, fresh};
use pairtune::platform::host::Store;
use pairtune::platform::native::DiskFolder;
use pairtune::platform::{ByteSource, Folder, MemorySource};
use pairtune::train::{Checkpoint, Moments, TrainConfig, check_fits, plan};
use pairtune::{Error, Result};
use pollster::block_on;
use serde_json::{Value, json};

const LLAMAS: [&str; 3] = ["llama_sigmoid", "llama3_tied_ipo", "llama_bf16_rslora"];

/// Every size of a config.
const SIZES: [&str; 8] = [
    "num_hidden_layers",
    "hidden_size",
    "intermediate_size",
    "vocab_size",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "max_position_embeddings",
];

// Weights

#[test]
fn tensors_are_read_by_range_and_converted() {
    for case in LLAMAS {
        let files = block_on(TensorFiles::open(&disk(&format!("{case}/model")))).expect("model");
        let bytes = std::fs::read(fixture(&format!("{case}/model/model.safetensors"))).expect("file");
        let peer = safetensors::SafeTensors::deserialize(&bytes).expect("the reference crate reads it");
        assert_eq!(files.names().count(), peer.len());
        for name in files.names() {
            let (info, want) = (files.info(name).expect("info"), peer.tensor(name).expect("tensor"));
            assert_eq!((info.shape.as_slice(), info.bytes() as usize), (want.shape(), want.data().len()), "{name}");
            assert_eq!(block_on(files.read(name, 4, 8)).expect("range"), want.data()[4..12], "{name}");
            let values = block_on(files.read_f32(name)).expect("values");
            let stored: Vec<u8> = match info.dtype {
                Dtype::F32 => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
                Dtype::F16 => values.iter().flat_map(|x| half::f16::from_f32(*x).to_le_bytes()).collect(),
                Dtype::BF16 => values.iter().flat_map(|x| half::bf16::from_f32(*x).to_le_bytes()).collect(),
            };
            assert_eq!(stored, want.data(), "{name}");
        }
    }
}

#[test]
fn shards_are_read_through_their_index() {
    let folder = sharded();
    let files = block_on(TensorFiles::open(&folder)).expect("shards");
    assert_eq!(files.names().collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(block_on(files.read_f32("c")).expect("c"), [5.0, 6.0]);
    assert!(files.contains("a") && !files.contains("d"));

    let mut folder = sharded();
    folder.files.retain(|(name, _)| name != "two.safetensors");
    check_message(&open_error(&folder), &["shard \"two.safetensors\"", "Download the missing shard"]);

    let mut folder = sharded();
    folder.set("model.safetensors.index.json", br#"{"weight_map": {"a": "one.safetensors", "x": "one.safetensors"}}"#);
    check_message(&open_error(&folder), &["\"x\" is listed", "one.safetensors"]);

    folder.set("model.safetensors.index.json", br#"{"weight_map": 3}"#);
    check_message(&open_error(&folder), &["weight_map", "model.safetensors.index.json"]);
}

fn sharded() -> Memory {
    let no_metadata = BTreeMap::new();
    let one = serialize_f32(&[("a".into(), vec![1], &[1.0]), ("b".into(), vec![2], &[2.0, 3.0])], &no_metadata);
    let two = serialize_f32(&[("c".into(), vec![2, 1], &[5.0, 6.0])], &no_metadata);
    let index = br#"{"weight_map": {"a": "one.safetensors", "b": "one.safetensors", "c": "two.safetensors"}}"#;
    Memory::new(&[("model.safetensors.index.json", index), ("one.safetensors", &one), ("two.safetensors", &two)])
}

#[test]
fn missing_tensors_and_wrong_shapes_are_named() {
    let files = block_on(TensorFiles::open(&disk("llama_sigmoid/model"))).expect("model");
    let error = files.info("model.layers.0.self_attn.q_proj.weights").expect_err("misspelt");
    check_message(
        &error,
        &["no tensor \"model.layers.0.self_attn.q_proj.weights\"", "\"model.layers.0.self_attn.q_proj.weight\""],
    );
    let error = files.expect("model.norm.weight", &[65]).expect_err("another shape");
    check_message(&error, &["[64]", "[65]", "model.safetensors, tensor model.norm.weight"]);
    assert_eq!(files.expect("model.norm.weight", &[64]).expect("norm").elements(), 64);
}

#[test]
fn unsupported_types_are_refused_when_used() {
    let folder = Memory::new(&[(
        "model.safetensors",
        &raw(r#"{"w": {"dtype": "I8", "shape": [4], "data_offsets": [0, 4]}}"#, 4),
    )]);
    let files = block_on(TensorFiles::open(&folder)).expect("a header is fine");
    check_message(&files.info("w").expect_err("I8"), &["\"w\" is stored as I8", "F32, F16 or BF16", "tensor w"]);
}

#[test]
fn damaged_headers_are_refused() {
    let entry =
        |shape: &str, offsets: &str| format!(r#"{{"dtype": "F32", "shape": {shape}, "data_offsets": {offsets}}}"#);
    let one = |shape: &str, offsets: &str| raw(&format!(r#"{{"w": {}}}"#, entry(shape, offsets)), 8);
    let two = |a: &str, b: &str| raw(&format!(r#"{{"a": {}, "b": {}}}"#, entry("[1]", a), entry("[1]", b)), 8);
    for (bytes, words) in [
        (vec![], ["0 bytes, too few", "download it again"]),
        (vec![1, 2, 3], ["3 bytes, too few", "download it again"]),
        (1000u64.to_le_bytes().to_vec(), ["claims 1000 bytes", "only 8"]),
        (u64::MAX.to_le_bytes().to_vec(), ["claims 18446744073709551615 bytes", "100 MB"]),
        (raw("{nonsense", 0), ["header is not valid: key must be a string", "model.safetensors"]),
        (raw("[1, 2]", 0), ["header is not valid: invalid type", "model.safetensors"]),
        (raw(r#"{"w": 3}"#, 0), ["header is not valid: invalid type: integer `3`", "model.safetensors, tensor w"]),
        (one("[2]", "[0, 12]"), ["invalid shape, data type, or offset", "model.safetensors, tensor w"]),
        (one("[2]", "[8, 0]"), ["invalid offset for tensor `w`", "model.safetensors, tensor w"]),
        (one("[3]", "[0, 8]"), ["invalid shape, data type, or offset", "model.safetensors, tensor w"]),
        (one("[4294967296, 4294967296, 4294967296]", "[0, 8]"), ["overflow", "model.safetensors, tensor w"]),
        (one("[1]", "[0, 4]"), ["describes", "the file has"]),
        (two("[0, 4]", "[0, 4]"), ["invalid offset for tensor", "model.safetensors, tensor b"]),
        (two("[0, 4]", "[2, 6]"), ["invalid offset for tensor `b`", "model.safetensors, tensor b"]),
        (one("[1]", "[4, 8]"), ["invalid offset for tensor `w`", "model.safetensors, tensor w"]),
    ] {
        check_message(&open_error(&Memory::new(&[("model.safetensors", &bytes)])), &words);
        check_message(&parse("model.safetensors", &bytes).expect_err("damaged"), &words);
    }
    let whole = std::fs::read(fixture("llama_sigmoid/model/model.safetensors")).expect("file");
    let cut = &whole[..whole.len() - 100];
    check_message(
        &open_error(&Memory::new(&[("model.safetensors", cut)])),
        &["The header describes", "the file has", "cut off"],
    );
}

#[test]
fn other_formats_and_folders_are_recognised() {
    for (bytes, words) in [
        (&b"GGUF\x03\0\0\0\0\0\0\0\0\0\0\0"[..], ["GGUF", "ending .gguf"]),
        (b"PK\x03\x04\0\0\0\0\0\0\0\0", ["pickle", "save_pretrained"]),
        (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P", ["pickle", "save_pretrained"]),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", ["Git LFS pointer", "git lfs pull"]),
        (b"<!DOCTYPE html><html>", ["web page", "Download"]),
    ] {
        check_message(&open_error(&Memory::new(&[("model.safetensors", bytes)])), &words);
    }
    for (name, words) in [
        ("adapter_config.json", ["This is an adapter", "base model"]),
        ("model-q4.gguf", ["in a GGUF file (model-q4.gguf)", "original"]),
        ("pytorch_model.bin", ["pickle", "save_pretrained"]),
        ("weights.safetensors", ["only weights.safetensors", "whole"]),
        ("notes.txt", ["neither model.safetensors nor", "folder"]),
    ] {
        check_message(&open_error(&Memory::new(&[(name, b"")])), &words);
    }
    let two = Memory::new(&[("a.gguf", b""), ("b.gguf", b"")]);
    check_message(&open_error(&two), &["2 GGUF files (a.gguf and others)", "Name the file"]);
    check_message(&open_error(&disk("llama_sigmoid/adapter_init")), &["This is an adapter", "adapter_init"]);
}

#[test]
fn written_files_are_those_of_peft_and_transformers() {
    // PEFT wrote the file with the same crate: read and written again, it is the same to the last byte.
    for case in LLAMAS {
        let whole = std::fs::read(fixture(&format!("{case}/adapter_init/adapter_model.safetensors"))).expect("file");
        let tensors = parse("x", &whole).expect("tensors");
        let tensors: Vec<_> =
            tensors.iter().map(|(name, t)| (name.clone(), t.shape.clone(), t.data.as_slice())).collect();
        let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
        assert!(serialize_f32(&tensors, &metadata) == whole, "{case}: byte for byte what PEFT writes");
    }
    // Tensors lie by name, at a multiple of 8 bytes, whatever their order was and however long the header is.
    for name in ["a", "ab", "abc", "abcd", "abcdefgh"] {
        let tensors = [("x".to_owned(), vec![], &[7.0][..]), (name.to_owned(), vec![1, 2], &[0.5, -2.0])];
        let bytes = serialize_f32(&tensors, &BTreeMap::new());
        assert_eq!(bytes.len() % 8, 4, "{name}: a header of eights, and three floats");
        assert_eq!(bytes[bytes.len() - 4..], 7f32.to_le_bytes(), "{name} lies before x");
        let read = parse("x", &bytes).expect("file");
        assert_eq!(read[name], Tensor { shape: vec![1, 2], data: vec![0.5, -2.0] }, "{name}");
        assert_eq!(read["x"], Tensor { shape: vec![], data: vec![7.0] }, "a scalar beside {name}");
    }
}

// Config

#[test]
fn configs_of_transformers_4_and_5_are_the_same() {
    let v5 = config("llama_sigmoid");
    assert_eq!(Architecture::from_bytes(v5.to_string().as_bytes(), "c").expect("v5").ropes[0].theta, 10_000.0);
    for rope in [
        json!({"rope_type": "default", "rope_theta": 7.5}),
        json!({"rope_type": "linear", "rope_theta": 7.5, "factor": 2.0}),
        json!({"rope_type": "llama3", "rope_theta": 7.5, "factor": 8, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 64}),
    ] {
        let mut v5 = v5.clone();
        v5["rope_parameters"] = rope.clone();
        let want = Architecture::from_bytes(v5.to_string().as_bytes(), "c").expect("v5");
        for kind in ["rope_type", "type"] {
            let mut v4 = config("llama_sigmoid");
            let map = v4.as_object_mut().expect("object");
            map.remove("rope_parameters");
            map.insert("torch_dtype".to_owned(), json!("float32"));
            map.remove("dtype");
            map.insert("rope_theta".to_owned(), json!(7.5));
            let mut scaling = rope.clone();
            let scaling_map = scaling.as_object_mut().expect("object");
            scaling_map.remove("rope_theta");
            let name = scaling_map.remove("rope_type").expect("type");
            scaling_map.insert(kind.to_owned(), name.clone());
            map.insert("rope_scaling".to_owned(), if name == "default" { Value::Null } else { scaling });
            assert_eq!(Architecture::from_bytes(v4.to_string().as_bytes(), "c").expect("v4"), want);
        }
    }
    let v4 = config("llama3_tied_ipo");
    let read = Architecture::from_bytes(v4.to_string().as_bytes(), "c").expect("v4");
    assert!(read.tie_word_embeddings && matches!(read.ropes[0].scaling, RopeScaling::Llama3 { .. }));
    assert_eq!((read.dtype.as_deref(), read.eos_token_id.as_slice()), (Some("float32"), &[508][..]));
}

#[test]
fn defaults_of_the_config_are_those_of_transformers() {
    let mut value = config("llama_sigmoid");
    let map = value.as_object_mut().expect("object");
    for key in
        ["num_key_value_heads", "tie_word_embeddings", "rope_parameters", "attention_bias", "mlp_bias", "hidden_act"]
    {
        map.remove(key);
    }
    map.insert("head_dim".to_owned(), Value::Null);
    map.insert("eos_token_id".to_owned(), json!([1, 2]));
    map.insert("bos_token_id".to_owned(), Value::Null);
    let read = Architecture::from_bytes(value.to_string().as_bytes(), "c").expect("config");
    assert_eq!((read.attention.kv_heads, read.attention.head_dim, read.ropes[0].theta), (4, 16, 10_000.0));
    let biases = read.kinds[0].linears.iter().flatten().filter(|linear| linear.bias).count();
    assert!(!read.tie_word_embeddings && biases == 0);
    assert_eq!((read.eos_token_id, read.bos_token_id), (vec![1, 2], None));
}

#[test]
fn unsupported_and_malformed_configs_are_refused_by_field() {
    for (key, value, words) in [
        ("model_type", json!("mamba"), ["\"mamba\" is not supported", "Supported: Llama, Qwen 2/2.5/3, Gemma 1/2/3, "]),
        ("model_type", Value::Null, ["no model_type", "Supported: Llama, Qwen 2/2.5/3"]),
        ("hidden_size", Value::Null, ["hidden_size is missing", "field hidden_size"]),
        ("hidden_size", json!("64"), ["hidden_size", "\"64\" is not a positive whole number"]),
        ("hidden_size", json!(0), ["hidden_size", "0 is not a positive"]),
        ("hidden_size", json!(-4), ["hidden_size", "-4 is not a positive"]),
        ("hidden_size", json!(66), ["66 is not a multiple of 4", "field hidden_size"]),
        ("intermediate_size", json!(150), ["150 is not a multiple of 4", "field intermediate_size"]),
        ("head_dim", json!(17), ["17 is not a multiple of 4", "field head_dim"]),
        ("num_key_value_heads", json!(3), ["3 does not divide the 4", "field num_key_value_heads"]),
        ("num_hidden_layers", json!(1e30), ["1e+30 is not a positive", "field num_hidden_layers"]),
        ("rms_norm_eps", json!(0), ["0 is not a positive number", "field rms_norm_eps"]),
        ("tie_word_embeddings", json!(1), ["neither true nor false", "field tie_word_embeddings"]),
        ("eos_token_id", json!(["x"]), ["not a token id", "field eos_token_id"]),
        ("hidden_act", json!("xielu"), ["\"xielu\" of hidden_act is not supported", "field hidden_act"]),
        ("quantization_config", json!({"quant_method": "gptq"}), ["quantised (method: gptq)", "unquantised"]),
        ("rope_parameters", json!({"rope_type": "mrope", "factor": 4.0}), ["\"mrope\" is not supported", "llama3"]),
        ("rope_parameters", json!({"rope_type": "linear"}), ["rope_parameters.factor is missing", "config.json"]),
        ("rope_parameters", json!({"full": {"rope_type": "default"}}), ["differs between", "rope_parameters"]),
        ("rope_parameters", json!(3), ["not an object", "rope_parameters"]),
        ("rope_parameters", json!({"partial_rotary_factor": 0.5}), ["only 1", "partial_rotary_factor"]),
    ] {
        let mut config = config("llama_sigmoid");
        config[key] = value;
        let error = Architecture::from_bytes(config.to_string().as_bytes(), "model/config.json").expect_err(key);
        check_message(&error, &words);
    }
    check_message(&Architecture::from_bytes(b"[", "c.json").expect_err("JSON"), &["not a JSON object", "c.json"]);
}

#[test]
fn sizes_that_the_weights_do_not_have_are_refused_at_once() {
    let began = Instant::now();
    let weights = std::fs::read(fixture("llama_sigmoid/model/model.safetensors")).expect("weights");
    let measured = |config: &Value| {
        let folder = Memory::new(&[("config.json", config.to_string().as_bytes()), ("model.safetensors", &weights)]);
        block_on(async {
            let config = Model::config(&folder).await?;
            Model::weight_bytes(&folder, &config).await
        })
    };
    let whole = measured(&config("llama_sigmoid")).expect("the fixture is whole");
    for key in SIZES {
        for value in [json!(u64::MAX), json!(4_000_000_000_u64), json!(2_147_483_644), json!(1_000_000), json!(-1)] {
            let mut config = config("llama_sigmoid");
            config[key] = value.clone();
            match measured(&config) {
                // Any number of positions is accepted, since tables have only the rows that a run needs.
                Ok(bytes) => assert!(key == "max_position_embeddings" && bytes == whole, "{key} {value} is accepted"),
                Err(Error::Input(error)) => {
                    let told = error.what.contains(&value.to_string()) || error.what.contains("config.json asks for");
                    assert!(told && !error.fix.is_empty() && !error.at.is_empty(), "{key} {value}: {error:?}");
                }
                Err(e) => panic!("{key} {value} is no fault of a device: {e}"),
            }
        }
    }
    let with = |values: &[(&str, u64)]| {
        let mut config = config("llama_sigmoid");
        for (key, value) in values {
            config[*key] = json!(value);
        }
        measured(&config).expect_err("refused")
    };
    let tensors = block_on(TensorFiles::open(&disk("llama_sigmoid/model"))).expect("model").names().count();
    let error = with(&[("num_hidden_layers", 2_000_000_000)]);
    check_message(&error, &["2000000000 layers", &format!("{tensors} tensors"), "Use the config.json that came"]);
    // More layers than there are, but fewer than tensors: the first that is missing is named.
    check_message(&with(&[("num_hidden_layers", tensors as u64)]), &["no tensor \"model.layers.3."]);
    // Each is small enough, but not their product.
    let heads = [("num_attention_heads", 1 << 16), ("num_key_value_heads", 1), ("head_dim", 1 << 16)];
    check_message(&with(&heads), &["65536 heads of 65536 columns", "field num_attention_heads"]);
    assert!(began.elapsed() < Duration::from_secs(20), "no size was counted up to: {:?}", began.elapsed());
}

#[test]
fn plans_of_the_largest_sizes_do_not_overflow() {
    let mut value = config("llama_sigmoid");
    for key in ["hidden_size", "intermediate_size", "vocab_size", "max_position_embeddings"] {
        value[key] = json!(2_147_483_644_u32);
    }
    value["num_attention_heads"] = json!(2_147_483_647_u32 / 4);
    value["num_key_value_heads"] = json!(1);
    value["head_dim"] = json!(4);
    let config = Architecture::from_bytes(value.to_string().as_bytes(), "c").expect("each is in range");
    let size = BatchSize { rows: 1 << 30, scored: 1 << 30, sequences: 1 << 20 };
    let rank = TrainConfig { r: 1024, target_modules: TargetModules::AllLinear, ..TrainConfig::defaults() };
    let adapter = AdapterSettings::new(rank.adapter("base"), &config).expect("all layers");
    let memory = plan(&config, u64::MAX, &adapter, size, false);
    assert_eq!((memory.total(), memory.activations), (u64::MAX, u64::MAX), "as much as there can be, and no less");
    assert!(check_fits(&memory, Some(1 << 40)).is_err(), "it does not fit");
}

#[test]
fn rope_is_that_of_transformers() {
    // Written by LlamaRotaryEmbedding of transformers 5.23: bits of f32, at positions 1, 7, 100, 511 and 4095.
    let expected: BTreeMap<String, Value> =
        serde_json::from_slice(&std::fs::read(fixture("rope.json")).expect("rope.json")).expect("JSON");
    for (name, want) in expected {
        let mut value = config("llama_sigmoid");
        for (key, setting) in want["kw"].as_object().expect("settings") {
            value[key] = setting.clone();
        }
        let config = Architecture::from_bytes(value.to_string().as_bytes(), "c").expect("config");
        let half = config.attention.head_dim / 2;
        assert_eq!(config.ropes[0].inverse_frequencies(1), bits(&want["freq"]), "{name}: frequencies, to the last bit");
        let table = config.ropes[0].table(4096, 4096);
        assert_eq!(table.len(), 4096 * half);
        let rows = [1, 7, 100, 511, 4095].iter().flat_map(|p| table[p * half..(p + 1) * half].iter());
        let (cos, sin): (Vec<f32>, Vec<f32>) = rows.map(|[c, s]| (*c, *s)).unzip();
        // PyTorch's vectorised cosine and sine are off by one in the last place for a few per cent of the angles.
        check_close(&format!("{name} cos"), &cos, &bits(&want["cos"]), 6e-8);
        check_close(&format!("{name} sin"), &sin, &bits(&want["sin"]), 6e-8);
    }
}

fn bits(value: &Value) -> Vec<f32> {
    let bits = value.as_array().expect("bits").iter();
    bits.map(|b| f32::from_bits(b.as_i64().expect("an integer") as i32 as u32)).collect()
}

#[track_caller]
fn check_close(what: &str, got: &[f32], want: &[f32], tolerance: f32) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (a, b)) in got.iter().zip(want).enumerate() {
        assert!((a - b).abs() <= tolerance, "{what}[{i}] is {a}, not {b}");
    }
}

// Adapters

#[test]
fn adapters_survive_a_round_trip() {
    for case in LLAMAS {
        for name in ["adapter_init", "adapter_init_b", "adapter_final"] {
            let folder = disk(&format!("{case}/{name}"));
            let adapter = block_on(Adapter::read(&folder)).expect("adapter");
            let files = adapter.files(&card());
            let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, ["adapter_model.safetensors", "adapter_config.json", "README.md"]);
            let again = Memory { files: files.clone() };
            assert_eq!(block_on(Adapter::read(&again)).expect("round trip"), adapter);
            for (name, bytes) in &files[..2] {
                let want = std::fs::read(fixture(&format!("{case}/adapter_init")).join(name)).expect("PEFT's file");
                if name.ends_with(".json") {
                    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8").trim_end().to_owned();
                    assert_eq!(text(bytes), text(&want), "{case}: byte for byte what PEFT writes");
                } else {
                    assert_eq!(bytes.len(), want.len(), "{case}: as long as PEFT's file");
                }
            }
        }
    }
}

#[test]
fn the_scale_follows_the_settings() {
    let read = |case: &str| block_on(Adapter::read(&disk(&format!("{case}/adapter_init")))).expect("adapter").config;
    let plain = read("llama_sigmoid");
    assert_eq!((plain.r, plain.lora_alpha, plain.scale()), (6, 12.0, 2.0));
    let stabilised = read("llama_bf16_rslora");
    assert!(stabilised.use_rslora);
    assert_eq!(stabilised.scale(), stabilised.lora_alpha / (stabilised.r as f64).sqrt());
}

#[test]
fn keys_without_the_prefix_get_it() {
    let mut folder = adapter_in_memory();
    let tensors = parse("x", &folder.bytes("adapter_model.safetensors")).expect("tensors");
    let short: Vec<_> = tensors
        .iter()
        .map(|(key, tensor)| (key.replace("base_model.model.", ""), tensor.shape.clone(), tensor.data.as_slice()))
        .collect();
    folder.set("adapter_model.safetensors", &serialize_f32(&short, &BTreeMap::new()));
    let adapter = block_on(Adapter::read(&folder)).expect("adapter");
    assert_eq!(adapter.tensors.keys().collect::<Vec<_>>(), tensors.keys().collect::<Vec<_>>());
}

#[test]
fn unsupported_adapter_settings_are_refused_by_name() {
    for (key, value, words) in [
        ("peft_type", json!("LOHA"), ["peft_type is \"LOHA\"", "must be \"LORA\""]),
        ("bias", json!("all"), ["bias = \"all\"", "field bias"]),
        ("modules_to_save", json!(["lm_head"]), ["modules_to_save = [\"lm_head\"]", "not supported"]),
        ("rank_pattern", json!({"q_proj": -4}), ["rank_pattern", "whole numbers"]),
        ("alpha_pattern", json!({"q_proj": "x"}), ["alpha_pattern", "an object of numbers"]),
        ("layers_to_transform", json!("x"), ["layers_to_transform is \"x\"", "layers' numbers"]),
        ("init_lora_weights", json!("pissa"), ["init_lora_weights = \"pissa\"", "not supported"]),
        ("target_modules", json!(7), ["target_modules is 7", "regular expression"]),
        ("target_modules", Value::Null, ["target_modules is missing", "all-linear"]),
        ("r", json!(0), ["r is 0", "positive"]),
        ("r", json!(7), ["does not fit the rank 7", "tensor base_model"]),
        ("lora_alpha", json!("x"), ["lora_alpha is \"x\"", "a number"]),
        ("use_rslora", json!("yes"), ["use_rslora is \"yes\"", "true or false"]),
    ] {
        let mut folder = adapter_in_memory();
        let mut config: Value = serde_json::from_slice(&folder.bytes("adapter_config.json")).expect("config");
        config[key] = value;
        folder.set("adapter_config.json", config.to_string().as_bytes());
        check_message(&adapter_error(&folder), &words);
    }
    let mut folder = adapter_in_memory();
    let mut config: Value = serde_json::from_slice(&folder.bytes("adapter_config.json")).expect("config");
    config["target_modules"] = json!("all-linear");
    folder.set("adapter_config.json", config.to_string().as_bytes());
    let adapter = block_on(Adapter::read(&folder)).expect("all-linear");
    assert_eq!(adapter.config.target_modules, TargetModules::AllLinear);
}

#[test]
fn malformed_adapters_are_refused() {
    let folder = disk("llama_sigmoid/model");
    check_message(&adapter_error(&folder), &["a model folder, not an adapter", "adapter_config.json"]);
    let mut folder = adapter_in_memory();
    folder.files.retain(|(name, _)| name != "adapter_model.safetensors");
    check_message(&adapter_error(&folder), &["no adapter_model.safetensors", "save_pretrained"]);

    let a: (String, Vec<usize>, &[f32]) = ("m.lora_A.weight".to_owned(), vec![6, 1], &[1.0; 6]);
    let nan: (String, Vec<usize>, &[f32]) = ("m.lora_B.weight".to_owned(), vec![1, 6], &[f32::NAN; 6]);
    let other: (String, Vec<usize>, &[f32]) = ("m.lora_magnitude_vector".to_owned(), vec![1], &[1.0]);
    for (tensors, words) in [
        (vec![], ["no tensors", "PEFT"]),
        (vec![a.clone()], ["missing", "m.lora_B.weight"]),
        (vec![a.clone(), nan], ["the value NaN", "m.lora_B.weight"]),
        (vec![a, other], ["has no use_dora", "m.lora_magnitude_vector"]),
    ] {
        let mut folder = adapter_in_memory();
        folder.set("adapter_model.safetensors", &serialize_f32(&tensors, &BTreeMap::new()));
        check_message(&adapter_error(&folder), &words);
    }
}

#[test]
fn adapters_of_sizes_that_are_not_there_are_refused_at_once() {
    let began = Instant::now();
    for (key, value, words) in [
        ("r", json!(4_000_000_000_u64), ["r is 4000000000", "below 65536"]),
        ("r", json!(u64::MAX), ["r is 18446744073709551615", "below 65536"]),
        ("r", json!(1e12), ["r is 1000000000000.0", "below 65536"]),
        ("r", json!(65_535), ["does not fit the rank 65535", "tensor base_model"]),
        ("lora_alpha", json!(1e308), ["lora_alpha is 1e+308", "a number"]),
    ] {
        let mut folder = adapter_in_memory();
        let mut config: Value = serde_json::from_slice(&folder.bytes("adapter_config.json")).expect("config");
        config[key] = value;
        folder.set("adapter_config.json", config.to_string().as_bytes());
        check_message(&adapter_error(&folder), &words);
    }

    // Small matrices of a high rank: a model's would be 65535 times as large as what the file holds.
    let model = Architecture::from_bytes(config("llama_sigmoid").to_string().as_bytes(), "c").expect("config");
    let mut folder = adapter_in_memory();
    let mut config: Value = serde_json::from_slice(&folder.bytes("adapter_config.json")).expect("config");
    config["r"] = json!(65_535);
    // A list may be as long as its file, and each name is looked for in every layer.
    config["target_modules"] = json!(vec!["model.layers.2.mlp.down_proj"; 300_000]);
    folder.set("adapter_config.json", config.to_string().as_bytes());
    let (module, ones) = ("model.layers.2.mlp.down_proj", vec![1.0; 65_535]);
    let a = (format!("{module}.lora_A.weight"), vec![65_535, 1], ones.as_slice());
    let b = (format!("{module}.lora_B.weight"), vec![1, 65_535], ones.as_slice());
    folder.set("adapter_model.safetensors", &serialize_f32(&[a, b], &BTreeMap::new()));
    let adapter = block_on(Adapter::read(&folder)).expect("its matrices are a pair");
    let settings = AdapterSettings::new(adapter.config.clone(), &model).expect("the module exists");
    assert_eq!(settings.targets.len(), 1, "the module is one, however often it is named");
    let error = settings.check(&model, &adapter, "adapter").expect_err("the model's matrices are larger");
    check_message(&error, &["[65535, 1]", "the model asks for [65535, 144]", "lora_A.weight"]);

    let whole = block_on(Adapter::read(&disk("llama_sigmoid/adapter_init"))).expect("adapter");
    let settings = AdapterSettings::new(whole.config.clone(), &model).expect("targets");
    settings.check(&model, &whole, "adapter").expect("PEFT's own adapter fits");
    let mut more = whole.clone();
    let of_rank = |tensors: &BTreeMap<String, Tensor>| tensors.values().next().expect("a matrix").clone();
    more.tensors.insert("base_model.model.model.layers.9.x.lora_A.weight".to_owned(), of_rank(&whole.tensors));
    check_message(
        &settings.check(&model, &more, "adapter").expect_err("one more"),
        &["no target module", "layers.9.x"],
    );
    let mut fewer = fresh(&settings, &model, 1);
    let first = fewer.tensors.pop_first().expect("a matrix").0;
    check_message(&settings.check(&model, &fewer, "adapter").expect_err("one less"), &["lacks this matrix", &first]);
    assert!(began.elapsed() < Duration::from_secs(20), "nothing was counted up to: {:?}", began.elapsed());
}

#[test]
fn the_model_card_has_front_matter_and_tables() {
    let mut adapter = block_on(Adapter::read(&disk("llama_sigmoid/adapter_init"))).expect("adapter");
    let mut text = |base: Option<&str>, card: &ModelCard| {
        adapter.config.base_model_name_or_path = base.map(str::to_owned);
        let (_, bytes) = adapter.files(card).remove(2);
        String::from_utf8(bytes).expect("UTF-8")
    };
    // The Hub takes its own names only.
    for base in ["/models/m", "m", "the demo model", "a/b/c", "org/\"m\""] {
        assert!(!text(Some(base), &card()).contains("base_model:"), "{base} is no name on the Hub");
    }
    let own = text(None, &card().in_words("# Kind words\n\nAn adapter for m.\n\n## Training\n\n- 40 steps\n"));
    assert_eq!(own.lines().filter(|line| line.starts_with("# ")).collect::<Vec<_>>(), ["# Kind words"], "{own}");
    assert!(own.contains("An adapter for m.\n\n## Training") && !own.contains("A LoRA adapter trained"), "{own}");
    let text = text(Some("org/model"), &card());
    let front = "---\nbase_model: \"org/model\"\nlibrary_name: peft\nlicense: \"apache-2.0\"\n";
    assert!(text.starts_with(front), "{text}");
    for part in
        ["pipeline_tag: text-generation", "\n- \"lora\"\n", "\n- \"dpo\"\n", "| beta | 0.1 |", "| loss | a\\|b c |"]
    {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
}

#[test]
fn the_model_card_names_the_method() {
    let mut adapter = block_on(Adapter::read(&disk("llama_sigmoid/adapter_init"))).expect("adapter");
    let settings = json!({ "method": "grpo" }).as_object().expect("an object").clone();
    let card = ModelCard::of_run("m", None, &settings, &[]);
    adapter.config.task = Task::SeqCls;
    let (_, bytes) = adapter.files(&card).remove(2);
    let text = String::from_utf8(bytes).expect("UTF-8");
    for part in ["# m, tuned by GRPO", "trained by GRPO with pairtune", "\n- \"grpo\"\n", "text-classification"] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    assert!(!text.contains("dpo") && !text.contains("DPO"), "another method: {text}");
}

fn card() -> ModelCard {
    let rows = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    ModelCard {
        title: "My\nadapter".to_owned(),
        about: None,
        method: "dpo".to_owned(),
        licence: Some("apache-2.0".to_owned()),
        settings: rows("beta", "0.1"),
        metrics: rows("loss", "a|b\nc"),
    }
}

fn adapter_in_memory() -> Memory {
    let folder = fixture("llama_sigmoid/adapter_init");
    let read = |name: &str| std::fs::read(folder.join(name)).expect("file");
    Memory::new(&[
        ("adapter_config.json", &read("adapter_config.json")),
        ("adapter_model.safetensors", &read("adapter_model.safetensors")),
    ])
}

fn adapter_error(folder: &dyn Folder) -> Error {
    block_on(Adapter::read(folder)).expect_err("refused")
}

// Trainer state

#[test]
fn trainer_states_survive_a_round_trip() {
    let mut state = TrainerState { global_step: 3, epoch: Some(0.5), max_steps: 10, ..TrainerState::default() };
    state.log_history.push(json!({"loss": 0.693, "step": 1}).as_object().expect("object").clone());
    let bytes = state.to_bytes();
    assert_eq!(TrainerState::from_bytes(&bytes, "x").expect("state"), state);
    let foreign = br#"{"global_step": 7, "eval_steps": 500, "is_hyper_param_search": false, "new_field": [1]}"#;
    assert_eq!(TrainerState::from_bytes(foreign, "x").expect("state").global_step, 7);
    let error = TrainerState::from_bytes(b"{\"global_step\": -1}", "trainer_state.json").expect_err("negative");
    check_message(&error, &["invalid value", "trainer_state.json"]);
}

// Damage

// Runs

#[test]
fn a_save_that_fails_leaves_the_state_before() {
    let place = tempfile::tempdir().expect("a folder");
    let store = block_on(Store::open(&place.path().display().to_string())).expect("a store");
    let folder = RunFolder::new(&store, "one");
    let at = |name: &str| place.path().join("runs/one").join(name);
    let adapter = block_on(Adapter::read(&adapter_in_memory())).expect("an adapter");
    let state = |step: usize| {
        let place = json!({ "step": step, "n_tokens": 1, "config": {}, "data": "", "initial_adapter": null });
        let place = serde_json::from_value(place).expect("a place");
        let moments = Moments::Old([vec![0.0], vec![0.0]]);
        Checkpoint { adapter: adapter.clone(), moments, place, answers: None, value: None }
    };
    let mut record: RunRecord = serde_json::from_value(json!({
        "run_id": "one", "name": "one", "notes": "", "status": "running", "created": 0.0, "seconds": 0.0,
        "model": { "source": "demo" }, "model_name": "m", "pairs_name": "p", "settings": {}, "step": 0, "n_steps": 9,
        "watch": { "eval_steps": 0, "keep_best": true, "prompts": [], "save_seconds": 0.0 }, "checkpoint": null,
        "best_step": 1, "best": null, "won": null, "n_held_out": 0, "longer_wins": 0.0, "sparkline": [], "bytes": 0,
    }))
    .expect("a record");
    block_on(folder.begin(&record, &[Vec::new(), Vec::new()])).expect("begun");
    let metrics = |step: usize| [json!({ "step": step }).as_object().cloned().expect("an object")];
    let save = |record: &mut RunRecord, step, best: Option<&Adapter>| {
        block_on(folder.save(&state(step), best, record, &metrics(step), &Vec::new()))
    };
    save(&mut record, 1, Some(&adapter)).expect("saved");
    assert!(at("checkpoint-1/optimizer.safetensors").exists() && at("best-1/adapter_config.json").exists(), "written");

    // A file of the next state cannot be written.
    std::fs::create_dir_all(at("checkpoint-2/samples.json/in the way")).expect("a folder");
    record.best_step = Some(2);
    save(&mut record, 2, Some(&adapter)).expect_err("it is in the way");
    let read = block_on(folder.read()).expect("the run opens");
    assert_eq!((read.record.step, read.record.best_step, read.best.is_some()), (1, Some(1), true), "as it was");
    assert!(!at("checkpoint-2").exists() && !at("best-2").exists(), "no part of the new state takes room");

    save(&mut record, 2, Some(&adapter)).expect("there is room now");
    assert!(!at("checkpoint-1").exists() && !at("best-1").exists(), "the state before makes way");
    let bytes = block_on(store.size("runs/one")).expect("a size");
    assert!(bytes.abs_diff(record.bytes) < 200, "what is told is what it takes: {} and {bytes}", record.bytes);

    // Metrics measured since are added, and the state itself is not touched.
    std::fs::write(at("checkpoint-2/optimizer.safetensors"), "as it was").expect("a file");
    save(&mut record, 2, None).expect("saved");
    assert_eq!(std::fs::read(at("checkpoint-2/optimizer.safetensors")).expect("there"), b"as it was");

    // Settling a run records how it ended, and not a step that was never saved.
    block_on(folder.settle(&RunRecord { step: 7, status: Status::Paused, ..record.clone() })).expect("settled");
    let stored = block_on(folder.record()).expect("a record");
    assert_eq!((stored.step, stored.status), (2, Status::Paused), "the step that is safe");

    let mut names: Vec<String> =
        block_on(folder.all_files()).expect("files").into_iter().map(|(name, _)| name).collect();
    names.retain(|name| !name.contains('/'));
    assert_eq!(names, ["held_out.jsonl", "pairs.jsonl", "run.json", "settings.json"], "and the folders' files");
}

#[test]
fn damaged_files_never_panic() {
    let header = {
        let whole = std::fs::read(fixture("llama_sigmoid/adapter_init/adapter_model.safetensors")).expect("file");
        whole[..6000].to_vec()
    };
    check_damage(&header, 7, |bytes| drop(parse("x", bytes)));
    check_damage(&header, 31, |bytes| drop(block_on(TensorFiles::open(&Memory::new(&[("model.safetensors", bytes)])))));
    let small = serialize_f32(&[("a".into(), vec![2, 2], &[1.0; 4]), ("b".into(), vec![1], &[2.0])], &BTreeMap::new());
    check_damage(&small, 1, |bytes| drop(parse("x", bytes)));

    let config = std::fs::read(fixture("llama3_tied_ipo/model/config.json")).expect("config");
    check_damage(&config, 1, |bytes| {
        if let Ok(config) = Architecture::from_bytes(bytes, "x")
            && config.attention.head_dim < 1000
        {
            config.ropes.iter().for_each(|rope| drop(rope.table(2, 2)));
        }
    });
    let folder = adapter_in_memory();
    check_damage(&folder.bytes("adapter_config.json"), 1, |bytes| {
        let mut folder = adapter_in_memory();
        folder.set("adapter_config.json", bytes);
        drop(block_on(Adapter::read(&folder)));
    });
    check_damage(&TrainerState::default().to_bytes(), 1, |bytes| drop(TrainerState::from_bytes(bytes, "x")));

    let read = |path: &str| std::fs::read(fixture(path)).expect("file");
    let tokenizer = read("gemma3_robust/model/tokenizer.json");
    check_damage(&tokenizer, 97, |bytes| {
        drop(block_on(Tokenizer::open(&Memory::new(&[("tokenizer.json", bytes)]))));
    });
    let (tokenizer, config) =
        (read("llama_sigmoid/model/tokenizer.json"), read("gemma3_robust/model/tokenizer_config.json"));
    check_damage(&config, 17, |bytes| {
        let folder = Memory::new(&[("tokenizer.json", &tokenizer), ("tokenizer_config.json", bytes)]);
        drop(block_on(Tokenizer::open(&folder)));
    });
    let config: Value = serde_json::from_slice(&config).expect("config");
    let template = config["chat_template"].as_str().expect("template");
    check_damage(template.as_bytes(), 1, |bytes| {
        if let Ok(template) = ChatTemplate::new(&String::from_utf8_lossy(bytes), "x") {
            let message = json!({"role": "user", "content": "x"});
            drop(template.render(&[message.as_object().expect("object")], true, &[], None, None));
        }
    });
}

/// Calls `read` with the bytes cut off, and with one bit changed, at every `step`-th place.
fn check_damage(bytes: &[u8], step: usize, read: impl Fn(&[u8])) {
    for at in (0..bytes.len()).step_by(step) {
        read(&bytes[..at]);
        let mut damaged = bytes.to_vec();
        damaged[at] ^= 1 << (at / step % 8);
        read(&damaged);
    }
}

// Helpers

/// A folder in memory.
struct Memory {
    files: Vec<(String, Vec<u8>)>,
}

impl Memory {
    fn new(files: &[(&str, &[u8])]) -> Self {
        Self { files: files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect() }
    }

    fn bytes(&self, file: &str) -> Vec<u8> {
        self.files.iter().find(|(name, _)| name == file).expect("file").1.clone()
    }

    fn set(&mut self, file: &str, bytes: &[u8]) {
        self.files.iter_mut().find(|(name, _)| name == file).expect("file").1 = bytes.to_vec();
    }
}

impl Folder for Memory {
    fn name(&self) -> &str {
        "memory"
    }

    fn files(&self) -> Vec<String> {
        self.files.iter().map(|(name, _)| name.clone()).collect()
    }

    fn open(&self, file: &str) -> Result<Box<dyn ByteSource>> {
        Ok(Box::new(MemorySource { name: file.to_owned(), bytes: self.bytes(file) }))
    }
}

/// A file of safetensors with this header and `n` bytes of tensors.
fn raw(header: &str, n: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(vec![0; n]);
    bytes
}

fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(path)
}

fn disk(path: &str) -> DiskFolder {
    DiskFolder::open(&fixture(path)).expect("folder")
}

fn config(case: &str) -> Value {
    let bytes = std::fs::read(fixture(case).join("model/config.json")).expect("config.json");
    serde_json::from_slice(&bytes).expect("JSON")
}

fn open_error(folder: &dyn Folder) -> Error {
    block_on(TensorFiles::open(folder)).err().expect("refused")
}

#[track_caller]
fn check_message(error: &Error, words: &[&str]) {
    let message = error.to_string();
    for word in words {
        assert!(message.contains(word), "\"{word}\" is not in: {message}");
    }
}
