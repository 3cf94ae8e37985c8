//! What this crate makes of a GGUF file, as JSON for `tests/gguf_check.py`:
//! `gguf_dump FILE [TEXTS.json] [HF_NAMES.json]`.

mod source;

use pairtune::data::GgufTokenizer;
use pairtune::error::Result;
use pairtune::files::GgufWeights;
use pairtune::platform::ByteSource;
use serde_json::{Map, Value, json};
use source::FileSource;

/// A sum in which every bit and every place counts.
fn fingerprint(values: &[f32]) -> u64 {
    let weight = |i: u64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let bits = values.iter().map(|x| u64::from(x.to_bits())).zip(0..);
    bits.fold(0u64, |sum, (x, i)| sum.wrapping_add(x.wrapping_mul(weight(i))))
}

fn list(path: Option<String>) -> Vec<String> {
    path.map(|path| serde_json::from_str(&std::fs::read_to_string(path).expect("a file")).expect("a list of texts"))
        .unwrap_or_default()
}

async fn dump(source: Box<dyn ByteSource>, texts: Vec<String>, hf_names: Vec<String>) -> Result<Value> {
    let weights = GgufWeights::open(source).await?;
    let (gguf, config) = (weights.gguf(), weights.config());
    let mut tensors = Map::new();
    for name in gguf.names() {
        let info = gguf.info(name)?;
        let sum = fingerprint(&gguf.read_f32(name).await?);
        tensors.insert(name.to_owned(), json!([info.shape, info.ggml_type.name(), format!("{sum:x}")]));
    }
    let mut hf = Map::new();
    for name in hf_names {
        if !weights.contains(&name) {
            hf.insert(name, Value::Null);
            continue;
        }
        let (shape, ggml_type) = weights.info(&name)?;
        let values = weights.read_f32(&name).await?;
        // Rows, where there are such, give the same.
        if shape.len() == 2
            && let Ok(rows) = weights.read_rows(&name, 0..shape[0]).await
        {
            assert_eq!(fingerprint(&ggml_type.to_f32(&rows)), fingerprint(&values), "{name} by rows");
            let half = weights.read_rows(&name, shape[0] / 3..shape[0]).await?;
            assert_eq!(rows[rows.len() - half.len()..], half, "{name} by some rows");
        }
        hf.insert(name, json!([shape, format!("{:x}", fingerprint(&values))]));
    }
    let mut tokens = json!(null);
    if gguf.get("tokenizer.ggml.model").is_some() {
        let tokenizer = GgufTokenizer::new(gguf)?;
        let encode = |text: &String, special: bool| {
            tokenizer.tokenizer.encode_fast(text.as_str(), special).expect("a text has tokens").get_ids().to_vec()
        };
        let ids: Vec<_> = texts.iter().map(|text| encode(text, false)).collect();
        let back: Vec<_> = ids.iter().map(|ids| tokenizer.tokenizer.decode(ids, false).expect("tokens")).collect();
        tokens = json!({
            "ids": ids,
            "with_special": texts.iter().map(|text| encode(text, true)).collect::<Vec<_>>(),
            "decoded": back,
            "config": tokenizer.config(),
        });
    }
    Ok(json!({"config": config, "tensors": tensors, "hf": hf, "tokens": tokens}))
}

fn main() {
    let mut args = std::env::args().skip(1);
    let name = args.next().expect("gguf_dump FILE [TEXTS.json] [HF_NAMES.json]");
    match pollster::block_on(dump(FileSource::open(&name), list(args.next()), list(args.next()))) {
        Ok(found) => println!("{found}"),
        Err(e) => {
            eprintln!("{e}");
            std::process::exit(1);
        }
    }
}
