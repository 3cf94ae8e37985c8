//! The pairs: the open ones, the ones being read, and single ones as the model sees them.

use super::fold::State;
use super::library::Recent;
use super::model::{ModelState, beginning};
use crate::app::text::units::Unit;
use crate::app::text::{notices, run};
use crate::engine::protocol::{ChatInfo, Kind, PairRow, PairView, PairsInfo, Problem, Progress};
use crate::platform::host::PickedFile;

/// Number of pairs that are kept in full.
const PAIR_VIEWS: usize = 16;

/// The pairs.
#[derive(Debug, Default)]
pub(crate) struct PairsState {
    /// Progress while they are being read.
    pub(crate) loading: Option<PairsLoading>,
    /// Number of changes so far to the rows, the model or the template, from which views of pairs are made.
    pub(crate) generation: u64,
    /// The usable rows that have come so far, in order.
    pub(crate) rows: Vec<PairRow>,
    /// Facts about the open pairs.
    pub(crate) info: Option<PairsInfo>,
    /// Result of the latest search.
    pub(crate) found: Option<Found>,
    /// Why they were refused.
    pub(crate) refused: Option<Problem>,
    /// Why a template was refused.
    pub(crate) chat_refused: Option<Problem>,
    /// Pairs as the model sees them, the latest last.
    pub(super) views: Vec<PairView>,
    /// Name and text of a file of rows that is to be saved.
    pub(crate) written: Option<(String, String)>,
    /// True if the user agreed to train on the usable rows.
    pub(crate) accepted: bool,
    /// Their file, if it can be read again with other columns.
    pub(crate) files: Vec<PickedFile>,
}

/// Rows that hold a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// The text.
    pub(crate) text: String,
    /// Indices of the rows, in order.
    pub(crate) rows: Vec<usize>,
}

/// Pairs being read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PairsLoading {
    /// Progress of the reading.
    pub(crate) progress: Progress,
    /// Unit of the progress: bytes of a file, or pairs that become tokens.
    pub(crate) unit: Unit,
    /// Usable rows so far.
    pub(crate) rows: usize,
    /// Rows with problems so far.
    pub(crate) problems: usize,
}

impl PairsState {
    /// A pair as the model sees it, if it was read.
    pub(crate) fn view(&self, index: usize) -> Option<&PairView> {
        self.views.iter().find(|view| view.index == index)
    }

    /// The path of the file that they are from, if it is known.
    pub(crate) fn path(&self) -> Option<String> {
        self.files.first()?.whole_path()
    }

    pub(super) fn viewed(&mut self, view: PairView) {
        self.views.retain(|before| before.index != view.index);
        self.views.push(view);
        if self.views.len() > PAIR_VIEWS {
            self.views.remove(0);
        }
    }
}

impl State {
    /// Kind of the open rows; pairs if there are none yet.
    pub(crate) fn kind(&self) -> Kind {
        self.pairs.info.as_ref().map_or(Kind::Pairs, |pairs| pairs.kind)
    }

    /// Starts reading a pairs file.
    pub(super) fn read_pairs(&mut self) {
        let progress = beginning(notices::READING_PAIRS);
        let loading = PairsLoading { progress, unit: Unit::Bytes, rows: 0, problems: 0 };
        self.load_pairs(PairsState { loading: Some(loading), ..PairsState::default() });
    }

    pub(super) fn rows_skipped(&mut self, rows: &[usize], skip: bool) {
        for &row in rows {
            if let Some(row) = self.pairs.rows.get_mut(row) {
                row.skipped = skip;
            }
        }
    }

    /// Takes in progress: open pairs, or a run's own, become tokens; others are read from a file.
    pub(super) fn pairs_progress(&mut self, progress: Progress, rows: usize, problems: usize) {
        let counted = self.pairs.info.is_some() || self.run_pending;
        let unit = if counted { Unit::Things(run::PAIRS) } else { Unit::Bytes };
        self.pairs.loading = Some(PairsLoading { progress, unit, rows, problems });
    }

    /// Takes in rows from index `first` on; rows that are there already are replaced.
    pub(super) fn rows_read(&mut self, first: usize, rows: Vec<PairRow>) {
        let known = self.pairs.rows.len();
        drop(self.pairs.rows.splice(first.min(known)..(first + rows.len()).min(known), rows));
    }

    pub(super) fn pairs_opened(&mut self, info: PairsInfo) {
        self.notice(&notices::pairs_open(info.usable), false);
        let same = self.pairs.info.as_ref().is_some_and(|before| before.problem_count == info.problem_count);
        self.pairs.accepted &= same;
        self.pairs.loading = None;
        self.pairs.refused = None;
        let made = self.pairs.info.as_ref().is_some_and(|before| before.kind != info.kind);
        if self.run_pending || made {
            // The pairs are the run's own, or made of the file's rows, not those of the file that was read before.
            self.pairs.files.clear();
        }
        if made {
            self.pairs.found = None;
        }
        if let Some(path) = self.pairs.path() {
            Recent::add(&mut self.recent.pairs, &info.name, &path);
        }
        self.pairs.rows.truncate(info.usable);
        self.pairs.info = Some(info);
        self.pairs.views.clear();
        self.pairs.generation += 1;
        self.pairs_before = None;
    }

    pub(super) fn chat_set(&mut self, chat: ChatInfo) {
        if let ModelState::Open(info) = &mut self.model {
            info.chat = chat;
        }
        self.pairs.chat_refused = None;
        self.pairs.views.clear();
        self.pairs.generation += 1;
    }

    /// Starts loading pairs; the open ones come back if that fails.
    pub(super) fn load_pairs(&mut self, pairs: PairsState) {
        let generation = self.pairs.generation + 1;
        let before = std::mem::replace(&mut self.pairs, PairsState { generation, ..pairs });
        if before.info.is_some() {
            self.pairs_before = Some(Box::new(before));
        }
    }

    pub(super) fn pairs_back(&mut self) {
        self.pairs.loading = None;
        if let Some(before) = self.pairs_before.take() {
            let generation = self.pairs.generation + 1;
            self.pairs = PairsState { generation, views: Vec::new(), ..*before };
        }
    }

    pub(super) fn pairs_refused(&mut self, problem: Problem) {
        self.pairs_back();
        self.pairs.refused = Some(problem);
    }
}
