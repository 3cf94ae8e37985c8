//! The metadata of GGUF files as `config.json`, and their tensors under Hugging Face's names.
//!
//! `models` of `tests/gguf_check.py` compares whole models of every architecture with transformers and gguf-py.

use super::common::{Entry, Random, Stored, entry, file, message, open, tensor};
use pairtune::error::Result;
use pairtune::files::{Array, Change, GgmlType, Gguf, GgufArch, GgufValue, GgufWeights, encode, gguf_config};
use pairtune::platform::MemorySource;
use serde_json::{Map, Value, json};

type Metadata = Vec<(String, GgufValue)>;

/// Metadata that nearly all architectures need.
fn metadata(arch: &str) -> Metadata {
    let key = |name: &str| format!("{arch}.{name}");
    vec![
        entry("general.architecture", arch),
        entry(&key("context_length"), 128),
        entry(&key("embedding_length"), 32),
        entry(&key("block_count"), 2),
        entry(&key("feed_forward_length"), 48),
        entry(&key("attention.head_count"), 4),
        entry(&key("attention.head_count_kv"), 2),
        entry(&key("attention.layer_norm_rms_epsilon"), 1e-6f32),
    ]
}

fn with(mut metadata: Metadata, key: &str, value: impl Into<Entry>) -> Metadata {
    metadata.retain(|(other, _)| other != key);
    metadata.push(entry(key, value));
    metadata
}

fn without(mut metadata: Metadata, key: &str) -> Metadata {
    metadata.retain(|(other, _)| other != key);
    metadata
}

fn embedding() -> Stored {
    tensor("token_embd.weight", &[10, 32], &mut Random(1))
}

fn gguf(metadata: &[(String, GgufValue)], tensors: &[Stored]) -> Gguf {
    open(file(metadata, &[&[embedding()], tensors].concat())).expect("the file is sound")
}

fn config(metadata: &[(String, GgufValue)], tensors: &[Stored]) -> Result<Map<String, Value>> {
    pollster::block_on(gguf_config(&gguf(metadata, tensors)))
}

fn floats(name: &str, data: &[f32]) -> Stored {
    (name.to_owned(), vec![data.len()], GgmlType::F32, encode(GgmlType::F32, data).expect("f32 can be written"))
}

#[test]
fn a_llama_has_the_config_of_transformers() {
    let metadata = with(metadata("llama"), "tokenizer.ggml.eos_token_id", 2);
    let metadata = with(with(metadata, "tokenizer.ggml.eot_token_id", 7), "llama.rope.freq_base", 5e5f32);
    let found = config(&metadata, &[tensor("blk.0.attn_q.bias", &[32], &mut Random(1))]);
    let expected = json!({
        "model_type": "llama", "vocab_size": 10, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "hidden_act": "silu",
        "max_position_embeddings": 128, "rms_norm_eps": 1e-6, "attention_bias": true, "mlp_bias": false,
        "tie_word_embeddings": true, "bos_token_id": null, "eos_token_id": [2, 7], "pad_token_id": null,
        "dtype": "float32", "rope_theta": 500_000.0, "rope_scaling": null,
    });
    assert_eq!(found.map(Value::Object), Ok(expected));
    let found = config(&with(metadata.clone(), "llama.attention.sliding_window", 64), &[]).expect("it is a Mistral");
    assert_eq!((&found["model_type"], &found["sliding_window"]), (&json!("mistral"), &json!(64)));
    let found = config(&metadata, &[tensor("output.weight", &[10, 32], &mut Random(1))]).expect("it has a head");
    assert_eq!(found["tie_word_embeddings"], json!(false), "the head is there");
    let key_length = with(metadata, "llama.attention.key_length", 16);
    assert_eq!(config(&key_length, &[]).map(|found| found["head_dim"].clone()), Ok(json!(16)));
}

