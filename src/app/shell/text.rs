//! Sentences of the window around the pages: rail, status, messages, questions.

use crate::app::actions::Step;
use crate::app::state::{Connection, Course, RaceState, RunPhase, RunState, State, SweepState};
use crate::app::text::labels::OPEN_MODEL_FOLDER;
use crate::app::text::{notices, run, units};
use crate::app::widgets::Tone;
use crate::engine::protocol::short;
use crate::platform::Pick;

pub(super) const COPIED: &str = "Copied";
/// Notice of the system when nothing else was said.
pub(super) const TRAINING_ENDED: &str = "Training has ended";

/// The name in the rail.
pub(super) fn rail(step: Step) -> &'static str {
    match step {
        Step::Start => "Start",
        Step::Hub => "Find models",
        Step::Model => "1  Model",
        Step::Pairs => "2  Pairs",
        Step::Plan => "3  Plan",
        Step::Run => "4  Run",
        Step::Compare => "5  Compare",
        Step::Export => "6  Export",
        Step::Race => "Race",
        Step::Sweep => "Sweep",
        Step::Runs => "Runs",
        Step::Help => "Help",
    }
}

/// The title of the system's dialog for files.
pub(super) fn pick_title(pick: Pick) -> &'static str {
    match pick {
        Pick::ModelFolder => "Choose the folder of a model",
        Pick::ModelFiles => "Choose the files of a model",
        Pick::PairsFile => "Choose a file with preference pairs",
        Pick::Settings => "Choose a file with settings",
        Pick::Archive => "Choose the archive of a run",
        Pick::Adapter => "Choose the folder of an adapter",
        Pick::Destination => "Choose the folder to write to",
    }
}

pub(super) const APP: &str = "pairtune";
pub(super) const UNNAMED: &str = "Unnamed";
pub(super) const MARK_DONE: &str = "done";
pub(super) const MARK_BUSY: &str = "at work";
pub(super) const MARK_LOOK: &str = "needs a look";
pub(super) const MARK_PAUSED: &str = "paused";
pub(super) const LOG: &str = "Log";
pub(super) const LOG_EMPTY: &str = "Nothing has happened yet.";
pub(super) const COPY_LOG: &str = "Copy log";
pub(super) const SAVE_LOG: &str = "Save log";
pub(super) const THEME: &str = "Theme";
pub(super) const THEME_SYSTEM: &str = "Theme: system";
pub(super) const THEME_LIGHT: &str = "Theme: light";
pub(super) const THEME_DARK: &str = "Theme: dark";
pub(super) const PAUSE_FIRST: &str = "A run is at work: pause it first";
pub(super) const OFFLINE: &str = "Offline is switched on, in Help under Network";
pub(super) const STOP_FIRST: &str = "A race or a sweep is at work: stop it first";
pub(super) const RESTART_FIRST: &str = "The engine stopped: restart it first";
pub(super) const RELOAD_FIRST: &str = "The engine is of another version: reload the page first";
pub(super) const OTHER_TAB_FIRST: &str =
    "Another tab or window is using the GPU and the runs: close it first, then open this one again";
pub(super) const UNSAVED_STAYS: &str = "This run could not be saved: export or discard it first";
pub(super) const PAUSE: &str = "Pause";
pub(super) const SHOW_RUN: &str = "Show";
pub(super) const RUN_PROGRESS: &str = "Progress of the run";
pub(super) const CRASHED_SAFE: &str = "What was saved is intact: restart the engine, then continue the run from Start.";
pub(super) const RESTART_ENGINE: &str = "Restart the engine";
pub(super) const RELOAD: &str = "Reload the page";
pub(super) const MISMATCH_TITLE: &str = "The page and its engine are of different versions";
pub(super) const NO_STORAGE: &str = "Nothing can be kept";
pub(super) const OTHER_TAB: &str = "Two runs would slow each other down, and write to the same storage. You can look \
    around here; to train here, close the other one and open this one again.";
