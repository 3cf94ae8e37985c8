//! A `config.json`: the architecture, all that is derived of it, and the check against weights that are not its own.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pairtune::model::{Group, Model};
use pairtune_fuzz::folder;
use pollster::block_on;

/// A safetensors file without tensors.
const WEIGHTS: &[u8] = b"\x08\0\0\0\0\0\0\0{}      ";

fuzz_target!(|bytes: &[u8]| {
    let folder = folder(&[("config.json", bytes), ("model.safetensors", WEIGHTS)]);
    let Ok(architecture) = block_on(Model::config(&folder)) else { return };
    let derived = (architecture.head_columns(), architecture.norm_stats(), architecture.norms_qk());
    assert!(derived.0.0 < usize::MAX, "{derived:?}");
    // The number of layers may be anything.
    for layer in 0..architecture.num_hidden_layers.min(8) {
        for group in Group::ALL {
            for linear in architecture.linears(layer, group) {
                linear.shape();
                linear.runs();
            }
        }
    }
    let names = Model::tensors(&architecture, Some("lm_head")).take(100);
    assert!(names.count() > 0, "every model has an embedding");
    assert!(block_on(Model::weight_bytes(&folder, &architecture)).is_err(), "there are no tensors");
});
