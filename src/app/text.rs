//! Every sentence that the app shows, and how it writes numbers. Panels hold none of their own.

use super::actions::Step;
use super::state::{Blocked, Connection, RunParts, RunPhase, RunState, State};
use super::widgets::Tone;
use crate::engine::protocol::{
    Failure, GpuInfo, Inputs, Kind, Mapping, ModelSource, PairsInfo, Phase, PlanInfo, Problem, ProblemKind, Progress,
    RunRecord, Settings, Status, StorageInfo, Summary,
};
use crate::platform::{Environment, NetworkEntry, Pick, file_name};

// Notices.
pub(super) const READY: &str = "Ready";
pub(super) const CRASHED: &str = "The engine stopped";
pub(super) const OPENING_DEMO: &str = "opening the demo";
pub(super) const OPENING_MODEL: &str = "opening the model";
pub(super) const READING_PAIRS: &str = "reading pairs";
pub(super) const MEASURED: &str = "Two steps were measured";
pub(super) const EXPORTED: &str = "The files are written";
pub(super) const DISCARDED: &str = "The run was thrown away";
pub(super) const RUN_BEGINS: &str = "The run begins";
pub(super) const CANCELLED: &str = "Cancelled";
pub(super) const RUN_CLOSED: &str =
    "The open run was closed: it was trained on other pairs, or another model. It is in Runs";
pub(super) const COPIED: &str = "Copied";

pub(super) fn fetching(repo: &str) -> String {
    format!("fetching {repo}")
}

pub(super) fn model_open(name: &str) -> String {
    format!("Model open: {name}")
}

pub(super) fn pairs_open(usable: usize) -> String {
    format!("Pairs open: {} usable", count(usable))
}

pub(super) fn not_saved(full: bool) -> &'static str {
    if full { "Storage is full: the run is not saved" } else { "The run could not be saved" }
}

pub(super) fn paused_at(step: usize, unsaved: bool) -> String {
    match (step, unsaved) {
        (_, true) => format!("Paused at step {step}, but not saved"),
        (0, false) => "Paused before its first step".to_owned(),
        (_, false) => format!("Paused and saved at step {step}"),
    }
}

pub(super) fn finished(summary: &Summary) -> String {
    let (_, verdict, _) = run::verdict(summary);
    format!("\"{}\": {}", summary.record.name, lower_first(verdict))
}

pub(super) fn failed(failure: &Failure) -> String {
    match failure {
        Failure::Diverged { step, what, .. } => format!("The run diverged at step {step}: {what}"),
        Failure::OutOfMemory { problem, .. } => format!("Out of memory: {}", problem.what),
        Failure::DeviceLost { problem } => format!("The graphics driver reset: {}", problem.what),
        Failure::Other { problem } => problem.what.clone(),
    }
}

pub(super) fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Loading => "Reading weights",
        Phase::Reference => "Scoring pairs with the original model",
        Phase::Evaluating => "Scoring held-out pairs",
        Phase::Sampling => "Answering the watched prompts",
        Phase::Training => "Training",
        Phase::Saving => "Saving",
    }
}

/// What the progress of some work counts.
pub(super) fn phase_unit(phase: Phase) -> Unit {
    match phase {
        Phase::Loading | Phase::Saving => Unit::Bytes,
        Phase::Sampling => Unit::Things(run::ANSWERS),
        Phase::Training => Unit::Things(run::STEPS),
        Phase::Reference | Phase::Evaluating => Unit::Things(run::PAIRS),
    }
}

/// Work of a run beside its steps, and how far it is.
pub(super) fn work(phase: Phase, progress: &Progress) -> String {
    let Progress { done, total, .. } = progress;
    let name = self::phase(phase);
    match (total, phase_unit(phase)) {
        (0, _) => name.to_owned(),
        (_, Unit::Bytes) => format!("{name} {}", bytes_of(*done, *total)),
        (_, Unit::Things(_)) => format!("{name} {}/{}", count(*done as usize), count(*total as usize)),
    }
}

pub(super) fn step_name(step: Step) -> &'static str {
    match step {
        Step::Start => "Start",
        Step::Model => "Model",
        Step::Pairs => "Pairs",
        Step::Plan => "Plan",
        Step::Run => "Run",
        Step::Compare => "Compare",
        Step::Export => "Export",
        Step::Runs => "Runs",
        Step::Help => "Help",
    }
}

pub(super) fn about(name: &str) -> String {
    format!("About: {name}")
}

pub(super) const NOTHING: &str = "(by itself)";
pub(super) const REWARDS_FIRST: &str = "Choose a reward model or a rule under \"What answers are worth\"";
pub(super) const SETTINGS: &str = "Settings";
pub(super) const METHOD: &str = "Method";
pub(super) const METHOD_SETTINGS: &str = "This method's defaults.";
pub(super) const START_FROM: &str = "Start from";
pub(super) const BASE_MODEL: &str = "the base model";
pub(super) const REWARDS: &str = "What answers are worth";
pub(super) const REWARDS_NOTE: &str = "The model writes answers, and these judge them. Several are added up.";
pub(super) const NO_REWARD_MODELS: &str = "No reward model of this model yet: train one by the method Reward model.";
pub(super) const ADD_ADAPTER: &str = "An adapter's folder…";
pub(super) const ADD_REWARD_MODEL: &str = "A reward model's folder…";
pub(super) const ADD_ADAPTER_NOTE: &str = "A PEFT folder (adapter_config.json, adapter_model.safetensors) for this \
    model, from TRL, from PEFT or from here. It is copied, and stays in Runs.";
pub(super) const REWARD_RULE: &str = "Rule";
pub(super) const ADD_RULE: &str = "Add";

/// How many settings of a method are not its defaults.
pub(super) fn changed_settings(n: usize) -> String {
    format!("{} changed", counted(n, "setting"))
}

pub(super) fn remove_rule(rule: &str) -> String {
    format!("Remove {rule}")
}

/// What the Start button says instead of "Start".
pub(super) fn blocked(blocked: &Blocked) -> String {
    match blocked {
        Blocked::Engine => "The engine is not ready".to_owned(),
        Blocked::OtherTab => "Another tab or window is using the GPU: see why".to_owned(),
        Blocked::NoGpu => "Training needs a GPU: see why".to_owned(),
        Blocked::Running => "A run is at work: show it".to_owned(),
        Blocked::Model => "Choose a model".to_owned(),
        Blocked::Pairs => "Choose a pairs file".to_owned(),
        Blocked::NoUsablePairs => "No pair can be used: see why".to_owned(),
        Blocked::PairProblems(1) => "1 row cannot be used: look at it".to_owned(),
        Blocked::PairProblems(n) => format!("{} rows cannot be used: look at them", count(*n)),
        Blocked::Settings(problem) => problem.what.clone(),
        Blocked::Rewards => "Say what answers are worth".to_owned(),
        Blocked::Planning => PLANNING.to_owned(),
        Blocked::NotPlanned => "Work out the plan".to_owned(),
    }
}

/// The name in the rail.
pub(super) fn rail(step: Step) -> &'static str {
    match step {
        Step::Start => "Start",
        Step::Model => "1  Model",
        Step::Pairs => "2  Pairs",
        Step::Plan => "3  Plan",
        Step::Run => "4  Run",
        Step::Compare => "5  Compare",
        Step::Export => "6  Export",
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

/// What the field for a path is called.
pub(super) fn path_of(pick: Pick) -> &'static str {
    match pick {
        Pick::ModelFolder | Pick::ModelFiles => "Path of a model folder, or of a GGUF file",
        Pick::PairsFile => "Path of a pairs file",
        Pick::Settings => "Path of a file with settings",
        Pick::Archive => "Path of the archive of a run",
        Pick::Adapter => "Path of the folder of an adapter",
        Pick::Destination => "Path of a folder to write to",
    }
}

/// What stands in that field while it is empty.
pub(super) fn path_hint(pick: Pick) -> &'static str {
    match pick {
        Pick::ModelFolder | Pick::ModelFiles => "or its path, as in ~/models/SmolLM2-135M-Instruct",
        Pick::PairsFile => "or its path, as in ~/pairs.jsonl",
        Pick::Settings => "~/tone-settings.json",
        Pick::Archive => "~/tone.run",
        Pick::Adapter => "or its path, as in ~/adapters/tone",
        Pick::Destination => "~/tuned",
    }
}

pub(super) const OPEN_PATH: &str = "Open";
/// Brings that field into sight.
pub(super) const BY_PATH: &str = "by its path";

/// What the button beside that field does, for screen readers.
pub(super) fn open_path(pick: Pick) -> &'static str {
    match pick {
        Pick::ModelFolder | Pick::ModelFiles => "Open the model at this path",
        Pick::PairsFile => "Open the pairs at this path",
        Pick::Settings => "Read the settings at this path",
        Pick::Archive => "Import the run at this path",
        Pick::Adapter => "Take in the adapter at this path",
        Pick::Destination => "Write to this path",
    }
}

/// Before what was opened before.
pub(super) const RECENT: &str = "Recent:";

pub(super) fn open_again(name: &str) -> String {
    format!("Open again: {name}")
}

/// The button that leads on.
pub(super) fn next(step: Step) -> &'static str {
    match step {
        Step::Model => "Next: choose a model",
        Step::Pairs => "Next: choose pairs",
        Step::Plan => "Next: plan the run",
        _ => "Next",
    }
}

// ---- Rail, status, messages. ----

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
pub(super) const CORRECT_FIELD: &str = "Correct the field";
pub(super) const PAUSE_FIRST: &str = "A run is at work: pause it first";
pub(super) const RESTART_FIRST: &str = "The engine stopped: restart it first";
pub(super) const RELOAD_FIRST: &str = "The engine is of another version: reload the page first";
pub(super) const OTHER_TAB_FIRST: &str =
    "Another tab or window is using the GPU and the runs: close it first, then open this one again";
pub(super) const UNSAVED_STAYS: &str = "This run could not be saved: export or discard it first";
pub(super) const ON_BATTERY: &str = "on battery, may be slower";
pub(super) const PAUSE: &str = "Pause";
pub(super) const SHOW_RUN: &str = "Show";
pub(super) const RUN_PROGRESS: &str = "Progress of the run";
pub(super) const CRASHED_SAFE: &str = "What was saved is intact: restart the engine, then continue the run from Start.";
pub(super) const RESTART_ENGINE: &str = "Restart the engine";
pub(super) const RELOAD: &str = "Reload the page";
pub(super) const MISMATCH_TITLE: &str = "The page and its engine are of different versions";
pub(super) const NO_STORAGE: &str = "Nothing can be kept";
pub(super) const OTHER_TAB_TITLE: &str = "Another tab or window is using the GPU";
pub(super) const OTHER_TAB: &str = "Two runs would slow each other down, and write to the same storage. You can look \
    around here; to train here, close the other one and open this one again.";
pub(super) const DROP_NOTE: &str = "Let go anywhere on this window. The files stay on this machine.";
pub(super) const DROP_UNCLEAR: &str = "Open as a model, pairs or a run";
pub(super) const DROP_UNKNOWN: &str = "This cannot be opened";
pub(super) const DROP_ESCAPE: &str = "Esc to cancel";
pub(super) const QUIT_TITLE: &str = "A run is at work";
pub(super) const QUIT_TEXT: &str = "It can wait: paused and saved, it continues from the same step next time.";
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
        "The page is {}, the engine is {engine}. A reload fetches both anew; saved runs are intact.",
        crate::engine::protocol::BUILD
    )
}

pub(super) fn unknown_file(name: &str) -> String {
    format!(
        "\"{name}\" is neither a model nor a pairs file (.jsonl, .json, .csv, .parquet) nor a run's archive (.run)."
    )
}

/// Why something dropped on a page was not opened; it may have been a folder, of which a page gets only the name.
pub(super) fn not_by_dropping(why: &str) -> String {
    format!("{why} A folder is opened by \"{OPEN_MODEL_FOLDER}\", not by dropping it.")
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
    format!("This is no file with settings: it has {}", bytes(len))
}

/// Settings were taken over, but for those of these names.
pub(super) fn settings_read(unknown: &[String]) -> String {
    match unknown {
        [] => "The settings were read".to_owned(),
        names => format!("The settings were read, without what a run here does not have: {}", names.join(", ")),
    }
}