#[test]
fn scaling_of_rotary_embeddings_comes_from_keys_and_tensors() {
    let scaling = |metadata: &Metadata, tensors: &[Stored]| {
        config(metadata, tensors).map(|found| found["rope_scaling"].clone()).map_err(|e| e.to_string())
    };
    let llama = metadata("llama");
    let linear = with(with(llama.clone(), "llama.rope.scaling.type", "linear"), "llama.rope.scaling.factor", 4.0f32);
    assert_eq!(scaling(&linear, &[]), Ok(json!({"rope_type": "linear", "factor": 4.0})));
    let old = with(llama.clone(), "llama.rope.scale_linear", 2.0f32);
    assert_eq!(scaling(&old, &[]), Ok(json!({"rope_type": "linear", "factor": 2.0})));
    let yarn = with(linear, "llama.rope.scaling.type", "yarn");
    let yarn = with(yarn, "llama.rope.scaling.original_context_length", 32);
    let expected = json!({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32});
    assert_eq!(scaling(&yarn, &[]), Ok(expected));

    // Llama 3.2's, for 8 dimensions and a base of 500000: the factors of its converter.
    let llama3 = with(llama.clone(), "llama.rope.freq_base", 5e5f32);
    let factors = floats("rope_freqs.weight", &[1.0, 1.0, 3.292262, 32.0]);
    let expected = json!({
        "rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192, "gguf_tensor": "rope_freqs.weight",
    });
    assert_eq!(scaling(&llama3, &[factors]), Ok(expected));
    let others = floats("rope_freqs.weight", &[1.0, 2.0, 1.0, 4.0]);
    let expected =
        json!({"rope_type": "gguf_factors", "factors": [1.0, 2.0, 1.0, 4.0], "gguf_tensor": "rope_freqs.weight"});
    assert_eq!(scaling(&llama3, &[others]), Ok(expected));
    for (wrong, part) in [
        (&[1.0; 5][..], "5 factors for 4 pairs"),
        (&[1.0, -1.0, 1.0, 1.0], "-1 is not a positive"),
        (&[f32::NAN; 4], "NaN"),
    ] {
        let refused = scaling(&llama3, &[floats("rope_freqs.weight", wrong)]).err().unwrap_or_default();
        assert!(refused.contains(part) && refused.contains("tensor rope_freqs.weight"), "{refused}");
    }

    let phi = with(metadata("phi3"), "phi3.rope.scaling.original_context_length", 64);
    let long = [floats("rope_factors_long.weight", &[1.5; 4]), floats("rope_factors_short.weight", &[1.0; 4])];
    let found = config(&phi, &long).expect("both tensors are there");
    let expected = json!({
        "rope_type": "longrope", "long_factor": [1.5, 1.5, 1.5, 1.5], "short_factor": [1.0, 1.0, 1.0, 1.0],
        "gguf_tensor": "rope_factors_long.weight", "original_max_position_embeddings": 64,
    });
    assert_eq!((&found["rope_scaling"], &found["original_max_position_embeddings"]), (&expected, &json!(64)));
    let refused = scaling(&with(llama, "llama.rope.scaling.type", "longrope"), &[]).err().unwrap_or_default();
    assert!(refused.contains("no rope_factors_long.weight"), "{refused}");
}

