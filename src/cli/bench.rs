//! `pairtune bench`: how fast is this GPU?

use pairtune::Result;
use pairtune::bench::{Report, bench as measure};
use pairtune::gpu::Gpu;
use pairtune::platform::native::{seconds, write_atomic};
use serde_json::json;

use super::args::BenchArgs;
use super::output::Output;

/// Measures the adapter, and prints what it found.
pub(super) async fn bench(args: &BenchArgs, out: &mut Output) -> Result<()> {
    let gpu = Gpu::new(&args.gpu.choice()).await?;
    let report = measure(&gpu, &seconds, &mut |what| out.note(format_args!("{what}"))).await?;
    if let Some(file) = &args.output {
        let record = json!({
            "version": env!("CARGO_PKG_VERSION"), "date": pairtune::platform::native::unix_seconds(), "report": report,
        });
        write_atomic(file, &serde_json::to_vec_pretty(&record).unwrap_or_default())?;
    }
    match args.json {
        true => out.result(json!(report)),
        false => print(&report, out),
    }
    Ok(())
}

fn print(report: &Report, out: &Output) {
    let adapter = &report.adapter;
    out.result(format_args!("{} ({}, {})", adapter.name, adapter.backend, adapter.device_type));
    out.result(format_args!("multiply-add peak {:.1} GFLOP/s", report.peaks.fma_gflops));
    out.result(format_args!("copying           {:.1} GB/s\n", report.peaks.copy_gbytes));
    for speed in &report.kernels {
        out.result(format_args!(
            "{:13} {:46} {:30} {:9.3} ms {:9.1} {:7} {:3.0} %",
            speed.model,
            speed.kernel,
            speed.shape,
            1e3 * speed.seconds,
            speed.rate,
            speed.unit,
            100.0 * speed.share
        ));
    }
    for step in &report.steps {
        out.result(format_args!(
            "\n{}: a step of {} pairs of {} tokens {:.3} s, {:.0} tokens/s, {:.0} % of the peak, {} MiB",
            step.model,
            step.pairs,
            step.tokens,
            step.seconds,
            step.tokens_per_second,
            100.0 * step.share,
            step.peak_bytes >> 20
        ));
        let counters = &step.counters;
        out.result(format_args!(
            "  {} dispatches, {} new bind groups, {} submissions, {} readbacks, {} bytes written",
            counters.dispatches, counters.bind_groups, counters.submissions, counters.readbacks, counters.bytes_written
        ));
        let all: f64 = step.kernels.iter().map(|kernel| kernel.time.seconds).sum();
        for kernel in &step.kernels {
            let (time, share) = (1e3 * kernel.time.seconds, 100.0 * kernel.time.seconds / all);
            out.result(format_args!("  {:46} {:5} {time:9.3} ms {share:3.0} %", kernel.kernel, kernel.time.dispatches));
        }
    }
    out.result("");
    for writing in &report.writing {
        let (model, texts) = (writing.model, writing.texts);
        out.result(format_args!("{model}: {texts} texts together, {:.1} tokens/s", writing.tokens_per_second));
    }
    for growth in &report.growth {
        let ([from, to], [first, second]) = (growth.values, growth.seconds);
        let (size, slope) = (growth.size, growth.slope);
        out.result(format_args!("{size} {from} -> {to}: {first:.3} -> {second:.3} s, slope {slope:.2}"));
    }
}