/// The window's title.
pub(super) fn window_title(run: Option<&RunState>) -> String {
    let Some(run) = run else { return APP.to_owned() };
    let share = percent(f64::from(run.fraction())).replace(' ', "");
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

/// The run in a line.
pub(super) fn strip(run: &RunState) -> String {
    let what = match &run.phase {
        RunPhase::Pausing => "Pausing: finishing this step".to_owned(),
        RunPhase::Stopping => "Stopping: finishing this step".to_owned(),
        RunPhase::Recovering { .. } => "Recovering".to_owned(),
        phase => match (&run.progress, phase) {
            (Some((work, progress)), _) => self::work(*work, progress),
            (None, RunPhase::Preparing) => "Preparing".to_owned(),
            _ => "Training".to_owned(),
        },
    };
    let share = percent(f64::from(run.fraction()));
    format!("{what}, step {}/{}, {share}", count(run.step()), count(run.n_steps()))
}

pub(super) fn gpu_line(state: &State) -> (Tone, String) {
    match (&state.connection, state.gpu()) {
        (_, Some(Ok(gpu))) if gpu.software => (Tone::Warn, format!("{} (software)", gpu.name)),
        (_, Some(Ok(gpu))) => (Tone::Good, format!("GPU: {}", gpu.name)),
        (_, Some(Err(_))) => (Tone::Warn, "No GPU".to_owned()),
        (Connection::Crashed(_), _) => (Tone::Bad, CRASHED.to_owned()),
        (Connection::VersionMismatch { .. }, _) => (Tone::Bad, "The engine is of another version".to_owned()),
        _ => (Tone::Neutral, "Starting the engine".to_owned()),
    }
}

pub(super) fn network_line(requests: &[&NetworkEntry]) -> String {
    format!("Network: 0 B of your data sent, {} received", bytes(received(requests)))
}

pub(super) fn storage_line(storage: &StorageInfo) -> String {
    match storage.quota {
        Some(quota) => format!("Storage: {} of {}", bytes(storage.used), bytes(quota)),
        None => format!("Storage: {}", bytes(storage.used)),
    }
}

// ---- The page where one begins. ----

pub(super) const START_TITLE: &str = "Teach a small language model your taste";
pub(super) const START_SUBTITLE: &str = "Show it pairs of answers, one better than the other. Everything stays on this \
                                         machine.";
pub(super) const DEMO_BUTTON: &str = "Try the 60-second demo";
pub(super) const DEMO_BUTTON_SLOW: &str = "Try the demo: a few minutes here";
pub(super) const ENGINE_STARTING: &str = "Starting the engine…";
pub(super) const DEMO_NEEDS_GPU: &str = "No GPU was found, which it needs; see above.";
pub(super) const DEMO_WHAT: &str = "Trains at once, with live charts and a before and after.";
pub(super) const DEMO_NOTE: &str = "A tiny bundled model with its pairs: no download, nothing to set.";
pub(super) const OWN_TITLE: &str = "Your own model and pairs";
pub(super) const OPEN_MODEL_FOLDER: &str = "Open a model folder…";
pub(super) const OPEN_MODEL_FILES: &str = "Open model files…";
pub(super) const OPEN_PAIRS: &str = "Open a pairs file…";
pub(super) const OPEN_FOUND: &str = "Use this model";
pub(super) const FOUND_HERE: &str = "Found on this computer";
pub(super) const FROM_HUB: &str = "or get one from Hugging Face";
pub(super) const DROP_ANYWHERE: &str = "or drop files anywhere on this window";
pub(super) const CANCEL: &str = "Cancel";
pub(super) const SHOW_RUNS: &str = "Show all runs";
pub(super) const MACHINE_TITLE: &str = "This machine";
pub(super) const GPU_ASKED: &str = "Looking for a GPU";
pub(super) const NO_WEBGPU: &str = "This browser offers no GPU to train on";
pub(super) const NO_GPU: &str = "No GPU was found to train on";
pub(super) const WHAT_TO_DO: &str = "What to do";
pub(super) const STILL_WORKS: &str = "What still works";
pub(super) const WORKS_WITHOUT_GPU: [&str; 3] = [
    "Check a pairs file: problems by line, mapping, lengths",
    "Look at the runs that are stored here, their charts and settings",
    "Prepare settings and take them elsewhere as a link, a file or a command",
];
pub(super) const COPY_REPORT: &str = "Copy report";
pub(super) const DESKTOP_APP: &str = "Copy the command of the desktop app";
pub(super) const SOFTWARE_TITLE: &str = "No GPU: running on the CPU";
/// How the desktop app is run from the source.
pub(super) const RUN_DESKTOP: &str = "cargo run --release";

pub(super) fn continue_title(run: &RunRecord) -> String {
    match run.checkpoint {
        Some(_) => format!("Continue \"{}\", step {}/{}", run.name, count(run.step), count(run.n_steps)),
        None => format!("Begin \"{}\" anew: {} steps", run.name, count(run.n_steps)),
    }
}

pub(super) fn continue_run(record: &RunRecord) -> String {
    format!("{}: {}", run::go_on(record), record.name)
}

pub(super) fn discard_run(name: &str) -> String {
    format!("{} {name}", run::DISCARD)
}

/// How a stored run stands.
pub(super) fn run_status(state: &State, run: &RunRecord) -> &'static str {
    if state.is_at_work(run) { run::AT_WORK } else { run::status(run.status) }
}

pub(super) fn continue_note(run: &RunRecord) -> String {
    let status = match run.status {
        Status::Paused => "Paused",
        Status::Diverged => "Stopped: it diverged",
        Status::Failed => "Stopped by a failure",
        _ => "Interrupted",
    };
    let left = match run.step {
        0 => String::new(),
        step => {
            let seconds = run.seconds / step as f64 * run.n_steps.saturating_sub(step) as f64;
            format!(", about {} left", duration(seconds))
        }
    };
    format!("{status}{left}. {} with {}", run.model_name, run.pairs_name)
}

pub(super) fn gpu_details(gpu: &GpuInfo) -> String {
    let has = |feature: &str| gpu.features.iter().any(|f| f.to_lowercase().replace(['-', '_'], "").contains(feature));
    let mut parts = vec![format!("GPU: {}, {}", gpu.name, gpu.backend)];
    if has("shaderf16") {
        parts.push("f16".to_owned());
    }
    if has("subgroup") {
        parts.push("subgroups".to_owned());
    }
    parts.push(format!("buffers up to {}", bytes(gpu.max_buffer_size)));
    if let Some(memory) = gpu.memory {
        parts.push(format!("{} of memory", bytes(memory)));
    }
    parts.join(" · ")
}

pub(super) fn network_details(requests: &[&NetworkEntry]) -> String {
    format!("{}. Help lists the requests.", network_line(requests))
}

pub(super) fn storage_details(place: &str, storage: &StorageInfo, in_browser: bool) -> String {
    let used = storage_line(storage);
    let kept = if storage.persisted || !in_browser { "" } else { "; the browser may clear it when space is short" };
    format!("{used}, in {place}{kept}")
}

pub(super) fn software(name: &str) -> String {
    format!(
        "{name} computes on the processor, about 100 times slower than a GPU. The demo works; for more, turn on \
         hardware acceleration in the settings of the browser or system, or install the driver of your GPU."
    )
}

/// How to come by a GPU, for where the app runs.
pub(super) fn gpu_fixes(environment: &Environment) -> Vec<String> {
    if environment.kind != "browser" {
        return vec![
            "Install the current driver of your graphics card, then start pairtune again.".to_owned(),
            "On Linux, check that vulkaninfo lists your card (packages vulkan-tools, mesa-vulkan-drivers).".to_owned(),
            "Without a card: the package mesa-vulkan-drivers computes on the processor, slowly.".to_owned(),
        ];
    }
    let mut fixes = Vec::new();
    if !environment.secure {
        fixes.push("Open this page by https: browsers offer no GPU to others.".to_owned());
    }
    let browser = environment.browser.to_lowercase();
    let linux = environment.system == "Linux";
    if browser.contains("firefox") {
        fixes.push("Firefox: update to 141 or later on Windows, 145 or later on macOS with Apple silicon.".to_owned());
        fixes.push("Elsewhere: in about:config, set dom.webgpu.enabled to true, then restart.".to_owned());
    } else if browser.contains("safari") {
        fixes.push("Safari: update to 26 or later; before, in Settings, Feature Flags, switch WebGPU on.".to_owned());
    } else {
        fixes.push(
            "Chrome or Edge: update to 113 or later, and switch hardware acceleration on in Settings, \
                    System."
                .to_owned(),
        );
        if linux {
            fixes.push(
                "On Linux: open chrome://flags, enable \"Unsafe WebGPU Support\" and \"Vulkan\", then restart."
                    .to_owned(),
            );
        }
        fixes.push("chrome://gpu says under WebGPU why it is off.".to_owned());
    }
    fixes.push("Or use the desktop app, which needs no browser.".to_owned());
    fixes
}

/// Everything about GPU and build, for a bug report.
pub(super) fn report(environment: &Environment, gpu: Option<&GpuInfo>, problem: Option<&Problem>) -> String {
    let mut out = format!("pairtune {}\n", crate::engine::protocol::BUILD);
    out.push_str(&format!("{} {} {}\n", environment.kind, environment.system, environment.browser));
    let yes = |yes: bool| if yes { "yes" } else { "no" };
    out.push_str(&format!(
        "GPU interface: {}, secure: {}, online: {}\n",
        yes(environment.webgpu),
        yes(environment.secure),
        yes(environment.online)
    ));
    if let Some(gpu) = gpu {
        out.push_str(&gpu.report);
    }
    if let Some(problem) = problem {
        out.push_str(&problem.to_string());
    }
    out
}

// ---- The page of the model. ----

pub(super) const MODEL_TITLE: &str = "Model";
pub(super) const MODEL_SUBTITLE: &str = "A language model in the Hugging Face format. It is read, never changed: the \
    run \
                                         writes a small adapter beside it.";
pub(super) const MODEL_REFUSED: &str = "This model can't be used";
pub(super) const MODEL_LOADING: &str = "Opening the model";
pub(super) const PICK_OTHER: &str = "Pick another folder…";
pub(super) const DISMISS: &str = "Dismiss";
pub(super) const CHOOSE_MODEL: &str = "Choose a model";
pub(super) const OTHER_MODEL: &str = "Choose another model";
pub(super) const SOURCE_COMPUTER: &str = "This computer";
pub(super) const SOURCE_HUB: &str = "Hugging Face";
pub(super) const SOURCE_DEMO: &str = "Demo";
pub(super) const CANCEL_NOTE: &str = "Frees the memory again. A download continues where it stopped.";
pub(super) const ARCHITECTURE: &str = "Architecture";
pub(super) const PARAMETERS: &str = "Parameters";
pub(super) const WEIGHTS: &str = "Weights";
pub(super) const LEAST_MEMORY: &str = "Minimum memory (in 4 bits)";
pub(super) const LICENCE: &str = "Licence";
pub(super) const LICENCE_UNKNOWN: &str = "not stated";
pub(super) const KEEPING: &str = "Keeping a copy…";
pub(super) const FITS: &str = "fits";
pub(super) const NEEDS_WHY: &str = "Weights, adapter, activations and logits of the smallest sensible run: one short \
    pair at a time. A smaller model helps most.";
pub(super) const NOT_SUPPORTED: &str = "cannot be tuned";
pub(super) const MODEL_COLUMNS: [&str; 6] = ["Name", "Size", "Memory", "State", "Licence", ""];
pub(super) const MODEL_FILES: &str = "A folder with config.json, tokenizer.json and model.safetensors (or its shards).";
pub(super) const ON_DISK: &str = "on disk";
pub(super) const USE: &str = "Use";
pub(super) const FORGET: &str = "Remove…";
pub(super) const FORGET_TEXT: &str = "It is taken out of the app's storage, and has to be opened or fetched anew to be \
    used again. Runs that were made with it stay.";
pub(super) const FORGET_YES: &str = "Remove it";
pub(super) const FORGET_NO: &str = "Keep it";
pub(super) const NONE_FOUND: &str = "The Hugging Face cache of this computer holds no whole model.";
pub(super) const REPOSITORY: &str = "Repository";
pub(super) const SUGGESTIONS: &str = "Suggestions";
pub(super) const GET: &str = "Get";
pub(super) const HUB_ADVANCED: &str = "Another server";
pub(super) const ENDPOINT: &str = "Address";
pub(super) const DEMO_MODEL: &str = "A tiny model and its pairs come with the program. Use them to see how everything \
                                     works; what it writes is no prose.";
