//! Requests from panels to the shell. Panels only draw and push actions; the shell carries them out after drawing.

use crate::engine::plan::presets::Preset;
use crate::engine::protocol::{Command, Inputs, Method, Over, Settings, Watch};
use crate::platform::Pick;

/// A page, in the order of the rail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub(super) enum Step {
    /// The start page.
    #[default]
    Start,
    /// Find a model on the Hugging Face Hub.
    Hub,
    /// Choose a model.
    Model,
    /// Choose and check pairs.
    Pairs,
    /// Settings, memory, time.
    Plan,
    /// The run.
    Run,
    /// Base and tuned model side by side.
    Compare,
    /// Write files.
    Export,
    /// DPO against RLHF.
    Race,
    /// Several values of a setting.
    Sweep,
    /// Stored runs.
    Runs,
    /// Explanations, keys, network, report.
    Help,
}

/// Training that the demo starts with.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Demo {
    /// A run.
    Run,
    /// A race against these methods.
    Race(Vec<Method>),
    /// A sweep over beta.
    Sweep,
}

/// Something for the shell to do.
#[derive(Debug, Clone)]
pub(super) enum Action {
    /// Send a command.
    Send(Command),
    /// Ask the user for files, then open them as what they were picked for.
    Pick(Pick),
    /// Open a path that the user typed, or opened before, as if it had been picked.
    OpenPath(Pick, String),
    /// Offer bytes as a file to save.
    SaveFile {
        /// The proposed name.
        name: String,
        /// The content.
        bytes: Vec<u8>,
    },
    /// Save a file that the engine wrote to the browser's storage as a download.
    Download {
        /// Its path in the storage.
        path: String,
    },
    /// Open no connection, or allow them again.
    StayOffline(bool),
    /// Show a page.
    Go(Step),
    /// Show the plan with this setting in sight.
    GoToField(&'static str),
    /// Put text on the clipboard, and say so.
    Copy(String),
    /// Replace the edited settings.
    EditSettings(Settings),
    /// Apply a preset on top of the edited settings.
    UsePreset(Preset),
    /// Discard all edits and use the settings of a preset.
    ResetSettings(Preset),
    /// Train by another method, with settings that suit it.
    ChooseMethod(Method),
    /// Replace the starting point of the next run and the rewards that judge its answers.
    EditInputs(Inputs),
    /// Replace the evaluation, sampling and save options of the next run.
    EditWatch(Watch),
    /// Name the next run.
    EditName(String),
    /// Set the bytes that a run may take; none goes back to the known limit.
    EditLimit(Option<u64>),
    /// Work out the plan.
    Plan,
    /// Open the pairs file again, with these columns.
    RemapPairs(crate::engine::protocol::Mapping),
    /// Agree, or not, to train on the usable rows although others have problems.
    AcceptProblems(bool),
    /// Open a model folder that was found on this computer.
    OpenFound(usize),
    /// Open the demo and start this training as soon as it is planned.
    Demo(Demo),
    /// Race DPO against RLHF on the open model and pairs, with these methods as RLHF's last stage.
    Race(Vec<Method>),
    /// Train the plan with several values of a setting.
    Sweep {
        /// The setting.
        over: Over,
        /// The values.
        values: Vec<f64>,
    },
    /// Start a run with the open model and pairs and the edited settings.
    Start,
    /// Take the settings of a run into the plan.
    UseSettings {
        /// Its settings.
        settings: Settings,
        /// Its starting point, and the rewards that judged its answers.
        inputs: Inputs,
        /// Its evaluation, sampling and save options.
        watch: Watch,
        /// Its name, from which the next run's name is derived.
        name: String,
    },
    /// Hide a warning of the run, by its index.
    DismissWarning(usize),
    /// Take the ended run off the run page.
    CloseRun,
    /// Dismiss a refusal that the user has read.
    DismissProblem(crate::engine::protocol::Subject),
    /// Show a folder, or the one that a file is in, in the system's file manager.
    OpenFolder(String),
    /// Show a short message.
    Toast(String),
    /// Have the browser ask whether this page may show notices.
    AskToNotify,
    /// Load the page anew, in the browser.
    Reload,
    /// End the engine and start another.
    RestartEngine,
}

/// Asks the engine for something.
pub(crate) fn send(actions: &mut Vec<Action>, command: Command) {
    actions.push(Action::Send(command));
}
