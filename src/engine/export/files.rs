//! Files from a run, each reloaded after writing and compared with the live model.

use crate::data::counted;
use crate::engine::compare::held_out::{self, Bench, metrics_at};
use crate::engine::compare::writing;
use crate::engine::data::pairs::Pairs;
use crate::engine::export::gguf::{GgufKind, GgufSource, read_lora, write_gguf};
use crate::engine::export::trl::{TrlExport, trl_files, trl_rows};
use crate::engine::library::folder::{EXPORTS, RunFolder, card, state};
use crate::engine::model::open_model::OpenModel;
use crate::engine::protocol::{
    Event, ExportKind, ExportRequest, Exported, GgufForm, Inputs, Level, ModelSource, Phase, WhichAdapter,
};
use crate::engine::session::Session;
use crate::error::{Error, Result};
use crate::files::{
    self, GgmlType, Gguf, Task, event_file, event_file_name, merge_model, metrics_csv, metrics_jsonl, pack,
};
use crate::model::{Adapter, LoadIn, Model, next_logits};
use crate::platform::host::{Store, StoreWriter};
use crate::platform::{Folder as _, FolderWriter, LocalFuture, MemoryFolder, file_name};
use crate::train::TrainConfig;

/// Prompts whose logits are compared.
const CHECKED_PROMPTS: usize = 3;

/// Destination of an export.
struct Target<'a> {
    store: &'a Store,
    /// Name of the export.
    name: String,
    /// Its place in the store.
    path: String,
}