pub(super) const OPEN_DEMO: &str = "Open the demo";
pub(super) const NONE_KEPT: &str = "Nothing is kept yet. An open model can be kept for next time.";
pub(super) const KEPT: &str = "kept here";
pub(super) const CUT_OFF: &str = "copy was cut off";
pub(super) const PARTLY: &str = "not whole yet";
pub(super) const FETCH_REST: &str = "Get the rest";

/// Said where another model was refused.
pub(super) fn still_open(name: &str) -> String {
    format!("\"{name}\" stays open.")
}

/// Said before a download: where it is from and where it goes, and to whom a token is shown.
pub(super) fn hub_note(endpoint: &str, place: &str, token_places: Option<&str>) -> String {
    let server = endpoint.split_once("://").map_or(endpoint, |(_, server)| server);
    let mut note = format!(
        "Fetched from {server} into {place}, at your click only. A download that stops continues where it was, and \
         every file is checked."
    );
    if let Some(places) = token_places {
        note.push_str(&format!(" A token in {places} is shown to {server} alone."));
    }
    note
}

pub(super) fn source_kept(n: usize) -> String {
    format!("Saved models ({n})")
}

pub(super) fn layers(n: usize) -> String {
    format!("{}, all supported", counted(n, "layer"))
}

pub(super) fn tokenizer(vocab_size: usize) -> String {
    format!("Tokenizer with {} entries", count(vocab_size))
}

pub(super) fn chat_template(there: bool) -> (Tone, &'static str) {
    match there {
        true => (Tone::Good, "Chat template"),
        false => (Tone::Neutral, "No chat template: prompts and answers are joined as they are"),
    }
}

pub(super) fn positions(n: usize) -> String {
    format!("Context length {}", count(n))
}

pub(super) fn keep(bytes: u64, storage: &StorageInfo) -> String {
    match storage.quota {
        Some(quota) => format!("Keep for next time ({} of {})", self::bytes(bytes), self::bytes(quota)),
        None => format!("Keep for next time ({})", self::bytes(bytes)),
    }
}

pub(super) fn needs(least: u64, limit: u64) -> String {
    format!("needs {}, has {}", bytes(least), bytes(limit))
}

pub(super) fn needs_only(least: u64) -> String {
    format!("needs {}", bytes(least))
}

pub(super) fn use_model(name: &str) -> String {
    format!("Use {name}")
}

pub(super) fn fetch_rest(name: &str) -> String {
    format!("{FETCH_REST} of {name}")
}

pub(super) fn forget(name: &str) -> String {
    format!("Remove {name}")
}

pub(super) fn forget_title(name: &str) -> String {
    format!("Remove {name}?")
}

// ---- The page of the pairs. ----

pub(super) const PAIRS_TITLE: &str = "Pairs";
pub(super) const PAIRS_SUBTITLE: &str = "Each pair is a prompt with two answers: the one you prefer and the other.";
pub(super) const PAIRS_REFUSED: &str = "This file can't be used";
pub(super) const PICK_OTHER_FILE: &str = "Pick another file…";
pub(super) const PAIRS_LOADING: &str = "Reading pairs";
pub(super) const PAIRS_FORMAT: &str = "JSON Lines, or a JSON array, of objects like this:";
pub(super) const PAIRS_EXAMPLE: &str = "{\"prompt\": \"Can I get a refund?\", \"chosen\": \"Of course. Send us the \
    order \
                                        number…\", \"rejected\": \"No.\"}";
pub(super) const PAIRS_ALSO: &str = "Parquet, and CSV with a first row of names, work too, and text that gzip or zstd \
    packed; so do conversations as lists of messages and the column names of other trainers. Others can be mapped by \
    hand.";
pub(super) const NO_PAIRS: &str = "This file holds no pairs";
pub(super) const SWAPPED: &str = "chosen and rejected exchanged";
pub(super) const COLUMNS: &str = "Columns";
pub(super) const EDIT_COLUMNS: &str = "Edit columns";
pub(super) const COLUMN_PROMPT: &str = "Prompt from";
pub(super) const COLUMN_CHOSEN: &str = "Chosen from";
pub(super) const COLUMN_REJECTED: &str = "Rejected from";
pub(super) const COLUMN_SYSTEM: &str = "System from";
pub(super) const NO_COLUMN: &str = "(none)";
pub(super) const APPLY_COLUMNS: &str = "Read again";
pub(super) const KEEP_COLUMNS: &str = "Cancel the change";
pub(super) const CHANGE: &str = "change";
pub(super) const OPEN_OTHER_PAIRS: &str = "Open another file…";
pub(super) const SWAP: &str = "Swap chosen and rejected";
pub(super) const SWAP_HELP: &str = "For files in which the worse answer stands under \"chosen\". Click again to undo.";
pub(super) const TAB_TABLE: &str = "Table";
pub(super) const TAB_READ: &str = "Inspect";
pub(super) const TAB_LENGTHS: &str = "Lengths";
pub(super) const PAIR_COLUMNS: [&str; 6] = ["Line", "Prompt", "Chosen", "Rejected", "Flags", "Skip"];
pub(super) const NO_ROWS: &str = "There is no pair to read.";
pub(super) const PREVIOUS: &str = "Previous";
pub(super) const NEXT: &str = "Next";
pub(super) const PAIR: &str = "Pair";
pub(super) const AS_SEEN: &str = "As the model sees it";
pub(super) const AS_FILED: &str = "Raw";
pub(super) const READING_PAIR: &str = "Reading this pair";
pub(super) const SEQUENCE: &str = "Tokens";
pub(super) const SIDES: [&str; 3] = ["Prompt", "Chosen", "Rejected"];
pub(super) const TOKENS_LEGEND: &str = "Tinted tokens are trained on. Grey: the prompt, which is not scored. Struck \
    through: truncated. \"…\" is a token within the character that follows.";
pub(super) const NO_LENGTHS: &str = "Lengths are known once a model is open, for its tokenizer counts them.";
pub(super) const CHANGE_LIMIT: &str = "Change the limit";
pub(super) const PAIRS_BY_LENGTH: &str = "Pairs by length";
pub(super) const TOKENS: &str = "Tokens of the longer side";
pub(super) const PAIRS: &str = "Pairs";
pub(super) const LIMIT: &str = "Longest sequence";
pub(super) const NO_PROBLEMS: &str = "Every row can be used.";
pub(super) const SAVE_REPORT: &str = "Save report";

pub(super) fn rows_so_far(rows: usize, problems: usize) -> String {
    match problems {
        0 => format!("{} usable so far", count(rows)),
        n => format!("{} usable so far, {} with problems", count(rows), count(n)),
    }
}

pub(super) fn pairs_summary(info: &PairsInfo) -> String {
    let rows = counted(info.lines, "row");
    let rows = if info.kind == Kind::Pairs { rows } else { format!("{rows} of {}", info.kind.word()) };
    match (info.usable, info.skipped) {
        (0, _) => format!("{rows}, none of which can be used"),
        (usable, 0) => format!("{rows} → {} usable", count(usable)),
        (usable, n) => format!("{rows} → {} used, {} skipped", count(usable - n), count(n)),
    }
}

pub(super) fn problems(n: usize) -> String {
    counted(n, "problem")
}

pub(super) fn tab_problems(n: usize) -> String {
    match n {
        0 => "Problems".to_owned(),
        n => format!("Problems {}", count(n)),
    }
}

pub(super) fn mapping(mapping: &Mapping) -> String {
    let from = |name: &str, column: &str| match column {
        "" => format!("{name} ← {NO_COLUMN}"),
        column if column == name => name.to_owned(),
        column => format!("{name} ← {column}"),
    };
    let mut parts =
        vec![from("prompt", &mapping.prompt), from("chosen", &mapping.chosen), from("rejected", &mapping.rejected)];
    if !mapping.system.is_empty() {
        parts.push(from("system", &mapping.system));
    }
    parts.join("   ")
}

/// The columns that rows which are no pairs are read from.
pub(super) fn read_as(kind: Kind, columns: &[String]) -> String {
    let what = match kind {
        Kind::Pairs => "Pairs: two answers to a prompt, of which one is preferred.",
        Kind::Completions => "Examples: answers to imitate.",
        Kind::Labelled => "Thumbs: single answers, liked or disliked.",
        Kind::Prompts => "Prompts: the model writes the answers, and rewards judge them.",
    };
    format!("{what} Columns: {}.", columns.join(", "))
}

/// The columns of the table; an empty one is left out.
pub(super) fn row_columns(kind: Kind) -> [&'static str; 6] {
    match kind {
        Kind::Pairs => PAIR_COLUMNS,
        Kind::Completions => ["Line", "Prompt", "Answer", "", "Flags", "Skip"],
        Kind::Labelled => ["Line", "Prompt", "Answer", "", "Thumb", "Skip"],
        Kind::Prompts => ["Line", "Prompt", "", "", "Flags", "Skip"],
    }
}

/// What the three texts of a row are, if they are there.
pub(super) fn sides(kind: Kind) -> [&'static str; 3] {
    match kind {
        Kind::Pairs => SIDES,
        _ => ["Prompt", "Answer", ""],
    }
}

pub(super) fn longer_wins(share: f64) -> String {
    format!("The preferred answer is the longer one in {} of the pairs.", percent(share))
}

pub(super) fn held_out(n: Option<usize>, share: f64, seed: u64) -> String {
    let share = percent(share);
    match n {
        Some(n) => format!("Held out: {} ({share}, seed {seed}, whole prompts kept apart)", counted(n, "pair")),
        None => format!("Held out: {share} (seed {seed}, whole prompts kept apart)"),
    }
}

pub(super) fn beyond(n: usize) -> String {
    format!("{} more than fit in memory here, which are left out.", counted(n, "row"))
}

pub(super) fn accept(usable: usize, problems: usize) -> String {
    let verb = if problems == 1 { "has a problem and is" } else { "have problems and are" };
    format!("Train on the {} usable rows; {} {verb} left out", count(usable), count(problems))
}

pub(super) fn read_line(line: usize) -> String {
    format!("Read line {line}")
}

/// Marks a row that is not trained on.
pub(super) const HELD_OUT_ROW: &str = "held out";

/// A flag, how many rows have it, and how many of them are skipped.
pub(super) fn flagged(flag: &str, rows: usize, skipped: usize) -> String {
    match skipped {
        0 => format!("{flag} {}", count(rows)),
        n if n == rows => format!("{flag} {}, skipped", count(rows)),
        n => format!("{flag} {}, {} skipped", count(rows), count(n)),
    }
}

/// What the button of a flag does.
pub(super) fn show_flagged(flag: &str, shown: bool) -> String {
    match shown {
        false => format!("Show the rows with the flag \"{flag}\""),
        true => format!("Show all rows again, not only \"{flag}\""),
    }
}

/// What the table shows of all rows.
pub(super) fn only_flagged(flag: &str, rows: usize, skipped: usize) -> String {
    let shown = format!("Only \"{flag}\": {}", counted(rows, "row"));
    if skipped == 0 { shown } else { format!("{shown}, {} skipped", count(skipped)) }
}

pub(super) fn skip_these(rows: usize) -> String {
    if rows == 1 { "Skip this row".to_owned() } else { format!("Skip these {} rows", count(rows)) }
}

pub(super) fn take_back(rows: usize) -> String {
    format!("Take {} back in", counted(rows, "row"))
}

pub(super) const SHOW_ALL_ROWS: &str = "Show all rows";

pub(super) fn skip_line(line: usize) -> String {
    format!("Skip line {line}")
}

pub(super) fn of_pairs(n: usize, line: usize) -> String {
    format!("of {}, line {line}", count(n))
}

/// What others gave the two answers of a pair.
pub(super) fn scores([chosen, rejected]: [f64; 2]) -> String {
    format!("scored {chosen} and {rejected} in the file")
}

pub(super) fn sequence(tokens: usize, prompt: usize, cut: usize) -> String {
    let scored = tokens.saturating_sub(prompt).saturating_sub(cut);
    match cut {
        0 => format!("{}, {} scored", counted(tokens, "token"), count(scored)),
        cut => format!("{}, {} scored, {} cut off", counted(tokens, "token"), count(scored), count(cut)),
    }
}

pub(super) fn more_tokens(n: usize) -> String {
    format!("and {} more", counted(n, "token"))
}

