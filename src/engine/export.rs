//! Files from a run, each read again after writing and compared with the live model.

use super::compare::{Bench, metrics_at, place};
use super::models::OpenModel;
use super::protocol::{Event, ExportKind, ExportRequest, Exported, ModelSource, Phase, WhichAdapter};
use super::runs::{EXPORTS, RunFolder, card, state};
use super::session::Session;
use super::writing;
use crate::error::{Error, Result};
use crate::files::{self, event_file, event_file_name, merge_model, metrics_csv, metrics_jsonl, pack};
use crate::model::{Adapter, Generator, Model};
use crate::platform::host::{Store, StoreWriter};
use crate::platform::{FolderWriter, LocalFuture, MemoryFolder};

/// Prompts whose logits are compared.
const CHECKED_PROMPTS: usize = 3;

impl Session {
    /// Writes what was asked for, in order; an error ends it, and a merged model that is not whole is taken away.
    pub(super) async fn export(&mut self, request: ExportRequest) -> Result<()> {
        if !self.is_current(&request.run_id) {
            self.open_run(&request.run_id).await?;
        }
        let mut values = self.adapter_of_run(request.which)?;
        values.config.lora_alpha *= f64::from(request.strength);
        // The app's own storage in the browser, a folder of the person's natively.
        let (store, base) = match request.folder.as_str() {
            "" => (self.store()?.clone(), format!("{EXPORTS}/{}", request.run_id)),
            folder => (Store::open(folder).await?, String::new()),
        };
        let mut written = Vec::new();
        for kind in &request.kinds {
            let exported = match kind {
                ExportKind::Adapter => self.export_adapter(&request, &values, &store, &base).await,
                ExportKind::Merged => self.export_merged(&request, &values, &store, &base).await,
                ExportKind::Metrics => self.export_metrics(&request, &store, &base).await,
                ExportKind::Archive => self.export_archive(&request, &store, &base).await,
            };
            written.push(exported?);
        }
        self.wire.send(Event::Exported { run_id: request.run_id, files: written });
        Ok(())
    }

    async fn export_adapter(
        &mut self,
        request: &ExportRequest,
        values: &files::Adapter,
        store: &Store,
        base: &str,
    ) -> Result<Exported> {
        let run = self.run.as_ref().ok_or_else(|| Error::input("No run is open", "Open one", ""))?;
        let step = match request.which {
            WhichAdapter::Best => run.record.best_step.unwrap_or(run.record.step),
            WhichAdapter::Last => run.record.step,
        };
        let history = metrics_at(&run.history, step);
        let mut contents = values.files(&card(&run.record, &history));
        if !request.card.trim().is_empty()
            && let Some((_, readme)) = contents.iter_mut().find(|(name, _)| name == "README.md")
        {
            *readme = with_words(std::mem::take(readme), &request.card);
        }
        contents.push(("trainer_state.json".to_owned(), state(&run.record, &history).to_bytes()));
        let name = format!("{}-adapter", file_name(&run.record.name));
        let model_name = run.record.model_name.clone();
        let (path, bytes) = write_files(request, store, base, &name, &contents).await?;
        let again = read_files(request, store, &path, &contents).await?;
        let read = files::Adapter::read(&MemoryFolder { name: name.clone(), files: again }).await?;
        let bench = self.bench().await?;
        let live = place(&bench, values, 1.0)?;
        let again = place(&bench, &read, 1.0)?;
        let difference = self.largest_difference(&bench, Some(&live), &bench.model, Some(&again)).await?;
        let place = self.place_of(request, store, &path);
        let snippets = vec![
            format!("pairtune generate --model MODEL --adapter {name} --prompt \"Hello\""),
            format!(
                "from peft import PeftModel\nfrom transformers import AutoModelForCausalLM\n\
                 model = AutoModelForCausalLM.from_pretrained(\"{model_name}\")\n\
                 model = PeftModel.from_pretrained(model, \"{name}\")"
            ),
            format!(
                "# Ollama: safetensors adapters of the Llama, Mistral and Gemma families\nFROM base\nADAPTER ./{name}"
            ),
        ];
        let check = format!("Read again: its logits on {CHECKED_PROMPTS} prompts differ by {difference:.1e} at most");
        if difference > 1e-4 {
            return Err(Error::input(
                format!("The adapter that was written computes something else (logits differ by {difference})"),
                "Export it again to another place",
                place,
            ));
        }
        Ok(Exported { kind: ExportKind::Adapter, path: place, bytes, check, snippets })
    }

