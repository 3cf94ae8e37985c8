//! Everything that is measured, in order.

use serde::Serialize;

use super::kernels::GFLOPS;
use super::{Growth, KernelSpeed, Peaks, Sizes, StepSpeed, Writing};
use std::fmt;

use crate::error::{Error, Result};
use crate::gpu::{AdapterReport, Counters, Gpu};

/// Measurements of a device.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The device.
    pub adapter: AdapterReport,
    /// Its peak rates, the best of several measurements in the same run.
    pub peaks: Peaks,
    /// Each kernel at the shapes of models.
    pub kernels: Vec<KernelSpeed>,
    /// Training steps.
    pub steps: Vec<StepSpeed>,
    /// Texts.
    pub writing: Vec<Writing>,
    /// Growth of a step's time.
    pub growth: Vec<Growth>,
}

/// The names and sizes of the models whose shapes are measured.
pub const MODELS: [(&str, Sizes); 4] = [
    ("demo", Sizes::DEMO),
    ("SmolLM2-135M", Sizes::SMOLLM2_135M),
    ("Qwen3-0.6B", Sizes::QWEN3_0_6B),
    ("Llama-3.2-1B", Sizes::LLAMA_3_2_1B),
];

/// Extent of the measurements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// The two smallest models, which fit any device and take a minute or two.
    Small,
    /// Everything; on a software adapter, which takes minutes for them, no steps of the larger models.
    Whole,
}

/// Measures the device; `seconds` is the platform's clock, `say` is told what comes next and may stop.
pub async fn bench(
    gpu: &Gpu,
    extent: Extent,
    seconds: &dyn Fn() -> f64,
    say: &mut dyn FnMut(&str) -> bool,
) -> Result<Report> {
    let bench = Bench { gpu, seconds };
    let mut next = |what: &str| if say(what) { Ok(()) } else { Err(Error::Cancelled) };
    next("peaks of multiply-adds and of copying")?;
    let mut peaks = bench.peaks().await?;
    let models = if extent == Extent::Small { &MODELS[..2] } else { &MODELS[..] };
    let mut kernels = Vec::new();
    for (name, sizes) in models {
        next(&format!("kernels at the shapes of {name}"))?;
        kernels.extend(bench.kernels(name, sizes).await?);
        // Peaks are measured again, since another program or a clock that rises late can make one measurement too low.
        peaks = peaks.max(bench.peaks().await?);
    }
    let stepped = if gpu.report().is_software() { &models[..2] } else { models };
    let mut steps = Vec::new();
    for (name, sizes) in stepped {
        next(&format!("a training step of {name}"))?;
        steps.push(bench.step(name, *sizes).await?);
    }
    next("texts of SmolLM2-135M")?;
    let writing = bench.writing("SmolLM2-135M", Sizes::SMOLLM2_135M).await?;
    next("growth with tokens, layers, width and vocabulary")?;
    let growth = bench.growth().await?;
    peaks = peaks.max(bench.peaks().await?);
    for speed in &mut kernels {
        speed.share = speed.rate / if speed.unit == GFLOPS { peaks.fma_gflops } else { peaks.copy_gbytes };
    }
    for step in &mut steps {
        step.share = step.gflops / peaks.fma_gflops;
    }
    Ok(Report { adapter: gpu.report().clone(), peaks, kernels, steps, writing, growth })
}

/// A device and a clock.
pub(super) struct Bench<'a> {
    pub(super) gpu: &'a Gpu,
    pub(super) seconds: &'a dyn Fn() -> f64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AdapterReport { name, backend, device_type, .. } = &self.adapter;
        writeln!(f, "{name} ({backend}, {device_type})")?;
        writeln!(f, "multiply-add peak {:.1} GFLOP/s", self.peaks.fma_gflops)?;
        writeln!(f, "copying           {:.1} GB/s\n", self.peaks.copy_gbytes)?;
        for speed in &self.kernels {
            let KernelSpeed { model, kernel, shape, seconds, rate, unit, share } = speed;
            let (ms, percent) = (1e3 * seconds, 100.0 * share);
            writeln!(f, "{model:13} {kernel:46} {shape:30} {ms:9.3} ms {rate:9.1} {unit:7} {percent:3.0} %")?;
        }
        for step in &self.steps {
            writeln!(f, "\n{step}")?;
        }
        writeln!(f)?;
        for Writing { model, texts, tokens_per_second } in &self.writing {
            let texts = if *texts == 1 { "one text".to_owned() } else { format!("{texts} texts together") };
            writeln!(f, "{model}: {texts}, {tokens_per_second:.1} tokens/s")?;
        }
        for Growth { size, values: [from, to], seconds: [first, second], slope } in &self.growth {
            writeln!(f, "{size} {from} -> {to}: {first:.3} -> {second:.3} s, slope {slope:.2}")?;
        }
        Ok(())
    }
}

impl fmt::Display for StepSpeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { model, pairs, tokens, seconds, tokens_per_second, share, peak_bytes, counters, kernels, .. } = self;
        let (percent, mib) = (100.0 * share, peak_bytes >> 20);
        write!(
            f,
            "{model}: a step of {pairs} pairs of {tokens} tokens {seconds:.3} s, {tokens_per_second:.0} tokens/s, \
             {percent:.0} % of the peak, {mib} MiB"
        )?;
        let Counters { dispatches, bind_groups, submissions, readbacks, bytes_written } = counters;
        write!(
            f,
            "\n  {dispatches} dispatches, {bind_groups} new bind groups, {submissions} submissions, {readbacks} \
             readbacks, {bytes_written} bytes written"
        )?;
        let all: f64 = kernels.iter().map(|kernel| kernel.time.seconds).sum();
        for kernel in kernels {
            let (time, share) = (1e3 * kernel.time.seconds, 100.0 * kernel.time.seconds / all);
            write!(f, "\n  {:46} {:5} {time:9.3} ms {share:3.0} %", kernel.kernel, kernel.time.dispatches)?;
        }
        Ok(())
    }
}
