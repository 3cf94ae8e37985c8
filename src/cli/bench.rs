//! `pairtune bench`: how fast is this GPU?

use pairtune::Result;
use pairtune::bench::{Extent, bench as measure};
use pairtune::gpu::Gpu;
use pairtune::platform::native::{seconds, unix_seconds, write_atomic};
use serde_json::json;

use super::args::BenchArgs;
use super::output::Output;

/// Measures the adapter, and prints what it found.
pub(super) async fn bench(args: &BenchArgs, out: &mut Output) -> Result<()> {
    let gpu = Gpu::new(&args.gpu.choice()).await?;
    let report = measure(&gpu, Extent::Whole, &seconds, &mut |what| {
        out.note(format_args!("{what}"));
        true
    })
    .await?;
    if let Some(file) = &args.output {
        let record = json!({
            "version": env!("CARGO_PKG_VERSION"), "date": unix_seconds(), "report": report,
        });
        write_atomic(file, &serde_json::to_vec_pretty(&record).unwrap_or_default())?;
    }
    match args.json {
        true => out.result(json!(report)),
        false => out.result(report),
    }
    Ok(())
}
