//! Writing GGUF: the same file in pieces and whole, and what it cannot hold.

use super::common::{Random, entry, file, message, open, tensor};
use pairtune::files::{GgmlType, GgufLayout, encode};

#[test]
fn a_file_in_pieces_is_the_file_whole() {
    let mut random = Random(1);
    let metadata = [entry("general.architecture", "llama"), entry("general.file_type", 7)];
    let floats: Vec<f32> = (0..96).map(|_| random.float()).collect();
    let quantised = encode(GgmlType::Q8_0, &floats).expect("Q8_0 can be written");
    let tensors = [
        tensor("a", &[3], &mut random),
        ("b".to_owned(), vec![3, 32], GgmlType::Q8_0, quantised),
        tensor("c", &[], &mut random),
    ];
    let described: Vec<_> = tensors.iter().map(|(name, shape, t, _)| (name.clone(), shape.clone(), *t)).collect();
    let layout = GgufLayout::new(&metadata, &described).expect("the tensors can be laid out");
    let mut pieces = layout.front().to_vec();
    for (i, (_, _, _, bytes)) in tensors.iter().enumerate() {
        assert_eq!(layout.tensor_bytes(i), bytes.len() as u64, "tensor {i}");
        pieces.extend(bytes);
        pieces.extend(vec![0; layout.padding(i)]);
    }
    let whole = file(&metadata, &tensors);
    assert_eq!(pieces, whole, "pieces and whole");
    assert_eq!(layout.total_bytes(), whole.len() as u64);
    let gguf = open(whole).expect("what is written can be read");
    for (name, shape, ggml_type, bytes) in &tensors {
        let info = gguf.info(name).expect("the tensor is there");
        assert_eq!((&info.shape, info.ggml_type), (shape, *ggml_type), "{name}");
        assert_eq!(&pollster::block_on(gguf.read(name, 0, bytes.len())).expect("it can be read"), bytes, "{name}");
    }
}

#[test]
fn what_gguf_cannot_hold_is_refused() {
    let layout = |name: &str, shape: &[usize], ggml_type: GgmlType| {
        message(GgufLayout::new(&[], &[(name.to_owned(), shape.to_vec(), ggml_type)]))
    };
    for (refused, part) in [
        (layout(&"n".repeat(64), &[4], GgmlType::F32), "The name has 64 bytes, but GGUF allows 63"),
        (layout("t", &[1; 5], GgmlType::F32), "has the shape [1, 1, 1, 1, 1]"),
        (layout("t", &[4, 0], GgmlType::F32), "has the shape [4, 0]"),
        (layout("t", &[4, 48], GgmlType::Q4_0), "Rows of 48 are not whole Q4_0 blocks of 32"),
        (layout("t", &[4, 128], GgmlType::Q6K), "Rows of 128 are not whole Q6_K blocks of 256"),
    ] {
        assert!(refused.contains(part) && refused.contains("tensor "), "{part}: {refused}");
    }
    let twice = [("t".to_owned(), vec![4], GgmlType::F32), ("t".to_owned(), vec![4], GgmlType::F32)];
    assert!(message(GgufLayout::new(&[], &twice)).contains("two tensors of this name"), "a name is used once");
    assert_eq!(encode(GgmlType::Q4K, &[0.0; 256]), None, "Q4_K is only read");
}

#[test]
fn quantised_rows_are_close_to_what_they_were() {
    let mut random = Random(5);
    let floats: Vec<f32> = (0..3200).map(|_| random.float()).collect();
    for (ggml_type, tolerance) in [
        (GgmlType::F32, 0.0),
        (GgmlType::F16, 3e-4),
        (GgmlType::BF16, 2e-3),
        (GgmlType::Q8_0, 5e-3),
        (GgmlType::Q4_0, 0.13),
    ] {
        let again = ggml_type.to_f32(&encode(ggml_type, &floats).expect("the type can be written"));
        let worst = floats.iter().zip(&again).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst <= tolerance, "{}: {worst}", ggml_type.name());
    }
}
