//! Commands: requests of a person to the engine, by topic.

use serde::{Deserialize, Serialize};

use super::{
    CompareCommand, Drill, ExportRequest, HubCommand, LibraryCommand, ModelCommand, PairsCommand, PlanCommand,
    RaceRequest, RunCommand, SweepRequest,
};

/// A request to the engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "topic", content = "command", rename_all = "snake_case")]
pub enum Command {
    /// About the model.
    Model(ModelCommand),
    /// About models on the Hugging Face Hub.
    Hub(HubCommand),
    /// About the pairs, or rows of another kind.
    Pairs(PairsCommand),
    /// About a run that has not begun.
    Plan(PlanCommand),
    /// About the run at work.
    Run(RunCommand),
    /// Set DPO beside RLHF, with the open model and pairs; [`RunCommand::Stop`] ends it at a step.
    Race(Box<RaceRequest>),
    /// Train with several values of a setting, with the open model and pairs; [`RunCommand::Stop`] ends it at a step.
    Sweep(Box<SweepRequest>),
    /// Set the tuned model beside the base.
    Compare(CompareCommand),
    /// Write files from a run.
    Export(Box<ExportRequest>),
    /// About the stored runs.
    Library(LibraryCommand),
    /// Measure how fast the GPU is: kernels, training steps, texts.
    Bench,
    /// End whatever is being loaded, prepared or generated.
    Cancel,
    /// Let something fail on purpose, to see that nothing is lost.
    Drill(Drill),
}
