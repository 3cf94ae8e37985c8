//! GGUF files: what is written is read again, by few and small ranges; what cannot be right is refused by name, and
//! nothing that a file claims makes the reader panic or ask for memory.

use std::cell::RefCell;
use std::rc::Rc;

use super::common::{Random, Stored, entry, file, message, open, tensor};
use pairtune::error::{Error, Result};
use pairtune::files::{Array, GgmlType, Gguf, GgufValue, Strings};
use pairtune::platform::{ByteSource, LocalFuture, MemorySource};

fn every_value() -> Vec<(String, GgufValue)> {
    let values = vec![
        GgufValue::U8(200),
        GgufValue::I8(-100),
        GgufValue::U16(60_000),
        GgufValue::I16(-30_000),
        GgufValue::U32(4_000_000_000),
        GgufValue::I32(-2_000_000_000),
        GgufValue::U64(u64::MAX),
        GgufValue::I64(i64::MIN),
        GgufValue::F32(1e-5),
        GgufValue::F64(1e-300),
        GgufValue::Bool(true),
        GgufValue::String("Ġ é 語".to_owned()),
    ];
    let lists = vec![
        Array::U8(vec![0, 255]),
        Array::I8(vec![-1]),
        Array::U16(vec![1, 2]),
        Array::I16(vec![-3]),
        Array::U32(vec![7; 3]),
        Array::I32(vec![-7; 3]),
        Array::U64(vec![1 << 60]),
        Array::I64(vec![-1 << 60]),
        Array::F32(vec![0.5, -0.5]),
        Array::F64(vec![0.25]),
        Array::Bool(vec![true, false]),
        Array::Strings(["", "a", "bc"].into_iter().collect()),
        Array::Arrays(vec![Array::U8(vec![1]), Array::Strings(Strings::default())]),
    ];
    let values = values.into_iter().chain(lists.into_iter().map(GgufValue::Array));
    values.enumerate().map(|(i, value)| (format!("test.{i:02}"), value)).collect()
}

#[test]
fn values_and_tensors_are_read_as_they_were_written() {
    let mut random = Random(1);
    let metadata = every_value();
    let tensors = [tensor("a", &[3, 32], &mut random), tensor("b", &[5], &mut random), tensor("c", &[], &mut random)];
    let gguf = open(file(&metadata, &tensors)).expect("the file is sound");
    for (key, value) in &metadata {
        assert_eq!(gguf.get(key), Some(value), "{key}");
    }
    assert_eq!((gguf.version(), gguf.metadata()), (3, metadata.as_slice()));
    assert_eq!(gguf.names_in_order(), ["a", "b", "c"]);
    assert_eq!(gguf.get("test.08").and_then(GgufValue::as_f64), Some(1e-5), "few digits, not those of a double");
    for (name, shape, ggml_type, bytes) in &tensors {
        let info = gguf.info(name).expect("the tensor is there");
        assert_eq!((&info.shape, info.ggml_type, info.bytes()), (shape, *ggml_type, bytes.len() as u64), "{name}");
        let read = pollster::block_on(gguf.read_f32(name)).expect("the tensor can be read");
        assert_eq!(read, ggml_type.to_f32(bytes), "{name}");
    }
    let rows = pollster::block_on(gguf.read_rows("a", 1..3)).expect("rows can be read");
    assert_eq!(rows, tensors[0].3[128..], "the last two rows");
    assert_eq!(gguf.expect("a", &[3, 32]).map(|info| info.rows()), Ok(3));
    let wrong = message(gguf.expect("a", &[32, 3]));
    assert!(wrong.contains("[3, 32]") && wrong.contains("[32, 3]") && wrong.contains("tensor a"), "{wrong}");
    let missing = message(gguf.info("bb"));
    assert!(missing.contains("no tensor \"bb\"") && missing.contains("nearest name is \"b\""), "{missing}");
}

/// A file that notes which bytes of it were read.
struct Noted {
    inner: MemorySource,
    reads: Rc<RefCell<Vec<(u64, usize)>>>,
}

impl ByteSource for Noted {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn len(&self) -> u64 {
        self.inner.len()
    }

    fn read_at(&self, offset: u64, len: usize) -> LocalFuture<'_, Result<Vec<u8>>> {
        self.reads.borrow_mut().push((offset, len));
        self.inner.read_at(offset, len)
    }
}

