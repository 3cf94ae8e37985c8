//! The texts of this page.

use crate::app::records;
use crate::app::text::{machine, run, units};
use crate::engine::protocol::{GpuInfo, RunRecord, Status, StorageInfo};
use crate::platform::{Environment, NetworkEntry, World};

pub(super) const START_TITLE: &str = "Teach a small language model your taste";
pub(super) const START_SUBTITLE: &str = "Show it pairs of answers, one better than the other. Everything stays on this \
                                         machine.";
pub(super) const DEMO_BUTTON: &str = "Try the 60-second demo";
pub(super) const DEMO_BUTTON_SLOW: &str = "Try the demo: a few minutes here";
pub(super) const ENGINE_STARTING: &str = "Starting the engine…";
pub(super) const DEMO_NEEDS_GPU: &str = "No GPU was found, which it needs; see above.";
pub(super) const DEMO_WHAT: &str = "Trains at once, with live charts and a before and after.";
pub(super) const DEMO_NOTE: &str = "A tiny bundled model with its pairs: no download, nothing to set.";
pub(super) const RACE: &str = "DPO beside RLHF, on the demo";
pub(super) const RACE_HELP: &str = "Trains the demo both ways and measures what each takes and gives: a few minutes.";
pub(super) const SWEEP: &str = "Beta from too low to too high, on the demo";
pub(super) const SWEEP_HELP: &str = "Trains the demo with five values of beta and shows which is about right.";
pub(super) const OWN_TITLE: &str = "Your own model and pairs";
pub(super) const OPEN_FOUND: &str = "Use this model";
pub(super) const FROM_HUB: &str = "or get one from Hugging Face";
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
pub(super) const DESKTOP_APP: &str = "Copy the command of the desktop app";
pub(super) const SOFTWARE_TITLE: &str = "No GPU: running on the CPU";
/// Command that runs the desktop app from the source.
pub(super) const RUN_DESKTOP: &str = "cargo run --release";

/// Describes a model that was found on this computer.
pub(super) fn found(name: &str, bytes: u64, is_tunable: bool) -> String {
    let note = if is_tunable { "" } else { "  (cannot be tuned)" };
    format!("{name}  {}{note}", units::bytes(bytes))
}

pub(super) fn continue_title(run: &RunRecord) -> String {
    match run.checkpoint {
        Some(_) => format!("Continue \"{}\", step {}/{}", run.name, units::count(run.step), units::count(run.n_steps)),
        None => format!("Start over: \"{}\", {} steps", run.name, units::count(run.n_steps)),
    }
}

pub(super) fn continue_run(record: &RunRecord) -> String {
    format!("{}: {}", run::go_on(record), record.name)
}

pub(super) fn discard_run(name: &str) -> String {
    format!("{} {name}", run::DISCARD)
}

pub(super) fn continue_note(run: &RunRecord) -> String {
    let status = match run.status {
        Status::Paused => "Paused",
        Status::Diverged => "Diverged",
        Status::Failed => "Stopped by a failure",
        _ => "Interrupted",
    };
    let left = records::seconds_left(run)
        .map_or_else(String::new, |seconds| format!(", about {} left", units::duration(seconds)));
    format!("{status}{left}: {} with {}", run.model_name, run.pairs_name)
}

pub(super) fn gpu_details(gpu: &GpuInfo) -> String {
    let has = |feature: &str| gpu.features.iter().any(|f| f.to_lowercase().replace(['-', '_'], "").contains(feature));
    let mut parts = vec![format!("GPU: {}, {}", gpu.name, machine::backend(gpu.backend))];
    if has("shaderf16") {
        parts.push("f16".to_owned());
    }
    if has("subgroup") {
        parts.push("subgroups".to_owned());
    }
    parts.push(format!("buffers up to {}", units::bytes(gpu.max_buffer_size)));
    if let Some(memory) = gpu.memory {
        parts.push(format!("{} of memory", units::bytes(memory)));
    }
    parts.join(" · ")
}

pub(super) fn network_details(requests: &[&NetworkEntry], in_browser: bool) -> String {
    format!("{}. Help lists the requests.", machine::network_line(requests, in_browser))
}

pub(super) fn storage_details(place: &str, storage: &StorageInfo, in_browser: bool) -> String {
    let used = machine::storage_line(storage);
    let kept = if storage.persisted || !in_browser { "" } else { "; the browser may clear it when space is short" };
    format!("{used}, in {place}{kept}")
}

pub(super) fn software(name: &str) -> String {
    format!(
        "{name} computes on the processor, about 100 times slower than a GPU. The demo works; for more, turn on \
         hardware acceleration in the settings of the browser or system, or install the driver of your GPU."
    )
}

/// Ways to get a GPU in this environment.
pub(super) fn gpu_fixes(environment: &Environment) -> Vec<String> {
    if environment.world == World::Desktop {
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