pub(super) const DROP_NOTE: &str = "Let go anywhere on this window. The files stay on this machine.";
pub(super) const DROP_UNCLEAR: &str = "Open as a model, pairs or a run";
pub(super) const DROP_UNKNOWN: &str = "This cannot be opened";
pub(super) const DROP_ESCAPE: &str = "Esc to cancel";
pub(super) const QUIT_TEXT: &str = "It can wait: paused and saved, it continues from the same step next time.";
pub(super) const QUIT_TRIAL: &str = "What it has finished is kept among the runs; the rest would have to start over.";
pub(super) const QUIT_WAITING: &str = "Finishing this step and saving. The window closes by itself.";
pub(super) const QUIT_STAY: &str = "Keep running";
pub(super) const QUIT_PAUSE: &str = "Pause, save and quit";
pub(super) const QUIT_NOW: &str = "Quit now";
pub(super) const QUIT_UNSAVED_TITLE: &str = "This run is not saved";
pub(super) const QUIT_UNSAVED_TEXT: &str =
    "It is only in memory; it could not be saved. Export it, or free some space and let it be saved again.";
pub(super) const QUIT_UNSAVED_STAY: &str = "Stay";
pub(super) const QUIT_EXPORT: &str = "Export…";
pub(super) const QUIT_LOSE: &str = "Quit and lose it";
pub(super) const QUIT_VOTES_TITLE: &str = "Your votes are not saved";
pub(super) const QUIT_VOTES_TEXT: &str =
    "The votes of a blind test in Compare are only in memory. Save them there as pairs to keep them.";
pub(super) const QUIT_VOTES: &str = "Votes of a blind test in Compare are not saved either.";
pub(super) const QUIT_COMPARE: &str = "Show the votes";
pub(super) const QUIT_LOSE_VOTES: &str = "Quit and lose them";
pub(super) const SETTINGS_FILE: &str = "Choose a file that was saved on the Plan page";
pub(super) const EMPTY_FOLDER: &str = "There are no files in this folder.";
pub(super) const NO_PICKLE: &str =
    "These weights are in PyTorch's old format, which can run code. Open the same model as model.safetensors.";
pub(super) const NO_TABLES: &str = "Such tables are not read. Save the rows as Parquet, as CSV, or as JSON Lines: one \
    object with prompt, chosen and rejected to a line.";
pub(super) const MANY_FILES: &str = "Drop the files of one model together, or one pairs file (.jsonl, .json, .csv, \
    .parquet), or one archive of a run (.run).";

pub(super) fn mismatch(engine: &str) -> String {
    format!(
        "The page is {}, the engine is {engine}. A reload fetches both again; saved runs are intact.",
        crate::engine::protocol::BUILD
    )
}

pub(super) fn unknown_file(name: &str) -> String {
    format!(
        "\"{name}\" is neither a model nor a pairs file (.jsonl, .json, .csv, .parquet) nor a run's archive (.run)."
    )
}

/// Says why something dropped on a page was not opened: perhaps it was a folder, and a page gets only its name.
pub(super) fn not_by_dropping(why: &str) -> String {
    format!("{why} A folder is opened by \"{OPEN_MODEL_FOLDER}\", not by dropping it.")
}

/// Says what can be pasted; a page opens no paths.
pub(super) fn cannot_paste(in_browser: bool) -> String {
    let others = match in_browser {
        true => " or a link to settings",
        false => ", a link to settings, or the path of a model, of pairs or of a run",
    };
    format!(
        "What was pasted cannot be opened. Paste rows (JSON Lines, a JSON array, or a table whose first line names its \
         columns){others}."
    )
}

pub(super) fn drop_title(pick: Pick) -> &'static str {
    match pick {
        Pick::ModelFolder | Pick::ModelFiles => "Open as a model",
        Pick::PairsFile => "Open as a pairs file",
        Pick::Settings => "Read as settings",
        Pick::Archive => "Import as a run",
        Pick::Adapter => "Take in as an adapter of the open model",
        Pick::Destination => "Write to this folder",
    }
}

pub(super) fn saved_to(path: &str) -> String {
    format!("Saved: {path}")
}

pub(super) fn not_settings(why: &str) -> String {
    format!("This is not a file with settings, which is a JSON object: {why}")
}

/// Why a file is not read as settings.
pub(super) fn settings_too_large(len: u64) -> String {
    format!("This is no file with settings: it has {}", units::bytes(len))
}