    async fn export_merged(
        &mut self,
        request: &ExportRequest,
        values: &files::Adapter,
        store: &Store,
        base: &str,
    ) -> Result<Exported> {
        let open = self.opened()?;
        let run_name = self.run.as_ref().map(|run| file_name(&run.record.name)).unwrap_or_default();
        let path = at(base, &format!("{run_name}-merged"));
        if request.folder.is_empty() {
            // An export of before, which was there to be downloaded.
            store.remove(&path).await?;
        } else if !store.list(&path).await?.is_empty() {
            // It could be the base model itself; and what is removed after a failure must all be ours.
            return Err(Error::input(
                "The folder of the merged model already holds files",
                "Name another folder, or empty this one",
                self.place_of(request, store, &path),
            ));
        }
        let mut writer = StoreFolder { store, path: path.clone(), file: None, bytes: 0 };
        let wire = &mut self.wire;
        wire.begin();
        let run_id = request.run_id.clone();
        let merged = merge_model(open.folder.as_ref(), values, "the run's adapter", &mut writer, &mut |done, total| {
            if let Some(progress) = wire.progress("writing the merged model", done, total) {
                wire.send(Event::Phase { run_id: run_id.clone(), phase: Phase::Saving, progress });
            }
            !wire.inbox.cancelled()
        })
        .await;
        let bytes = writer.bytes;
        drop(writer);
        if let Err(error) = merged {
            store.remove(&path).await?;
            return Err(error);
        }
        let bench = self.bench().await?;
        let source = ModelSource::Picked { name: run_name.clone(), path: None };
        let folder = store.folder(&path).await?;
        let again = OpenModel::open(run_name.clone(), source, Box::new(folder)).await?;
        let fits = self.limit_now().is_none_or(|limit| bench.gpu.live_bytes() + again.weight_bytes <= limit);
        let check = if fits {
            let merged = again.load(&bench.gpu, &mut |_| true).await?;
            let live = place(&bench, values, 1.0)?;
            let difference = self.largest_difference(&bench, Some(&live), &merged, None).await?;
            format!(
                "Read again: its logits on {CHECKED_PROMPTS} prompts differ by {difference:.1e} at most \
                 (weights are rounded to {})",
                again.config.dtype.as_deref().unwrap_or("their type")
            )
        } else {
            "Read again: every tensor has its shape; a second copy of the weights does not fit for more".to_owned()
        };
        let snippets = vec![
            format!("pairtune generate --model {run_name}-merged --prompt \"Hello\""),
            format!(
                "from transformers import AutoModelForCausalLM\n\
                 model = AutoModelForCausalLM.from_pretrained(\"{run_name}-merged\")"
            ),
            format!("echo \"FROM ./{run_name}-merged\" > Modelfile && ollama create {run_name} -f Modelfile"),
        ];
        let place = self.place_of(request, store, &path);
        Ok(Exported { kind: ExportKind::Merged, path: place, bytes, check, snippets })
    }

    async fn export_metrics(&mut self, request: &ExportRequest, store: &Store, base: &str) -> Result<Exported> {
        let run = self.run.as_ref().ok_or_else(|| Error::input("No run is open", "Open one", ""))?;
        let name = format!("{}-metrics", file_name(&run.record.name));
        let contents = vec![
            ("settings.json".to_owned(), serde_json::to_vec_pretty(&run.record.settings).unwrap_or_default()),
            ("metrics.jsonl".to_owned(), metrics_jsonl(&run.history).into_bytes()),
            ("metrics.csv".to_owned(), metrics_csv(&run.history).into_bytes()),
            ("trainer_state.json".to_owned(), state(&run.record, &run.history).to_bytes()),
            (event_file_name(run.record.created), event_file(&run.history, run.record.created)),
        ];
        let (path, bytes) = write_files(request, store, base, &name, &contents).await?;
        let place = self.place_of(request, store, &path);
        if read_files(request, store, &path, &contents).await? != contents {
            return Err(Error::input("The metrics that were written say something else", "Export them again", place));
        }
        let check = format!("Read again: {} files, {} entries, all as they were", contents.len(), run.history.len());
        let snippets = vec![format!("tensorboard --logdir {name}")];
        Ok(Exported { kind: ExportKind::Metrics, path: place, bytes, check, snippets })
    }

    async fn export_archive(&mut self, request: &ExportRequest, store: &Store, base: &str) -> Result<Exported> {
        let contents = RunFolder::new(self.store()?, &request.run_id).all_files().await?;
        if contents.is_empty() {
            return Err(Error::input("The run is not in the store", "Export the adapter instead", ""));
        }
        let archive = pack(&contents)?;
        let name = self.run.as_ref().map(|run| file_name(&run.record.name)).unwrap_or_default();
        let path = at(base, &format!("{name}.run"));
        store.write(&path, &archive).await?;
        let again = files::unpack(&path, &store.read(&path).await?)?;
        let check = format!("Read again: {} files, all as they were", again.len());
        if again != contents {
            return Err(Error::input("The archive that was written holds something else", "Export it again", path));
        }
        let place = self.place_of(request, store, &path);
        let snippets = vec!["Open it in the other world: Runs, Import a .run archive".to_owned()];
        Ok(Exported { kind: ExportKind::Archive, path: place, bytes: archive.len() as u64, check, snippets })
    }