#[test]
fn layers_have_windows_as_in_llama_cpp() {
    let kinds = |metadata: &Metadata| {
        let found = config(metadata, &[]).map_err(|e| e.to_string())?;
        let full: Vec<usize> = (0..found["layer_types"].as_array().map_or(0, Vec::len))
            .filter(|i| found["layer_types"][i] == "full_attention")
            .collect();
        Ok::<_, String>((found["model_type"].clone(), found["sliding_window"].clone(), full))
    };
    let gemma2 = with(metadata("gemma2"), "gemma2.block_count", 4);
    assert_eq!(kinds(&gemma2), Ok((json!("gemma2"), json!(4096), vec![1, 3])));
    let gemma3 = with(with(metadata("gemma3"), "gemma3.block_count", 13), "gemma3.attention.sliding_window", 512);
    assert_eq!(kinds(&gemma3), Ok((json!("gemma3_text"), json!(512), vec![5, 11])));
    let olmo = with(with(metadata("olmo2"), "olmo2.block_count", 5), "olmo2.attention.sliding_window", 64);
    assert_eq!(kinds(&olmo), Ok((json!("olmo3"), json!(64), vec![3])));
    let flags = Array::Bool(vec![false, true, true, false, true]);
    let listed = with(olmo.clone(), "olmo2.attention.sliding_window_pattern", flags);
    assert_eq!(kinds(&listed), Ok((json!("olmo3"), json!(64), vec![0, 3])));
    let period = with(olmo.clone(), "olmo2.attention.sliding_window_pattern", 2);
    assert_eq!(kinds(&period), Ok((json!("olmo3"), json!(64), vec![1, 3])));
    let short = with(olmo, "olmo2.attention.sliding_window_pattern", Array::Bool(vec![true]));
    assert!(kinds(&short).is_err_and(|e| e.contains("1 entries for 5 layers")), "a short list is refused");
    let exaone = metadata("exaone4");
    assert_eq!(kinds(&exaone), Ok((json!("exaone4"), Value::Null, vec![0, 1])));

    let found = config(&gemma3, &[]).expect("it is a Gemma");
    assert_eq!((&found["rope_theta"], &found["rope_local_base_freq"]), (&json!(1e6), &json!(1e4)));
    assert_eq!((&found["query_pre_attn_scalar"], &found["attn_logit_softcapping"]), (&json!(8), &Value::Null));
    let found = config(&gemma2, &[]).expect("it is a Gemma");
    assert_eq!((&found["final_logit_softcapping"], &found["attn_logit_softcapping"]), (&json!(30.0), &json!(50.0)));
}

#[test]
fn metadata_that_cannot_be_used_is_refused_by_key() {
    let llama = metadata("llama");
    let key = |name: &str| format!("llama.{name}");
    for (metadata, part) in [
        (with(llama.clone(), "general.architecture", "mamba"), "The architecture \"mamba\" is not supported"),
        (without(llama.clone(), "general.architecture"), "does not say which architecture"),
        (with(llama.clone(), &key("expert_count"), 8), "mixture of 8 experts"),
        (without(llama.clone(), &key("embedding_length")), "The key llama.embedding_length is missing"),
        (with(llama.clone(), &key("block_count"), 0), "it is zero"),
        (with(llama.clone(), &key("block_count"), 100_000), "100000 layers are not between 1 and 4096"),
        (with(llama.clone(), &key("context_length"), u32::MAX), "4294967295 is not a whole number below 2^31"),
        (with(llama.clone(), &key("context_length"), "many"), "\"many\" is not a whole number"),
        (with(llama.clone(), &key("attention.layer_norm_rms_epsilon"), -1.0f32), "-1 is not a positive number"),
        (with(llama.clone(), &key("attention.head_count"), 5), "5 heads do not divide the width 32"),
        (
            with(llama.clone(), &key("attention.head_count_kv"), Array::I32(vec![2, 1])),
            "it differs between layers, which is not supported",
        ),
        (with(llama.clone(), &key("embedding_length"), 64), "the shape [10, 32], but the model's width is 64"),
        (with(llama.clone(), &key("rope.scaling.type"), "ntk"), "The rope scaling \"ntk\" is not supported"),
        (metadata("lfm2"), "it is not a list with an entry for each of 2 layers"),
    ] {
        let refused = message(config(&metadata, &[]));
        assert!(refused.contains(part) && refused.contains("[model.gguf"), "{part}: {refused}");
    }
    let bare = open(file(&llama, &[])).expect("the file is sound");
    let refused = message(pollster::block_on(gguf_config(&bare)));
    assert!(refused.contains("no tensor \"token_embd.weight\""), "{refused}");
}

