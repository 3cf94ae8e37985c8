//! A safetensors file: by ranges as a model's, whole as a trainer's, and as an adapter's.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pairtune::Result;
use pairtune::files::{Adapter, TensorFiles, parse};
use pairtune_fuzz::folder;
use pollster::block_on;

const ADAPTER: &[u8] =
    br#"{"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 2, "lora_alpha": 4, "target_modules": ["q"]}"#;

fuzz_target!(|bytes: &[u8]| {
    drop(block_on(read(bytes)));
    drop(parse("model.safetensors", bytes));
    let adapter = folder(&[("adapter_config.json", ADAPTER), ("adapter_model.safetensors", bytes)]);
    drop(block_on(Adapter::read(&adapter)));
});

async fn read(bytes: &[u8]) -> Result<()> {
    let files = TensorFiles::open(&folder(&[("model.safetensors", bytes)])).await?;
    for name in files.names() {
        if let Ok(info) = files.info(name) {
            assert_eq!(files.read(name, 0, info.bytes() as usize).await?.len() as u64, info.bytes(), "all of {name}");
            assert_eq!(files.read_f32(name).await?.len(), info.elements(), "all of {name}");
        }
    }
    Ok(())
}
