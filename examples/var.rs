use pairtune::gpu::*;
use std::time::Instant;
fn cpu() -> f64 {
    let s = std::fs::read_to_string("/proc/self/stat").unwrap();
    let f: Vec<&str> = s.rsplit(") ").next().unwrap().split(' ').collect();
    (f[11].parse::<f64>().unwrap() + f[12].parse::<f64>().unwrap()) / 100.0
}
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct P {
    m: u32,
    n: u32,
    k4: u32,
    ldy4: u32,
    first4: u32,
    acc: u32,
    scale: f32,
}
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct F {
    rounds: u32,
    factor: f32,
}
fn main() {
    pollster::block_on(async {
        let a: Vec<u32> = std::env::args().skip(1).map(|x| x.parse().unwrap()).collect();
        let (tm, tn) = if a.len() > 2 { (a[0] * 8, a[1] * 4 * 64) } else { (a[0] * 4 * 8, a[1] * 4 * 8) };
        let gpu = Gpu::new(&AdapterChoice::default()).await.unwrap();
        let wgsl: &'static str = Box::leak(std::fs::read_to_string("/tmp/var.wgsl").unwrap().into_boxed_str());
        let kernel: &'static Kernel = Box::leak(Box::new(Kernel {
            name: "var",
            wgsl,
            params_bytes: 28,
            binds: &[Bind::Read, Bind::Read, Bind::Write],
        }));
        let fk: &'static Kernel = Box::leak(Box::new(Kernel {
            name: "fma",
            wgsl: include_str!("../shaders/fma_peak.wgsl"),
            params_bytes: 8,
            binds: &[Bind::Write],
        }));
        let o = gpu.zeros("o", 1, 65536, Dtype::F32);
        let mut peak: f64 = 0.0;
        let (m, n, k) = (1024u32, 1024u32, 1024u32);
        let x = gpu.upload("x", m, k, Dtype::F32, &(0..m * k).map(|i| (i % 7) as f32).collect::<Vec<_>>());
        let w = gpu.upload("w", n, k, Dtype::F32, &(0..n * k).map(|i| (i % 5) as f32).collect::<Vec<_>>());
        let y = gpu.zeros("y", m, n, Dtype::F32);
        let mut best = f64::MAX;
        for _ in 0..5 {
            gpu.wait().await.unwrap();
            let t = Instant::now();
            let mut rec = gpu.recorder();
            rec.dispatch(fk, &F { rounds: 100, factor: 0.5 }, &[&o], [1024, 1, 1]);
            rec.submit();
            gpu.wait().await.unwrap();
            peak = peak.max(65536.0 * 100.0 * 32.0 * 8.0 / t.elapsed().as_secs_f64() / 1e9);
            let t = Instant::now();
            let mut rec = gpu.recorder();
            rec.dispatch(
                kernel,
                &P { m, n, k4: k / 4, ldy4: n / 4, first4: 0, acc: 0, scale: 1.0 },
                &[&x, &w, &y],
                [n.div_ceil(tn), m.div_ceil(tm), 1],
            );
            rec.submit();
            gpu.wait().await.unwrap();
            best = best.min(t.elapsed().as_secs_f64());
        }
        let c0 = cpu();
        for _ in 0..10 {
            let mut rec = gpu.recorder();
            rec.dispatch(fk, &F { rounds: 400, factor: 0.5 }, &[&o], [1024, 1, 1]);
            rec.submit();
            gpu.wait().await.unwrap();
        }
        let c1 = cpu();
        for _ in 0..6 {
            let mut rec = gpu.recorder();
            rec.dispatch(
                kernel,
                &P { m, n, k4: k / 4, ldy4: n / 4, first4: 0, acc: 0, scale: 1.0 },
                &[&x, &w, &y],
                [n.div_ceil(tn), m.div_ceil(tm), 1],
            );
            rec.submit();
            gpu.wait().await.unwrap();
        }
        let c2 = cpu();
        let pf = 65536.0 * 4000.0 * 32.0 * 8.0 / (c1 - c0) / 1e9;
        let pm = 12.0 * 1024f64.powi(3) / (c2 - c1) / 1e9;
        println!(
            "{:?} wall {:.1}/{:.1}; per cpu-second: {:.2} of {:.1} = {:.1}%",
            a,
            2.0 * 1024f64.powi(3) / best / 1e9,
            peak,
            pm,
            pf,
            100.0 * pm / pf
        );
    })
}
