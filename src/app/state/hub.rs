//! Models on the Hugging Face Hub, as the latest search found them.

use std::collections::BTreeMap;

use super::fold::State;
use crate::engine::protocol::{HubEvent, HubModel, Problem};

/// The latest search.
#[derive(Debug, Default)]
pub(crate) struct HubState {
    /// True until the server has answered.
    pub(crate) searching: bool,
    /// The models that were found, the most downloaded first; none before the first search.
    pub(crate) found: Option<Vec<HubModel>>,
    /// True while the needs of these models are being read.
    pub(crate) measuring: bool,
    /// Bytes that a model needs, or why it cannot be tuned, by its name.
    pub(crate) needs: BTreeMap<String, Result<u64, Problem>>,
    /// Why the search failed.
    pub(crate) problem: Option<Problem>,
}

impl State {
    pub(super) fn search_asked(&mut self) {
        self.hub.searching = true;
        self.hub.problem = None;
    }

    /// Takes in what the Hub has.
    pub(super) fn hub_answered(&mut self, event: HubEvent) {
        match event {
            HubEvent::Found { models } => {
                self.hub.searching = false;
                self.hub.found = Some(models);
                self.hub.needs.clear();
            }
            HubEvent::Measuring(measuring) => self.hub.measuring = measuring,
            HubEvent::Measured { repo, needs } => drop(self.hub.needs.insert(repo, needs)),
        }
    }

    pub(super) fn search_refused(&mut self, problem: Problem) {
        self.hub.searching = false;
        self.hub.problem = Some(problem);
    }
}