pub(super) fn lengths(pairs: usize, longest: u32, truncated: usize, dropped: usize) -> String {
    let mut out = format!("{}, the longest has {longest} tokens.", counted(pairs, "pair"));
    if truncated > 0 {
        out.push_str(&format!(" {} too long and cut off.", counted(truncated, "pair")));
    }
    if dropped > 0 {
        out.push_str(&format!(" {} left out, as nothing of an answer would be left.", counted(dropped, "pair")));
    }
    out
}

pub(super) fn problems_left_out(problems: usize, usable: usize) -> String {
    let verb = if problems == 1 { "row is" } else { "rows are" };
    format!("{} {verb} left out; {} usable.", count(problems), count(usable))
}

pub(super) fn more_problems(n: usize) -> String {
    format!("and {} more", count(n))
}

/// What is wrong with how many rows.
pub(super) fn problem_kind(kind: &ProblemKind) -> String {
    match kind.count {
        1 => format!("Line {}: {}", kind.first.line, kind.first.what),
        n => format!("{} rows: {}", count(n), kind.first.what),
    }
}

/// The first lines of such rows.
pub(super) fn kind_lines(kind: &ProblemKind) -> String {
    let lines = kind.lines.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    match kind.count - kind.lines.len() {
        0 => format!("Lines {lines}"),
        more => format!("Lines {lines} and {} more", count(more)),
    }
}

/// The problems of a pairs file, as a text file.
pub(super) fn problem_report(info: &PairsInfo) -> String {
    let mut out = format!("{}: {}, {} usable\n\n", info.name, counted(info.lines, "row"), info.usable);
    for problem in &info.problems {
        out.push_str(&format!("Line {}: {}. {}\n    {}\n", problem.line, problem.what, problem.fix, problem.excerpt));
    }
    let more = info.problem_count - info.problems.len();
    if more > 0 {
        out.push_str(&format!("and {more} more\n"));
    }
    out
}

/// Text on one line, for a table.
pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect()
}

/// The beginning of a text, on one line, if it is longer than `most` letters.
pub(super) fn shortened(text: &str, most: usize) -> String {
    let short: String = one_line(text).chars().take(most).collect();
    if short.chars().count() < text.chars().count() { format!("{}…", short.trim_end()) } else { short }
}

/// A token with its white space in sight; one within a character has no text.
pub(super) fn token(text: &str) -> String {
    if text.is_empty() {
        return "…".to_owned();
    }
    text.replace('\n', "↵").replace('\t', "→").replace(' ', "·")
}

// ---- The page of the plan. ----

pub(super) const PLAN_TITLE: &str = "Plan";
pub(super) const PLAN_SUBTITLE: &str = "What the run will do and what it takes, before anything begins.";
pub(super) const PLAN_REFUSED: &str = "These settings do not work";
pub(super) const RUN_REFUSED: &str = "The run did not begin";
pub(super) const PRESET: &str = "Preset";
pub(super) const DEMO_SETTINGS: &str = "The demo's own settings.";
pub(super) const RESET: &str = "reset";
pub(super) const MORE: &str = "More settings";
pub(super) const ON: &str = "on";
pub(super) const SETTINGS_AS: &str = "Settings as";
pub(super) const AS_LINK: &str = "Copy link";
pub(super) const AS_COMMAND: &str = "Copy command line";
pub(super) const AS_FILE: &str = "Save file…";
pub(super) const AS_FILE_HELP: &str =
    "As the command line reads it with --config. How the run is watched is not in it.";
pub(super) const COMMAND_SKIPS_NOTHING: &str = "It does not skip the rows that are skipped here.";
pub(super) const COMMAND: &str = "Command line";
pub(super) const FROM_FILE: &str = "Load file…";
pub(super) const TAKES: &str = "Memory and time";
pub(super) const PLANNING: &str = "Working out the plan";
pub(super) const NO_PLAN: &str = "Memory, time and checks appear here once a model and pairs are open.";
pub(super) const MEMORY_PARTS: [&str; 4] = ["weights", "adapter and optimiser", "activations", "logits"];
pub(super) const NO_LIMIT: &str = "This device does not say how much memory it has.";
pub(super) const NO_FIGURES: &str = "With these settings there is no run, so it takes nothing yet.";
pub(super) const EDIT_LIMIT: &str = "Set the limit myself";
pub(super) const LIMIT_GB: &str = "Memory in GB";
pub(super) const SET_LIMIT: &str = "Set";
pub(super) const CLEAR_LIMIT: &str = "Ask the device";
pub(super) const FIXES: &str = "It does not fit. What would help, best first:";
pub(super) const NO_FIXES: &str = "It does not fit, and no setting would make it fit.";
pub(super) const SMALLER_MODEL: &str = "or choose a smaller model";
pub(super) const TRIAL: &str = "Measure: run 2 trial steps";
pub(super) const TRIAL_AGAIN: &str = "Measure again";
pub(super) const TRYING: &str = "Running 2 trial steps (not kept)";
pub(super) const WATCH: &str = "Monitoring";
pub(super) const RUN_NAME: &str = "Name";
pub(super) const EVAL_EVERY: &str = "Evaluate every";
pub(super) const EVAL_STEPS: &str = "steps";
pub(super) const KEEP_BEST: &str = "Keep the best adapter";
pub(super) const WATCH_PROMPTS: &str = "Sample prompts (answered before the run and at every evaluation)";
pub(super) const ADD_PROMPT: &str = "Add a prompt";
pub(super) const REMOVE: &str = "Remove";
pub(super) const START: &str = "Start training";
pub(super) const ABOVE_0: &str = "a number above 0";
pub(super) const FRACTION: &str = "a number from 0 to below 1";
pub(super) const A_WORD: &str = "at least one name";
pub(super) const A_LIST: &str = "numbers with commas between them";

pub(super) fn wants(range: &str) -> String {
    format!("Needs {range}")
}

pub(super) fn between(from: f64, to: f64) -> String {
    if to >= 1e6 { format!("{from} or more") } else { format!("a number from {from} to {to}") }
}

pub(super) fn whole_between(from: i64, to: i64) -> String {
    if to >= 1_000_000 {
        format!("a whole number, {from} or more")
    } else {
        format!("a whole number from {from} to {to}")
    }
}

/// A preset that is not as it was.
pub(super) fn changed_preset(preset: &str, changes: usize) -> String {
    format!("{preset} + {}", counted(changes, "change"))
}

pub(super) fn reset_to(preset: &str) -> String {
    format!("Reset to {preset}")
}

pub(super) fn reset_field(name: &str, value: &str) -> String {
    match value {
        "" => format!("Reset {name}"),
        value => format!("Reset {name} to {value}"),
    }
}

pub(super) fn help_range(range: &str) -> String {
    format!("Typical: {range}")
}

pub(super) fn help_low(text: &str) -> String {
    format!("If lower, or off: {text}")
}

pub(super) fn help_high(text: &str) -> String {
    format!("If higher, or on: {text}")
}

/// The models in memory: one base, and the adapters on it.
pub(super) fn models(models: &[(String, u64)]) -> String {
    let said = |(name, size): &(String, u64)| match size {
        0 => format!("{name} (the adapter switched off)"),
        size => format!("{name} {}", bytes(*size)),
    };
    let adapters: Vec<String> = models.iter().skip(1).map(said).collect();
    format!("On one copy of the base: {}", adapters.join(", "))
}

pub(super) fn memory_label(total: u64, limit: Option<u64>, measured: bool) -> String {
    match limit {
        Some(limit) if total <= limit => format!("Memory: {} of {}, fits", bytes(total), bytes(limit)),
        Some(limit) => format!("Memory: {} of {}, does not fit", bytes(total), bytes(limit)),
        None if measured => format!("Memory: {}, fits (measured)", bytes(total)),
        None => format!("Memory: {}. Whether it fits is not known: measure with two trial steps", bytes(total)),
    }
}

pub(super) fn watch_prompt(number: usize) -> String {
    format!("Watched prompt {number}")
}

pub(super) fn remove_prompt(number: usize) -> String {
    format!("Remove watched prompt {number}")
}

pub(super) fn fix(label: &str, saves: u64) -> String {
    if saves == 0 { label.to_owned() } else { format!("{label}: −{}", bytes(saves)) }
}

pub(super) fn steps(plan: &PlanInfo, kind: Kind) -> String {
    let mut out = format!(
        "Steps: {}, on {} with {} held out",
        count(plan.n_steps),
        counted(plan.n_train, if kind == Kind::Pairs { "pair" } else { "row" }),
        count(plan.held_out.len())
    );
    if plan.n_truncated > 0 {
        out.push_str(&format!(", {} cut off", count(plan.n_truncated)));
    }
    if plan.n_dropped > 0 {
        out.push_str(&format!(", {} left out", count(plan.n_dropped)));
    }
    out
}

pub(super) fn time(parts: Option<RunParts>, step_seconds: Option<f64>) -> String {
    match (parts, step_seconds) {
        (Some(RunParts { steps, reference, evaluations }), Some(step)) => {
            let scoring = match reference {
                0.0 => String::new(),
                seconds => format!(" {} of scoring its pairs with the original model,", duration(seconds)),
            };
            format!(
                "Time: about {} ({} for a step): {} of training,{scoring} {} of evaluations",
                duration(steps + reference + evaluations),
                duration(step),
                duration(steps),
                duration(evaluations)
            )
        }
        _ => "Time: unknown. Measure with 2 trial steps".to_owned(),
    }
}

pub(super) fn measuring(what: &str) -> String {
    if what.is_empty() { "Measuring".to_owned() } else { format!("Measuring {what}") }
}

pub(super) fn tried(step_seconds: f64, device_bytes: u64, planned_bytes: u64) -> String {
    format!(
        "Measured: {} for a step, {} of memory (planned {})",
        duration(step_seconds),
        bytes(device_bytes),
        bytes(planned_bytes)
    )
}

pub(super) fn disk(checkpoint: u64) -> String {
    format!("Disk: {} for a checkpoint; the latest and the best are kept", bytes(checkpoint))
}

pub(super) fn settings_file(name: &str) -> String {
    let stem = if name.is_empty() { "pairtune" } else { name };
    format!("{}-settings.json", file_name(stem))
}

