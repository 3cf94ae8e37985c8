//! Writing GGUF: the front of a file, and rows of f32 as F32, F16, BF16, Q8_0 and Q4_0 with the bits of ggml's
//! `quantize_row_*_ref`. The tensors' bytes are written one after the other by whoever has them.

use std::collections::BTreeSet;

use super::blocks::GgmlType;
use super::value::{Array, Value};
use crate::error::{Error, Result};

/// ggml keeps names in as many bytes, with a zero at the end.
const NAME_BYTES: usize = 64;
const ALIGNMENT: u64 = 32;

/// Layout of a file that is being written.
///
/// The file is `front`, then for each tensor its bytes and `padding` zeros.
#[derive(Debug)]
pub struct GgufLayout {
    front: Vec<u8>,
    sizes: Vec<u64>,
}

impl GgufLayout {
    /// Lays out a file of version 3 with `metadata` in this order, and `tensors` by name, row-major shape and type.
    ///
    /// Errors: more than four dimensions, rows that are not whole blocks, a name that is too long for ggml or used
    /// twice.
    pub fn new(metadata: &[(String, Value)], tensors: &[(String, Vec<usize>, GgmlType)]) -> Result<Self> {
        let mut front = b"GGUF".to_vec();
        front.extend(3u32.to_le_bytes());
        front.extend((tensors.len() as u64).to_le_bytes());
        front.extend((metadata.len() as u64).to_le_bytes());
        for (key, value) in metadata {
            put_string(&mut front, key.as_bytes());
            front.extend(value.type_id().to_le_bytes());
            put_value(&mut front, value);
        }
        let (mut offset, mut sizes, mut names) = (0u64, Vec::new(), BTreeSet::new());
        for (name, shape, ggml_type) in tensors {
            check(name, shape, *ggml_type, &mut names)?;
            put_string(&mut front, name.as_bytes());
            front.extend((shape.len() as u32).to_le_bytes());
            for dim in shape.iter().rev() {
                front.extend((*dim as u64).to_le_bytes());
            }
            front.extend(ggml_type.id().to_le_bytes());
            front.extend(offset.to_le_bytes());
            let blocks = shape.iter().map(|dim| *dim as u64).product::<u64>() / ggml_type.block_elements() as u64;
            let size = blocks * ggml_type.block_bytes() as u64;
            sizes.push(size);
            offset += size.next_multiple_of(ALIGNMENT);
        }
        front.resize(front.len().next_multiple_of(ALIGNMENT as usize), 0);
        Ok(Self { front, sizes })
    }

    /// The first bytes of the file.
    pub fn front(&self) -> &[u8] {
        &self.front
    }

    /// Bytes of the `index`-th tensor.
    pub fn tensor_bytes(&self, index: usize) -> u64 {
        self.sizes[index]
    }

    /// Zeros after the bytes of the `index`-th tensor.
    pub fn padding(&self, index: usize) -> usize {
        (self.sizes[index].next_multiple_of(ALIGNMENT) - self.sizes[index]) as usize
    }

    /// Bytes of the whole file.
    pub fn total_bytes(&self) -> u64 {
        self.front.len() as u64 + self.sizes.iter().map(|size| size.next_multiple_of(ALIGNMENT)).sum::<u64>()
    }
}

/// A whole (small) file; `tensors` are name, row-major shape, type and stored bytes. Errors as of `GgufLayout::new`.
///
/// Each tensor must have as many bytes as its shape and type say.
pub fn write_gguf(
    metadata: &[(String, Value)],
    tensors: &[(String, Vec<usize>, GgmlType, Vec<u8>)],
) -> Result<Vec<u8>> {
    let described: Vec<_> =
        tensors.iter().map(|(name, shape, ggml_type, _)| (name.clone(), shape.clone(), *ggml_type)).collect();
    let layout = GgufLayout::new(metadata, &described)?;
    let mut file = layout.front().to_vec();
    for (index, (name, _, _, bytes)) in tensors.iter().enumerate() {
        assert_eq!(bytes.len() as u64, layout.tensor_bytes(index), "bytes of the tensor {name}");
        file.extend_from_slice(bytes);
        file.resize(file.len() + layout.padding(index), 0);
    }
    Ok(file)
}

/// Stored bytes of whole rows, which must be whole blocks; none for a type that is only read.
pub fn encode(ggml_type: GgmlType, rows: &[f32]) -> Option<Vec<u8>> {
    let whole = rows.len().is_multiple_of(ggml_type.block_elements());
    assert!(whole, "{} elements are whole blocks of {}", rows.len(), ggml_type.name());
    Some(match ggml_type {
        GgmlType::F32 => rows.iter().flat_map(|x| x.to_le_bytes()).collect(),
        GgmlType::F16 => rows.iter().flat_map(|x| half::f16::from_f32(*x).to_le_bytes()).collect(),
        GgmlType::BF16 => rows.iter().flat_map(|x| half::bf16::from_f32(*x).to_le_bytes()).collect(),
        GgmlType::Q8_0 => rows.as_chunks::<32>().0.iter().flat_map(q8_0).collect(),
        GgmlType::Q4_0 => rows.as_chunks::<32>().0.iter().flat_map(q4_0).collect(),
        _ => return None,
    })
}

