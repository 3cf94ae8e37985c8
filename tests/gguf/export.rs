//! Output of `pairtune export`: the golden cases' models and adapters as GGUF, read again and compared with what they
//! were. `tests/llama_cpp_check.py` checks that llama.cpp computes the same from them.

use std::path::{Path, PathBuf};

use pairtune::data::{Chat, Tokenizer};
use pairtune::engine::export::gguf::{GgufKind, GgufSource, Written, read_lora, write_gguf};
use pairtune::error::Result;
use pairtune::files::{Adapter, GgmlType, Gguf, GgufValue, GgufWeights, LORA_A, ModelFiles, merge_model};
use pairtune::model::Model;
use pairtune::platform::native::{DiskFolder, DiskWriter, FileSource};
use pollster::block_on;
use tempfile::TempDir;

use super::common::message;

/// The golden cases, and what llama.cpp's graph of the family cannot compute of some of them.
const CASES: [(&str, &str); 25] = [
    ("llama_sigmoid", ""),
    ("llama3_tied_ipo", ""),
    ("llama_bf16_rslora", ""),
    ("llama_yarn", "it does not know a rotary embedding in layer 0"),
    ("llama_dynamic_long", "it does not know the rope_type \"dynamic\""),
    ("mistral_window", ""),
    ("ministral3_v4", "it does not know a window in layer 0"),
    ("qwen2_hinge", ""),
    ("qwen2_window", "it does not know a window in layer"),
    ("qwen3_chat_sigmoid", ""),
    ("gemma_chat", ""),
    ("gemma2_softcap", "it does not know a scale of attention of"),
    ("gemma3_robust", "it does not know a scale of attention of"),
    ("phi3_window", ""),
    ("phi3_longrope_long", ""),
    ("gpt2_apo_zero", ""),
    ("gpt2_unscaled", "it does not know a scale of attention of"),
    ("gpt_neox_sigmoid_sft", ""),
    ("olmo2_bias_tied", ""),
    ("olmo3_nested", "it does not know a rotary embedding in layer 0"),
    ("smollm3_window", "it does not know a window in layer 1"),
    ("granite_bias", ""),
    ("lfm2", ""),
    ("hunyuan_bias", ""),
    ("exaone4_hybrid", "it does not know windows in EXAONE 4"),
];
/// DoRA, of which llama.cpp knows nothing: only the merged model is written.
const DORA: [(&str, &str); 3] = [("lora_dora", ""), ("lora_dora_gpt2", ""), ("lora_dora_neox", "")];

fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(path)
}

/// Exports a model, a folder or a GGUF file, into `to` as `out.gguf`.
fn export(model: &Path, adapter: Option<&Adapter>, kind: GgufKind, to: &Path) -> Result<Written> {
    export_with(model, Chat::default(), adapter, kind, to)
}

/// The same with what a person has set for conversations.
fn export_with(model: &Path, chat: Chat, adapter: Option<&Adapter>, kind: GgufKind, to: &Path) -> Result<Written> {
    block_on(async {
        let folder = DiskFolder::open(model)?;
        let config = Model::config(&folder).await?;
        let tokenizer = Tokenizer::open(&folder).await?.with_chat(chat)?;
        let source = GgufSource { folder: &folder, config: &config, tokenizer: &tokenizer, name: "tuned" };
        let adapter = adapter.map(|adapter| (adapter, "adapter"));
        write_gguf(&source, adapter, kind, &mut DiskWriter::new(to), ["out.gguf", "Modelfile"], &mut |_, _| true).await
    })
}

fn adapter_of(case: &str) -> Adapter {
    let folder = DiskFolder::open(&fixture(&format!("{case}/adapter_final_b"))).expect("an adapter");
    block_on(Adapter::read(&folder)).expect("the adapter is whole")
}

fn open(folder: &TempDir) -> Gguf {
    let source = FileSource::open(&folder.path().join("out.gguf")).expect("the file is there");
    block_on(Gguf::open(Box::new(source))).expect("it is a GGUF file")
}

