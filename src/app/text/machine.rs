//! Sentences about this machine: the GPU, the network, the storage, another tab.

use super::units;
use crate::engine::protocol::{Backend, GpuInfo, Problem, StorageInfo};
use crate::platform::{Environment, NetworkEntry, Purpose};

pub(crate) const OTHER_TAB_TITLE: &str = "Another tab or window is using the GPU";
pub(crate) const QUIT_TITLE: &str = "A run is at work";
pub(crate) const TRIAL_TITLE: &str = "A race or a sweep is at work";

/// Bytes of these requests; a page comes over the network itself, which they leave out.
pub(crate) fn network_line(requests: &[&NetworkEntry], in_browser: bool) -> String {
    let besides = if in_browser { " besides the app" } else { "" };
    format!("Network: {}, {} received{besides}", sent(requests), units::bytes(received(requests)))
}

/// The user's data that these requests sent: nothing but the words of searches.
pub(crate) fn sent(requests: &[&NetworkEntry]) -> String {
    let searches = requests.iter().filter(|request| request.purpose == Purpose::ModelSearch).count();
    match searches {
        0 => "0 B of your data sent".to_owned(),
        n => format!("the words of {} sent", units::counted(n, "search")),
    }
}

pub(crate) fn storage_line(storage: &StorageInfo) -> String {
    match storage.quota {
        Some(quota) => format!("Storage: {} of {}", units::bytes(storage.used), units::bytes(quota)),
        None => format!("Storage: {}", units::bytes(storage.used)),
    }
}

/// The interface to the GPU, as people know it.
pub(crate) fn backend(backend: Backend) -> &'static str {
    match backend {
        Backend::BrowserWebGpu => "WebGPU",
        Backend::Dx12 => "DirectX 12",
        Backend::Vulkan => "Vulkan",
        Backend::Metal => "Metal",
        Backend::Gl => "OpenGL",
        Backend::Noop => "none",
    }
}

/// Everything about GPU and build, for a bug report.
pub(crate) fn report(environment: &Environment, gpu: Option<&GpuInfo>, problem: Option<&Problem>) -> String {
    let mut out = format!("pairtune {}\n", crate::engine::protocol::BUILD);
    out.push_str(&format!("{} {} {}\n", environment.world, environment.system, environment.browser));
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

/// Bytes of these requests.
pub(crate) fn received(requests: &[&NetworkEntry]) -> u64 {
    requests.iter().map(|entry| entry.bytes).sum()
}

/// True for a request for one of the app's own files.
pub(crate) fn is_own(request: &NetworkEntry) -> bool {
    request.purpose == Purpose::App
}

/// Purpose of a request, as the ledger names it.
pub(crate) fn purpose(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::App => "the app itself",
        Purpose::ModelSearch => "a search for models",
        Purpose::ModelList => "the list of the model's files",
        Purpose::ModelConfig => "the model's configuration",
        Purpose::ModelCommit => "the model's commit",
        Purpose::Model => "a model that you asked for",
        Purpose::Other => "other",
    }
}
