//! Commands: requests of a person to the engine.

use serde::{Deserialize, Serialize};

use super::{
    Chat, Drill, ExportRequest, GenerateRequest, Inputs, Mapping, ModelSource, RaceRequest, RunRequest, Settings,
    SweepRequest,
};

/// A request to the engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// Open the bundled model and pairs.
    OpenDemo,
    /// Open a model; for [`ModelSource::Picked`] its files come beside the command.
    OpenModel {
        /// Source of the model.
        source: ModelSource,
    },
    /// Read what a model's configuration and headers say of the memory that it needs; for [`ModelSource::Picked`] its
    /// files come beside the command.
    MeasureModel {
        /// Source of the model.
        source: ModelSource,
    },
    /// Copy the open model into the app's own storage, so that it is there next time.
    KeepModel,
    /// Take a model out of the app's own storage.
    ForgetModel {
        /// Its name in [`Event::Models`](super::Event::Models).
        name: String,
    },
    /// Fetch a model from the Hugging Face Hub, or continue to: in a page into the app's own storage, natively into the
    /// cache that other tools share; then open it.
    FetchModel {
        /// `organisation/name`.
        repo: String,
        /// Server of the repositories; `https://huggingface.co` except in tests.
        endpoint: String,
    },
    /// Open a pairs file, which comes beside the command.
    OpenPairs {
        /// Columns to read, or none to guess.
        mapping: Option<Mapping>,
    },
    /// Take some rows out of the pairs, or back in.
    SkipPairs {
        /// Their indices.
        rows: Vec<usize>,
        /// True to leave them out.
        skip: bool,
    },
    /// Swap chosen and rejected in all rows.
    SwapPairs,
    /// Change the texts of a row; the file stays as it is.
    EditPair {
        /// Its index among the usable rows.
        index: usize,
        /// Texts of prompt, chosen and rejected: one for each passage of the [`PairView`](super::PairView).
        texts: [Vec<String>; 3],
    },
    /// Write the rows that are not skipped as JSON Lines, edits included.
    WritePairs,
    /// Set how the open model's conversations become text.
    SetChat(Chat),
    /// Show a pair as the model sees it.
    ReadPair {
        /// Its index among the usable rows.
        index: usize,
        /// Longest sequence in tokens.
        max_length: usize,
    },
    /// Find the usable rows that hold a text.
    FindRows {
        /// The text, in any case.
        text: String,
    },
    /// Work out what a run with these settings would take.
    Plan {
        /// Settings of the run.
        settings: Settings,
        /// Bytes it may take on the device, if the person knows better than the engine.
        limit: Option<u64>,
        /// Rewards, and the run to start from.
        #[serde(default)]
        inputs: Inputs,
    },
    /// Take two steps with these settings, and begin an answer to each prompt, to measure time and memory; nothing of
    /// it is kept. [`Command::Cancel`] after the first step keeps its time.
    Trial {
        /// Settings of the run.
        settings: Settings,
        /// Sample prompts of the run.
        #[serde(default)]
        prompts: Vec<String>,
    },
    /// Measure how fast the GPU is: kernels, training steps, texts.
    Bench,
    /// Begin a run with the open model and pairs.
    Start(Box<RunRequest>),
    /// Set DPO beside RLHF, with the open model and pairs; [`Command::Stop`] ends it at a step.
    StartRace(Box<RaceRequest>),
    /// Train with several values of a setting, with the open model and pairs; [`Command::Stop`] ends it at a step.
    StartSweep(Box<SweepRequest>),
    /// Finish this step, save, and wait.
    Pause,
    /// Go on with a paused or interrupted run, opened as by [`Command::OpenRun`].
    Resume {
        /// The run.
        run_id: String,
        /// Settings that differ from now on; the run then continues as a new one.
        settings: Settings,
    },
    /// Finish this step and end the run with what it has.
    Stop,
    /// End the run and discard it.
    Discard {
        /// The run.
        run_id: String,
    },
    /// End whatever is being loaded, prepared or generated.
    Cancel,
    /// Open a stored run to compare and export it. The open model will do if it has the content of the run's; else that
    /// is opened where it was.
    OpenRun {
        /// The run.
        run_id: String,
    },
    /// Write a text with the base model and with the tuned one.
    Generate(Box<GenerateRequest>),
    /// Score every held-out pair at an adapter scale, 1 as trained.
    ScoreHeldOut {
        /// Factor on the adapter, 1 as trained.
        strength: f32,
    },
    /// Log-probabilities of every token of a pair, base and tuned.
    InspectPair {
        /// Index of the pair among the usable rows.
        index: usize,
        /// Factor on the adapter, 1 as trained.
        strength: f32,
    },
    /// Write files from a run.
    Export(Box<ExportRequest>),
    /// List the stored runs.
    ListRuns,
    /// Rename a run or write notes about it.
    DescribeRun {
        /// The run.
        run_id: String,
        /// Its name.
        name: String,
        /// Free text.
        notes: String,
    },
    /// Delete a stored run with its files.
    DeleteRun {
        /// The run.
        run_id: String,
    },
    /// All metrics of a stored run.
    ReadHistory {
        /// The run.
        run_id: String,
    },
    /// Take a `.run` archive in, which comes beside the command.
    Import,
    /// Take in an adapter of the open model that was trained elsewhere, as a run without steps; the files of its PEFT
    /// folder come beside the command.
    ImportAdapter,
    /// Measure the storage in use.
    MeasureStorage,
    /// Let something fail on purpose, to see that nothing is lost.
    Drill(Drill),
}
