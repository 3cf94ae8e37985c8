//! The stored runs, and the models and pairs that were opened before.

use serde::{Deserialize, Serialize};

use super::fold::State;
use super::run::RunPhase;
use crate::engine::protocol::{Command, Problem, RunRecord, Status};

/// Number of models, and of pairs files, that are remembered to be opened again.
const RECENT: usize = 5;

/// Models and pairs that were opened before, the latest first, and the place of the last export; remembered from one
/// start to the next.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Recent {
    /// Folders of models.
    pub(crate) models: Vec<RecentPath>,
    /// Pairs files.
    pub(crate) pairs: Vec<RecentPath>,
    /// The folder that the last export got its folder in.
    pub(crate) exports: Option<String>,
}

/// Something that was opened before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RecentPath {
    /// Its name.
    pub(crate) name: String,
    /// Its path.
    pub(crate) path: String,
}

impl Recent {
    pub(super) fn add(list: &mut Vec<RecentPath>, name: &str, path: &str) {
        list.retain(|known| known.path != path);
        list.insert(0, RecentPath { name: name.to_owned(), path: path.to_owned() });
        list.truncate(RECENT);
    }

    /// Forgets a path that cannot be opened any more.
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

    /// True if nothing prevents continuing a stored run.
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

    /// Returns the command that was refused because its model was missing, now that one is open.
    pub(crate) fn run_to_ask_again(&mut self) -> Option<Command> {
        self.asked_run.take_if(|_| !self.run_pending)
    }

    /// Removes a run from the list, without waiting for the engine's answer.
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

    /// Stops waiting for a run and for what it needs. Its command is kept if it lacks a model, to be sent again once
    /// that is open.
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