/// What stands behind the `#` of the address for these settings.
pub(super) fn settings_fragment(settings: &Settings) -> String {
    let json = serde_json::to_string(settings).unwrap_or_default();
    let mut out = "s=".to_owned();
    for byte in json.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' | b',' => out.push(byte.into()),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// The settings behind the `#` of an address.
pub(super) fn fragment_settings(fragment: &str) -> Option<Settings> {
    let encoded = fragment.strip_prefix("s=")?.as_bytes();
    let (mut bytes, mut i) = (Vec::new(), 0);
    while i < encoded.len() {
        let hex = encoded.get(i + 1..i + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match (encoded[i], hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                i += 3;
            }
            (byte, _) => {
                bytes.push(byte);
                i += 1;
            }
        }
    }
    serde_json::from_slice(&bytes).ok()
}

/// Bytes of these requests.
fn received(requests: &[&NetworkEntry]) -> u64 {
    requests.iter().map(|entry| entry.bytes).sum()
}

/// True for a request for one of the app's own files.
pub(super) fn is_own(request: &NetworkEntry) -> bool {
    request.purpose == OWN_PURPOSE
}

/// What the ledger calls the app's own files.
const OWN_PURPOSE: &str = "the app itself";

/// The settings behind a page's address; natively only what comes behind it.
pub(super) fn settings_link(page: &str, settings: &Settings) -> String {
    format!("{page}#{}", settings_fragment(settings))
}

/// The command that does the same.
pub(super) fn command_line(state: &State) -> String {
    let home = state.ready().map(|ready| ready.storage.trim_end_matches('/')).filter(|_| !state.in_browser);
    let model = match (state.open_model().map(|model| &model.source), home) {
        (Some(ModelSource::Picked { path: Some(path), .. }), _) => quoted(path),
        (Some(ModelSource::Stored { name }), Some(home)) => quoted(&format!("{home}/models/{name}")),
        (Some(ModelSource::Picked { name, .. } | ModelSource::Stored { name }), _) => quoted(name),
        _ => "MODEL_FOLDER".to_owned(),
    };
    let pairs = match (&state.pairs.info, state.pairs.path()) {
        (Some(_), Some(path)) => quoted(&path),
        (Some(pairs), None) => quoted(&pairs.name),
        (None, _) => "PAIRS.jsonl".to_owned(),
    };
    let mut out = format!("pairtune train --model {model} --pairs {pairs} --output {}", quoted(&state.plan.name));
    if let Some(pairs) = &state.pairs.info {
        let mut columns = pairs.mapping.clone();
        if pairs.swapped {
            std::mem::swap(&mut columns.chosen, &mut columns.rejected);
        }
        // What the command finds by itself is left to it.
        if columns != Mapping::guess(&pairs.columns) && !columns.chosen.is_empty() && !columns.rejected.is_empty() {
            out.push_str(&format!(" --columns {}", quoted(&columns.to_string())));
        }
    }
    let folder_of = |run_id: &str| {
        let run = state.runs.iter().flatten().find(|run| run.run_id == run_id);
        let checkpoint = run.and_then(|run| run.checkpoint.as_deref()).unwrap_or("CHECKPOINT");
        quoted(&format!("{}/runs/{run_id}/{checkpoint}", home.unwrap_or("STORE")))
    };
    for reward in state.plan.inputs.rewards.iter().filter(|_| state.plan.method().is_online()) {
        match Inputs::run_of(reward) {
            Some(run_id) => out.push_str(&format!(" --reward-model {}", folder_of(run_id))),
            None => out.push_str(&format!(" --reward {}", quoted(reward))),
        }
    }
    if let Some(run_id) = &state.plan.inputs.start_from {
        out.push_str(&format!(" --adapter {}", folder_of(run_id)));
    }
    for (key, value) in state.plan.settings.iter().filter(|(key, value)| !state.plan.is_default(key, value)) {
        let value = super::fields::shown(Some(value)).replace(", ", ",");
        out.push_str(&format!(" --{} {}", key.replace('_', "-"), quoted(&value)));
    }
    out
}

/// A word as a shell reads it.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./,:+=@".contains(c);
    // Within quotes it would stand for itself, and not for home.
    if let Some(below) = text.strip_prefix("~/").filter(|below| !below.is_empty()) {
        return format!("~/{}", quoted(below));
    }
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

// ---- Help. ----

pub(super) const HELP_TITLE: &str = "Help";
pub(super) const HOW_TITLE: &str = "How it works";
pub(super) const HOW: [&str; 6] = [
    "You bring a model and pairs: a prompt with the answer you prefer and one you do not.",
    "Some pairs are held out. They are never trained on, so they show whether the model learned your taste or the \
     pairs.",
    "The original model stays as it is. A small adapter beside it learns; switched off, the original is back.",
    "Each step makes the preferred answers of a few pairs likelier than the others, measured against the original.",
    "Everything is saved as it goes. Pause, close, or crash: the run continues from its last save.",
    "In the end, compare both side by side and export the adapter, or the whole model with it merged in.",
];
pub(super) const KEYS_TITLE: &str = "Keys";
pub(super) const KEYS: [(&str, &str); 6] = [
    ("Alt+0 … Alt+7", "Start, Model, Pairs, Plan, Run, Compare, Export, Runs"),
    ("F1", "Help"),
    ("Ctrl+O", "Open a model folder"),
    ("Ctrl+L", "Show or hide the log"),
    ("Ctrl++  Ctrl+-  Ctrl+0", "Larger, smaller, usual size"),
    ("Tab, Space, Esc", "Next control, use it, close or cancel"),
];
pub(super) const NETWORK_TITLE: &str = "Network";
pub(super) const NETWORK_NOTE: &str = "Models, pairs, answers and settings are never sent anywhere; there is no \
    account and no analytics. This is what was fetched. A request itself tells a server your address and \
    what was asked for, and the Hub your token if there is one; nothing else.";
pub(super) const NETWORK_COLUMNS: [&str; 3] = ["Received", "Why", "From"];
pub(super) const REPORT_TITLE: &str = "Bug report";
pub(super) const BENCH_TITLE: &str = "How fast is this GPU?";
pub(super) const BENCH_NOTE: &str = "Measures each kernel at the sizes of real models, a step and texts, beside what \
                                     this GPU can do at the most. It takes a minute or two.";
pub(super) const BENCH: &str = "Measure this GPU";
pub(super) const BENCH_AGAIN: &str = "Measure again";
pub(super) const COPY_FIGURES: &str = "Copy the figures";
pub(super) const GPU_MEASURED: &str = "The GPU was measured";
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
        n => format!("{}: {} received, 0 B of your data sent.", counted(n, "request"), bytes(received(requests))),
    }
}

/// The requests for the app's own files.
pub(super) fn own_requests(requests: &[&NetworkEntry]) -> String {
    format!("The app itself: {}, {}", counted(requests.len(), "file"), bytes(received(requests)))
}

// Numbers.

/// What a progress counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Bytes.
    Bytes,
    /// Something with a name, in plural.
    Things(&'static str),
}

/// Bytes in the unit that suits them.
pub(super) fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.0} kB", bytes as f64 / 1e3),
        1_000_000..100_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        100_000_000..1_000_000_000 => format!("{:.0} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// Bytes so far of all bytes, in one unit: `0.9/1.5 GB`.
pub(super) fn bytes_of(done: u64, total: u64) -> String {
    let (unit, name) = match total {
        0..1_000 => (1.0, "B"),
        1_000..1_000_000 => (1e3, "kB"),
        1_000_000..1_000_000_000 => (1e6, "MB"),
        _ => (1e9, "GB"),
    };
    format!("{:.1}/{:.1} {name}", done as f64 / unit, total as f64 / unit)
}

/// A count with a fine space between thousands.
pub(super) fn count(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) && digits.len() > 4 {
            out.push('\u{a0}');
        }
        out.push(digit);
    }
    out
}

/// A count with its noun, which gets an s.
pub(super) fn counted(n: usize, noun: &str) -> String {
    format!("{} {noun}{}", count(n), if n == 1 { "" } else { "s" })
}

/// Seconds as a clock shows them: `6:12`, `1:06:12`.
pub(super) fn clock(seconds: f64) -> String {
    let seconds = seconds.max(0.0).round() as u64;
    match seconds / 3600 {
        0 => format!("{}:{:02}", seconds / 60, seconds % 60),
        hours => format!("{hours}:{:02}:{:02}", seconds / 60 % 60, seconds % 60),
    }
}

/// Seconds in words: `8 s`, `14 min`, `2 h 5 min`.
pub(super) fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 90.0 => format!("{s:.0} s"),
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.0} h {:.0} min", (s / 3600.0).floor(), (s % 3600.0 / 60.0).floor()),
    }
}

/// A share of 1 in percent.
pub(super) fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// A number with as many digits as it deserves.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        _ if !value.is_finite() => "not a number".to_owned(),
        0.0 => "0".to_owned(),
        v if v < 1e-3 => format!("{value:.1e}"),
        v if v < 1.0 => format!("{value:.3}"),
        v if v < 100.0 => format!("{value:.2}"),
        _ => format!("{value:.0}"),
    }
}

/// A number of parameters: `494 M`.
pub(super) fn parameters(n: u64) -> String {
    match n {
        0..1_000_000 => format!("{:.0} k", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.0} M", n as f64 / 1e6),
        _ => format!("{:.2} B", n as f64 / 1e9),
    }
}

/// How much, how fast, how long still.
pub(super) fn progress(progress: &Progress, unit: Unit) -> String {
    let Progress { done, total, seconds, .. } = progress;
    let amount = match (unit, total) {
        (Unit::Bytes, 0) => bytes(*done),
        (Unit::Bytes, total) => bytes_of(*done, *total),
        (Unit::Things(name), 0) => format!("{} {name}", count(*done as usize)),
        (Unit::Things(name), total) => format!("{}/{} {name}", count(*done as usize), count(*total as usize)),
    };
    if *seconds < 0.5 || *done == 0 {
        return amount;
    }
    let rate = *done as f64 / seconds;
    let speed = match unit {
        Unit::Bytes => format!("{}/s", bytes(rate as u64)),
        Unit::Things(_) => format!("{}/s", number(rate)),
    };
    match total.saturating_sub(*done) {
        0 => format!("{amount}, {speed}"),
        left => format!("{amount}, {speed}, {} left", duration(left as f64 / rate)),
    }
}

/// With a small letter at its beginning.
fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().collect::<String>() + chars.as_str())
}

/// With a capital at its beginning.
pub(super) fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().collect::<String>() + chars.as_str())
}

// ---- Charts. ----

/// What a chart says to a screen reader.
pub(super) mod template {
    pub(in crate::app) const TAB: &str = "Chat template";
    pub(in crate::app) const TEMPLATE: &str = "Text of the template";
    pub(in crate::app) const NO_MODEL: &str = "Choose a model to see its chat template.";
    pub(in crate::app) const REFUSED: &str = "This template cannot be used";
    pub(in crate::app) const HINT: &str = "A Jinja template, as in chat_template.jinja";
    pub(in crate::app) const USE: &str = "Use this template";
    pub(in crate::app) const UNDO: &str = "Undo my changes";
    pub(in crate::app) const OWN: &str = "Back to the model's own";
    pub(in crate::app) const CHANGED: &str = "not the model's own";
    pub(in crate::app) const THINKING: &str = "Thinking before the answer:";
    pub(in crate::app) const AS_IT_IS: &str = "as the template has it";
    pub(in crate::app) const ON: &str = "on";
    pub(in crate::app) const OFF: &str = "off";

    pub(in crate::app) fn thinking(choice: &str) -> String {
        format!("Thinking {choice}")
    }

    pub(in crate::app) fn what(conversations: bool, there: bool) -> &'static str {
        match (conversations, there) {
            (true, true) => {
                "Makes the text that the model reads out of a conversation. It is kept with the run and exported."
            }
            (true, false) => "The model has no template, but these pairs are conversations. Write one to use them.",
            (false, true) => {
                "These pairs are plain text and need no template. It makes the text of prompts in Compare, and is \
                 kept with the run and exported."
            }
            (false, false) => "The model has no template, and these pairs are plain text: none is needed.",
        }
    }
}

pub(super) mod chart {
    pub(in crate::app) const STEP: &str = "step";

    pub(in crate::app) fn at_step(step: f64) -> String {
        format!("step {step:.0}")
    }

    pub(in crate::app) fn line(name: &str, [first, last]: [&str; 2], [from, to]: [f64; 2]) -> String {
        format!(". {name}: {first} at step {from:.0}, {last} at step {to:.0}")
    }

    pub(in crate::app) fn band([low, high]: &[String; 2]) -> String {
        format!(", 95 % interval {low} to {high}")
    }

    pub(in crate::app) fn empty(name: &str) -> String {
        format!(". {name}: no values yet")
    }

    pub(in crate::app) fn level(name: &str, value: &str) -> String {
        format!(". {name}: {value}")
    }

    pub(in crate::app) fn warned(step: f64, warning: &str) -> String {
        format!(". Warning at step {step:.0}: {warning}")
    }

    pub(in crate::app) fn from_to(name: &str, first: &str, last: &str) -> String {
        format!("{name}: {first} to {last}")
    }

    pub(in crate::app) fn share(name: &str, share: &str, [low, high]: [&str; 2]) -> String {
        format!("{name}: {share}, 95 % interval {low} to {high}")
    }

    pub(in crate::app) fn other(name: &str, share: &str) -> String {
        format!("; {name} {share}")
    }

    pub(in crate::app) fn counts(name: &str, counts: &[String], [from, to]: [f64; 2]) -> String {
        format!("{name}: {} from {from} to {to}", counts.join(", "))
    }
}

// ---- The run page. ----

/// Words of the run page.
pub(super) mod run {
    use super::{clock, counted, duration, percent};
    use crate::app::widgets::Tone;
    use crate::engine::protocol::{RunRecord, Share, Status, Summary};
    use crate::engine::warnings::Action;

