//! `pairtune merge`: the base model with an adapter added, shard by shard as it was.

use std::collections::BTreeMap;
use std::path::Path;

use pairtune::files::{self, TensorFiles, TensorInfo, merge_rows};
use pairtune::model::Model;
use pairtune::platform::native::{AtomicFile, DiskFolder, io_error, make_folder, write_atomic};
use pairtune::platform::{ByteSource, Folder as _, read_all};
use pairtune::{Error, Result};

use super::args::MergeArgs;
use super::output::Output;

/// Bytes of a tensor that are in memory at a time.
const SLICE_BYTES: u64 = 32 << 20;

/// Writes the merged model: same files, same tensors, same types.
pub(super) async fn merge(args: &MergeArgs, out: &mut Output) -> Result<()> {
    let folder = DiskFolder::open(&args.model)?;
    let config = Model::config(&folder).await?;
    Model::weight_bytes(&folder, &config).await?;
    let (adapter, _) = super::run::read_adapter(&args.adapter, &config).await?;
    let tensors = TensorFiles::open(&folder).await?;
    let modules = adapted(&adapter, &tensors, &args.adapter)?;
    check_output(args)?;
    make_folder(&args.output)?;

    let sources: Vec<_> = tensors.sources().collect();
    let total = sources.iter().map(|(source, _)| source.len()).sum();
    out.begin_bytes("merge", total);
    let mut done = 0;
    for (source, names) in sources {
        let merged: Vec<(TensorInfo, &str)> = names
            .iter()
            .filter_map(|name| modules.get(*name).map(|module| Ok((tensors.info(name)?, module.as_str()))))
            .collect::<Result<_>>()?;
        let mut file = AtomicFile::create(&args.output.join(file_name(source.name())))?;
        // Header and other tensors are copied as they are, so that every offset holds.
        let mut at = 0;
        for (info, module) in &merged {
            copy(source, at..info.begin, &mut file, &mut |n| out.advance(done + n, total, "")).await?;
            merge_tensor(source, info, &adapter, module, &mut file).await?;
            at = info.end;
            out.advance(done + at, total, "");
        }
        copy(source, at..source.len(), &mut file, &mut |n| out.advance(done + n, total, "")).await?;
        file.commit()?;
        done += source.len();
    }
    for name in folder.files().iter().filter(|name| belongs_to_a_model(name)) {
        write_atomic(&args.output.join(name), &read_all(folder.open(name)?.as_ref()).await?)?;
    }
    out.end();
    out.result(format_args!("{} weights merged into {}", modules.len(), args.output.display()));
    Ok(())
}

/// The stored weight of each adapted module, with the beginning of the adapter's keys for it.
fn adapted(adapter: &files::Adapter, tensors: &TensorFiles, from: &Path) -> Result<BTreeMap<String, String>> {
    let mut modules = BTreeMap::new();
    for (key, a) in &adapter.tensors {
        let Some(module) = key.strip_suffix(".lora_A.weight") else { continue };
        let path = module.strip_prefix("base_model.model.").unwrap_or(module);
        let short = path.strip_prefix("model.").unwrap_or(path);
        let names = [format!("{path}.weight"), format!("{short}.weight")];
        let wrong = |what: String| {
            let fix = "Use the adapter with the base model it was made for";
            Error::input(what, fix, format!("{}, tensor {key}", from.display()))
        };
        let Some(name) = names.into_iter().find(|name| tensors.contains(name)) else {
            return Err(wrong(format!("The model has no weight {path}.weight to merge this into")));
        };
        let shape = tensors.info(&name)?.shape;
        let b = adapter.tensors.get(&format!("{module}.lora_B.weight"));
        let product = [b.and_then(|b| b.shape.first()), a.shape.get(1)].map(|n| n.copied().unwrap_or(0));
        if shape != product || adapter.config.fan_in_fan_out {
            return Err(wrong(format!("B A has the shape {product:?}, but the weight has {shape:?}")));
        }
        modules.insert(name, module.to_owned());
    }
    Ok(modules)
}

/// Reads a weight in slices of whole rows, adds B A, and writes it.
async fn merge_tensor(
    source: &dyn ByteSource,
    info: &TensorInfo,
    adapter: &files::Adapter,
    module: &str,
    file: &mut AtomicFile,
) -> Result<()> {
    let matrix = |side: &str| &adapter.tensors[&format!("{module}.lora_{side}.weight")].data;
    let (a, b, r) = (matrix("A"), matrix("B"), adapter.config.r);
    let row_bytes = (a.len() / r * info.dtype.size()) as u64;
    let step = (SLICE_BYTES / row_bytes).max(1) as usize;
    let mut at = info.begin;
    for b in b.chunks(step * r) {
        let len = (b.len() / r) as u64 * row_bytes;
        let rows = source.read_at(at, len as usize).await?;
        file.write(&merge_rows(info.dtype, &rows, a, b, r, adapter.config.scale() as f32))?;
        at += len;
    }
    Ok(())
}

/// Copies a range of a file in slices; `progress` is told the place.
async fn copy(
    source: &dyn ByteSource,
    range: std::ops::Range<u64>,
    file: &mut AtomicFile,
    progress: &mut dyn FnMut(u64),
) -> Result<()> {
    for at in range.clone().step_by(SLICE_BYTES as usize) {
        let len = SLICE_BYTES.min(range.end - at);
        file.write(&source.read_at(at, len as usize).await?)?;
        progress(at + len);
    }
    Ok(())
}

/// Refuses to write over the base model, or over another model unless asked to.
fn check_output(args: &MergeArgs) -> Result<()> {
    let at = args.output.display().to_string();
    let place = |path: &Path| std::fs::canonicalize(path).map_err(|e| io_error(path, "open", &e));
    if args.output.exists() && place(&args.output)? == place(&args.model)? {
        return Err(Error::input("The output folder is the base model's own", "Name another folder", at));
    }
    let holds_model = ["model.safetensors", "model.safetensors.index.json"].map(|name| args.output.join(name).exists());
    if holds_model.contains(&true) && !args.overwrite {
        return Err(Error::input(
            "The output folder already holds a model",
            "Name another folder, or replace the model with --overwrite",
            at,
        ));
    }
    Ok(())
}

/// True for the small files that make a model folder whole: configs, tokenizer, template, index, licence.
fn belongs_to_a_model(name: &str) -> bool {
    let endings = [".json", ".jinja", ".txt", ".model", ".tiktoken"];
    let beginnings = ["LICENSE", "NOTICE", "USE_POLICY"];
    !name.starts_with("adapter_")
        && (endings.iter().any(|end| name.ends_with(end)) || beginnings.iter().any(|begin| name.starts_with(begin)))
}

fn file_name(path: &str) -> String {
    Path::new(path).file_name().map_or_else(|| path.to_owned(), |name| name.to_string_lossy().into_owned())
}
