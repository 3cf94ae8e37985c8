//! `pairtune export`: a GGUF file of the model with an adapter added, or of the adapter, and Ollama's `Modelfile`; for
//! TRL see `export_trl`.

use std::path::{Path, PathBuf};

use pairtune::engine::export::gguf::{GgufKind, GgufSource, write_gguf};
use pairtune::platform::native::{DiskWriter, io_error, make_folder};
use pairtune::{Error, Result};

use super::args::{ExportArgs, ExportTo};
use super::export_trl::export_trl;
use super::output::Output;
use super::run::{ModelFolder, read_adapter};

/// Writes what it is asked for.
pub(super) async fn export(args: &ExportArgs, out: &mut Output) -> Result<()> {
    match args.to {
        ExportTo::Trl => export_trl(args, out).await,
        ExportTo::Gguf if args.trl.is_empty() => export_gguf(args, out).await,
        ExportTo::Gguf => Err(Error::input(
            "A run, settings, rows or rewards are not for a GGUF file",
            "Leave them out, or export with --to trl",
            "command line",
        )),
    }
}

/// Writes the file, and beside it one of the same name for Ollama.
async fn export_gguf(args: &ExportArgs, out: &mut Output) -> Result<()> {
    let (folder, file) = check_output(args)?;
    let mut model = ModelFolder::open(&args.model).await?;
    model.set_chat(&args.chat, ModelFolder::chat_of(args.adapter.as_deref(), out).await?).await?;
    let adapter = match &args.adapter {
        Some(path) => Some((read_adapter(path, &model.config).await?.0, path.display().to_string())),
        None => None,
    };
    make_folder(&folder)?;
    let (kind, stem) = (args.outtype.kind(), file.strip_suffix(".gguf").unwrap_or(&file));
    let modelfile = format!("{stem}.Modelfile");
    let source = GgufSource { folder: &model.folder, config: &model.config, tokenizer: &model.tokenizer, name: stem };
    out.begin_bytes("export", model.weight_bytes.stored);
    let written = write_gguf(
        &source,
        adapter.as_ref().map(|(values, from)| (values, from.as_str())),
        kind,
        &mut DiskWriter::new(&folder),
        [&file, &modelfile],
        &mut |done, total| {
            out.advance(done, total, "");
            true
        },
    )
    .await;
    out.end();
    let written = written?;
    let what = match (kind, written.adapted) {
        (GgufKind::Lora, n) => format!("the adapter of {n} weights"),
        (GgufKind::Model(_), 0) => "the model".to_owned(),
        (GgufKind::Model(_), n) => format!("the model with {n} weights merged"),
    };
    let path = args.output.display();
    out.result(format_args!("{path}: {what}, {} bytes; for Ollama: ollama create NAME -f {modelfile}", written.bytes));
    Ok(())
}

/// The folder and the name of the file, which must be a GGUF file's, and not that of a file that is to stay.
fn check_output(args: &ExportArgs) -> Result<(PathBuf, String)> {
    let at = args.output.display().to_string();
    let name = args.output.file_name().and_then(|name| name.to_str()).filter(|name| name.ends_with(".gguf"));
    let Some(name) = name else {
        return Err(Error::input(
            "The output is not named as a GGUF file",
            "Name a file that ends in .gguf, as in --output tuned.gguf",
            at,
        ));
    };
    if args.output.exists() {
        let place = |path: &Path| std::fs::canonicalize(path).map_err(|e| io_error(path, "open", &e));
        if place(&args.output)? == place(&args.model)? {
            return Err(Error::input("The output is the base model itself", "Name another file", at));
        }
        if !args.overwrite {
            return Err(Error::input(
                "The output file is there already",
                "Name another file, or replace it with --overwrite",
                at,
            ));
        }
    }
    let folder = args.output.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok((folder.to_owned(), name.to_owned()))
}