fn q8_0(x: &[f32; 32]) -> [u8; 34] {
    let largest = x.iter().fold(0.0f32, |max, x| max.max(x.abs()));
    let scale = largest / 127.0;
    let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
    let mut block = [0; 34];
    block[..2].copy_from_slice(&half::f16::from_f32(scale).to_le_bytes());
    for (byte, x) in block[2..].iter_mut().zip(x) {
        *byte = ((x * inverse).round() as i8).cast_unsigned();
    }
    block
}

fn q4_0(x: &[f32; 32]) -> [u8; 18] {
    // The element of the largest size becomes -8, whatever its sign; of several, the first.
    let largest = x.iter().fold(0.0f32, |largest, x| if largest.abs() < x.abs() { *x } else { largest });
    let scale = largest / -8.0;
    let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
    let four = |x: f32| (x * inverse + 8.5) as i8 as u8;
    let mut block = [0; 18];
    block[..2].copy_from_slice(&half::f16::from_f32(scale).to_le_bytes());
    for (j, byte) in block[2..].iter_mut().enumerate() {
        *byte = four(x[j]).min(15) | four(x[j + 16]).min(15) << 4;
    }
    block
}

fn check<'a>(name: &'a str, shape: &[usize], ggml_type: GgmlType, names: &mut BTreeSet<&'a str>) -> Result<()> {
    let wrong = |what: String, fix: &str| Err(Error::input(what, fix, format!("tensor {name}")));
    if name.len() >= NAME_BYTES {
        return wrong(format!("The name has {} bytes, but GGUF allows 63", name.len()), "Use a shorter name");
    }
    if !names.insert(name) {
        return wrong("There are two tensors of this name".to_owned(), "Give each tensor its own name");
    }
    if shape.len() > 4 || shape.contains(&0) {
        return wrong(
            format!("The tensor has the shape {shape:?}, which GGUF cannot hold"),
            "Use at most four dimensions, none of them 0",
        );
    }
    let columns = shape.last().copied().unwrap_or(1);
    if !columns.is_multiple_of(ggml_type.block_elements()) {
        return wrong(
            format!("Rows of {columns} are not whole {} blocks of {}", ggml_type.name(), ggml_type.block_elements()),
            "Store this tensor as F16, or as F32",
        );
    }
    Ok(())
}

fn put_string(out: &mut Vec<u8>, string: &[u8]) {
    out.extend((string.len() as u64).to_le_bytes());
    out.extend(string);
}

fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::U8(n) => out.push(*n),
        Value::I8(n) => out.extend(n.to_le_bytes()),
        Value::U16(n) => out.extend(n.to_le_bytes()),
        Value::I16(n) => out.extend(n.to_le_bytes()),
        Value::U32(n) => out.extend(n.to_le_bytes()),
        Value::I32(n) => out.extend(n.to_le_bytes()),
        Value::U64(n) => out.extend(n.to_le_bytes()),
        Value::I64(n) => out.extend(n.to_le_bytes()),
        Value::F32(x) => out.extend(x.to_le_bytes()),
        Value::F64(x) => out.extend(x.to_le_bytes()),
        Value::Bool(flag) => out.push(u8::from(*flag)),
        Value::String(text) => put_string(out, text.as_bytes()),
        Value::Array(array) => put_array(out, array),
    }
}

fn put_array(out: &mut Vec<u8>, array: &Array) {
    out.extend(array.element_type().to_le_bytes());
    out.extend((array.len() as u64).to_le_bytes());
    match array {
        Array::U8(list) => out.extend(list),
        Array::I8(list) => out.extend(list.iter().flat_map(|n| n.to_le_bytes())),
        Array::U16(list) => out.extend(list.iter().flat_map(|n| n.to_le_bytes())),
        Array::I16(list) => out.extend(list.iter().flat_map(|n| n.to_le_bytes())),
        Array::U32(list) => out.extend(list.iter().flat_map(|n| n.to_le_bytes())),
        Array::I32(list) => out.extend(list.iter().flat_map(|n| n.to_le_bytes())),
        Array::U64(list) => out.extend(list.iter().flat_map(|n| n.to_le_bytes())),
        Array::I64(list) => out.extend(list.iter().flat_map(|n| n.to_le_bytes())),
        Array::F32(list) => out.extend(list.iter().flat_map(|x| x.to_le_bytes())),
        Array::F64(list) => out.extend(list.iter().flat_map(|x| x.to_le_bytes())),
        Array::Bool(list) => out.extend(list.iter().map(|flag| u8::from(*flag))),
        Array::Strings(strings) => {
            for index in 0..strings.len() {
                put_string(out, strings.bytes(index).unwrap_or_default());
            }
        }
        Array::Arrays(lists) => lists.iter().for_each(|list| put_array(out, list)),
    }
}
