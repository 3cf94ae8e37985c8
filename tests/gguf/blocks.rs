//! Every type back to f32, and f32 to the types that are written, with the bits of gguf-py, which has ggml's.

use super::common::{Random, fingerprint};
use pairtune::files::{GgmlType, encode};

/// Fingerprints that `tests/gguf_check.py numbers` prints.
const DEQUANTIZED: [(GgmlType, u64); 11] = [
    (GgmlType::F32, 0x6a85_80d7_2ab2_f463),
    (GgmlType::F16, 0x731a_110b_9643_4000),
    (GgmlType::BF16, 0x60f6_5e14_7e8b_0000),
    (GgmlType::Q4_0, 0x2041_c7a8_e675_f400),
    (GgmlType::Q4_1, 0xe3d3_997b_3314_c63b),
    (GgmlType::Q5_0, 0x7eee_1866_b1b5_d200),
    (GgmlType::Q5_1, 0xf9ae_a282_1c59_5ddd),
    (GgmlType::Q8_0, 0xd8aa_3192_b18e_3800),
    (GgmlType::Q4K, 0x27a6_0576_5b32_bc7d),
    (GgmlType::Q5K, 0x8303_a2d6_bcf6_fb48),
    (GgmlType::Q6K, 0x9383_81ef_9f96_635a),
];
const QUANTIZED: [(GgmlType, u64); 5] = [
    (GgmlType::F32, 0x5eb2_e38e_4ddb_00e7),
    (GgmlType::F16, 0x5ae1_7bf6_52e8_1486),
    (GgmlType::BF16, 0x6898_defe_41b8_db74),
    (GgmlType::Q8_0, 0x7194_2bc9_2138_ff15),
    (GgmlType::Q4_0, 0x3995_6b8c_1cbb_9dd0),
];

#[test]
fn blocks_become_the_floats_of_gguf_py() {
    let mut random = Random(1);
    let found = GgmlType::ALL.map(|ggml_type| {
        let floats = ggml_type.to_f32(&random.blocks(ggml_type, 64));
        assert_eq!(floats.len(), 64 * ggml_type.block_elements(), "elements of {}", ggml_type.name());
        (ggml_type, fingerprint(floats.iter().map(|x| x.to_bits())))
    });
    assert_eq!(found, DEQUANTIZED, "type and fingerprint");
}

#[test]
fn floats_become_the_blocks_of_gguf_py() {
    let mut random = Random(2);
    let found = QUANTIZED.map(|(ggml_type, _)| {
        // Rows of large and of tiny numbers, one of zeros, and one with a number twice, once negative.
        let scales = [1.0, 1e-7, 300.0, 0.0, 1e-3];
        let mut floats: Vec<f32> = (0..320).map(|i| random.float() * scales[i / 64]).collect();
        (floats[260], floats[270]) = (-2.0, 2.0);
        let bytes = encode(ggml_type, &floats).expect("the type can be written");
        (ggml_type, fingerprint(bytes.into_iter().map(u32::from)))
    });
    assert_eq!(found, QUANTIZED, "type and fingerprint");
}

#[test]
fn types_have_the_sizes_and_names_of_ggml() {
    for ggml_type in GgmlType::ALL {
        assert_eq!(GgmlType::of(ggml_type.id()), Some(ggml_type), "{}", ggml_type.name());
    }
    assert_eq!(GgmlType::Q4K.name(), "Q4_K", "the name has an underscore");
    assert_eq!(GgmlType::Q6K.row_bytes(512), 420, "two blocks");
    assert_eq!(GgmlType::of(10), None, "Q2_K cannot be read");
}
