//! The model: the ones to choose from, the one that is open, and one that is on its way.

use super::fold::State;
use super::library::Recent;
use super::plan::Trial;
use crate::app::text::notices;
use crate::engine::protocol::{ModelInfo, ModelSource, Problem, Progress, StoredModel};
use crate::platform::FoundModel;

/// The model.
#[derive(Debug, Default)]
pub(crate) enum ModelState {
    /// There is none.
    #[default]
    None,
    /// It is being read or fetched.
    Loading(Progress),
    /// It is there.
    Open(Box<ModelInfo>),
}

impl State {
    /// The open model.
    pub(crate) fn open_model(&self) -> Option<&ModelInfo> {
        match &self.model {
            ModelState::Open(info) => Some(info),
            _ => None,
        }
    }

    /// True if the open model is the bundled one.
    pub(crate) fn is_demo(&self) -> bool {
        self.open_model().is_some_and(|model| model.source == ModelSource::Demo)
    }

    /// Bytes that a model in a list needs, or why it cannot be tuned, if that is known.
    pub(crate) fn needs(&self, source: &ModelSource) -> Option<Result<u64, Problem>> {
        self.measured.iter().find(|(known, _)| known == source).map(|(_, needs)| needs.clone())
    }

    /// Why a model in a list cannot be tuned, if that is known.
    pub(crate) fn not_tunable(&self, source: &ModelSource) -> Option<Problem> {
        self.needs(source)?.err()
    }

    /// Takes in the models in the storage; the engine also lists them after it has stored another.
    pub(super) fn models_listed(&mut self, models: Vec<StoredModel>) {
        self.models = models;
        self.keeping_model = false;
    }

    pub(super) fn model_measured(&mut self, source: ModelSource, needs: Result<u64, Problem>) {
        self.measured.retain(|(known, _)| *known != source);
        self.measured.push((source, needs));
    }

    /// Takes in the progress of a model. An open model makes progress only while it is copied into the storage.
    pub(super) fn model_progress(&mut self, progress: Progress) {
        if !matches!(self.model, ModelState::Open(_)) {
            self.model = ModelState::Loading(progress);
        }
    }

    pub(super) fn model_opened(&mut self, info: Box<ModelInfo>) {
        self.notice(&notices::model_open(&info.name), false);
        if let ModelSource::Picked { path: Some(path), .. } = &info.source {
            Recent::add(&mut self.recent.models, &info.name, path);
        }
        self.model = ModelState::Open(info);
        self.pairs.chat_refused = None;
        self.model_problem = None;
        self.model_before = None;
        self.plan.trial = Trial::None;
        self.pairs.views.clear();
        self.pairs.generation += 1;
    }

    pub(super) fn model_closed(&mut self) {
        self.model_before = None;
        if matches!(self.model, ModelState::Open(_)) {
            self.model = ModelState::None;
        }
    }

    /// Starts loading a model; the open one comes back if that fails.
    pub(super) fn load_model(&mut self, what: &str) {
        self.model_problem = None;
        if let ModelState::Open(open) = std::mem::replace(&mut self.model, ModelState::Loading(beginning(what))) {
            self.model_before = Some(open);
        }
    }

    /// Stops loading a model; the one from before comes back, if the engine still has it.
    pub(super) fn stop_loading(&mut self) {
        if matches!(self.model, ModelState::Loading(_)) {
            self.model = self.model_before.take().map_or(ModelState::None, ModelState::Open);
        }
    }

    pub(super) fn model_refused(&mut self, problem: Problem) {
        if self.keeping_model {
            self.keeping_model = false;
            return self.notice(&problem.to_string(), true);
        }
        self.stop_loading();
        self.model_problem = Some(problem);
        self.pairs_back();
    }

    pub(super) fn model_cancelled(&mut self) {
        self.keeping_model = false;
        self.stop_loading();
        self.pairs_back();
    }
}

/// Progress of work that has not reported any yet.
pub(super) fn beginning(what: &str) -> Progress {
    Progress { what: what.to_owned(), done: 0, total: 0, seconds: 0.0 }
}

/// Source of a model that was found on this computer.
pub(crate) fn source_of(found: &FoundModel) -> ModelSource {
    ModelSource::Picked { name: found.name.clone(), path: Some(found.folder.clone()) }
}
