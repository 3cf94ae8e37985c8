//! The session's commands on models: open, keep, forget.

use std::rc::Rc;

use crate::data::{Chat, Method};
use crate::engine::data::pairs::Pairs;
use crate::engine::model::open_model::{self, OpenModel, demo_model};
use crate::engine::plan::planning;
use crate::engine::plan::presets;
use crate::engine::protocol::{Event, Inputs, Level, ModelCommand, ModelSource, Problem, StoredModel};
use crate::engine::session::Session;
use crate::error::{Error, ErrorCode, Result};
use crate::model::LoadIn;
use crate::platform::host::{self, PickedFile, Store};
use crate::platform::{FileSet, Folder};

/// The folder of kept models in the store.
pub(in crate::engine) const MODELS: &str = "models";
/// Its marker of a model that is not complete.
pub(in crate::engine) const PARTIAL: &str = "download.json";
/// Bytes of a file that are in memory at a time.
pub(in crate::engine) const SLICE_BYTES: u64 = 16 << 20;

impl Session {
    pub(in crate::engine) async fn handle_model(
        &mut self,
        command: ModelCommand,
        files: Vec<PickedFile>,
    ) -> Result<()> {
        match command {
            ModelCommand::OpenDemo => self.open_demo().await,
            ModelCommand::Open { source } => self.open_model(source, files).await,
            ModelCommand::Measure { source } => {
                self.measure_model(source, files).await;
                Ok(())
            }
            ModelCommand::Keep => self.keep_model().await,
            ModelCommand::Forget { name } => self.forget_model(&name).await,
        }
    }

    pub(in crate::engine) async fn open_demo(&mut self) -> Result<()> {
        self.open_model(ModelSource::Demo, Vec::new()).await?;
        let pairs = Pairs::demo().await?;
        self.set_pairs(pairs);
        self.plan(presets::demo_of(Method::Dpo), self.limit, &Inputs::default()).await
    }

    pub(in crate::engine) async fn open_model(&mut self, source: ModelSource, files: Vec<PickedFile>) -> Result<()> {
        self.may_close_run()?;
        let model = self.read_model(source, files).await?;
        self.take_model(model).await
    }

    /// Reads all of a model but its weights; the open one stays.
    pub(in crate::engine) async fn read_model(
        &mut self,
        source: ModelSource,
        files: Vec<PickedFile>,
    ) -> Result<OpenModel> {
        let (name, folder) = self.model_folder(&source, files).await?;
        self.wire.begin();
        self.tell_model("reading the configuration", 0, 0);
        OpenModel::open(name, source, folder).await
    }

    /// Makes a model the open one, with its weights on the device: as they were planned last or, where they do not fit
    /// so, quantised. One that does not fit, or is cancelled, leaves the open model and its run as they were.
    pub(in crate::engine) async fn take_model(&mut self, model: OpenModel) -> Result<()> {
        let model = Rc::new(model);
        let limit = self.limit_now();
        let fits = |load_in: &LoadIn| limit.is_none_or(|limit| model.least_bytes(*load_in) <= limit);
        let Some(load_in) = [self.planned_load_in, LoadIn::Int8, LoadIn::Int4].into_iter().find(fits) else {
            let what = format!(
                "The model needs about {}, but this device has {}",
                planning::gigabytes(model.least_bytes(LoadIn::Int4)),
                planning::gigabytes(limit.unwrap_or(0))
            );
            return Err(Error::input(what, "Choose a smaller model, or close other programs", model.name.clone()));
        };
        // There may be no room for both; weights that make way are read again when they are needed.
        if let Some(open) = &self.model {
            open.unload();
        }
        self.load_weights(&model, load_in).await?;
        self.close_model();
        self.measured = None;
        self.wire.send(Event::ModelOpened(Box::new(model.info())));
        self.model = Some(model);
        Ok(())
    }

    /// The weights on the device, if there is a device.
    pub(in crate::engine) async fn load_weights(&mut self, model: &OpenModel, load_in: LoadIn) -> Result<()> {
        let Some(gpu) = self.gpu.clone() else { return Ok(()) };
        let total = model.weight_bytes.stored;
        let (wire, store) = (&mut self.wire, self.store.as_ref().ok());
        wire.begin();
        model
            .load(&gpu, store, load_in, &mut |done| {
                if let Some(progress) = wire.progress("reading the weights", done, total) {
                    wire.send(Event::ModelProgress(progress));
                }
                !wire.inbox.cancelled()
            })
            .await
            .map(drop)
    }

    fn tell_model(&mut self, what: &str, done: u64, total: u64) {
        if let Some(progress) = self.wire.progress(what, done, total) {
            self.wire.send(Event::ModelProgress(progress));
        }
    }

    /// Gives the open model and whatever hangs on it back.
    fn close_model(&mut self) {
        self.close_run();
        if self.model.take().is_some() {
            self.wire.send(Event::ModelClosed);
        }
    }

    /// The files of a model, and what to call it.
    async fn model_folder(&self, source: &ModelSource, files: Vec<PickedFile>) -> Result<(String, Box<dyn Folder>)> {
        Ok(match source {
            ModelSource::Demo => ("the demo model".to_owned(), demo_model()),
            ModelSource::Stored { name } => {
                let path = format!("{MODELS}/{name}");
                let folder = self.store()?.folder(&path).await?;
                if folder.files().iter().any(|file| file == PARTIAL) {
                    return Err(Error::input("Its download is not finished", "Continue the download", name.clone()));
                }
                (name.clone(), Box::new(folder))
            }
            ModelSource::Picked { name, path } => {
                let files = match (files.is_empty(), path) {
                    (true, Some(path)) => host::pick_at(path),
                    _ => files,
                };
                if files.is_empty() {
                    return Err(Error::input("No files were chosen", "Open the model's folder again", name.clone()));
                }
                (name.clone(), Box::new(FileSet::new(name.clone(), files)))
            }
        })
    }

