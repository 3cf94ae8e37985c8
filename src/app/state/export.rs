//! Writing files from a run.

use super::fold::State;
use crate::app::text::notices;
use crate::engine::protocol::{Exported, Problem};

impl State {
    pub(super) fn export_asked(&mut self) {
        self.exporting = true;
        self.exported = None;
        self.export_problem = None;
    }

    pub(super) fn export_done(&mut self, run_id: String, files: Vec<Exported>) {
        self.export_ended();
        self.notice(notices::EXPORTED, true);
        self.exported = Some((run_id, files));
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
