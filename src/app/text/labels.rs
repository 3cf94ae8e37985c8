//! Labels that several pages share: steps, buttons, fields for paths.

use crate::app::actions::Step;
use crate::platform::Pick;

pub(crate) fn step_name(step: Step) -> &'static str {
    match step {
        Step::Start => "Start",
        Step::Hub => "Find models",
        Step::Model => "Model",
        Step::Pairs => "Pairs",
        Step::Plan => "Plan",
        Step::Run => "Run",
        Step::Compare => "Compare",
        Step::Export => "Export",
        Step::Race => "Race",
        Step::Sweep => "Sweep",
        Step::Runs => "Runs",
        Step::Help => "Help",
    }
}

pub(crate) fn about(name: &str) -> String {
    format!("About: {name}")
}

/// Label of the path field.
pub(crate) fn path_of(pick: Pick) -> &'static str {
    match pick {
        Pick::ModelFolder | Pick::ModelFiles => "Path of a model folder, or of a GGUF file",
        Pick::PairsFile => "Path of a pairs file",
        Pick::Settings => "Path of a file with settings",
        Pick::Archive => "Path of the archive of a run",
        Pick::Adapter => "Path of the folder of an adapter",
        Pick::Destination => "Path of a folder to write to",
    }
}

/// Hint in the path field while it is empty.
pub(crate) fn path_hint(pick: Pick) -> &'static str {
    match pick {
        Pick::ModelFolder | Pick::ModelFiles => "or its path, as in ~/models/SmolLM2-135M-Instruct",
        Pick::PairsFile => "or its path, as in ~/pairs.jsonl",
        Pick::Settings => "~/tone-settings.json",
        Pick::Archive => "~/tone.run",
        Pick::Adapter => "or its path, as in ~/adapters/tone",
        Pick::Destination => "~/tuned",
    }
}

pub(crate) const OPEN_PATH: &str = "Open";

/// Action of the button beside the path field, for screen readers.
pub(crate) fn open_path(pick: Pick) -> &'static str {
    match pick {
        Pick::ModelFolder | Pick::ModelFiles => "Open the model at this path",
        Pick::PairsFile => "Open the pairs at this path",
        Pick::Settings => "Read the settings at this path",
        Pick::Archive => "Import the run at this path",
        Pick::Adapter => "Take in the adapter at this path",
        Pick::Destination => "Write to this path",
    }
}

/// Label before the links to what was opened before.
pub(crate) const RECENT: &str = "Recent:";

pub(crate) fn open_again(name: &str) -> String {
    format!("Open again: {name}")
}

/// Label of the button that leads to the next page.
pub(crate) fn next(step: Step) -> &'static str {
    match step {
        Step::Model => "Next: choose a model",
        Step::Pairs => "Next: choose pairs",
        Step::Plan => "Next: plan the run",
        _ => "Next",
    }
}

pub(crate) const ON_BATTERY: &str = "on battery, may be slower";
pub(crate) const OPEN_MODEL_FOLDER: &str = "Open a model folder…";
pub(crate) const OPEN_PAIRS: &str = "Open a pairs file…";
pub(crate) const FOUND_HERE: &str = "Found on this computer";
pub(crate) const DROP_ANYWHERE: &str = "or drop files anywhere on this window";
pub(crate) const CANCEL: &str = "Cancel";
pub(crate) const COPY_REPORT: &str = "Copy report";
pub(crate) const DISMISS: &str = "Dismiss";
