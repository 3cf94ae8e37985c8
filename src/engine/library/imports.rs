//! Imports from elsewhere, which become runs: the archive of a run, or an adapter by itself.

use crate::data::{Chat, Method};
use crate::engine::library::folder::{self, RunFolder};
use crate::engine::plan::presets::EVAL_SPLIT;
use crate::engine::protocol::{Event, RunRecord, Settings, Status};
use crate::engine::run::open_run::record_of;
use crate::engine::session::Session;
use crate::error::{Error, Result};
use crate::files::{self, Task};
use crate::model::AdapterSettings;
use crate::platform::host::PickedFile;
use crate::platform::{FileSet, read_all};
use crate::train::{METHOD, TrainConfig};

impl Session {
    /// Takes in the archive of a run.
    pub(in crate::engine) async fn import(&mut self, files: Vec<PickedFile>) -> Result<()> {
        let [file] = files.as_slice() else {
            return Err(Error::input(format!("{} files were chosen", files.len()), "Choose one .run file", ""));
        };
        let name = file.name();
        let source = file.source()?;
        files::check_archive_size(&name, source.len())?;
        let contents = files::unpack(&name, &read_all(source.as_ref()).await?)?;
        drop(source);
        let (record, contents) = folder::check_archive(&name, contents).await?;
        let store = self.store()?;
        let folder = RunFolder::new(store, &record.run_id);
        if folder.record().await.is_ok() {
            let what = format!("This run is already here, as \"{}\"", record.name);
            return Err(Error::input(
                what,
                "Open it in the list, or delete it there and import the archive again",
                name,
            ));
        }
        folder.write_all(&contents).await?;
        self.list_runs().await;
        Ok(())
    }

    /// Takes in the files of a PEFT folder, an adapter of the open model, as a run that has no step and no rows: others
    /// may start from it or be judged by it, and it is compared and exported like what was trained here.
    pub(in crate::engine) async fn import_adapter(&mut self, picked: Vec<PickedFile>) -> Result<()> {
        let open = self.opened()?;
        let store = self.store()?;
        let name = picked.first().map(PickedFile::folder).filter(|name| !name.is_empty());
        let name = name.unwrap_or_else(|| "adapter".to_owned());
        let folder = FileSet::new(name.as_str(), picked);
        let adapter = files::Adapter::read(&folder).await?;
        AdapterSettings::new(adapter.config.clone(), &open.config)?.check(&open.config, &adapter, &name)?;
        let template = Chat::template_in(&folder).await?;
        let chat = Chat { template, ..open.tokenizer().chat().clone() };
        open.tokenizer().with_chat(chat.clone())?;
        let method = if adapter.config.task == Task::SeqCls { Method::Reward } else { Method::Dpo };
        // A comparison scores a tenth of the rows that are open at the time, as in a run.
        let given = Settings::from_iter([
            (METHOD.to_owned(), method.name().into()),
            ("eval_split".to_owned(), EVAL_SPLIT.into()),
        ]);
        let mut config = TrainConfig::from_map(&given, &name)?;
        config.take_adapter(&adapter.config, &Settings::new(), &name)?;
        let record =
            RunRecord { status: Status::Finished, chat, best_step: Some(0), ..record_of(name, &open, "", &config) };
        let run_id = record.run_id.clone();
        RunFolder::new(store, &run_id).begin_with(record, &adapter).await?;
        self.list_runs().await;
        self.wire.send(Event::AdapterImported { run_id });
        Ok(())
    }
}