#[test]
fn names_are_translated_for_each_architecture() {
    let config = json!({"num_attention_heads": 4, "num_key_value_heads": 2});
    let config = config.as_object().expect("an object");
    let pair = |heads: usize| Change::PairRows { heads };
    for (arch, hf, name, change) in [
        ("llama", "model.layers.12.self_attn.q_proj.weight", "blk.12.attn_q.weight", pair(4)),
        ("llama", "model.layers.0.self_attn.k_proj.bias", "blk.0.attn_k.bias", pair(2)),
        ("llama", "model.layers.0.post_attention_layernorm.weight", "blk.0.ffn_norm.weight", Change::None),
        ("qwen2", "model.layers.1.self_attn.q_proj.bias", "blk.1.attn_q.bias", Change::None),
        ("qwen3", "model.layers.1.self_attn.k_norm.weight", "blk.1.attn_k_norm.weight", Change::None),
        ("gemma2", "model.layers.1.post_feedforward_layernorm.weight", "blk.1.post_ffw_norm.weight", Change::PlusOne),
        ("gemma3", "language_model.model.norm.weight", "output_norm.weight", Change::PlusOne),
        ("gemma3", "model.language_model.norm.weight", "output_norm.weight", Change::PlusOne),
        ("phi3", "model.layers.3.mlp.gate_up_proj.weight", "blk.3.ffn_up.weight", Change::None),
        ("gpt2", "h.3.attn.c_attn.weight", "blk.3.attn_qkv.weight", Change::Transposed),
        ("gpt2", "transformer.h.3.mlp.c_proj.bias", "blk.3.ffn_down.bias", Change::None),
        ("gpt2", "wpe.weight", "position_embd.weight", Change::None),
        ("gptneox", "embed_out.weight", "output.weight", Change::None),
        (
            "gptneox",
            "gpt_neox.layers.3.attention.query_key_value.bias",
            "blk.3.attn_qkv.bias",
            Change::SplitHeads { heads: 4 },
        ),
        ("olmo2", "model.layers.0.post_attention_layernorm.weight", "blk.0.post_attention_norm.weight", Change::None),
        ("lfm2", "model.layers.0.conv.conv.weight", "blk.0.shortconv.conv.weight", Change::Squeezed),
        ("hunyuan-dense", "model.layers.0.self_attn.query_layernorm.weight", "blk.0.attn_q_norm.weight", Change::None),
        ("mistral3", "language_model.lm_head.weight", "output.weight", Change::None),
    ] {
        let mapped = GgufArch::of(arch).and_then(|arch| arch.map(hf, config)).expect("the name is known");
        assert_eq!((mapped.names.first().map(String::as_str), mapped.change), (Some(name), change), "{arch}: {hf}");
    }
    for hf in ["model.layers.0.self_attn.qkv_proj.weight", "model.layers.x.mlp.up_proj.weight", "nonsense", ""] {
        assert_eq!(GgufArch::Llama.map(hf, config), None, "{hf:?}");
    }
}

/// A matrix of `[row, column]` pairs as one number.
fn numbered(name: &str, rows: usize, columns: usize, row: impl Fn(usize) -> usize) -> Stored {
    let data: Vec<f32> =
        (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j))).map(|(i, j)| (row(i) * 100 + j) as f32).collect();
    (name.to_owned(), vec![rows, columns], GgmlType::F32, encode(GgmlType::F32, &data).expect("f32 can be written"))
}

fn model(metadata: &[(String, GgufValue)], tensors: &[Stored]) -> GgufWeights {
    let bytes = file(metadata, &[&[embedding()], tensors].concat());
    let source = MemorySource { name: "model.gguf".to_owned(), bytes };
    pollster::block_on(GgufWeights::open(Box::new(source))).expect("the file is sound")
}

