//! Events: messages from the engine.

use serde::{Deserialize, Serialize};

use super::{
    Answered, ChatInfo, Exported, Failure, HeldOutPair, HubEvent, Inspection, Level, Metrics, ModelInfo, ModelSource,
    PairRow, PairView, PairsInfo, Phase, PlanInfo, Problem, Progress, Purpose, RaceEvent, Ready, RunInfo, RunRecord,
    SampleAnswer, StorageInfo, StoredModel, Subject, Summary, SweepEvent,
};

/// A message from the engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The first event: the engine listens.
    Ready(Box<Ready>),
    /// The models in the app's own storage.
    Models {
        /// The stored models.
        models: Vec<StoredModel>,
    },
    /// Memory that a model would need, measured without opening it.
    ModelMeasured {
        /// Source of the model.
        source: ModelSource,
        /// Bytes on the device of the smallest sensible run, or why it cannot be tuned.
        needs: Result<u64, Problem>,
    },
    /// A model is being read or fetched.
    ModelProgress(Progress),
    /// A model is open.
    ModelOpened(Box<ModelInfo>),
    /// Models on the Hugging Face Hub.
    Hub(HubEvent),
    /// Pairs are being read.
    PairsProgress {
        /// Bytes so far and in all.
        progress: Progress,
        /// Usable rows so far.
        rows: usize,
        /// Rows that cannot be used so far.
        problems: usize,
    },
    /// Some usable rows, in the order of the file.
    PairRows {
        /// Index of the first.
        first: usize,
        /// The rows, as a table shows them.
        rows: Vec<PairRow>,
    },
    /// All pairs are read.
    PairsOpened(Box<PairsInfo>),
    /// Conversations of the open model become text in another way from now on.
    ChatSet(Box<ChatInfo>),
    /// The usable rows that hold a text.
    RowsFound {
        /// The text.
        text: String,
        /// Their indices, in order.
        rows: Vec<usize>,
    },
    /// A pair as the model sees it.
    PairView(Box<PairView>),
    /// Rows for a file of a person's own, as [`PairsCommand::Write`](super::PairsCommand::Write) asked for them.
    PairsWritten {
        /// Proposed name of the file.
        name: String,
        /// Rows as JSON Lines.
        text: String,
    },
    /// Plan of a run.
    Planned(Box<PlanInfo>),
    /// Name of the GPU measurement that begins.
    Measuring(String),
    /// Report on the speed of the GPU, as lines of text.
    Measured(String),
    /// A step of a trial begins.
    Trying {
        /// Its number, from 1 to [`TRIAL_STEPS`](super::TRIAL_STEPS).
        step: usize,
    },
    /// A trial is at its end.
    Tried {
        /// Seconds of a step.
        step_seconds: f64,
        /// Seconds of answering every sample prompt once; 0 without prompts, and none if that was not measured.
        answers_seconds: Option<f64>,
        /// Bytes on the device at the most.
        device_bytes: u64,
        /// Bytes that the plan had said.
        planned_bytes: u64,
    },
    /// A command cannot be carried out.
    Refused {
        /// Subject of the command.
        subject: Subject,
        /// Why, and what would work.
        problem: Problem,
    },
    /// A command was cancelled.
    Cancelled {
        /// Subject of the command.
        subject: Subject,
    },
    /// A run begins or goes on.
    RunStarted(Box<RunInfo>),
    /// Work before, between or after the steps of a run.
    Phase {
        /// The run.
        run_id: String,
        /// Kind of work.
        phase: Phase,
        /// Progress of the work.
        progress: Progress,
    },
    /// A step was taken.
    Step {
        /// The run.
        run_id: String,
        /// Its values.
        metrics: Metrics,
        /// Seconds that it took.
        seconds: f64,
    },
    /// Answers were written for a step, and judged.
    Rollouts {
        /// The run.
        run_id: String,
        /// The step that they are for.
        step: usize,
        /// Names of the rewards.
        rewards: Vec<String>,
        /// The answers, those to one prompt in a row.
        answers: Vec<Answered>,
    },
    /// The held-out pairs were scored.
    Evaluated {
        /// The run.
        run_id: String,
        /// The values, with `eval_` before TRL's names.
        metrics: Metrics,
        /// True if no earlier evaluation was better.
        best: bool,
    },
    /// The sample prompts were answered.
    Samples {
        /// The run.
        run_id: String,
        /// Optimiser steps done.
        step: usize,
        /// One for each prompt.
        answers: Vec<SampleAnswer>,
    },
    /// Something in the run looks wrong.
    Warned {
        /// The run.
        run_id: String,
        /// The warning.
        warning: crate::engine::run::warnings::Warning,
    },
    /// The run was saved and survives a crash up to here.
    Saved {
        /// The run.
        run_id: String,
        /// Optimiser steps done.
        step: usize,
        /// Bytes written.
        bytes: u64,
        /// Seconds that it took.
        seconds: f64,
    },
    /// The run waits.
    Paused {
        /// The run.
        run_id: String,
        /// Optimiser steps done.
        step: usize,
    },
    /// The run is over.
    Finished(Box<Summary>),
    /// The run stopped because something failed.
    Failed {
        /// The run.
        run_id: String,
        /// Cause of the failure.
        failure: Failure,
        /// The step that is safe.
        safe_step: Option<usize>,
    },
    /// The run failed, and is continued by itself unless somebody decides before.
    Recovering {
        /// The run.
        run_id: String,
        /// Cause of the failure.
        failure: Failure,
        /// The step that is safe.
        safe_step: Option<usize>,
        /// Seconds until it is continued.
        seconds: f64,
    },
    /// Event of a race.
    Race(RaceEvent),
    /// Event of a sweep.
    Sweep(SweepEvent),
    /// The run was discarded.
    Discarded {
        /// The run.
        run_id: String,
    },
    /// The open model was closed, to make room for another.
    ModelClosed,
    /// The open run was closed, because other pairs or another model were opened.
    RunClosed {
        /// Its identifier.
        run_id: String,
    },
    /// A stored run is open for comparing and exporting.
    RunOpened(Box<RunInfo>),
    /// A piece of a text.
    Text {
        /// The request's.
        id: u64,
        /// Index among the request's texts (`GenerateRequest::sides`).
        side: usize,
        /// Text to append.
        piece: String,
        /// True if nothing follows on this side.
        end: bool,
        /// Tokens so far.
        tokens: usize,
        /// Seconds of writing them, the prompt's included.
        seconds: f64,
    },
    /// The held-out pairs at an adapter scale.
    HeldOut {
        /// Factor on the adapter.
        strength: f32,
        /// One entry for each.
        pairs: Vec<HeldOutPair>,
    },
    /// A pair, token by token.
    Inspected(Box<Inspection>),
    /// Something was written.
    Exported {
        /// The run.
        run_id: String,
        /// The written files.
        files: Vec<Exported>,
    },
    /// The stored runs, newest first.
    Runs {
        /// The stored runs.
        runs: Vec<RunRecord>,
    },
    /// An adapter is among the runs now.
    AdapterImported {
        /// Run that holds it.
        run_id: String,
    },
    /// All metrics of a run.
    History {
        /// The run.
        run_id: String,
        /// Steps and evaluations in order.
        history: Vec<Metrics>,
    },
    /// Storage in use.
    Storage(StorageInfo),
    /// Something of a run could not be saved; it goes on in memory.
    NotSaved {
        /// The run.
        run_id: String,
        /// Why.
        problem: Problem,
    },
    /// The engine fetched something from the network.
    Request {
        /// Address of the request.
        url: String,
        /// Bytes received.
        bytes: u64,
        /// Why.
        purpose: Purpose,
    },
    /// A line for the log panel.
    Log {
        /// Weight of the line.
        level: Level,
        /// Text of the line.
        text: String,
    },
}