impl Session {
    /// Writes the requested kinds in order. An error or a cancel ends it: kinds that were finished are reported, and
    /// nothing of the others stays.
    pub(in crate::engine) async fn export(&mut self, request: ExportRequest) -> Result<()> {
        if !self.is_current(&request.run_id) {
            self.open_run(&request.run_id).await?;
        }
        let mut values = self.adapter_of_run(request.which)?;
        if request.strength != 1.0 {
            values.config = values.config.times(f64::from(request.strength))?;
        }
        // The app's own storage in the browser, a folder of the person's natively.
        let store = match request.folder.as_str() {
            "" => self.store()?.clone(),
            folder => Store::open(folder).await?,
        };
        let mut written = Vec::new();
        let mut failed = None;
        for &kind in &request.kinds {
            match self.export_kind(&request, &values, &store, kind).await {
                Ok(exported) => written.push(exported),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        if failed.is_none() || !written.is_empty() {
            self.wire.send(Event::Exported { run_id: request.run_id, files: written });
        }
        failed.map_or(Ok(()), Err)
    }

    /// Writes one kind of files, or nothing.
    async fn export_kind(
        &mut self,
        request: &ExportRequest,
        values: &files::Adapter,
        store: &Store,
        kind: ExportKind,
    ) -> Result<Exported> {
        self.unless_cancelled()?;
        if values.config.task == Task::SeqCls && (kind.is_model() || matches!(kind, ExportKind::Gguf(_))) {
            let what = "The run trained a reward model: it scores texts, and has no form that writes them";
            return Err(Error::input(what, "Export its adapter", request.run_id.clone()));
        }
        let target = self.target(request, store, kind).await?;
        let exported = match kind {
            ExportKind::Adapter => self.export_adapter(request, values, &target).await,
            ExportKind::Merged => self.export_merged(request, values, &target).await,
            ExportKind::Gguf(form) => self.export_gguf(request, values, &target, form).await,
            ExportKind::Trl => self.export_trl(request, values, &target).await,
            ExportKind::Metrics => self.export_metrics(request, &target).await,
            ExportKind::Archive => self.export_archive(request, &target).await,
        };
        let exported = exported.and_then(|exported| self.unless_cancelled().map(|()| exported));
        if exported.is_err()
            && let Err(e) = store.remove(&target.path).await
        {
            self.log(Level::Warn, format!("a part of an export stays: {e}"));
        }
        exported
    }

    fn unless_cancelled(&mut self) -> Result<()> {
        if self.wire.inbox.cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// Returns the destination of a kind of files. In the app's own storage it replaces an earlier export. A person's
    /// files are never replaced: the new name gets a number instead.
    async fn target<'a>(&self, request: &ExportRequest, store: &'a Store, kind: ExportKind) -> Result<Target<'a>> {
        let run_name = self.run.as_ref().map(|run| file_name(&run.record.name)).unwrap_or_default();
        let what = match kind {
            ExportKind::Adapter => "-adapter",
            ExportKind::Merged => "-merged",
            ExportKind::Gguf(form) => gguf_form(form).0,
            ExportKind::Trl => "-trl",
            ExportKind::Metrics => "-metrics",
            ExportKind::Archive => "",
        };
        let ending = match kind {
            ExportKind::Archive => ".run",
            ExportKind::Adapter | ExportKind::Trl | ExportKind::Metrics if request.folder.is_empty() => ".zip",
            _ => "",
        };
        let name = format!("{run_name}{what}");
        if request.folder.is_empty() {
            let path = format!("{EXPORTS}/{}/{name}{ending}", request.run_id);
            store.remove(&path).await?;
            return Ok(Target { store, name, path });
        }
        let mut free = name.clone();
        let mut n = 1;
        while store.exists(&format!("{free}{ending}")).await? {
            n += 1;
            free = format!("{name}-{n}");
        }
        Ok(Target { store, path: format!("{free}{ending}"), name: free })
    }

    async fn export_adapter(
        &mut self,
        request: &ExportRequest,
        values: &files::Adapter,
        target: &Target<'_>,
    ) -> Result<Exported> {
        let run = self.run.as_ref().ok_or_else(|| Error::input("No run is open", "Open one", ""))?;
        let step = match request.which {
            WhichAdapter::Best => run.record.best_step.unwrap_or(run.record.step),
            WhichAdapter::Last => run.record.step,
        };
        let history = metrics_at(&run.history, step);
        let mut contents = values.files(&card(&run.record, &history).in_words(&request.card));
        contents.push(("trainer_state.json".to_owned(), state(&run.record, &history).to_bytes()));
        contents.extend(self.model.as_ref().map(|open| chat_files(open)).unwrap_or_default());
        let name = &target.name;
        let base = values.config.base_model_name_or_path.as_deref().unwrap_or("MODEL");
        let bytes = write_files(request, target, &contents).await?;
        let again = read_files(request, target, &contents).await?;
        let read = files::Adapter::read(&MemoryFolder { name: name.clone(), files: again }).await?;
        let path = place_of(request, target);
        if values.config.task == Task::SeqCls {
            let check = same_values(values, &read, &path)?;
            let snippets = vec![
                format!("pairtune score --model MODEL --adapter {name} --pairs PAIRS"),
                format!(
                    "from peft import PeftModel\nfrom transformers import AutoModelForSequenceClassification\n\
                     model = AutoModelForSequenceClassification.from_pretrained(\"{base}\", num_labels=1)\n\
                     model = PeftModel.from_pretrained(model, \"{name}\")"
                ),
            ];
            return Ok(Exported { kind: ExportKind::Adapter, path, bytes, check, snippets, notes: Vec::new() });
        }
        let check = self.check_adapter(values, &read, &path).await?;
        let mut snippets = vec![
            format!("pairtune generate --model MODEL --adapter {name} --prompt \"Hello\""),
            format!(
                "from peft import PeftModel\nfrom transformers import AutoModelForCausalLM\n\
                 model = AutoModelForCausalLM.from_pretrained(\"{base}\")\n\
                 model = PeftModel.from_pretrained(model, \"{name}\")"
            ),
        ];
        if self.model.as_ref().is_some_and(|open| open.ollama_takes_adapters()) {
            let modelfile = format!("printf 'FROM BASE\\nADAPTER ./{name}\\n' > Modelfile");
            snippets.push(format!("{modelfile} && ollama create {name} -f Modelfile"));
        }
        Ok(Exported { kind: ExportKind::Adapter, path, bytes, check, snippets, notes: Vec::new() })
    }

    async fn export_merged(
        &mut self,
        request: &ExportRequest,
        values: &files::Adapter,
        target: &Target<'_>,
    ) -> Result<Exported> {
        let open = self.opened()?;
        let (store, name) = (target.store, &target.name);
        let mut writer = StoreFolder { store, path: target.path.clone(), file: None, bytes: 0 };
        let beside = chat_files(&open);
        let wire = &mut self.wire;
        wire.begin();
        let run_id = request.run_id.clone();
        let merged =
            merge_model(open.folder.as_ref(), values, "the run's adapter", &beside, &mut writer, &mut |done, total| {
                if let Some(progress) = wire.progress("writing the merged model", done, total) {
                    wire.send(Event::Phase { run_id: run_id.clone(), phase: Phase::Saving, progress });
                }
                !wire.inbox.cancelled()
            })
            .await;
        let bytes = writer.bytes;
        drop(writer);
        merged?;
        let check = self.check_model(values, target, None).await?;
        let snippets = vec![
            format!("pairtune generate --model {name} --prompt \"Hello\""),
            format!(
                "from transformers import AutoModelForCausalLM\n\
                 model = AutoModelForCausalLM.from_pretrained(\"{name}\")"
            ),
            format!("echo \"FROM ./{name}\" > Modelfile && ollama create {name} -f Modelfile"),
        ];
        let path = place_of(request, target);
        Ok(Exported { kind: ExportKind::Merged, path, bytes, check, snippets, notes: Vec::new() })
    }

    /// A folder with the GGUF file and Ollama's file for it.
    async fn export_gguf(
        &mut self,
        request: &ExportRequest,
        values: &files::Adapter,
        target: &Target<'_>,
        form: GgufForm,
    ) -> Result<Exported> {
        let open = self.opened()?;
        let (store, name) = (target.store, &target.name);
        let file = format!("{name}.gguf");
        let tokenizer = &open.tokenizer();
        let source = GgufSource { folder: open.folder.as_ref(), config: &open.config, tokenizer, name };
        let kind = gguf_form(form).1;
        let mut writer = StoreFolder { store, path: target.path.clone(), file: None, bytes: 0 };
        let wire = &mut self.wire;
        wire.begin();
        let run_id = request.run_id.clone();
        let adapter = Some((values, "the run's adapter"));
        let names = [file.as_str(), "Modelfile"];
        let written = write_gguf(&source, adapter, kind, &mut writer, names, &mut |done, total| {
            if let Some(progress) = wire.progress("writing the GGUF file", done, total) {
                wire.send(Event::Phase { run_id: run_id.clone(), phase: Phase::Saving, progress });
            }
            !wire.inbox.cancelled()
        })
        .await;
        let bytes = writer.bytes;
        drop(writer);
        written?;
        let (check, snippet) = match kind {
            GgufKind::Lora => {
                let folder = store.folder(&target.path).await?;
                let read = read_lora(&source, &Gguf::open(folder.open(&file)?).await?, values).await?;
                let check = self.check_adapter(values, &read, &place_of(request, target)).await?;
                (check, format!("llama-cli -m BASE.gguf --lora {file} -p \"Hello\""))
            }
            GgufKind::Model(ggml_type) => {
                (self.check_model(values, target, Some(ggml_type)).await?, format!("llama-cli -m {file} -p \"Hello\""))
            }
        };
        let mut snippets = vec![snippet, format!("ollama create {name} -f Modelfile && ollama run {name}")];
        if kind != GgufKind::Lora {
            // LM Studio opens whole models alone.
            snippets.push(format!("lms import --copy {file}  # LM Studio"));
        }
        let path = place_of(request, target);
        Ok(Exported { kind: ExportKind::Gguf(form), path, bytes, check, snippets, notes: Vec::new() })
    }

    /// Compares an adapter that was read again with the live one; the error says that it was written to `place`.
    async fn check_adapter(&mut self, values: &files::Adapter, read: &files::Adapter, place: &str) -> Result<String> {
        let bench = self.bench().await?;
        let live = held_out::place(&bench, values, 1.0)?;
        let again = held_out::place(&bench, read, 1.0)?;
        let [difference, _] = self.largest_difference(&bench, &live, &bench.model, Some(&again)).await?;
        if difference > 1e-4 {
            return Err(Error::input(
                format!("The adapter that was written computes something else (logits differ by {difference})"),
                "Export it again to another place",
                place,
            ));
        }
        Ok(same_logits(difference))
    }

    /// Opens a whole model that was written, weights in `ggml_type` if it is a GGUF file, and compares it with the live
    /// one, unless there is no room for a second model.
    async fn check_model(
        &mut self,
        values: &files::Adapter,
        target: &Target<'_>,
        ggml_type: Option<GgmlType>,
    ) -> Result<String> {
        let open = self.opened()?;
        let source = ModelSource::Picked { name: target.name.clone(), path: None };
        let folder = target.store.folder(&target.path).await?;
        let again = OpenModel::open(target.name.clone(), source, Box::new(folder)).await?;
        // The adapter was added to the weights as they are stored, however the run had them on the device.
        let both = open.weight_bytes.stored + again.weight_bytes.stored;
        if self.limit_now().is_some_and(|limit| both > limit) {
            let read =
                "Verified: reloaded, every tensor has its shape; a second copy of the weights does not fit for more";
            return Ok(read.to_owned());
        }
        let bench = self.bench_in(LoadIn::Stored).await?;
        let merged = again.load(&bench.gpu, None, LoadIn::Stored, &mut |_| true).await?;
        let live = held_out::place(&bench, values, 1.0)?;
        let [difference, largest] = self.largest_difference(&bench, &live, &merged, None).await?;
        let dtype = ggml_type.map(GgmlType::name).or(again.config.dtype.as_deref());
        if !is_rounding(difference, largest, dtype) {
            return Err(Error::input(
                format!("The merged model computes something else (logits differ by {difference:.2})"),
                "Export it again to another place",
                target.path.clone(),
            ));
        }
        Ok(format!("{} (weights are rounded to {})", same_logits(difference), dtype.unwrap_or("their type")))
    }

    async fn export_metrics(&mut self, request: &ExportRequest, target: &Target<'_>) -> Result<Exported> {
        let run = self.run.as_ref().ok_or_else(|| Error::input("No run is open", "Open one", ""))?;
        let contents = vec![
            ("settings.json".to_owned(), serde_json::to_vec_pretty(&run.record.settings).unwrap_or_default()),
            ("metrics.jsonl".to_owned(), metrics_jsonl(&run.history).into_bytes()),
            ("metrics.csv".to_owned(), metrics_csv(&run.history).into_bytes()),
            ("trainer_state.json".to_owned(), state(&run.record, &run.history).to_bytes()),
            (event_file_name(run.record.created), event_file(&run.history, run.record.created)),
        ];
        let bytes = write_files(request, target, &contents).await?;
        let place = place_of(request, target);
        if read_files(request, target, &contents).await? != contents {
            return Err(Error::input("The metrics that were written say something else", "Export them again", place));
        }
        let check =
            verified(&format!("{} with {}", counted(contents.len(), "file"), counted(run.history.len(), "row")));
        let snippets = vec![format!("tensorboard --logdir {}", target.name)];
        Ok(Exported { kind: ExportKind::Metrics, path: place, bytes, check, snippets, notes: Vec::new() })
    }

    /// A folder for TRL, with the run's own rows, and the reward models beside them.
    async fn export_trl(
        &mut self,
        request: &ExportRequest,
        values: &files::Adapter,
        target: &Target<'_>,
    ) -> Result<Exported> {
        let (open, name) = (self.opened()?, &target.name);
        if open.folder.files().iter().any(|file| file.ends_with(".gguf")) {
            return Err(Error::input(
                "TRL trains no model that is a GGUF file",
                "Open the folder of the model that it was made from (safetensors), and train there",
                open.name.clone(),
            ));
        }
        let Some(run) = &self.run else { return Err(Error::input("No run is open", "Open one", "")) };
        let config = TrainConfig::from_map(&run.record.settings, "the run's settings")?;
        let (inputs, pairs_name) = (run.record.inputs.clone(), run.record.pairs_name.clone());
        let [train, held_out] = self.pairs_of_run().await?;
        let mut pairs = Pairs::from_parts(&pairs_name, &train, &held_out).await?;
        let split = pairs.split(&open.tokenizer(), &config, &mut |_| true).await?;
        let judges = self.reward_models(&open, &inputs).await?;
        let judges: Vec<(String, files::Adapter)> =
            judges.into_iter().map(|(name, _, values)| (format!("judges/{}", file_name(&name)), values)).collect();
        let export = TrlExport {
            config: &config,
            model: &open.base,
            adapter: Some(values),
            chat: chat_files(&open),
            train: trl_rows(pairs.rows(), config.method(), &split.train)?,
            held_out: trl_rows(pairs.rows(), config.method(), &split.held_out)?,
            rewards: inputs.rewards.iter().filter(|reward| !Inputs::is_run(reward)).cloned().collect(),
            reward_models: judges.iter().map(|(folder, _)| folder.clone()).collect(),
            rollouts: None,
        };
        let mut contents = trl_files(&export)?;
        for (folder, judge) in &judges {
            let card = files::ModelCard::of_run("a reward model", None, &serde_json::Map::new(), &[]);
            contents.extend(judge.files(&card).into_iter().map(|(file, bytes)| (format!("{folder}/{file}"), bytes)));
        }
        let bytes = write_files(request, target, &contents).await?;
        let path = place_of(request, target);
        if read_files(request, target, &contents).await? != contents {
            return Err(Error::input("The files that were written say something else", "Export them again", path));
        }
        let check = verified(&counted(contents.len(), "file"));
        let snippets = vec![format!(
            "cd {name} && pip install -r requirements.txt && \\\n\
             accelerate launch --config_file accelerate/one.yaml train.py"
        )];
        Ok(Exported { kind: ExportKind::Trl, path, bytes, check, snippets, notes: Vec::new() })
    }

    async fn export_archive(&mut self, request: &ExportRequest, target: &Target<'_>) -> Result<Exported> {
        if self.run.as_ref().is_some_and(|run| run.unsaved) {
            self.store_run().await;
        }
        let Some(run) = &self.run else { return Err(Error::input("No run is open", "Open one", "")) };
        let contents = match run.unsaved {
            true => run.files_in_memory(self.pairs_of_run().await?),
            false => RunFolder::new(self.store()?, &request.run_id).all_files().await?,
        };
        if contents.is_empty() {
            return Err(Error::input("The run is not in the store", "Export the adapter instead", ""));
        }
        let (store, path) = (target.store, &target.path);
        let archive = pack(&contents)?;
        store.write(path, &archive).await?;
        let again = files::unpack(path, &store.read(path).await?)?;
        let check = verified(&counted(again.len(), "file"));
        if again != contents {
            return Err(Error::input(
                "The archive that was written holds something else",
                "Export it again",
                path.clone(),
            ));
        }
        let place = place_of(request, target);
        let notes = vec!["Open it in the app or the web page: Runs → Import.".to_owned()];
        let (kind, bytes) = (ExportKind::Archive, archive.len() as u64);
        Ok(Exported { kind, path: place, bytes, check, snippets: Vec::new(), notes })
    }

    /// The pairs of the open run, as files.
    async fn pairs_of_run(&self) -> Result<[Vec<u8>; 2]> {
        match self.run.as_ref().and_then(|run| run.unwritten_pairs.clone()) {
            Some(pairs) => Ok(pairs),
            None => {
                let run_id = self.run.as_ref().map(|run| run.record.run_id.clone()).unwrap_or_default();
                RunFolder::new(self.store()?, &run_id).pairs().await
            }
        }
    }

    /// The largest difference of logits between the live model and one that was read again, and the largest logit.
    async fn largest_difference(
        &self,
        bench: &Bench,
        live: &Adapter,
        other: &Model,
        again: Option<&Adapter>,
    ) -> Result<[f32; 2]> {
        let run_prompts = self.run.as_ref().map(|run| run.prompts.clone()).unwrap_or_default();
        let plain = ["Hello", "The answer is", "Once upon a time"].map(str::to_owned);
        let prompts = run_prompts.into_iter().chain(plain).take(CHECKED_PROMPTS);
        let mut largest = [0.0f32; 2];
        for prompt in prompts {
            let mut ids = writing::prompt_ids(&prompt, true, &bench.open.tokenizer())?;
            ids.truncate(bench.open.positions());
            let a = next_logits(&bench.gpu, &bench.model, Some(live), &ids).await?;
            let b = next_logits(&bench.gpu, other, again, &ids).await?;
            for (a, b) in a.iter().zip(&b) {
                // A difference that is not finite counts as infinite.
                let apart = if (a - b).is_finite() { (a - b).abs() } else { f32::INFINITY };
                largest = [largest[0].max(apart), largest[1].max(a.abs())];
            }
        }
        Ok(largest)
    }
}

/// Returns the suffix of a GGUF export's folder name, and the content of the file.
fn gguf_form(form: GgufForm) -> (&'static str, GgufKind) {
    match form {
        GgufForm::Lora => ("-gguf-adapter", GgufKind::Lora),
        GgufForm::F16 => ("-gguf-f16", GgufKind::Model(GgmlType::F16)),
        GgufForm::Q8_0 => ("-gguf-q8_0", GgufKind::Model(GgmlType::Q8_0)),
        GgufForm::Q4_0 => ("-gguf-q4_0", GgufKind::Model(GgmlType::Q4_0)),
    }
}

/// Returns the place of an export for people: a path on disk, or in the browser's storage.
fn place_of(request: &ExportRequest, target: &Target<'_>) -> String {
    match request.folder.as_str() {
        "" => target.path.clone(),
        _ => format!("{}/{}", target.store.location(), target.path),
    }
}

/// Says that what was written came back unchanged.
fn verified(what: &str) -> String {
    format!("Verified: reloaded, {what} unchanged")
}

/// Says how far the logits of what was reloaded differ.
fn same_logits(difference: f32) -> String {
    match difference {
        0.0 => format!("Verified: reloaded, logits identical on {CHECKED_PROMPTS} prompts"),
        difference => {
            format!("Verified: reloaded, logits on {CHECKED_PROMPTS} prompts differ by {difference:.1e} at most")
        }
    }
}

/// True if rounding merged weights to their type may cause this difference of logits, of which the largest is given.
fn is_rounding(difference: f32, largest: f32, dtype: Option<&str>) -> bool {
    let share = match dtype {
        Some("float32") => 1e-4,
        Some("float16" | "F16") => 1e-2,
        Some("Q8_0") => 1e-1,
        // Four bits may change anything, but not into what is no number.
        Some("Q4_0") => return difference.is_finite(),
        _ => 5e-2,
    };
    difference <= share * largest
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

/// Writes files under one name: in the browser one archive, to be downloaded, natively a folder. Returns the bytes.
async fn write_files(request: &ExportRequest, target: &Target<'_>, contents: &[(String, Vec<u8>)]) -> Result<u64> {
    let Target { store, name, path } = target;
    if request.folder.is_empty() {
        let inside: Vec<_> = contents.iter().map(|(file, bytes)| (format!("{name}/{file}"), bytes.clone())).collect();
        let archive = pack(&inside)?;
        store.write(path, &archive).await?;
        return Ok(archive.len() as u64);
    }
    for (file, content) in contents {
        store.write(&format!("{path}/{file}"), content).await?;
    }
    Ok(contents.iter().map(|(_, content)| content.len() as u64).sum())
}

/// Reads back the files that `write_files` wrote.
async fn read_files(
    request: &ExportRequest,
    target: &Target<'_>,
    contents: &[(String, Vec<u8>)],
) -> Result<Vec<(String, Vec<u8>)>> {
    let Target { store, path, .. } = target;
    if request.folder.is_empty() {
        let inside = |file: &str| file.split_once('/').map_or("", |(_, inside)| inside).to_owned();
        let strip = |(file, bytes): (String, Vec<u8>)| (inside(&file), bytes);
        return Ok(files::unpack(path, &store.read(path).await?)?.into_iter().map(strip).collect());
    }
    let mut again = Vec::with_capacity(contents.len());
    for (file, _) in contents {
        again.push((file.clone(), store.read(&format!("{path}/{file}")).await?));
    }
    Ok(again)
}

/// Compares a reward model's adapter that was read again with the live one; the error says that it is at `place`.
fn same_values(values: &files::Adapter, read: &files::Adapter, place: &str) -> Result<String> {
    if read.tensors != values.tensors {
        let what = "The adapter that was written has other values";
        return Err(Error::input(what, "Export it again to another place", place));
    }
    Ok(verified(&counted(read.tensors.len(), "tensor")))
}

/// The file with the chat template, if it is not the model's own.
fn chat_files(open: &OpenModel) -> Vec<(String, Vec<u8>)> {
    let tokenizer = open.tokenizer();
    tokenizer.chat().files(tokenizer.own_template())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_export_is_no_rounding_whatever_its_type() {
        for dtype in ["float32", "float16", "F16", "Q8_0", "Q4_0", "bfloat16"] {
            assert!(is_rounding(0.0, 20.0, Some(dtype)), "{dtype}: no difference");
            for difference in [f32::INFINITY, f32::NAN] {
                assert!(!is_rounding(difference, 20.0, Some(dtype)), "{dtype}: {difference}");
            }
        }
        assert!(!is_rounding(0.3, 20.0, Some("F16")), "half precision rounds less");
    }
}
