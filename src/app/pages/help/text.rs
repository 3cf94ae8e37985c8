//! The texts of this page.

use crate::app::text::{machine, units};
use crate::platform::NetworkEntry;

pub(super) fn measuring(what: &str) -> String {
    if what.is_empty() { "Measuring".to_owned() } else { format!("Measuring {what}") }
}

pub(super) const HELP_TITLE: &str = "Help";
pub(super) const HOW_TITLE: &str = "How it works";
pub(super) const HOW: [&str; 6] = [
    "You bring a model and pairs: a prompt with the answer you prefer and one you do not.",
    "Some pairs are held out. They are never trained on, so they show whether the model learned your taste or the \
     pairs.",
    "The base model stays as it is. A small adapter beside it learns; switched off, the base model is back.",
    "Each step makes the preferred answers of a few pairs likelier than the others, measured against the base model.",
    "Everything is saved as it goes. Pause, close, or crash: the run continues from its last save.",
    "In the end, compare both side by side and export the adapter, or the whole model with it merged in.",
];
pub(super) const KEYS_TITLE: &str = "Keys";
pub(super) const KEYS: [(&str, &str); 8] = [
    ("Alt+0 … Alt+7", "Start, Model, Pairs, Plan, Run, Compare, Export, Runs"),
    ("Alt+8, Alt+9", "Race, Sweep"),
    ("F1", "Help"),
    ("Ctrl+O", "Open a model folder"),
    ("Ctrl+V", "Open pasted rows, or a pasted path or settings link"),
    ("Ctrl+L", "Show or hide the log"),
    ("Ctrl++  Ctrl+-  Ctrl+0", "Larger, smaller, usual size"),
    ("Tab, Space, Esc", "Next control, use it, close or cancel"),
];
pub(super) const NETWORK_TITLE: &str = "Network";
pub(super) const NETWORK_NOTE: &str = "Models, pairs, answers and settings are never sent anywhere; there is no \
    account and no analytics. This is what was fetched. A request itself tells a server your address and \
    what was asked for, and the Hub your token if there is one; nothing else.";
pub(super) const OFFLINE: &str = "Offline: open no connection";
pub(super) const OFFLINE_HELP: &str = "Find models and downloads are then refused. Everything else works without a \
    network anyway.";
pub(super) const POLICY: &str = "The page's policy, by which the browser refuses every other connection";
pub(super) const NETWORK_COLUMNS: [&str; 3] = ["Received", "Why", "From"];
pub(super) const REPORT_TITLE: &str = "Bug report";
pub(super) const BENCH_TITLE: &str = "How fast is this GPU?";
pub(super) const BENCH_NOTE: &str = "Measures each kernel at the sizes of real models, a step and texts, beside what \
                                     this GPU can do at the most. It takes a minute or two.";
pub(super) const BENCH: &str = "Measure this GPU";
pub(super) const BENCH_AGAIN: &str = "Measure again";
pub(super) const COPY_FIGURES: &str = "Copy the figures";
pub(super) const DRILLS_TITLE: &str = "Test a failure";
pub(super) const DRILLS_NOTE: &str = "See for yourself that nothing is lost. Each button makes the run at work fail on \
                                      purpose, in the way that it names; what was saved stays.";
pub(super) const DRILLS_NEED_RUN: &str = "Available while a run is training.";
pub(super) const DRILLS: [&str; 5] =
    ["Lose the GPU", "Run out of GPU memory", "Diverge at the next step", "Fill the storage", "Crash the engine"];
pub(super) const ABOUT_TITLE: &str = "About";
pub(super) const LICENCES: &str = "Free software under the MIT or Apache 2.0 licence.";
pub(super) const ABOUT: &str = concat!(
    "pairtune ",
    env!("CARGO_PKG_VERSION"),
    ": preference tuning (DPO with LoRA) of Hugging Face models in WebGPU compute shaders, in the browser and on the \
     desktop."
);

pub(super) fn network_sum(requests: &[&NetworkEntry]) -> String {
    match requests.len() {
        0 => "No request was made but for the app itself: 0 B received, 0 B of your data sent.".to_owned(),
        n => format!(
            "{}: {} received, {}.",
            units::counted(n, "request"),
            units::bytes(machine::received(requests)),
            machine::sent(requests)
        ),
    }
}

/// The requests for the app's own files.
pub(super) fn own_requests(requests: &[&NetworkEntry]) -> String {
    format!("The app itself: {}, {}", units::counted(requests.len(), "file"), units::bytes(machine::received(requests)))
}
