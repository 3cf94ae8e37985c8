//! Everything that is measured, in order.

use serde::Serialize;

use super::{Growth, KernelSpeed, Peaks, Sizes, StepSpeed, Writing};
use crate::error::Result;
use crate::gpu::{AdapterReport, Gpu};

/// What a device does.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The device.
    pub adapter: AdapterReport,
    /// What it can do at the most, measured in the same run.
    pub peaks: Peaks,
    /// Each kernel at the shapes of models.
    pub kernels: Vec<KernelSpeed>,
    /// Training steps.
    pub steps: Vec<StepSpeed>,
    /// Texts.
    pub writing: Vec<Writing>,
    /// How a step's time grows.
    pub growth: Vec<Growth>,
}

/// The names and sizes of the models whose shapes are measured.
pub const MODELS: [(&str, Sizes); 4] = [
    ("demo", Sizes::DEMO),
    ("SmolLM2-135M", Sizes::SMOLLM2_135M),
    ("Qwen3-0.6B", Sizes::QWEN3_0_6B),
    ("Llama-3.2-1B", Sizes::LLAMA_3_2_1B),
];

/// Measures everything; `seconds` is the platform's clock, `say` is told what comes next.
pub async fn bench(gpu: &Gpu, seconds: &dyn Fn() -> f64, say: &mut dyn FnMut(&str)) -> Result<Report> {
    let bench = Bench { gpu, seconds };
    say("peaks of multiply-adds and of copying");
    let peaks = bench.peaks().await?;
    let mut kernels = Vec::new();
    for (name, sizes) in MODELS {
        say(&format!("kernels at the shapes of {name}"));
        kernels.extend(bench.kernels(name, &sizes, &peaks).await?);
    }
    // A software adapter takes minutes for a step of the larger ones.
    let stepped = if gpu.report().is_software() { &MODELS[..2] } else { &MODELS[..] };
    let mut steps = Vec::new();
    for (name, sizes) in stepped {
        say(&format!("a training step of {name}"));
        steps.push(bench.step(name, *sizes, &peaks).await?);
    }
    say("texts of SmolLM2-135M");
    let writing = bench.writing("SmolLM2-135M", Sizes::SMOLLM2_135M).await?;
    say("growth with tokens, layers, width and vocabulary");
    let growth = bench.growth().await?;
    Ok(Report { adapter: gpu.report().clone(), peaks, kernels, steps, writing, growth })
}

/// A device and a clock.
pub(super) struct Bench<'a> {
    pub(super) gpu: &'a Gpu,
    pub(super) seconds: &'a dyn Fn() -> f64,
}