#[test]
fn what_the_converter_did_is_undone() {
    // llama.cpp's converter does this in `permute`: reshape(heads, 2, 4), swap, so that rows of both halves take turns.
    let paired = |i: usize| i / 8 * 8 + i % 8 / 2 + i % 2 * 4;
    let weights = model(
        &metadata("llama"),
        &[
            numbered("blk.0.attn_q.weight", 32, 32, paired),
            numbered("blk.0.attn_k.weight", 16, 32, paired),
            numbered("blk.1.attn_k.weight", 18, 32, paired),
        ],
    );
    let read = |name: &str| pollster::block_on(weights.read_f32(name)).expect("the tensor is there");
    for (name, rows) in [("q", 32), ("k", 16)] {
        let hf = format!("model.layers.0.self_attn.{name}_proj.weight");
        assert_eq!(weights.info(&hf), Ok((vec![rows, 32], GgmlType::F32)), "{hf}");
        let whole = read(&hf);
        let first: Vec<usize> = whole.chunks(32).map(|row| row[0] as usize / 100).collect();
        assert_eq!(first, (0..rows).collect::<Vec<_>>(), "rows of {hf}");
        for range in [0..rows, 0..1, 3..11, rows - 1..rows, 5..5] {
            let some = pollster::block_on(weights.read_rows(&hf, range.clone())).expect("rows can be read");
            assert_eq!(GgmlType::F32.to_f32(&some), whole[range.start * 32..range.end * 32], "{hf} {range:?}");
        }
    }
    let refused = message(weights.info("model.layers.1.self_attn.k_proj.weight"));
    assert!(refused.contains("18 rows, which are not the rows of whole heads"), "{refused}");
    assert!(!weights.contains("model.layers.9.self_attn.q_proj.weight"), "there is no such layer");
    let refused = message(weights.info("model.layers.0.self_attn.qkv_proj.weight"));
    assert!(refused.contains("architecture \"llama\" have no tensor"), "{refused}");
}

#[test]
fn fused_transposed_and_shifted_tensors_come_back() {
    let neox = with(metadata("gptneox"), "gptneox.attention.layer_norm_epsilon", 1e-5f32);
    // Hugging Face has (head, q k v, width), the file (q k v, head, width): 4 heads of 8.
    let split = |i: usize| i % 32 / 8 * 24 + i / 32 * 8 + i % 8;
    let weights = model(&neox, &[numbered("blk.0.attn_qkv.weight", 96, 32, split)]);
    let hf = "gpt_neox.layers.0.attention.query_key_value.weight";
    let whole = pollster::block_on(weights.read_f32(hf)).expect("the tensor is there");
    assert_eq!(whole.chunks(32).map(|row| row[0] as usize / 100).collect::<Vec<_>>(), (0..96).collect::<Vec<_>>());
    let some = pollster::block_on(weights.read_rows(hf, 20..60)).expect("rows can be read");
    assert_eq!(GgmlType::F32.to_f32(&some), whole[20 * 32..60 * 32], "some rows");

    let gpt2 = with(metadata("gpt2"), "gpt2.attention.layer_norm_epsilon", 1e-5f32);
    let weights = model(&gpt2, &[numbered("blk.0.ffn_up.weight", 3, 32, |i| i)]);
    assert_eq!(weights.info("h.0.mlp.c_fc.weight"), Ok((vec![32, 3], GgmlType::F32)));
    let whole = pollster::block_on(weights.read_f32("h.0.mlp.c_fc.weight")).expect("the tensor is there");
    assert_eq!(whole[..6], [0.0, 100.0, 200.0, 1.0, 101.0, 201.0], "columns have become rows");
    let refused = message(pollster::block_on(weights.read_rows("h.0.mlp.c_fc.weight", 0..1)));
    assert!(refused.contains("cannot be read by rows (Transposed)"), "{refused}");

    let weights = model(&metadata("gemma2"), &[floats("blk.0.attn_norm.weight", &[1.5; 32])]);
    let norm = pollster::block_on(weights.read_f32("model.layers.0.input_layernorm.weight"));
    assert_eq!(norm, Ok(vec![0.5; 32]), "one was taken off");
}