    pub(in crate::engine) async fn keep_model(&mut self) -> Result<()> {
        let model = self.opened()?;
        let store = self.store()?.clone();
        let folder = model.folder.as_ref();
        let mut total = 0;
        for name in &folder.files() {
            total += folder.open(name)?.len();
        }
        let usage = store.usage().await?;
        if let Some(quota) = usage.quota.filter(|quota| usage.used + total > *quota) {
            let what = format!(
                "Storage is full: the model needs {}, but {} are left",
                planning::gigabytes(total),
                planning::gigabytes(quota.saturating_sub(usage.used))
            );
            return Err(Error::coded(ErrorCode::StorageFull, what, "Delete old runs or models", store.location()));
        }
        if !store.persist().await.unwrap_or(false) {
            self.log(Level::Warn, "the browser did not promise to keep the model for good".to_owned());
        }
        // Ollama's names have a colon, which no path in the storage may have.
        let name = free_name(&store, &model.name.replace(['/', '\\'], "--").replace(':', "-")).await?;
        let path = format!("{MODELS}/{name}");
        let copied = self.copy_model(folder, &store, &path, total).await;
        if copied.is_err() {
            store.remove(&path).await?;
        }
        copied?;
        self.list_models().await;
        drop(model);
        // The stored copy is the source from now on, for the open run too.
        let source = ModelSource::Stored { name };
        if let Some(open) = self.model.as_mut().and_then(Rc::get_mut) {
            open.source = source.clone();
        }
        if let Some(run) = &mut self.run {
            run.record.model = source;
        }
        self.wire.send(Event::ModelOpened(Box::new(self.opened()?.info())));
        self.measure_storage().await
    }

    async fn copy_model(&mut self, folder: &dyn Folder, store: &Store, path: &str, total: u64) -> Result<()> {
        self.wire.begin();
        let mut done = 0;
        store.write(&format!("{path}/{PARTIAL}"), b"{}").await?;
        for name in &folder.files() {
            let source = folder.open(name)?;
            let mut file = store.create(&format!("{path}/{name}"), 0).await?;
            for offset in (0..source.len()).step_by(SLICE_BYTES as usize) {
                let len = SLICE_BYTES.min(source.len() - offset);
                file.write(&source.read_at(offset, len as usize).await?).await?;
                done += len;
                self.tell_model("keeping for next time", done, total);
                if self.wire.inbox.cancelled() {
                    return Err(Error::Cancelled);
                }
            }
            file.finish().await?;
        }
        store.remove(&format!("{path}/{PARTIAL}")).await
    }

    pub(in crate::engine) async fn forget_model(&mut self, name: &str) -> Result<()> {
        let open = self.model.as_ref().map(|model| &model.source);
        if matches!(open, Some(ModelSource::Stored { name: open }) if open == name) {
            self.may_close_run()?;
            self.close_model();
        }
        self.store()?.remove(&format!("{MODELS}/{name}")).await?;
        self.list_models().await;
        self.measure_storage().await
    }

    pub(in crate::engine) async fn list_models(&mut self) {
        let Ok(store) = &self.store else { return };
        let mut models = Vec::new();
        for name in store.list(MODELS).await.unwrap_or_default() {
            let path = format!("{MODELS}/{name}");
            let bytes = store.size(&path).await.unwrap_or(0);
            let complete = !store.exists(&format!("{path}/{PARTIAL}")).await.unwrap_or(true);
            let origin = match complete {
                true => None,
                false => store.read(&format!("{path}/{PARTIAL}")).await.ok(),
            };
            let origin = origin.and_then(|marker| serde_json::from_slice(&marker).ok());
            models.push(StoredModel { name, bytes, complete, origin });
        }
        let whole = models.iter().filter(|model| model.complete).map(|model| model.name.clone());
        let sources: Vec<_> = whole.map(|name| ModelSource::Stored { name }).collect();
        self.wire.send(Event::Models { models });
        for source in sources {
            self.measure_model(source, Vec::new()).await;
        }
    }

    /// Says what a model would need, without opening it.
    pub(in crate::engine) async fn measure_model(&mut self, source: ModelSource, files: Vec<PickedFile>) {
        let needs = async {
            let (_, folder) = self.model_folder(&source, files).await?;
            open_model::measure(folder.as_ref()).await
        };
        let needs = needs.await.map_err(|e| Problem::from(&e));
        self.wire.send(Event::ModelMeasured { source, needs });
    }

    pub(in crate::engine) fn opened(&self) -> Result<Rc<OpenModel>> {
        self.model.clone().ok_or_else(|| Error::input("No model is open", "Choose a model first", ""))
    }

    /// Sets the template and its variables for the open model, if the first pair still becomes text.
    pub(in crate::engine) fn set_chat(&mut self, chat: Chat) -> Result<()> {
        self.may_close_run()?;
        let model = self.opened()?;
        let tokenizer = model.tokenizer().with_chat(chat)?;
        if let Some(pairs) = &self.pairs {
            pairs.check_chat(&tokenizer)?;
        }
        model.set_tokenizer(tokenizer);
        // It was trained on other texts.
        self.close_run();
        self.measured = None;
        self.wire.send(Event::ChatSet(Box::new(model.chat())));
        self.tell_pairs();
        Ok(())
    }
}

/// A name like this one that no model in the store has: files of two models do not belong together.
async fn free_name(store: &Store, name: &str) -> Result<String> {
    let mut free = name.to_owned();
    let mut n = 1;
    while store.exists(&format!("{MODELS}/{free}")).await? {
        n += 1;
        free = format!("{name}-{n}");
    }
    Ok(free)
}