    pub(in crate::app) const NO_POINTS: &str = "No values yet";
    pub(in crate::app) const PREPARING: &str = "Preparing";
    pub(in crate::app) const TRAINING: &str = "Training";
    pub(in crate::app) const PAUSING: &str = "Pausing";
    pub(in crate::app) const STOPPING: &str = "Stopping";
    pub(in crate::app) const RECOVERING: &str = "Recovering";
    pub(in crate::app) const ANSWERS: &str = "answers";
    pub(in crate::app) const STEPS: &str = "steps";
    pub(in crate::app) const PAIRS: &str = "pairs";
    pub(in crate::app) const INTERRUPTED: &str = "Interrupted";
    pub(in crate::app) const AT_WORK: &str = "At work";
    pub(in crate::app) const EMPTY_TITLE: &str = "No run yet";
    pub(in crate::app) const EMPTY_TEXT: &str =
        "A run needs a model, pairs and a plan. The demo brings all three and takes about a minute.";
    pub(in crate::app) const TRY_DEMO: &str = "Try the demo";
    pub(in crate::app) const GO_TO_PLAN: &str = "Go to the plan";
    pub(in crate::app) const STARTING: &str = "Starting…";
    pub(in crate::app) const CANCEL: &str = "Cancel";
    pub(in crate::app) const PAUSE: &str = "Pause";
    pub(in crate::app) const STOP: &str = "Stop and save";
    pub(in crate::app) const MORE: &str = "More";
    pub(in crate::app) const DISCARD: &str = "Discard this run…";
    pub(in crate::app) const DISCARD_TITLE: &str = "Discard this run?";
    pub(in crate::app) const DISCARD_TEXT: &str =
        "Its checkpoints, adapter and figures are deleted. There is no way back.";
    pub(in crate::app) const DISCARD_YES: &str = "Discard";
    pub(in crate::app) const DISCARD_NO: &str = "Keep it";
    pub(in crate::app) const FINISHING: &str = "finishing this step";
    pub(in crate::app) const FIRST_TIME: &str = "Reference scores are cached: the next run on these pairs starts \
        right away. The first steps also compile shaders.";
    pub(in crate::app) const PROGRESS: &str = "Progress of the run";
    pub(in crate::app) const WON: &str = "Held-out accuracy";
    pub(in crate::app) const WON_HELP: &str = "Share of the pairs kept apart from training for which the model \
        prefers the chosen answer. \
         The band is the 95 % interval: with few pairs it is wide, so treat small changes as chance. Beside it: what \
         always choosing the longer answer would win, and always the one of lower perplexity to the original model.";
    pub(in crate::app) const NO_HELD_OUT: &str = "No pairs are held out, so there is nothing to judge by.";
    pub(in crate::app) const NOT_SCORED: &str = "Not scored yet";
    pub(in crate::app) const NOT_SCORED_NOW: &str =
        "The held-out pairs were not scored with what was kept; Compare can do that.";
    pub(in crate::app) const LONGER: &str = "longer wins";
    pub(in crate::app) const LIKELIER: &str = "lower perplexity wins";
    pub(in crate::app) const BEFORE: &str = "before";
    pub(in crate::app) const MARGIN: &str = "Margin";
    pub(in crate::app) const MARGIN_HELP: &str = "How far chosen is ahead of rejected, against the original model \
        (TRL: rewards/margins). Rising is learning; \
         if only the training line rises, it is learning by heart. Drag to zoom, double-click to reset.";
    pub(in crate::app) const TRAIN: &str = "train";
    pub(in crate::app) const HELD_OUT: &str = "held out";
    pub(in crate::app) const CHANGE: &str = "Log-probability change";
    pub(in crate::app) const CHANGE_HELP: &str = "How much likelier each side became against the original model, in \
        nats per answer. Both falling means the \
         margin comes mainly from disliking both; a lower learning rate or an SFT term helps.";
    pub(in crate::app) const CHOSEN: &str = "chosen";
    pub(in crate::app) const REJECTED: &str = "rejected";
    pub(in crate::app) const LOSS: &str = "Loss";
    pub(in crate::app) const LOSS_HELP: &str = "Starts at 0.693 for the usual loss; lower is better.";
    pub(in crate::app) const AT_START: &str = "ln 2";
    pub(in crate::app) const LEARNING_RATE: &str = "Learning rate";
    pub(in crate::app) const GRADIENT: &str = "Gradient norm";
    pub(in crate::app) const GRADIENT_HELP: &str = "Before clipping. A leap by ten times asks for a lower rate.";
    pub(in crate::app) const SPEED: &str = "Speed and memory";
    pub(in crate::app) const STEP_TIME: &str = "Seconds per step";
    pub(in crate::app) const PLANNED: &str = "Memory by the plan";
    pub(in crate::app) const USED: &str = "Memory used at the most";
    pub(in crate::app) const PROMPTS: &str = "Watch prompts";
    pub(in crate::app) const PROMPTS_HELP: &str = "The same prompts with the same seed, before and during the run.";
    pub(in crate::app) const ROLLOUTS: &str = "Answers in training";
    pub(in crate::app) const ROLLOUTS_HELP: &str = "What the model wrote for a step, what it was given, and its \
        advantage: what it learns to write more often, above 0, or less often, below.";
    pub(in crate::app) const ROLLOUTS_STEP: &str = "Of step";
    pub(in crate::app) const BEST_ANSWER: &str = "best";
    pub(in crate::app) const SAMPLE_STEP: &str = "Answers of step";
    pub(in crate::app) const LATEST: &str = "Follow";
    pub(in crate::app) const SMOOTHING: &str = "Smoothing";
    pub(in crate::app) const DISMISS: &str = "Dismiss";
    pub(in crate::app) const RESUME: &str = "Resume";
    pub(in crate::app) const COMPARE: &str = "Compare";
    pub(in crate::app) const EXPORT: &str = "Export";
    pub(in crate::app) const CLOSE: &str = "Close";
    pub(in crate::app) const TRAIN_MORE: &str = "Train more";
    pub(in crate::app) const BRANCH: &str = "Continue with other settings";
    pub(in crate::app) const BRANCH_TEXT: &str =
        "Go on from here with other settings. It becomes a new run; this one stays as it is.";
    pub(in crate::app) const BRANCH_MORE: &str =
        "All its steps are done: the new run takes as many again, unless you change how many.";
    pub(in crate::app) const BRANCH_GO: &str = "Start as a new run";
    pub(in crate::app) const BETA: &str = "Strength β";
    pub(in crate::app) const RATE: &str = "Learning rate";
    pub(in crate::app) const EPOCHS: &str = "Epochs";
    pub(in crate::app) const N_STEPS: &str = "Steps";
    pub(in crate::app) const LOWER_RATE: &str = "Resume with a third of the learning rate";
    pub(in crate::app) const SHOW_BATCH: &str = "Look at the pairs of this step";
    pub(in crate::app) const HIDE_BATCH: &str = "Hide the pairs of this step";
    pub(in crate::app) const KEEP_ANYWAY: &str = "Keep what there is";
    pub(in crate::app) const RESTART: &str = "Restart now";
    pub(in crate::app) const SMALLER: &str = "Smaller steps: one pair at a time";
    pub(in crate::app) const GIVE_UP: &str = "Stop";
    pub(in crate::app) const OUT_OF_MEMORY: &str = "Out of memory";
    pub(in crate::app) const DEVICE_LOST: &str = "The graphics driver reset";
    pub(in crate::app) const FAILED: &str = "The run stopped";
    pub(in crate::app) const REFUSED: &str = "That could not be done";
    pub(in crate::app) const OPEN_MODEL: &str = "Open the model's folder…";
    pub(in crate::app) const FROM_CHECKPOINT: &str = "Restart from the checkpoint";
    pub(in crate::app) const PLAN_ANEW: &str = "Re-plan";
    pub(in crate::app) const FREE_SPACE: &str = "Free space in Runs";
    pub(in crate::app) const EXPORT_NOW: &str = "Export now";
    pub(in crate::app) const CRASHED: &str = "The engine stopped while this run was at work";
    pub(in crate::app) const IMPROVED: &str = "Finished: improved";
    pub(in crate::app) const WITHIN_CHANCE: &str = "Finished: improved, but not significantly";
    pub(in crate::app) const WITHIN_CHANCE_TEXT: &str = "The intervals of before and now overlap, so the difference \
        may be chance. More held-out pairs make them narrower.";
    pub(in crate::app) const NOT_IMPROVED: &str = "Finished. It did not improve";
    pub(in crate::app) const FINISHED: &str = "Finished";
    pub(in crate::app) const NOT_IMPROVED_TEXT: &str = "The held-out pairs are not won more often than before, or not \
        by more than chance. Try more or cleaner \
         pairs, a lower β or another learning rate, and look at the worst pairs in Compare.";
    pub(in crate::app) const NOT_BETTER_TEXT: &str =
        "The held-out rows came out no better than before. Try more rows, more steps, or another learning rate.";
    pub(in crate::app) const TIME: &str = "Time";
    pub(in crate::app) const BEST_STEP: &str = "Best step";
    pub(in crate::app) const MEMORY: &str = "Memory";
    pub(in crate::app) const LOWERING: &str = "Pausing, then going on with the new settings";
    pub(in crate::app) const ROW_GONE: &str = "this pair is not open here";
    pub(in crate::app) const WHOLE: &str = "Show all of it";

    pub(in crate::app) fn status(status: Status) -> &'static str {
        match status {
            Status::Running => INTERRUPTED,
            Status::Paused => "Paused",
            Status::Finished => "Finished",
            Status::Stopped => "Stopped early",
            Status::Diverged => "Diverged",
            Status::Failed => "Failed",
        }
    }

    /// What a button says that goes on with a run.
    pub(in crate::app) fn go_on(run: &RunRecord) -> &'static str {
        match (&run.checkpoint, run.status) {
            (None, _) => "Start over",
            (Some(_), Status::Diverged) => LOWER_RATE,
            (Some(_), _) => "Continue",
        }
    }

    /// What a button says that does what a warning offers; empty if there is none.
    pub(in crate::app) fn offer(offer: Action, keeps_best: bool) -> &'static str {
        match offer {
            Action::StopAtBest if !keeps_best => STOP,
            offer => offer.label(),
        }
    }

    pub(in crate::app) fn not_saved(full: bool, active: bool) -> &'static str {
        match (full, active) {
            (true, true) => "Storage is full; training goes on without being saved",
            (true, false) => "Storage is full: this run is only in memory",
            (false, true) => "The run could not be saved; training goes on in memory",
            (false, false) => "The run could not be saved: it is only in memory",
        }
    }

    /// What a finished run came to: how that is, in a heading, and what to make of it.
    pub(in crate::app) fn verdict(summary: &Summary) -> (Tone, &'static str, &'static str) {
        match (&summary.before, &summary.after) {
            (Some(before), Some(after)) if summary.improved && after.interval[0] <= before.interval[1] => {
                (Tone::Accent, WITHIN_CHANCE, WITHIN_CHANCE_TEXT)
            }
            _ if summary.improved => (Tone::Good, IMPROVED, ""),
            (_, Some(_)) => (Tone::Warn, NOT_IMPROVED, NOT_IMPROVED_TEXT),
            (_, None) if summary.record.n_held_out == 0 => (Tone::Accent, FINISHED, NO_HELD_OUT),
            (None, None) if summary.record.best.is_some() => (Tone::Warn, NOT_IMPROVED, NOT_BETTER_TEXT),
            (_, None) => (Tone::Accent, FINISHED, NOT_SCORED_NOW),
        }
    }

    pub(in crate::app) fn reward(name: &str, reward: Option<f64>) -> String {
        match reward {
            Some(reward) => format!("{name} {}", super::number(reward)),
            None => format!("{name} –"),
        }
    }

    pub(in crate::app) fn advantage(advantage: f64) -> String {
        format!("advantage {advantage:+.2}")
    }

    pub(in crate::app) fn epoch(epoch: f64) -> String {
        format!("epoch {epoch:.2}")
    }

    pub(in crate::app) fn speed(tokens_per_second: f64) -> String {
        format!("{tokens_per_second:.0} tok/s")
    }

    pub(in crate::app) fn left(seconds: f64) -> String {
        format!("~{} left", clock(seconds))
    }

    pub(in crate::app) fn elapsed(seconds: f64) -> String {
        format!("{} elapsed", clock(seconds))
    }

    pub(in crate::app) fn step_of(step: usize, all: usize) -> String {
        format!("step {step}/{all}")
    }

    pub(in crate::app) fn of_pairs(n: usize, interval: [f64; 2]) -> String {
        let [low, high] = interval.map(|bound| format!("{:.0}", bound * 100.0));
        format!("95 % interval {low}–{high} %, {}", counted(n, "pair"))
    }

    fn share(share: &Share) -> String {
        let [low, high] = share.interval.map(|bound| format!("{:.0}", bound * 100.0));
        let rate = share.wins as f64 / share.n.max(1) as f64;
        format!("{}/{} = {} ({low}–{high} %)", share.wins, share.n, percent(rate))
    }

    pub(in crate::app) fn before_and_after(before: &Share, after: &Share) -> String {
        format!("{} before, {} now", share(before), share(after))
    }

    pub(in crate::app) fn more_warnings(n: usize) -> String {
        format!("{n} more, earlier")
    }

    pub(in crate::app) fn whole_of(line: usize) -> String {
        format!("{WHOLE}: line {line}")
    }

    pub(in crate::app) fn few(n: usize) -> String {
        format!("Only {} held out: treat this as a hint.", counted(n, "pair"))
    }

    pub(in crate::app) fn best(step: usize, kept: bool) -> String {
        format!("Best so far: step {step}{}", if kept { " (kept)" } else { "" })
    }

    pub(in crate::app) fn saved(step: usize, bytes: &str, seconds: f64, ago: f64) -> String {
        format!("Saved at step {step}: {bytes} in {}, {} ago", duration(seconds), duration(ago.max(1.0)))
    }

    pub(in crate::app) fn before_at(step: usize) -> String {
        if step == 0 { "Before".to_owned() } else { format!("Before (step {step})") }
    }

    pub(in crate::app) fn now_at(step: usize) -> String {
        format!("Now (step {step})")
    }

    pub(in crate::app) fn paused(step: usize) -> String {
        format!("Paused at step {step}")
    }

    pub(in crate::app) fn paused_text(step: usize, saved: Option<(String, f64)>, unsaved: bool) -> String {
        if unsaved {
            return "It resumes exactly where it is, but only while this app stays open: it is not saved.".to_owned();
        }
        if step == 0 {
            return "No step was taken yet: resuming prepares it again.".to_owned();
        }
        let what =
            saved.map_or_else(String::new, |(bytes, seconds)| format!("{bytes} were saved in {}. ", duration(seconds)));
        format!("{what}It resumes exactly where it is, now, tomorrow or on another computer.")
    }

    pub(in crate::app) fn diverged(step: usize) -> String {
        format!("Diverged at step {step}")
    }

    pub(in crate::app) fn diverged_text(what: &str, safe: Option<usize>) -> String {
        let safe = match safe {
            Some(step) => format!("The last good state is step {step}; nothing of the broken step was kept."),
            None => "Nothing of the broken step was kept.".to_owned(),
        };
        format!("The step was not finite: {what}. {safe}")
    }

    pub(in crate::app) fn safe(step: Option<usize>) -> String {
        match step {
            Some(step) => format!("Your run is safe at step {step}."),
            None => "No step was saved yet; it would begin anew.".to_owned(),
        }
    }

    pub(in crate::app) fn recovering(seconds: f64) -> String {
        format!(
            "It goes on by itself in {}, with less work in one go for the driver.",
            duration(seconds.max(1.0).ceil())
        )
    }

    pub(in crate::app) fn saves(bytes: &str) -> String {
        format!("saves {bytes}")
    }

    pub(in crate::app) fn planned_and_used(planned: &str, used: &str) -> String {
        format!("{used} used, {planned} planned")
    }

    pub(in crate::app) fn warning(step: usize, text: &str) -> String {
        if step == 0 { text.to_owned() } else { format!("Step {step}: {text}") }
    }

    pub(in crate::app) fn line(line: usize) -> String {
        format!("line {line}")
    }
}

