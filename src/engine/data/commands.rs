//! The session's commands on rows: open, skip, swap, edit, read, write.

use crate::data::Tokenizer;
use crate::engine::data::pairs::{Pairs, Split};
use crate::engine::data::views::preview;
use crate::engine::protocol::{Event, Mapping, PairsCommand};
use crate::engine::session::{Session, Wire};
use crate::error::{Error, Result};
use crate::platform::host::PickedFile;
use crate::train::TrainConfig;

/// Rows that are shown before all are read.
const FIRST_ROWS: usize = 50;
/// Rows of one event.
const SHOW_ROWS: usize = 500;

impl Session {
    pub(in crate::engine) async fn handle_pairs(
        &mut self,
        command: PairsCommand,
        files: Vec<PickedFile>,
    ) -> Result<()> {
        match command {
            PairsCommand::Open { mapping } => self.open_pairs(mapping, files).await,
            PairsCommand::Skip { rows, skip } => self.skip_pairs(&rows, skip),
            PairsCommand::Swap => self.swap_pairs(),
            PairsCommand::SwapRow { index } => self.swap_row(index),
            PairsCommand::Make => self.make_pairs(),
            PairsCommand::Edit { index, texts } => self.edit_pair(index, texts),
            PairsCommand::Write => self.write_pairs(),
            PairsCommand::SetChat(chat) => self.set_chat(chat),
            PairsCommand::Read { index, max_length } => self.read_pair(index, max_length),
            PairsCommand::Find { text } => self.find_rows(text),
        }
    }

    pub(in crate::engine) async fn open_pairs(
        &mut self,
        mapping: Option<Mapping>,
        files: Vec<PickedFile>,
    ) -> Result<()> {
        let [file] = files.as_slice() else {
            return Err(Error::input(format!("{} files were chosen", files.len()), "Choose one pairs file", ""));
        };
        self.may_close_run()?;
        let source = file.source()?;
        let total = source.len();
        let wire = &mut self.wire;
        wire.begin();
        let mut shown = 0;
        let pairs = Pairs::read(source.as_ref(), mapping, &mut |done, first, [rows, problems]| {
            // The first rows are shown at once, the others when all are read.
            if shown == 0 && !first.is_empty() {
                let rows: Vec<_> = first.iter().take(FIRST_ROWS).map(preview).collect();
                shown = rows.len();
                wire.send(Event::PairRows { first: 0, rows });
            }
            if let Some(progress) = wire.progress("reading pairs", done, total) {
                wire.send(Event::PairsProgress { progress, rows, problems });
            }
            !wire.inbox.cancelled()
        })
        .await?;
        self.set_pairs(pairs);
        Ok(())
    }

    pub(in crate::engine) fn set_pairs(&mut self, pairs: Pairs) {
        self.pairs = Some(pairs);
        self.close_run();
        self.measured = None;
        self.show_pairs();
    }

    fn show_pairs(&self) {
        let Some(pairs) = &self.pairs else { return };
        for first in (0..pairs.rows.len()).step_by(SHOW_ROWS) {
            let rows = pairs.shown(first..first + SHOW_ROWS);
            self.wire.send(Event::PairRows { first, rows });
        }
        self.tell_pairs();
    }

    /// Sends the summary of the pairs, without their rows.
    pub(in crate::engine) fn tell_pairs(&self) {
        if let Some(pairs) = &self.pairs {
            self.wire.send(Event::PairsOpened(Box::new(pairs.info())));
        }
    }

    pub(in crate::engine) fn skip_pairs(&mut self, rows: &[usize], skip: bool) -> Result<()> {
        self.pairs_to_change()?.skip(rows, skip);
        // It was trained on other pairs.
        self.close_run();
        self.tell_pairs();
        Ok(())
    }

    pub(in crate::engine) fn swap_pairs(&mut self) -> Result<()> {
        self.pairs_to_change()?.swap();
        self.close_run();
        self.show_pairs();
        Ok(())
    }

    pub(in crate::engine) fn swap_row(&mut self, index: usize) -> Result<()> {
        self.pairs_to_change()?.swap_row(index)?;
        self.close_run();
        self.show_pairs();
        Ok(())
    }

    pub(in crate::engine) fn make_pairs(&mut self) -> Result<()> {
        let made = self.pairs_to_change()?.make()?;
        self.set_pairs(made);
        Ok(())
    }

    pub(in crate::engine) fn edit_pair(&mut self, index: usize, texts: [Vec<String>; 3]) -> Result<()> {
        self.pairs_to_change()?.edit(index, texts)?;
        self.close_run();
        self.show_pairs();
        Ok(())
    }

    pub(in crate::engine) fn write_pairs(&mut self) -> Result<()> {
        let Some(pairs) = &self.pairs else { return Err(no_pairs()) };
        let stem = pairs.name.split('.').next().unwrap_or(&pairs.name);
        self.wire.send(Event::PairsWritten { name: format!("{stem}-edited.jsonl"), text: pairs.to_jsonl() });
        Ok(())
    }

    fn pairs_to_change(&mut self) -> Result<&mut Pairs> {
        self.may_close_run()?;
        self.pairs.as_mut().ok_or_else(no_pairs)
    }

    pub(in crate::engine) fn find_rows(&mut self, text: String) -> Result<()> {
        let Some(pairs) = &self.pairs else { return Err(no_pairs()) };
        let rows = pairs.find(&text);
        self.wire.send(Event::RowsFound { text, rows });
        Ok(())
    }

    pub(in crate::engine) fn read_pair(&mut self, index: usize, max_length: usize) -> Result<()> {
        let Some(pairs) = &self.pairs else { return Err(no_pairs()) };
        let tokenizer = self.model.as_ref().map(|model| model.tokenizer());
        let view = pairs.view(index, tokenizer.as_deref(), max_length)?;
        self.wire.send(Event::PairView(Box::new(view)));
        Ok(())
    }

    /// The pairs of a run with these settings, in tokens.
    pub(in crate::engine) async fn split(&mut self, config: &TrainConfig) -> Result<Split> {
        let model = self.opened()?;
        let Some(pairs) = &mut self.pairs else { return Err(no_pairs()) };
        split(&mut self.wire, pairs, &model.tokenizer(), config).await
    }

    /// The pairs of the open run, in tokens, with as many held out as it evaluates.
    pub(in crate::engine) async fn run_split(&mut self, config: &TrainConfig) -> Result<Split> {
        let most = self.run.as_ref().map_or(0, |run| run.record.watch.max_eval_pairs);
        Ok(self.split(config).await?.hold_out_at_most(most))
    }
}

fn no_pairs() -> Error {
    Error::input("No pairs are open", "Choose a pairs file first", "")
}

/// Pairs as the tokens of a run with these settings.
pub(in crate::engine) async fn split(
    wire: &mut Wire,
    pairs: &mut Pairs,
    tokenizer: &Tokenizer,
    config: &TrainConfig,
) -> Result<Split> {
    let total = pairs.rows.len() as u64;
    wire.begin();
    pairs
        .split(tokenizer, config, &mut |row| {
            if let Some(progress) = wire.progress("reading rows as tokens", row as u64, total) {
                wire.send(Event::PairsProgress { progress, rows: row, problems: 0 });
            }
            !wire.inbox.cancelled()
        })
        .await
}
