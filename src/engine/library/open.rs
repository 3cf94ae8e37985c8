//! A stored run is opened again, with its model and its rows.

use crate::engine::data::commands::split;
use crate::engine::data::pairs::Pairs;
use crate::engine::library::folder::RunFolder;
use crate::engine::plan::planning;
use crate::engine::protocol::{Event, ModelSource, Problem, RunRecord, Status};
use crate::engine::run::open_run::Run;
use crate::engine::run::reference::data_of;
use crate::engine::run::train::facts;
use crate::engine::session::Session;
use crate::error::{Error, ErrorCode, Result};
use crate::train::{Checkpoint, Reference, TrainConfig};

impl Session {
    /// Opens a stored run, with its model and its pairs.
    pub(in crate::engine) async fn open_run(&mut self, run_id: &str) -> Result<()> {
        if let Some(run) = self.run.as_mut().filter(|run| run.record.run_id == run_id) {
            run.retry = None;
            // The run in memory may be newer than the stored one.
            self.wire.send(Event::RunOpened(Box::new(run.info())));
            return Ok(());
        }
        self.may_close_run()?;
        let folder = RunFolder::new(self.store()?, run_id);
        let stored = folder.read().await?;
        let [train, held_out] = folder.pairs().await?;
        let mut record = stored.record;
        let mut pairs = Pairs::of_run(&record.pairs_name, [&train, &held_out]).await?;
        if let Ok(config) = TrainConfig::from_map(&record.settings, "settings") {
            self.planned_load_in = config.load_in;
        }
        self.open_model_of(&record, stored.checkpoint.as_ref(), pairs.as_mut()).await?;
        if let Some(open) = &self.model {
            open.set_tokenizer(open.tokenizer().with_chat(record.chat.clone())?);
            self.wire.send(Event::ChatSet(Box::new(open.chat())));
        }
        // The record gets the source that can be opened again, which need not be the original one.
        if let Some(source) = self.model.as_ref().map(|open| &open.source)
            && !matches!(source, ModelSource::Picked { path: None, .. })
        {
            record.model = source.clone();
        }
        if let Some(pairs) = pairs {
            self.set_pairs(pairs);
        }
        let mut run = Run::new(record);
        run.prompts.clone_from(&run.record.watch.prompts);
        (run.history, run.samples) = (stored.history, stored.samples);
        (run.checkpoint, run.best) = (stored.checkpoint, stored.best);
        if run.record.status == Status::Running {
            // A run that stopped early may have been saved without its status, if the program ended there.
            run.record.status = if run.stops_early().is_some() { Status::Stopped } else { Status::Paused };
        }
        if let Ok(config) = TrainConfig::from_map(&run.record.settings, "settings") {
            run.warnings = run.replay(facts(&config, run.record.n_held_out, run.record.n_steps)).1;
        }
        self.wire.send(Event::RunOpened(Box::new(run.info())));
        self.run = Some(run);
        Ok(())
    }

    /// Sees to it that a stored run's model is open: the open one will do, wherever it is from, if it has the same
    /// content; else the one at the place where the run's was.
    async fn open_model_of(
        &mut self,
        record: &RunRecord,
        checkpoint: Option<&Checkpoint>,
        mut pairs: Option<&mut Pairs>,
    ) -> Result<()> {
        if self.is_model_of(record, checkpoint, pairs.as_deref_mut()).await? {
            return Ok(());
        }
        let missing = match self.read_model(record.model.clone(), Vec::new()).await {
            Err(Error::Cancelled) => return Err(Error::Cancelled),
            Err(error) => Some(Problem::from(&error).what),
            Ok(model) => {
                self.take_model(model).await?;
                if self.is_model_of(record, checkpoint, pairs).await? {
                    return Ok(());
                }
                None
            }
        };
        let name = &record.model_name;
        let wanted = match record.model_bytes {
            0 => format!("\"{name}\""),
            bytes => format!("\"{name}\" ({} of weights)", planning::gigabytes(bytes)),
        };
        let mut what = match &self.model {
            Some(open) => {
                format!("The run \"{}\" belongs to the model {wanted}; \"{}\" is another", record.name, open.name)
            }
            None => format!("The run \"{}\" needs its model {wanted}, which is not open", record.name),
        };
        if let Some(missing) = missing {
            what += &format!(". Where the run had it: {missing}");
        }
        let fix = format!("Open the folder that \"{name}\" is in now");
        Err(Error::coded(ErrorCode::OtherModel, what, fix, ""))
    }

    /// True if the open model is the one of a stored run: by its content if the run has a state that tells, and there
    /// is a device to read the weights to.
    async fn is_model_of(
        &mut self,
        record: &RunRecord,
        checkpoint: Option<&Checkpoint>,
        pairs: Option<&mut Pairs>,
    ) -> Result<bool> {
        let Some(open) = self.model.clone() else { return Ok(false) };
        let (Some(checkpoint), Some(pairs), Some(_)) = (checkpoint, pairs, &self.gpu) else {
            return Ok(open.source == record.model || open.name == record.model_name);
        };
        let config = TrainConfig::from_map(&record.settings, "settings")?;
        let model = self.bench_in(config.load_in).await?.model;
        let tokenizer = open.tokenizer().with_chat(record.chat.clone())?;
        match split(&mut self.wire, pairs, &tokenizer, &config).await {
            Ok(split) => {
                let first = match config.reference {
                    Reference::InitialAdapter => self.first_adapter(&record.inputs, &config, &open).await?,
                    Reference::Base => None,
                };
                let initial = first.map(|first| first.tensor_file());
                let data = data_of(&model, &tokenizer.fingerprint(), &config, &split.train, initial.as_deref());
                Ok(data.0 == checkpoint.place.data)
            }
            Err(Error::Cancelled) => Err(Error::Cancelled),
            // Another model's tokens may leave no pair at all.
            Err(_) => Ok(false),
        }
    }
}
