//! `pairtune merge`: the base model with an adapter added, shard by shard as it was.

use std::path::Path;

use pairtune::files::merge_model;
use pairtune::model::Model;
use pairtune::platform::native::{DiskFolder, DiskWriter, io_error, make_folder};
use pairtune::{Error, Result};

use super::args::MergeArgs;
use super::output::Output;
use super::run::ModelFolder;

/// Writes the merged model: same files, same tensors, same types.
pub(super) async fn merge(args: &MergeArgs, out: &mut Output) -> Result<()> {
    let folder = DiskFolder::open(&args.model)?;
    let config = Model::config(&folder).await?;
    let total = Model::weight_bytes(&folder, &config).await?.stored;
    let (adapter, _) = super::run::read_adapter(&args.adapter, &config).await?;
    check_output(args)?;
    make_folder(&args.output)?;

    out.begin_bytes("merge", total);
    let from = args.adapter.display().to_string();
    let chat = ModelFolder::chat_of(Some(&args.adapter), out).await?;
    let beside = chat.files(None);
    let mut writer = DiskWriter::new(&args.output);
    let merged = merge_model(&folder, &adapter, &from, &beside, &mut writer, &mut |done, total| {
        out.advance(done, total, "");
        true
    })
    .await?;
    out.end();
    out.result(format_args!("{merged} weights merged into {}", args.output.display()));
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