// ---- The page that compares. ----

/// Words of the page that compares.
pub(super) mod compare {
    use super::{counted, percent};
    use crate::engine::protocol::PairRow;

    pub(in crate::app) const SUBTITLE: &str = "The tuned model beside the one it came from: the same prompts, the \
         same seed.";
    pub(in crate::app) const PROMPTS: &str = "Prompts";
    pub(in crate::app) const PAIRS: &str = "Pairs";
    pub(in crate::app) const BLIND: &str = "Blind test";
    pub(in crate::app) const WHAT_IF: &str = "What if";
    pub(in crate::app) const EMPTY_TITLE: &str = "Nothing to compare yet";
    pub(in crate::app) const EMPTY_TEXT: &str = "Train something first, or open a stored run.";
    pub(in crate::app) const OPEN: &str = "Open";
    pub(in crate::app) const BUSY_TITLE: &str = "The run needs the GPU";
    pub(in crate::app) const BUSY_TEXT: &str = "Pause it to compare; it goes on exactly where it was.";
    pub(in crate::app) const SHOW_RUN: &str = "Show the run";
    pub(in crate::app) const FAILED_TITLE: &str = "The run failed";
    pub(in crate::app) const FAILED_TEXT: &str = "Its last good state is kept and can be compared.";
    pub(in crate::app) const OPEN_SAFE: &str = "Open its last good state";
    pub(in crate::app) const PROMPT: &str = "Prompt";
    pub(in crate::app) const PROMPT_HINT: &str = "Ask both models something";
    pub(in crate::app) const SEED: &str = "Seed";
    pub(in crate::app) const TEMPERATURE: &str = "Temperature";
    pub(in crate::app) const TEMPERATURE_HELP: &str = "0 always takes the likeliest word; 1 is lively.";
    pub(in crate::app) const MAX_TOKENS: &str = "Max tokens";
    pub(in crate::app) const STRENGTH: &str = "Strength";
    pub(in crate::app) const STRENGTH_HELP: &str =
        "How much of the adapter is used: 0 % is the original model, 100 % as trained, more exaggerates.";
    pub(in crate::app) const WRITE_BOTH: &str = "Generate";
    pub(in crate::app) const DIFF: &str = "Highlight differences";
    pub(in crate::app) const SAME_SEED: &str = "Both use the same seed. Ctrl+Enter to generate.";
    pub(in crate::app) const BASE: &str = "Original";
    pub(in crate::app) const HELD_OUT: &str = "Held-out pairs";
    pub(in crate::app) const BASE_SHORT: &str = "original";
    pub(in crate::app) const TUNED_SHORT: &str = "tuned";
    pub(in crate::app) const REWARD: &str = "reward margin";
    pub(in crate::app) const LINE: &str = "line";
    pub(in crate::app) const PROMPT_COLUMN: &str = "prompt";
    pub(in crate::app) const GAINED_HELP: &str = "Held-out pairs whose chosen answer gained on the rejected one, \
        against the original model, whether they are won or not.";
    pub(in crate::app) const ONLY_LENGTH: &str =
        "This is about what always picking the longer answer would win: the model may have learned only length.";
    pub(in crate::app) const DOSES: &str = "By adapter scale";
    pub(in crate::app) const DOSES_HELP: &str = "An export can fold any strength into the adapter.";
    pub(in crate::app) const SCORE: &str = "Score";
    pub(in crate::app) const WORST: &str = "Worst";
    pub(in crate::app) const IMPROVED: &str = "Most improved";
    pub(in crate::app) const ALL: &str = "All";
    pub(in crate::app) const NO_FLIPPED: &str = "No pair that the original model had right was lost.";
    pub(in crate::app) const INSPECT: &str = "Inspect";
    pub(in crate::app) const INSPECTING: &str = "Scoring every token";
    pub(in crate::app) const LESS_LIKELY: &str = "less likely than before";
    pub(in crate::app) const MORE_LIKELY: &str = "more likely";
    pub(in crate::app) const SCALE: &str = "Scale from orange, less likely, to blue, more likely";
    pub(in crate::app) const ORIGINS: &str = "Most of the margin comes from";
    pub(in crate::app) const BLIND_TITLE: &str = "Which answer is better?";
    pub(in crate::app) const BLIND_TEXT: &str =
        "Two answers in random order, without names. Vote as you like; the names show after the vote.";
    pub(in crate::app) const BEGIN: &str = "Begin";
    pub(in crate::app) const NO_QUESTIONS: &str =
        "There are no prompts: score the held-out pairs first, or watch some prompts in the next run.";
    pub(in crate::app) const RESET: &str = "Start over";
    pub(in crate::app) const RESET_YES: &str = "Throw them away";
    pub(in crate::app) const RESET_NO: &str = "Keep them";
    pub(in crate::app) const NOT_WRITTEN: &str = "This was not written to its end.";
    pub(in crate::app) const WRITE_AGAIN: &str = "Write again";
    pub(in crate::app) const READING: &str = "Reading the prompt";
    pub(in crate::app) const SIDES: [&str; 2] = ["A", "B"];
    pub(in crate::app) const VOTE_A: &str = "A is better";
    pub(in crate::app) const VOTE_B: &str = "B is better";
    pub(in crate::app) const VOTE_TIE: &str = "No difference";
    pub(in crate::app) const NEXT: &str = "Next";
    pub(in crate::app) const KEYS: &str = "Keys: 1 for A, 2 for B, 0 for no difference, space for the next";
    pub(in crate::app) const WIN_RATE: &str = "Win rate of the tuned model";
    pub(in crate::app) const CHANCE: &str = "chance";
    pub(in crate::app) const SAVE_VOTES: &str = "Save the votes as pairs…";
    pub(in crate::app) const SAVE_VOTES_HELP: &str = "A pairs file for the next round; ties are left out.";
    pub(in crate::app) const WHAT_IF_TITLE: &str = "The same figures with another β";
    pub(in crate::app) const WHAT_IF_TEXT: &str = "From the log-ratios of the held-out pairs, exact for the model as \
        it is now. A larger β asks for a smaller \
         step away from the original model.";
    pub(in crate::app) const NOT_A_RUN: &str = "Not a new training run";
    pub(in crate::app) const OWN_BETA: &str = "Back to the run's";
    pub(in crate::app) const LOSS: &str = "Loss (sigmoid)";
    pub(in crate::app) const MARGIN: &str = "Margin";
    pub(in crate::app) const ACCURACY: &str = "Pairs improved";
    pub(in crate::app) const WEIGHT: &str = "Mean gradient weight";
    pub(in crate::app) const WEIGHTS: &str = "Gradient weights of the pairs";
    pub(in crate::app) const WEIGHTS_HELP: &str =
        "How much each pair still pulls: 0 is learned, 0.5 untouched, 1 the wrong way round.";
    pub(in crate::app) const BRANCH: &str = "Branch from here with this β";

    pub(in crate::app) fn which(model: &str, step: usize) -> String {
        format!("{model}, step {step}")
    }

    pub(in crate::app) fn tuned(strength: f32) -> String {
        format!("Tuned, {}", percent(strength.into()))
    }

    pub(in crate::app) fn score(n: usize) -> String {
        format!("Score {}", counted(n, "held-out pair"))
    }

    pub(in crate::app) fn scoring(strength: f32) -> String {
        format!("Scoring with {} of the adapter", percent(strength.into()))
    }

    pub(in crate::app) fn won(wins: u64, n: u64, interval: [f64; 2]) -> String {
        let [low, high] = interval.map(|bound| format!("{:.0}", bound * 100.0));
        format!("won {wins}/{n} = {} ({low}–{high} %)", percent(wins as f64 / n.max(1) as f64))
    }

    pub(in crate::app) fn base_wins(wins: u64, n: u64) -> String {
        format!("original model {wins}/{n} = {}", percent(wins as f64 / n.max(1) as f64))
    }

    pub(in crate::app) fn longer_wins(share: f64) -> String {
        format!("always the longer {}", percent(share))
    }

    pub(in crate::app) fn gained(wins: u64, n: u64) -> String {
        format!("improved {wins}/{n} = {}", percent(wins as f64 / n.max(1) as f64))
    }

    pub(in crate::app) fn at_dose(dose: u32) -> String {
        format!("Score at {dose} %")
    }

    pub(in crate::app) fn flipped(n: usize) -> String {
        format!("Regressed ({n})")
    }

    pub(in crate::app) fn hover(row: &PairRow) -> String {
        format!("{}\n\nchosen: {}\n\nrejected: {}", row.prompt, row.chosen, row.rejected)
    }

    pub(in crate::app) fn inspect(index: usize) -> String {
        format!("Inspect pair {}", index + 1)
    }

    pub(in crate::app) fn inspected(index: usize) -> String {
        format!("Pair {}, token by token", index + 1)
    }

    pub(in crate::app) fn nats(sum: f64) -> String {
        format!("{sum:+.2} nats")
    }

    pub(in crate::app) fn margin(margin: f64, beta: f64, sums: [f64; 2]) -> String {
        format!("Margin {margin:+.3} = β {beta} × (chosen {:+.2}, less rejected {:+.2})", sums[0], sums[1])
    }