fn scratch() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn every_family_is_merged_as_into_safetensors_or_refused_by_name() {
    let cases = CASES.iter().chain(&DORA);
    let wrong: Vec<String> = cases.filter_map(|(case, refusal)| merged_otherwise(case, refusal)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Returns the difference between a case's model merged into GGUF and merged into safetensors, or a missing refusal.
fn merged_otherwise(case: &str, refusal: &str) -> Option<String> {
    let (model, adapter, to) = (fixture(&format!("{case}/model")), adapter_of(case), scratch());
    let exported = export(&model, Some(&adapter), GgufKind::Model(GgmlType::F32), to.path());
    let file = to.path().join("out.gguf");
    let written = match exported {
        Ok(written) if refusal.is_empty() => written,
        Err(e) if !refusal.is_empty() && e.to_string().contains(refusal) && !file.exists() => return None,
        other => return Some(format!("{case}: {other:?}")),
    };
    let size = std::fs::metadata(&file).expect("a file").len();
    let modules = adapter.tensors.keys().filter(|key| key.ends_with(LORA_A)).count();
    assert_eq!((written.bytes, written.adapted), (size, modules), "{case}: bytes and weights");

    let (merged, folder) = (scratch(), DiskFolder::open(&model).expect("a model"));
    let mut writer = DiskWriter::new(merged.path());
    block_on(merge_model(&folder, &adapter, "adapter", &[], &mut writer, &mut |_, _| true)).expect("it is merged");
    let merged = DiskFolder::open(merged.path()).expect("the merged model");
    let config = block_on(Model::config(&merged)).expect("a config");
    let files = block_on(ModelFiles::open(&merged)).expect("weights");
    let source = FileSource::open(&file).expect("the file is there");
    let weights = block_on(GgufWeights::open(Box::new(source))).expect("it is a model");
    // Half weights are rounded once more in safetensors, and one is added to norms and taken away again.
    let tolerance = if config.dtype.as_deref() == Some("float32") { 1e-6 } else { 4e-3 };
    Model::stored_tensors(&config, &files).into_iter().find_map(|(name, stored, shape)| {
        let found_shape = weights.info(&name).map(|(shape, _)| shape);
        if found_shape.as_ref() != Ok(&shape) {
            return Some(format!("{case}: {name} has {found_shape:?}, not {shape:?}"));
        }
        let found = block_on(weights.read_f32(&name)).expect("it is read");
        let meant = block_on(files.read_f32(&stored)).expect("it is read");
        let apart = found.iter().zip(&meant).map(|(x, y)| (x - y).abs() / y.abs().max(1.0)).fold(0.0, f32::max);
        (found.len() != meant.len() || apart > tolerance).then(|| format!("{case}: {name} differs by {apart}"))
    })
}

#[test]
fn a_lora_file_holds_the_adapter() {
    for (case, refusal) in CASES.into_iter().chain([("lora_patterns", ""), ("lora_layers_exclude", "")]) {
        if !refusal.is_empty() {
            continue;
        }
        let (model, adapter, to) = (fixture(&format!("{case}/model")), adapter_of(case), scratch());
        export(&model, Some(&adapter), GgufKind::Lora, to.path()).unwrap_or_else(|e| panic!("{case}: {e}"));
        let file = open(&to);
        let text = |key: &str| file.get(key).and_then(GgufValue::as_str).map(str::to_owned);
        assert_eq!(text("general.type").as_deref(), Some("adapter"), "{case}");
        assert_eq!(text("adapter.type").as_deref(), Some("lora"), "{case}");
        // llama.cpp divides by the rank of each pair of matrices.
        let alpha = file.get("adapter.lora.alpha").and_then(GgufValue::as_f64).expect("alpha");
        let scale = alpha / adapter.config.r as f64;
        assert!((scale / adapter.config.scale() - 1.0).abs() < 1e-6, "{case}: {scale}");
        assert_eq!(file.names().count(), adapter.tensors.len(), "{case}: two tensors for each weight");
        let folder = DiskFolder::open(&model).expect("a model");
        let read = block_on(async {
            let config = Model::config(&folder).await.expect("a config");
            let tokenizer = Tokenizer::open(&folder).await.expect("a tokenizer");
            let source = GgufSource { folder: &folder, config: &config, tokenizer: &tokenizer, name: "tuned" };
            read_lora(&source, &file, &adapter).await.expect("it is read")
        });
        for (key, tensor) in &adapter.tensors {
            let found = &read.tensors[key];
            let apart = found.data.iter().zip(&tensor.data).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
            assert!(found.shape == tensor.shape && apart <= 1e-6, "{case}: {key} differs by {apart}");
        }
    }
}

#[test]
fn types_are_those_of_llama_cpp() {
    use GgmlType::{F16, F32, Q4_0, Q8_0};
    let to = scratch();
    let types = |model: &Path, ggml_type: GgmlType, wanted: &[(&str, GgmlType)]| {
        export(model, None, GgufKind::Model(ggml_type), to.path()).expect("it is written");
        let file = open(&to);
        for (name, wanted) in wanted {
            let found = file.info(name).expect("the tensor is there").ggml_type;
            assert_eq!(found, *wanted, "{name} with {}", ggml_type.name());
        }
        file.get("general.file_type").and_then(GgufValue::as_u64)
    };
    let llama = fixture("llama_sigmoid/model");
    // Rows of 144 are no whole blocks of 32.
    let (norm, down) = (("blk.0.attn_norm.weight", F32), ("blk.0.ffn_down.weight", F16));
    let all = |ggml_type| [("token_embd.weight", ggml_type), ("blk.1.attn_q.weight", ggml_type), norm, down];
    assert_eq!(types(&llama, F16, &all(F16)), Some(1));
    assert_eq!(types(&llama, Q8_0, &all(Q8_0)), Some(7));
    assert_eq!(types(&llama, Q4_0, &all(Q4_0)), Some(2));
    types(&llama, Q4_0, &[("output.weight", Q8_0)]);
    // The embedding is the head, too.
    let tied = fixture("qwen3_chat_sigmoid/model");
    types(&tied, Q4_0, &[("token_embd.weight", Q8_0), ("blk.0.ffn_down.weight", Q4_0)]);
    types(&fixture("lfm2/model"), F16, &[("blk.0.shortconv.conv.weight", F32), ("token_embd_norm.weight", F32)]);
    types(&fixture("gpt2_apo_zero/model"), F16, &[("position_embd.weight", F32), ("blk.0.attn_qkv.bias", F32)]);
}

#[test]
fn a_gguf_file_is_exported_again() {
    let (first, second, third) = (scratch(), scratch(), scratch());
    let (model, adapter) = (fixture("llama_sigmoid/model"), adapter_of("llama_sigmoid"));
    export(&model, None, GgufKind::Model(GgmlType::F32), first.path()).expect("it is written");
    let base = first.path().join("out.gguf");
    export(&base, Some(&adapter), GgufKind::Model(GgmlType::F32), second.path()).expect("it is merged");
    export(&model, Some(&adapter), GgufKind::Model(GgmlType::F32), third.path()).expect("it is merged");
    let [again, at_once] = [&second, &third].map(|to| std::fs::read(to.path().join("out.gguf")).expect("a file"));
    assert!(again == at_once, "merging into either is the same");
    export(&base, Some(&adapter), GgufKind::Lora, second.path()).expect("it is written");
    export(&model, Some(&adapter), GgufKind::Lora, third.path()).expect("it is written");
    let [again, at_once] = [&second, &third].map(|to| std::fs::read(to.path().join("out.gguf")).expect("a file"));
    assert!(again == at_once, "the adapter does not depend on how the base is stored");
}

#[test]
fn a_template_that_was_set_is_written_whatever_the_base_is_stored_in() {
    let (first, second) = (scratch(), scratch());
    let template = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}";
    let chat = || Chat { template: Some(template.to_owned()), ..Chat::default() };
    let model = fixture("qwen3_chat_sigmoid/model");
    export_with(&model, chat(), None, GgufKind::Model(GgmlType::F32), first.path()).expect("it is written");
    export(&model, None, GgufKind::Model(GgmlType::F32), second.path()).expect("it is written");
    let base = second.path().join("out.gguf");
    let again = scratch();
    export_with(&base, chat(), None, GgufKind::Model(GgmlType::F32), again.path()).expect("it is written");
    for to in [&first, &again] {
        let written = open(to).get("tokenizer.chat_template").and_then(GgufValue::as_str).map(str::to_owned);
        assert_eq!(written.as_deref(), Some(template));
    }
}

#[test]
fn a_modelfile_has_the_template_and_the_ends() {
    let modelfile = |model: &Path, kind: GgufKind, adapter: Option<&Adapter>| {
        let to = scratch();
        export(model, adapter, kind, to.path()).expect("it is written");
        std::fs::read_to_string(to.path().join("Modelfile")).expect("a Modelfile")
    };
    let chatml = modelfile(&fixture("qwen3_chat_sigmoid/model"), GgufKind::Model(GgmlType::F16), None);
    for part in ["FROM ./out.gguf\n", "# ChatML\nTEMPLATE \"\"\"", "PARAMETER stop \"<|im_end|>\"", "num_ctx 1024"] {
        assert!(chatml.contains(part), "{part}: {chatml}");
    }
    let gemma = modelfile(&fixture("gemma3_robust/model"), GgufKind::Lora, Some(&adapter_of("gemma3_robust")));
    assert!(gemma.contains("# Gemma\nTEMPLATE \"\"\"") && gemma.contains("<start_of_turn>model\n"), "{gemma}");
    let plain = fixture("llama_sigmoid/model");
    let without = modelfile(&plain, GgufKind::Model(GgmlType::F16), None);
    assert!(without.contains("TEMPLATE {{ .Prompt }}"), "there is no chat template: {without}");
    let adapter = modelfile(&plain, GgufKind::Lora, Some(&adapter_of("llama_sigmoid")));
    assert!(adapter.contains("FROM ./base.gguf\nADAPTER ./out.gguf\n"), "{adapter}");
}

#[test]
fn what_does_not_fit_is_refused() {
    let to = scratch();
    let refused =
        |adapter: Option<&Adapter>, kind| message(export(&fixture("llama_sigmoid/model"), adapter, kind, to.path()));
    assert!(refused(None, GgufKind::Lora).contains("There is no adapter to write"));
    let other = adapter_of("gpt2_apo_zero");
    assert!(refused(Some(&other), GgufKind::Lora).contains("The model has no weight transformer.h.0"));
    let dora = export(&fixture("lora_dora/model"), Some(&adapter_of("lora_dora")), GgufKind::Lora, to.path());
    assert!(message(dora).contains("llama.cpp knows no DoRA adapters"));
    let mut large = adapter_of("llama_sigmoid");
    large.tensors.values_mut().for_each(|tensor| tensor.data.fill(1e4));
    assert!(refused(Some(&large), GgufKind::Model(GgmlType::F16)).contains("which F16 cannot"));
}
