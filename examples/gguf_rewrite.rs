//! Writes a GGUF file again with its matrices in another type: `gguf_rewrite FILE OUT TYPE`.

mod source;

use std::fs::File;
use std::io::Write as _;

use pairtune::files::{GgmlType, Gguf, GgufLayout, encode};
use source::FileSource;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let [_, from, to, wanted] = args.as_slice() else { panic!("gguf_rewrite FILE OUT TYPE") };
    let wanted = GgmlType::ALL.into_iter().find(|t| t.name() == wanted).expect("a type such as Q8_0");
    let gguf = pollster::block_on(Gguf::open(FileSource::open(from))).expect("the file is sound");
    let tensors: Vec<_> = gguf
        .names_in_order()
        .into_iter()
        .map(|name| gguf.info(name).expect("the tensor can be read"))
        .map(|info| (info.name, info.shape.clone(), if info.shape.len() > 1 { wanted } else { GgmlType::F32 }))
        .collect();
    let layout = GgufLayout::new(gguf.metadata(), &tensors).expect("the tensors can be laid out");
    let mut out = File::create(to).expect("the file can be created");
    out.write_all(layout.front()).expect("the file can be written");
    for (i, (name, _, ggml_type)) in tensors.iter().enumerate() {
        let floats = pollster::block_on(gguf.read_f32(name)).expect("the tensor can be read");
        let bytes = encode(*ggml_type, &floats).expect("a type that can be written");
        out.write_all(&bytes).expect("the file can be written");
        out.write_all(&vec![0; layout.padding(i)]).expect("the file can be written");
    }
    assert_eq!(out.metadata().expect("the file has a length").len(), layout.total_bytes(), "as long as was laid out");
}