    /// What to call a place: a path on disk, or a place in the browser's storage.
    fn place_of(&self, request: &ExportRequest, store: &Store, path: &str) -> String {
        if request.folder.is_empty() { path.to_owned() } else { format!("{}/{path}", store.location()) }
    }

    /// The largest difference of logits between the live model and one that was read again.
    async fn largest_difference(
        &self,
        bench: &Bench,
        live: Option<&Adapter>,
        other: &Model,
        again: Option<&Adapter>,
    ) -> Result<f32> {
        let run_prompts = self.run.as_ref().map(|run| run.prompts.clone()).unwrap_or_default();
        let plain = ["Hello", "The answer is", "Once upon a time"].map(str::to_owned);
        let prompts = run_prompts.into_iter().chain(plain).take(CHECKED_PROMPTS);
        let mut largest = 0.0f32;
        for prompt in prompts {
            let ids = writing::prompt_ids(&prompt, true, &bench.open.tokenizer)?;
            let mut a = Generator::new(&bench.gpu, &bench.model, live, ids.len(), ids.len())?;
            let mut b = Generator::new(&bench.gpu, other, again, ids.len(), ids.len())?;
            let (a, b) = (a.push(&ids).await?, b.push(&ids).await?);
            largest = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(largest, f32::max);
        }
        Ok(largest)
    }
}

/// A folder of a store that is being written.
struct StoreFolder<'a> {
    store: &'a Store,
    path: String,
    file: Option<StoreWriter>,
    bytes: u64,
}

impl FolderWriter for StoreFolder<'_> {
    fn begin<'a>(&'a mut self, name: &'a str) -> LocalFuture<'a, Result<()>> {
        Box::pin(async move {
            self.file = Some(self.store.create(&format!("{}/{name}", self.path), 0).await?);
            Ok(())
        })
    }

    fn write<'a>(&'a mut self, bytes: &'a [u8]) -> LocalFuture<'a, Result<()>> {
        Box::pin(async move {
            self.bytes += bytes.len() as u64;
            match &mut self.file {
                Some(file) => file.write(bytes).await,
                None => Ok(()),
            }
        })
    }

    fn end(&mut self) -> LocalFuture<'_, Result<()>> {
        Box::pin(async move {
            match self.file.take() {
                Some(file) => file.finish().await,
                None => Ok(()),
            }
        })
    }
}

/// Writes files under one name: in the browser one archive, to be downloaded, natively a folder. Returns the place and
/// the bytes.
async fn write_files(
    request: &ExportRequest,
    store: &Store,
    base: &str,
    name: &str,
    contents: &[(String, Vec<u8>)],
) -> Result<(String, u64)> {
    if request.folder.is_empty() {
        let path = at(base, &format!("{name}.zip"));
        let inside: Vec<_> = contents.iter().map(|(file, bytes)| (format!("{name}/{file}"), bytes.clone())).collect();
        let archive = pack(&inside)?;
        store.write(&path, &archive).await?;
        return Ok((path, archive.len() as u64));
    }
    let path = at(base, name);
    let mut bytes = 0;
    for (file, content) in contents {
        bytes += content.len() as u64;
        store.write(&format!("{path}/{file}"), content).await?;
    }
    Ok((path, bytes))
}

/// What `write_files` wrote, read again.
async fn read_files(
    request: &ExportRequest,
    store: &Store,
    path: &str,
    contents: &[(String, Vec<u8>)],
) -> Result<Vec<(String, Vec<u8>)>> {
    if request.folder.is_empty() {
        let strip = |(file, bytes): (String, Vec<u8>)| (file.rsplit('/').next().unwrap_or("").to_owned(), bytes);
        return Ok(files::unpack(path, &store.read(path).await?)?.into_iter().map(strip).collect());
    }
    let mut again = Vec::with_capacity(contents.len());
    for (file, _) in contents {
        again.push((file.clone(), store.read(&format!("{path}/{file}")).await?));
    }
    Ok(again)
}

fn at(base: &str, name: &str) -> String {
    if base.is_empty() { name.to_owned() } else { format!("{base}/{name}") }
}

/// A model card with a person's words between its heading and its tables.
fn with_words(readme: Vec<u8>, words: &str) -> Vec<u8> {
    let text = String::from_utf8_lossy(&readme).into_owned();
    let heading = text.find("\n# ").map(|at| at + 1).or_else(|| text.starts_with("# ").then_some(0));
    let end = heading.and_then(|at| text.get(at..)?.find('\n').map(|end| at + end + 1)).unwrap_or(text.len());
    let (before, after) = text.split_at(end);
    format!("{before}\n{}\n{after}", words.trim()).into_bytes()
}

/// A name that every file system takes.
fn file_name(name: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let name: String = name.chars().map(plain).collect();
    match name.trim_matches(['-', '.']) {
        "" => "run".to_owned(),
        name => name.to_owned(),
    }
}
