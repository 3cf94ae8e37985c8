//! The session's commands on stored runs and on the storage.

use crate::engine::library::folder::{self, EXPORTS, RunFolder};
use crate::engine::protocol::{Event, Level, LibraryCommand, StorageInfo};
use crate::engine::session::Session;
use crate::error::Result;
use crate::platform::host::PickedFile;

impl Session {
    pub(in crate::engine) async fn handle_library(
        &mut self,
        command: LibraryCommand,
        files: Vec<PickedFile>,
    ) -> Result<()> {
        match command {
            LibraryCommand::List => {
                self.list_runs().await;
                Ok(())
            }
            LibraryCommand::Open { run_id } => self.open_run(&run_id).await,
            LibraryCommand::Describe { run_id, name, notes } => self.describe_run(&run_id, name, notes).await,
            LibraryCommand::Delete { run_id } => {
                let deleted = self.delete_run(&run_id).await;
                // There may be room now for what could not be saved.
                if self.run.as_ref().is_some_and(|run| run.unsaved) {
                    self.store_run().await;
                }
                deleted
            }
            LibraryCommand::ReadHistory { run_id } => self.read_history(&run_id).await,
            LibraryCommand::Import => self.import(files).await,
            LibraryCommand::ImportAdapter => self.import_adapter(files).await,
            LibraryCommand::MeasureStorage => self.measure_storage().await,
        }
    }

    pub(in crate::engine) async fn list_runs(&mut self) {
        let Ok(store) = &self.store else { return };
        match folder::list(store).await {
            Ok(runs) => self.wire.send(Event::Runs { runs }),
            Err(e) => self.log(Level::Error, e.to_string()),
        }
    }

    pub(in crate::engine) fn is_current(&self, run_id: &str) -> bool {
        self.run.as_ref().is_some_and(|run| run.record.run_id == run_id)
    }

    pub(in crate::engine) async fn describe_run(&mut self, run_id: &str, name: String, notes: String) -> Result<()> {
        if let Some(run) = self.run.as_mut().filter(|run| run.record.run_id == run_id) {
            (run.record.name, run.record.notes) = (name.clone(), notes.clone());
        }
        let folder = RunFolder::new(self.store()?, run_id);
        let mut record = folder.record().await?;
        (record.name, record.notes) = (name, notes);
        folder.write_record(&record).await?;
        self.list_runs().await;
        Ok(())
    }

    pub(in crate::engine) async fn delete_run(&mut self, run_id: &str) -> Result<()> {
        let store = self.store()?;
        RunFolder::new(store, run_id).remove().await?;
        // Exports that wait to be downloaded go with the run; natively exports are a person's own files, elsewhere.
        store.remove(&format!("{EXPORTS}/{run_id}")).await?;
        if self.is_current(run_id) {
            self.close_run();
        }
        self.list_runs().await;
        self.measure_storage().await
    }

    pub(in crate::engine) async fn read_history(&mut self, run_id: &str) -> Result<()> {
        let history = match self.run.as_ref().filter(|run| run.record.run_id == run_id) {
            Some(run) => run.history.clone(),
            None => RunFolder::new(self.store()?, run_id).metrics().await?,
        };
        self.wire.send(Event::History { run_id: run_id.to_owned(), history });
        Ok(())
    }

    pub(in crate::engine) async fn measure_storage(&mut self) -> Result<()> {
        let usage = self.store()?.usage().await?;
        let info = StorageInfo { used: usage.used, quota: usage.quota, persisted: usage.persisted };
        self.wire.send(Event::Storage(info));
        Ok(())
    }
}
