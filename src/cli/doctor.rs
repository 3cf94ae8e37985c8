//! `pairtune doctor`: does this GPU compute correctly, and how fast?

use std::path::Path;

use pairtune::doctor::{check_all, measure, shaders};
use pairtune::gpu::Gpu;
use pairtune::platform::native::{AtomicFile, make_folder, seconds};
use pairtune::{Error, Result};
use serde_json::json;

use super::args::DoctorArgs;
use super::output::Output;

/// Reports on the adapter, checks every kernel, measures speed, and ends with a verdict.
pub(super) async fn doctor(args: &DoctorArgs, out: &mut Output) -> Result<()> {
    if let Some(folder) = &args.shaders {
        return write_shaders(folder, args.json, out);
    }
    let gpu = Gpu::new(&args.gpu.choice()).await?;
    let report = gpu.report();
    let mib = |bytes: u64| format!("{} MiB", bytes >> 20);
    if !args.json {
        for (name, value) in [
            ("adapter", format!("{} ({}, {})", report.name, report.backend, report.device_type)),
            ("driver", report.driver.clone()),
            ("largest binding", mib(report.max_storage_buffer_binding_size)),
            ("largest buffer", mib(report.max_buffer_size)),
            ("workgroup memory", format!("{} KiB", report.max_compute_workgroup_storage_size >> 10)),
            ("workgroup invocations", report.max_compute_invocations_per_workgroup.to_string()),
            ("features", if report.features.is_empty() { "none".to_owned() } else { report.features.join(", ") }),
        ] {
            out.result(format_args!("{name:22} {value}"));
        }
        out.result("");
    }
    let checks = check_all(&gpu).await?;
    if !args.json {
        for check in &checks {
            let (name, ok) = (&check.name, if check.ok { "ok" } else { "WRONG" });
            out.result(format_args!("{name:28} error {:8.1e}  tolerance {:8.1e}  {ok}", check.error, check.tolerance));
        }
        out.result("");
    }
    let speed = measure(&gpu, seconds).await?;
    let failed: Vec<&str> = checks.iter().filter(|check| !check.ok).map(|check| check.name.as_str()).collect();
    if args.json {
        let peak = speed.fma_peak_gflops;
        out.result(json!({
            "adapter": report, "kernels": checks, "fma_peak_gflops": peak, "variants": speed.variants,
            "matmul": speed.matmul,
        }));
    } else {
        out.result(format_args!("{:38} {:8.1} GFLOP/s", "multiply-add peak", speed.fma_peak_gflops));
        for (call, variant) in &speed.variants {
            out.result(format_args!("{call:38} {variant}, by autotune"));
        }
        for matmul in &speed.matmul {
            let percent = 100.0 * matmul.share;
            out.result(format_args!("{:38} {:8.1} GFLOP/s, {percent:.0} % of it", matmul.shape, matmul.gflops));
        }
        let percent = speed.matmul.first().map_or(0.0, |matmul| 100.0 * matmul.share);
        let verdict = match failed.as_slice() {
            [] => format!("all {} kernels agree with their CPU twins", checks.len()),
            names => format!("{} of {} kernels differ from their CPU twins", names.len(), checks.len()),
        };
        out.result("");
        out.result(format_args!(
            "verdict: {verdict}; matmul reaches {percent:.0} % of this adapter's multiply-add peak"
        ));
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(Error::device(
            format!("Some kernels compute wrongly on this adapter: {}", failed.join(", ")),
            "Update the driver, or choose another adapter with --adapter-name",
        )),
    }
}

/// Writes every shader into a folder, over those of an earlier time; other files there stay.
fn write_shaders(folder: &Path, json: bool, out: &Output) -> Result<()> {
    make_folder(folder)?;
    let shaders = shaders();
    for (name, text) in &shaders {
        let mut file = AtomicFile::create(&folder.join(name))?;
        file.write(text.as_bytes())?;
        file.commit()?;
    }
    let names: Vec<&String> = shaders.iter().map(|(name, _)| name).collect();
    match json {
        true => out.result(json!({"folder": folder.display().to_string(), "shaders": names})),
        false => out.result(format_args!("{} shaders are in {}", names.len(), folder.display())),
    }
    Ok(())
}
