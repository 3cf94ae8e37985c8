//! Writing files from a run.

use super::fold::State;
use crate::app::text::notices;
use crate::engine::protocol::{Exported, Problem};

impl State {
    /// The folder to propose for exports, each of which gets a folder in it: the last one that was used, else the
    /// platform's.
    pub(crate) fn export_place(&self) -> Option<&str> {
        self.recent.exports.as_deref().or(self.export_home.as_deref())
    }

    pub(super) fn export_asked(&mut self, folder: &str) {
        self.exporting = true;
        folder.clone_into(&mut self.export_folder);
        self.exported = None;
        self.export_problem = None;
    }

    pub(super) fn export_done(&mut self, run_id: String, files: Vec<Exported>) {
        self.export_ended();
        self.notice(notices::EXPORTED, true);
        self.exported = Some((run_id, files));
        if let Some(place) = parent(&self.export_folder) {
            self.recent.exports = Some(place.to_owned());
        }
    }

    pub(super) fn export_refused(&mut self, problem: Problem) {
        self.export_ended();
        self.export_problem = Some(problem);
    }

    pub(super) fn export_ended(&mut self) {
        self.exporting = false;
        self.forget_progress();
    }
}

/// The folder that a folder is in, if its path says so.
fn parent(folder: &str) -> Option<&str> {
    let (parent, _) = folder.trim_end_matches(['/', '\\']).rsplit_once(['/', '\\'])?;
    (!parent.is_empty()).then_some(parent)
}
