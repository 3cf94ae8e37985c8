//! A GGUF file: header, metadata, the model that they describe, and its tensors by rows and as numbers.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pairtune::Result;
use pairtune::files::{Gguf, ModelFiles};
use pairtune::model::Model;
use pairtune::platform::Folder as _;
use pairtune_fuzz::folder;
use pollster::block_on;

fuzz_target!(|bytes: &[u8]| {
    drop(block_on(read(bytes)));
});

async fn read(bytes: &[u8]) -> Result<()> {
    let folder = folder(&[("model.gguf", bytes)]);
    let gguf = Gguf::open(folder.open("model.gguf")?).await?;
    for name in gguf.names_in_order() {
        if let Ok(info) = gguf.info(name) {
            gguf.read_rows(name, 0..info.rows()).await?;
            assert_eq!(gguf.read_f32(name).await?.len(), info.elements(), "all of {name}");
        }
    }
    let config = Model::config(&folder).await?;
    let files = ModelFiles::open(&folder).await?;
    for (name, shape) in Model::tensors(&config, Some("lm_head")).take(100) {
        let Ok(found) = files.expect(&name, &shape) else { continue };
        assert_eq!(files.read_f32(&name).await?.len(), shape.iter().product::<usize>(), "all of {name}");
        if let [rows, columns] = shape[..] {
            let n = if found.turned { columns } else { rows };
            drop(files.rows(&name, n, 0..n).await);
        }
    }
    Model::weight_bytes(&folder, &config).await?;
    Ok(())
}
