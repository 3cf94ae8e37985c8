//! The stored runs, and what was opened before.

use serde::{Deserialize, Serialize};

use super::fold::State;
use super::run::RunPhase;
use crate::engine::protocol::{Command, Problem, RunRecord, Status};

/// Models, and pairs files, that are remembered to be opened again.
const RECENT: usize = 5;

/// What was opened before, the latest first; remembered from one start to the next.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Recent {
    /// Folders of models.
    pub(crate) models: Vec<RecentPath>,
    /// Pairs files.
    pub(crate) pairs: Vec<RecentPath>,
}

/// Something that was opened before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RecentPath {
    /// What it was called.
    pub(crate) name: String,
    /// Where it was.
    pub(crate) path: String,
}

impl Recent {
    pub(super) fn add(list: &mut Vec<RecentPath>, name: &str, path: &str) {
        list.retain(|known| known.path != path);
        list.insert(0, RecentPath { name: name.to_owned(), path: path.to_owned() });
        list.truncate(RECENT);
    }

    /// Forgets what cannot be opened any more.
    pub(crate) fn forget(&mut self, path: &str) {
        for list in [&mut self.models, &mut self.pairs] {
            list.retain(|known| known.path != path);
        }
    }
}

impl State {
    /// True for a stored run that is at work, here or in the other tab, and not interrupted.
    pub(crate) fn is_at_work(&self, run: &RunRecord) -> bool {
        let active = self.active_run().map(|active| active.info.record.run_id.as_str());
        active == Some(run.run_id.as_str()) || (self.other_tab && run.status == Status::Running)
    }

    /// True if nothing is in the way of going on with a stored run.
    pub(crate) fn may_continue(&self) -> bool {
        !self.other_tab && !self.run_pending && !self.at_work()
    }

    /// The stored runs that can be continued and are not the one at work.
    pub(crate) fn continuable(&self) -> impl Iterator<Item = &RunRecord> {
        let shown = self.run.as_ref().filter(|run| run.phase != RunPhase::Opened);
        let shown = shown.map(|run| run.info.record.run_id.as_str());
        self.runs.iter().flatten().filter(move |run| {
            matches!(run.status, Status::Running | Status::Paused | Status::Failed | Status::Diverged)
                && !self.is_at_work(run)
                && Some(run.run_id.as_str()) != shown
        })
    }

    /// What was refused for want of a model, now that one is open.
    pub(crate) fn run_to_ask_again(&mut self) -> Option<Command> {
        self.asked_run.take_if(|_| !self.run_pending)
    }

    /// The run is gone from the list, also before the engine has told so.
    pub(super) fn run_deleted(&mut self, run_id: &str) {
        if let Some(runs) = &mut self.runs {
            runs.retain(|run| run.run_id != run_id);
        }
    }

    pub(super) fn run_described(&mut self, run_id: &str, name: &str, notes: &str) {
        let listed = self.runs.iter_mut().flatten().find(|run| run.run_id == run_id);
        let shown = self.run.as_mut().map(|run| &mut run.info.record).filter(|run| run.run_id == run_id);
        for record in listed.into_iter().chain(shown) {
            name.clone_into(&mut record.name);
            notes.clone_into(&mut record.notes);
        }
    }

    /// A run is not being opened any more, nor what it needs; it may be asked for again once its model is there.
    pub(super) fn opening_ended(&mut self, wants_model: bool) {
        self.run_pending = false;
        self.asked_run.take_if(|_| !wants_model);
        self.pairs.loading = None;
        self.stop_loading();
    }

    pub(super) fn library_refused(&mut self, problem: Problem) {
        self.opening_ended(problem.wants_model());
        self.runs_problem = Some(problem);
    }
}
