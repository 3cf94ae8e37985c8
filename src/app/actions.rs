//! What a panel asks the shell to do. Panels only draw and push actions; the shell carries them out after drawing.

use crate::engine::plan::presets::Preset;
use crate::engine::protocol::{Command, Inputs, Method, Over, Settings, Watch};
use crate::platform::Pick;

/// A page, in the order of the rail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub(super) enum Step {
    /// Where one begins.
    #[default]
    Start,
    /// Choose a model.
    Model,
    /// Choose and check pairs.
    Pairs,
    /// Settings, memory, time.
    Plan,
    /// The run.
    Run,
    /// Base and tuned beside each other.
    Compare,
    /// Write files.
    Export,
    /// DPO beside RLHF.
    Race,
    /// Several values of a setting.
    Sweep,
    /// Stored runs.
    Runs,
    /// How it works, keys, network, report.
    Help,
}

/// What the demo begins with.
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
    /// Ask a person for files; what was picked is then opened as what it is.
    Pick(Pick),
    /// Open what is at a path that a person typed, or opened before, as if it had been picked.
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
        /// Its place in the storage.
        path: String,
    },
    /// Show a page.
    Go(Step),
    /// Show the plan with this setting in sight.
    GoToField(&'static str),
    /// Put text on the clipboard, and say so.
    Copy(String),
    /// Replace the edited settings.
    EditSettings(Settings),
    /// Replace the edited settings by a preset's.
    UsePreset(Preset),
    /// Replace the edited settings by a preset's and nothing else.
    ResetSettings(Preset),
    /// Train by another method, with settings that suit it.
    ChooseMethod(Method),
    /// Replace what the next run starts from and what judges its answers.
    EditInputs(Inputs),
    /// Replace how a run is watched.
    EditWatch(Watch),
    /// Name the next run.
    EditName(String),
    /// Bytes that a run may take, if the person knows better.
    EditLimit(Option<u64>),
    /// Work out the plan.
    Plan,
    /// Open the pairs file once more with these columns.
    RemapPairs(crate::engine::protocol::Mapping),
    /// The person agrees to train on the usable rows although others have problems.
    AcceptProblems(bool),
    /// Open a model folder that was found on this computer.
    OpenFound(usize),
    /// Open the demo and begin this with it as soon as it is planned.
    Demo(Demo),
    /// Race DPO against RLHF, which ends with these methods, on what is open.
    Race(Vec<Method>),
    /// Train what is planned with several values of a setting.
    Sweep {
        /// The setting.
        over: Over,
        /// The values.
        values: Vec<f64>,
    },
    /// Begin a run with what is open and edited.
    Start,
    /// Take the settings of a run into the plan.
    UseSettings {
        /// Its settings.
        settings: Settings,
        /// What it started from, and what judged its answers.
        inputs: Inputs,
        /// How it was watched.
        watch: Watch,
        /// What to call the next run.
        name: String,
    },
    /// Hide a warning of the run, by its index.
    DismissWarning(usize),
    /// Take the ended run off the run page.
    CloseRun,
    /// Drop a refusal that was read.
    DismissProblem(crate::engine::protocol::Subject),
    /// Show a short message.
    Toast(String),
    /// Load the page anew, in the browser.
    Reload,
    /// End the engine and start another.
    RestartEngine,
}

/// Asks for something that the engine does.
pub(crate) fn send(actions: &mut Vec<Action>, command: Command) {
    actions.push(Action::Send(command));
}