/// Says that settings were taken over, except those with these names.
pub(super) fn settings_read(unknown: &[String]) -> String {
    match unknown {
        [] => "The settings were read".to_owned(),
        names => format!("The settings were read, without what a run here does not have: {}", names.join(", ")),
    }
}

/// Says that a number of steps is left out, because it was chosen for another file.
pub(super) fn steps_forgotten(steps: i64, file: &str) -> String {
    format!("Max steps {steps} was chosen for {file} and is left out here")
}

/// The window's title.
pub(super) fn window_title(run: Option<&RunState>) -> String {
    let Some(run) = run else { return APP.to_owned() };
    let share = units::percent(f64::from(run.fraction())).replace(' ', "");
    match &run.phase {
        RunPhase::Preparing => format!("Preparing · {APP}"),
        RunPhase::Recovering { .. } => format!("Recovering · {APP}"),
        RunPhase::Running | RunPhase::Stopping | RunPhase::Pausing => format!("{share} · {APP}"),
        RunPhase::Paused => format!("Paused {share} · {APP}"),
        RunPhase::Finished(_) => format!("Finished · {APP}"),
        RunPhase::Failed { .. } => format!("Stopped · {APP}"),
        RunPhase::Opened => APP.to_owned(),
    }
}

/// Describes the run in a line.
pub(super) fn strip(run: &RunState) -> String {
    let what = match &run.phase {
        RunPhase::Pausing => format!("Pausing: {}", run::FINISHING),
        RunPhase::Stopping => {
            let work = run.progress.as_ref().map(|(work, progress)| run::work(*work, progress));
            let left = run.eta().map_or_else(String::new, |seconds| format!(", {} left", units::duration(seconds)));
            run::stopping(work.as_deref()) + &left
        }
        RunPhase::Recovering { .. } => "Recovering".to_owned(),
        phase => match (&run.progress, phase) {
            (Some((work, progress)), _) => run::work(*work, progress),
            (None, RunPhase::Preparing) => "Preparing".to_owned(),
            _ => "Training".to_owned(),
        },
    };
    let share = units::percent(f64::from(run.fraction()));
    format!("{what}, step {}/{}, {share}", units::count(run.step()), units::count(run.n_steps()))
}

/// Describes a race in a line, with the share of its steps that is done.
pub(super) fn race_strip(race: &RaceState) -> (String, f32) {
    let stage = race.now.and_then(|method| Some((method, race.stage(method)?)));
    let says = match (&race.course, stage) {
        (Course::Stopping, stage) => run::stopping_trial(stage.map(|(_, stage)| (stage.step, stage.n_steps))),
        (_, Some((method, stage))) => format!("{}, step {}/{}", method.name(), stage.step, stage.n_steps),
        (_, None) => "Preparing".to_owned(),
    };
    (says, race.fraction())
}

/// Describes a sweep in a line, with the share of its steps that is done.
pub(super) fn sweep_strip(sweep: &SweepState) -> (String, f32) {
    let tried = sweep.now.and_then(|value| sweep.tried.iter().find(|tried| tried.value == value));
    let says = match (&sweep.course, tried) {
        (Course::Stopping, tried) => run::stopping_trial(tried.map(|tried| (tried.step, tried.n_steps))),
        (_, Some(tried)) => {
            format!("{} {}, step {}/{}", sweep.over.word(), short(tried.value), tried.step, tried.n_steps)
        }
        (_, None) => "Preparing".to_owned(),
    };
    (says, sweep.fraction())
}

pub(super) fn gpu_line(state: &State) -> (Tone, String) {
    match (&state.connection, state.gpu()) {
        (_, Some(Ok(gpu))) if gpu.software => (Tone::Warn, format!("{} (software)", gpu.name)),
        (_, Some(Ok(gpu))) => (Tone::Good, format!("GPU: {}", gpu.name)),
        (_, Some(Err(_))) => (Tone::Warn, "No GPU".to_owned()),
        (Connection::Crashed(_), _) => (Tone::Bad, notices::CRASHED.to_owned()),
        (Connection::VersionMismatch { .. }, _) => (Tone::Bad, "The engine is of another version".to_owned()),
        _ => (Tone::Neutral, "Starting the engine".to_owned()),
    }
}