#[test]
fn a_long_vocabulary_is_read_in_few_growing_pieces_and_no_tensor_with_it() {
    let tokens: Strings = (0..260_000).map(|i| format!("token number {i}")).collect();
    let metadata = [entry("tokenizer.ggml.tokens", Array::Strings(tokens.clone()))];
    let stored: Stored = ("w".to_owned(), vec![32, 1 << 20], GgmlType::Q8_0, vec![0; (1 << 20) * 34]);
    let bytes = file(&metadata, &[stored]);
    let reads = Rc::<RefCell<Vec<(u64, usize)>>>::default();
    let source = Noted { inner: MemorySource { name: "x".to_owned(), bytes }, reads: Rc::clone(&reads) };
    let gguf = pollster::block_on(Gguf::open(Box::new(source))).expect("the file is sound");
    assert_eq!(gguf.get("tokenizer.ggml.tokens").and_then(GgufValue::as_strings), Some(&tokens));
    let begin = gguf.info("w").expect("the tensor is there").begin;
    let reads = reads.borrow();
    let (last, len) = *reads.last().expect("something was read");
    assert!(reads.len() <= 10, "{} reads for {begin} bytes", reads.len());
    assert!(last < begin && last + len as u64 <= 2 * begin + (64 << 10), "read to {} of {begin}", last + len as u64);
}

#[test]
fn every_cut_of_a_file_is_refused() {
    let whole = file(&every_value(), &[tensor("a", &[2, 32], &mut Random(1)), tensor("b", &[3], &mut Random(2))]);
    // The zeros after the last tensor may be missing.
    for len in 0..whole.len() - 20 {
        let refused = message(open(whole[..len].to_vec()));
        assert!(refused.contains("[model.gguf"), "cut to {len} bytes: {refused}");
    }
}

#[test]
fn no_change_of_bytes_makes_it_panic() {
    let whole = file(&every_value(), &[tensor("a", &[2, 32], &mut Random(1)), tensor("b", &[3], &mut Random(2))]);
    let mut random = Random(7);
    for _ in 0..20_000 {
        let mut bytes = whole.clone();
        for _ in 0..1 + random.byte() % 3 {
            let at = usize::from(u16::from_le_bytes([random.byte(), random.byte()])) % bytes.len();
            bytes[at] = if random.byte() < 128 { random.byte() } else { 0xff };
        }
        if let Ok(gguf) = open(bytes) {
            for name in gguf.names() {
                if let Ok(info) = gguf.info(name) {
                    assert!(info.end <= whole.len() as u64, "{name} is in the file");
                    let read = pollster::block_on(gguf.read_f32(name)).expect("what is in the file can be read");
                    assert_eq!(read.len(), info.elements(), "{name}");
                }
            }
        }
    }
}

/// The front of a file, written by hand: version, counts, then what follows.
fn front(version: u32, tensors: u64, entries: u64, rest: &[&[u8]]) -> Vec<u8> {
    let mut bytes =
        [b"GGUF".as_slice(), &version.to_le_bytes(), &tensors.to_le_bytes(), &entries.to_le_bytes()].concat();
    bytes.extend(rest.concat());
    bytes
}

fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

/// Name, dimensions, type and offset of a tensor.
fn described(name: &str, dims: &[u64], type_id: u32, offset: u64) -> Vec<u8> {
    let mut bytes = string(name);
    bytes.extend((dims.len() as u32).to_le_bytes());
    bytes.extend(dims.iter().flat_map(|dim| dim.to_le_bytes()));
    bytes.extend(type_id.to_le_bytes());
    bytes.extend(offset.to_le_bytes());
    bytes
}

#[test]
fn other_formats_are_refused_by_name() {
    for (bytes, part) in [
        (b"ggjt\x03\0\0\0".to_vec(), "This is not a GGUF file"),
        (b"tjgg\x03\0\0\0".to_vec(), "This is a ggml file from before GGUF"),
        (b"PK\x03\x04".to_vec(), "This is not a GGUF file"),
        (front(1, 0, 0, &[]), "of version 1, but only 2 and 3"),
        (front(4, 0, 0, &[]), "of version 4, but only 2 and 3"),
        (front(3u32.swap_bytes(), 0, 0, &[]), "big-endian GGUF file (version 3)"),
    ] {
        let refused = message(open(bytes));
        assert!(refused.contains(part) && refused.contains("version 2 or 3"), "{refused}");
    }
    assert_eq!(open(front(2, 0, 0, &[])).map(|gguf| gguf.version()), Ok(2), "version 2 is read");
    let split = file(&[entry("split.count", 3), entry("split.no", 1)], &[]);
    assert!(message(open(split)).contains("part 2 of a model that is split into 3 files"), "a part is refused");
}