    pub(in crate::app) fn token(token: &str, base: f32, tuned: f32, change: f32) -> String {
        format!("“{token}”\noriginal {base:.2}\ntuned {tuned:.2}\nchange {change:+.2} nats")
    }

    pub(in crate::app) fn words(n: usize) -> String {
        counted(n, "word")
    }

    pub(in crate::app) fn tokens(n: usize) -> String {
        counted(n, "token")
    }

    pub(in crate::app) fn pairs(n: usize) -> String {
        counted(n, "pair")
    }

    pub(in crate::app) fn reset_votes(n: usize) -> String {
        format!("{}, not saved as pairs", counted(n, "vote"))
    }

    pub(in crate::app) fn other_votes(step: usize, strength: u32, votes: &str) -> String {
        format!("Adapter of step {step} at {strength} %: {votes}")
    }

    pub(in crate::app) fn votes_file(run: &str) -> String {
        format!("{}-votes.jsonl", super::file_name(run))
    }

    pub(in crate::app) fn round(n: usize) -> String {
        format!("Question {n}")
    }

    pub(in crate::app) fn win_rate(rate: f64, interval: [f64; 2]) -> String {
        let [low, high] = interval.map(|bound| format!("{:.0}", bound * 100.0));
        format!("The tuned model wins {} ({low}–{high} %)", percent(rate))
    }

    pub(in crate::app) fn votes(wins: u64, losses: u64, ties: u64) -> String {
        format!("{wins} for tuned, {losses} for original, {ties} without difference")
    }

    pub(in crate::app) fn at_run_beta(beta: f64) -> String {
        format!("β {beta} (this run)")
    }

    pub(in crate::app) fn at_beta(beta: f64) -> String {
        format!("β {beta:.3}")
    }
}

// ---- The page that exports. ----

/// Words of the page that exports.
pub(super) mod export {
    use super::percent;
    use crate::engine::protocol::{ExportKind, GgufForm, RunRecord};

    pub(in crate::app) const SUBTITLE: &str = "Write the result to files; each is read again and checked.";
    pub(in crate::app) const EMPTY_TITLE: &str = "Nothing to export yet";
    pub(in crate::app) const WHICH: &str = "Which adapter";
    pub(in crate::app) const WHAT: &str = "What to write";
    pub(in crate::app) const STRENGTH_NOTE: &str = "Folded into lora_alpha, so every program uses it.";
    pub(in crate::app) const CARD: &str = "Model card";
    pub(in crate::app) const CARD_HELP: &str = "Goes to README.md; tables of settings and results follow it.";
    pub(in crate::app) const EDIT: &str = "Edit";
    pub(in crate::app) const PREVIEW: &str = "Preview";
    pub(in crate::app) const ANEW: &str = "Regenerate";
    pub(in crate::app) const WHERE: &str = "Where";
    pub(in crate::app) const FOLDER: &str = "Folder";
    pub(in crate::app) const CHOOSE_FOLDER: &str = "Choose…";
    pub(in crate::app) const FOLDER_HINT: &str = "/home/you/models/tone-v2";
    pub(in crate::app) const FOLDER_HELP: &str = "Created if missing; existing files are never overwritten.";
    pub(in crate::app) const DOWNLOADS: &str = "The files come as downloads of this browser.";
    pub(in crate::app) const WRITE: &str = "Write files";
    pub(in crate::app) const CHOOSE: &str = "Choose what to write";
    pub(in crate::app) const NAME_FOLDER: &str = "Name a folder";
    pub(in crate::app) const PAUSE_TO_MERGE: &str = "Pause the run to write a merged model";
    pub(in crate::app) const WHILE_RUNNING: &str = "The run goes on meanwhile: what is written is what it has learned \
        when the step at hand is done.";
    pub(in crate::app) const WRITING: &str = "Writing and checking";
    pub(in crate::app) const FAILED: &str = "Nothing was written";
    pub(in crate::app) const FAILED_PARTLY: &str = "The rest was not written";
    pub(in crate::app) const AGAIN: &str = "Try again";
    pub(in crate::app) const DONE: &str = "Written and checked";
    pub(in crate::app) const COPY: &str = "Copy";
    pub(in crate::app) const COPY_PATH: &str = "Copy path";
    pub(in crate::app) const DOWNLOAD: &str = "Download";
    pub(in crate::app) const DOWNLOAD_ALL: &str = "Download all";
    pub(in crate::app) const OLLAMA: &str =
        "Ollama reads safetensors adapters only for Llama, Mistral and Gemma; GGUF it reads for all families.";

    pub(in crate::app) fn best(step: usize) -> String {
        format!("Best, step {step}")
    }

    pub(in crate::app) fn best_and_last(step: usize) -> String {
        format!("Step {step}, the best and the last")
    }

    pub(in crate::app) fn last(step: usize) -> String {
        format!("Last, step {step}")
    }

    pub(in crate::app) fn kind(kind: ExportKind) -> &'static str {
        match kind {
            ExportKind::Adapter => "Adapter (PEFT)",
            ExportKind::Merged => "Whole model (safetensors)",
            ExportKind::Gguf(GgufForm::Lora) => "Adapter (GGUF)",
            ExportKind::Gguf(GgufForm::F16) => "Whole model (GGUF, F16)",
            ExportKind::Gguf(GgufForm::Q8_0) => "Whole model (GGUF, Q8_0)",
            ExportKind::Gguf(GgufForm::Q4_0) => "Whole model (GGUF, Q4_0)",
            ExportKind::Trl => "Folder for TRL",
            ExportKind::Metrics => "Settings and metrics",
            ExportKind::Archive => "Run archive (.run)",
        }
    }

    pub(in crate::app) fn kind_help(kind: ExportKind) -> &'static str {
        match kind {
            ExportKind::Adapter => "For transformers and PEFT, vLLM and others; small, needs the original model.",
            ExportKind::Merged => "The original model with the adapter in its weights; opens wherever the model does.",
            ExportKind::Gguf(GgufForm::Lora) => "For llama.cpp and Ollama, beside the original model as GGUF.",
            ExportKind::Gguf(GgufForm::F16) => "For llama.cpp, Ollama, LM Studio and Jan; the closest to the original.",
            ExportKind::Gguf(GgufForm::Q8_0) => "The same in half the size; hardly told apart from it.",
            ExportKind::Gguf(GgufForm::Q4_0) => "The same in a quarter of the size; answers may suffer.",
            ExportKind::Trl => "Goes on with the run in TRL on accelerate: one GPU or several, DeepSpeed, FSDP.",
            ExportKind::Metrics => "JSON, JSONL, CSV and a TensorBoard file, with TRL's names.",
            ExportKind::Archive => "Everything of the run; opens and continues on the desktop and in the browser.",
        }
    }

    /// The text of the card that is proposed.
    pub(in crate::app) fn model_card(record: &RunRecord, method: &str, beta: Option<f64>, rank: f64) -> String {
        let RunRecord { name, model_name, pairs_name, step, n_held_out, .. } = record;
        let beta = beta.map_or_else(String::new, |beta| format!("beta {beta}, "));
        let mut card = format!(
            "# {name}\n\nA LoRA adapter for {model_name}, tuned by {method} on {pairs_name} with pairtune.\n\n\
             ## Training\n\n- {beta}rank {rank}\n- {step} steps\n"
        );
        if let Some([before, now]) = record.won.map(|won| won.map(percent)) {
            let longer = percent(record.longer_wins);
            card += &format!(
                "- held-out pairs won: {before} before, {now} after ({n_held_out} pairs; always the longer answer: \
                 {longer})\n"
            );
        }
        card
    }

    pub(in crate::app) fn about(bytes: &str) -> String {
        format!("~{bytes}")
    }

    pub(in crate::app) fn copy_of(what: &str) -> String {
        format!("Copy: {what}")
    }
}

// ---- The stored runs. ----

/// Words of the list of runs.
pub(super) mod runs {
    pub(in crate::app) const SUBTITLE: &str = "All training runs on this computer.";
    pub(in crate::app) const LOADING: &str = "Reading the list";
    pub(in crate::app) const EMPTY_TITLE: &str = "No runs yet";
    pub(in crate::app) const EMPTY_TEXT: &str =
        "A run appears here as soon as it begins, and stays until you delete it.";
    pub(in crate::app) const IMPORT: &str = "Import a .run archive…";
    pub(in crate::app) const REFRESH: &str = "Refresh";
    pub(in crate::app) const NAME: &str = "name";
    pub(in crate::app) const STATUS: &str = "status";
    pub(in crate::app) const MODEL: &str = "model and pairs";
    pub(in crate::app) const BETA: &str = "β";
    pub(in crate::app) const RANK: &str = "rank";
    pub(in crate::app) const WON: &str = "won";
    pub(in crate::app) const LOSS: &str = "loss";
    pub(in crate::app) const SIZE: &str = "size";
    pub(in crate::app) const DATE: &str = "date";
    pub(in crate::app) const CHANGES: &str = "changes";
    pub(in crate::app) const CHANGES_TITLE: &str = "Changes from the previous run";
    pub(in crate::app) const FIRST: &str = "No earlier run of this model.";
    pub(in crate::app) const SAME: &str = "The same settings as the run before.";
    pub(in crate::app) const OPEN: &str = "Open";
    pub(in crate::app) const DUPLICATE: &str = "Duplicate";
    pub(in crate::app) const DUPLICATE_HELP: &str = "Takes its settings to the plan.";
    pub(in crate::app) const DELETE: &str = "Delete…";
    pub(in crate::app) const DELETE_YES: &str = "Delete";
    pub(in crate::app) const DELETE_NO: &str = "Keep it";
    pub(in crate::app) const DELETE_TEXT: &str =
        "Its checkpoints, adapter and figures are deleted. Exported files stay.";
    pub(in crate::app) const RUN_NAME: &str = "Name";
    pub(in crate::app) const NOTES: &str = "Notes";
    pub(in crate::app) const NOTES_HINT: &str = "What was tried, and what came of it";
    pub(in crate::app) const SAVE: &str = "Save";
    pub(in crate::app) const SETTINGS: &str = "All settings of this run";
    pub(in crate::app) const OVERLAY: &str = "Selected runs";
    pub(in crate::app) const OVERLAY_HELP: &str = "Tick several runs to see their curves together.";
    pub(in crate::app) const ACCURACY: &str = "Held-out accuracy";
    pub(in crate::app) const MARGIN: &str = "Held-out margin";
    pub(in crate::app) const TRAIN_LOSS: &str = "Training loss";
    pub(in crate::app) const STORAGE: &str = "Storage";
    pub(in crate::app) const NOT_KEPT: &str = "The browser may clear it when space is short.";

    pub(in crate::app) fn sort_by(title: &str) -> String {
        format!("Sort by {title}")
    }

    pub(in crate::app) fn select(name: &str) -> String {
        format!("Show the curves of {name}")
    }

    pub(in crate::app) fn details(name: &str) -> String {
        format!("Details of {name}")
    }

    pub(in crate::app) fn delete_several(n: usize) -> String {
        format!("Delete these {n} runs…")
    }

    pub(in crate::app) fn delete_titles(n: usize) -> String {
        format!("Delete {n} runs?")
    }

    pub(in crate::app) fn delete_title(name: &str) -> String {
        format!("Delete “{name}”?")
    }

    pub(in crate::app) fn used(used: &str, quota: Option<&str>) -> String {
        quota.map_or_else(|| format!("{used} used"), |quota| format!("{used} of {quota} used"))
    }

    pub(in crate::app) fn changes(n: usize) -> String {
        match n {
            0 => "none".to_owned(),
            1 => "1 setting".to_owned(),
            n => format!("{n} settings"),
        }
    }

    pub(in crate::app) fn won([before, now]: [f64; 2]) -> String {
        format!("{:.0} to {:.0} %", before * 100.0, now * 100.0)
    }

    pub(in crate::app) fn change(name: &str, before: &str, now: &str) -> String {
        format!("{name}: {before}, now {now}")
    }

    pub(in crate::app) fn steps(step: usize, all: usize) -> String {
        format!("{step}/{all} steps")
    }
}

/// The day of seconds since 1970, in universal time: `2026-03-14`.
pub(super) fn date(seconds: f64) -> String {
    // Howard Hinnant's civil_from_days.
    let days = (seconds / 86_400.0).floor() as i64 + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year}-{month:02}-{day:02}")
}