#[test]
fn claims_are_compared_with_the_file() {
    let huge = u64::MAX.to_le_bytes();
    let many = (1u64 << 40).to_le_bytes();
    let key = string("k");
    let four = 4u32.to_le_bytes();
    let of = |id: u32| id.to_le_bytes();
    let deep = [of(9), of(9)].concat();
    let nested: Vec<u8> = [of(9).to_vec(), [of(9).as_slice(), &1u64.to_le_bytes()].concat().repeat(8)].concat();
    for (bytes, part) in [
        (front(3, u64::MAX, 0, &[]), "claims 18446744073709551615 tensors"),
        (front(3, 0, u64::MAX, &[]), "claims 18446744073709551615 metadata entries"),
        (front(3, 0, 1, &[&huge, &[0; 64]]), "A name claims 18446744073709551615 bytes"),
        (front(3, 0, 1, &[&key, &of(8), &huge]), "18446744073709551615 bytes are claimed"),
        (front(3, 0, 1, &[&key, &of(9), &of(0), &many]), "claims 1099511627776 numbers in a list"),
        (front(3, 0, 1, &[&key, &of(9), &of(8), &many]), "claims 1099511627776 strings in a list"),
        (front(3, 0, 1, &[&key, &deep, &many]), "claims 1099511627776 lists in a list"),
        (front(3, 0, 1, &[&key, &nested, &[0; 64]]), "Lists lie in lists more than 4 deep"),
        (front(3, 0, 1, &[&key, &of(13), &four]), "has the type 13, which GGUF does not have"),
        (front(3, 0, 1, &[&key, &of(9), &of(77), &many]), "has the type 77, which GGUF does not have"),
        (front(3, 0, 2, &[&key, &of(4), &four, &key, &of(4), &four]), "has this key twice"),
        (front(3, 0, 1, &[&[1, 0, 0, 0, 0, 0, 0, 0, 0xff], &of(4), &four]), "A name is not UTF-8"),
    ] {
        let refused = message(open(bytes));
        assert!(refused.contains(part), "{part}: {refused}");
        assert!(refused.contains("download it again"), "{refused}");
    }
    let refused = message(open(file(&[entry("general.alignment", 48)], &[])));
    assert!(refused.contains("alignment is 48") && refused.contains("general.alignment"), "{refused}");
}

#[test]
fn tensors_lie_in_the_file_and_apart() {
    let zeros = [0; 256];
    let one =
        |dims: &[u64], type_id: u32, offset: u64| front(3, 1, 0, &[&described("t", dims, type_id, offset), &zeros]);
    for (bytes, part) in [
        (one(&[1; 5], 0, 0), "claims 5 dimensions"),
        (one(&[], 8, 0), "rows of 1 are not whole Q8_0 blocks"),
        (one(&[4, 0], 0, 0), "of which one is 0"),
        (one(&[1 << 40, 1 << 40], 0, 0), "are too large"),
        (one(&[48], 2, 0), "rows of 48 are not whole Q4_0 blocks of 32"),
        (one(&[32, 100], 8, 0), "The tensor has 3400 bytes from byte 0 of the data"),
        (one(&[4], 0, 1 << 40), "The tensor has 16 bytes from byte 1099511627776"),
        (one(&[4], 0, u64::MAX - 31), "The tensor has 16 bytes from byte"),
        (one(&[4], 0, 16), "offset 16 is not a multiple of the alignment 32"),
        (
            front(3, 2, 0, &[&described("a", &[16], 0, 0), &described("b", &[4], 0, 32), &zeros]),
            "The tensor begins before the end of \"a\"",
        ),
        (
            front(3, 2, 0, &[&described("t", &[4], 0, 0), &described("t", &[4], 0, 32), &zeros]),
            "two tensors of this name",
        ),
    ] {
        let refused = message(open(bytes));
        assert!(refused.contains(part), "{part}: {refused}");
    }
}

#[test]
fn types_that_cannot_be_read_are_named_when_they_are_needed() {
    let tensors = [described("q2", &[256], 10, 0), described("new", &[7], 99, 96), described("ok", &[4], 0, 128)];
    let gguf = open(front(3, 3, 0, &[&tensors.concat(), &[0; 256]])).expect("other tensors do not matter");
    assert!(gguf.info("ok").is_ok(), "it can be read");
    assert_eq!(gguf.shape("new"), Some([7].as_slice()));
    let refused = message(gguf.info("q2"));
    assert!(refused.contains("stored as Q2_K, which is not supported") && refused.contains("Q4_K"), "{refused}");
    let refused = pollster::block_on(gguf.read_f32("new")).err().as_ref().map(Error::to_string);
    assert!(refused.as_ref().is_some_and(|e| e.contains("type 99 (unknown)")), "{refused:?}");
}
