//! Each kernel at the shapes of a model, against what the device can do at the most.

use serde::Serialize;

use super::Sizes;
use super::report::Bench;
use crate::error::Result;
use crate::gpu::{Dtype, Recorder};
use crate::kernels::{
    self, AttentionShape, Class, Epilogue, FMAS_PER_ROUND, Partials, Segments, Span, Store, Tuning, pack_spans,
};

/// What a device can do at the most.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Peaks {
    /// Billions of floating-point operations a second (a multiply-add is two) on values that stay in registers.
    pub fma_gflops: f64,
    /// Billions of bytes a second, read or written, of a copy from buffer to buffer.
    pub copy_gbytes: f64,
}

/// One kernel at one shape.
#[derive(Debug, Clone, Serialize)]
pub struct KernelSpeed {
    /// The model whose shape it is.
    pub model: &'static str,
    /// Operation, variant and format.
    pub kernel: String,
    /// What it is used for there, with its sizes.
    pub shape: String,
    /// Seconds of one run.
    pub seconds: f64,
    /// Billions a second of floating-point operations, or of bytes that must move at least.
    pub rate: f64,
    /// `GFLOP/s` or `GB/s`.
    pub unit: &'static str,
    /// Of the device's peak.
    pub share: f64,
}

/// What a kernel must do at least.
enum Work {
    /// Floating-point operations.
    Flops(f64),
    /// Bytes that are read or written.
    Bytes(f64),
}

/// Rank of LoRA's matrices.
const RANK: u32 = 16;
/// Seconds that a measurement lasts at least, where a kernel is short.
const LEAST_SECONDS: f64 = 0.02;
/// Runs of one kernel in a measurement at most.
const MOST_RUNS: usize = 64;

impl Bench<'_> {
    /// Seconds of one run of what is recorded: the best of three measurements, the first of which compiles.
    pub(super) async fn time(&self, record: &dyn Fn(&mut Recorder<'_>)) -> Result<f64> {
        let (mut best, mut runs) = (f64::INFINITY, 1);
        for _ in 0..4 {
            self.gpu.wait().await?;
            let begin = (self.seconds)();
            let mut rec = self.gpu.recorder();
            for _ in 0..runs {
                record(&mut rec);
            }
            rec.submit();
            self.gpu.wait().await?;
            let each = ((self.seconds)() - begin) / runs as f64;
            if best.is_finite() || runs > 1 {
                best = best.min(each);
            } else {
                best = each;
            }
            runs = ((LEAST_SECONDS / each).ceil() as usize).clamp(1, MOST_RUNS);
        }
        Ok(best)
    }

    pub(super) async fn peaks(&self) -> Result<Peaks> {
        let (rounds, bytes) = if self.gpu.report().is_software() { (200, 16 << 20) } else { (4000, 256 << 20) };
        let out = self.gpu.zeros("out", 1, 1 << 16, Dtype::F32);
        let peak = self.time(&|rec| kernels::fma_peak(rec, rounds, 0.5, &out)).await?;
        let flops = 2.0 * f64::from(out.len()) * f64::from(rounds) * f64::from(FMAS_PER_ROUND);
        let [from, to] = ["from", "to"].map(|name| self.gpu.zeros(name, 1, bytes / 4, Dtype::F32));
        let copy = self.time(&|rec| rec.copy(&from, &to)).await?;
        Ok(Peaks { fma_gflops: flops / peak / 1e9, copy_gbytes: 2.0 * f64::from(bytes) / copy / 1e9 })
    }

    /// Every kernel that a training step runs often.
    pub(super) async fn kernels(&self, model: &'static str, sizes: &Sizes, peaks: &Peaks) -> Result<Vec<KernelSpeed>> {
        let gpu = self.gpu;
        let m = if gpu.report().is_software() { 64 } else { 1024 };
        let [hidden, inner, vocab] = [sizes.hidden, sizes.inner, sizes.vocab].map(|n| n as u32);
        let [heads, kv_heads, head_dim] = [sizes.heads, sizes.kv_heads, sizes.head_dim].map(|n| n as u32);
        let shape = AttentionShape { heads, kv_heads, head_dim, scale: 1.0 / (head_dim as f32).sqrt() };
        let (format, columns, chunk) = (Dtype::Bf16, shape.columns(), vocab.min(8192));
        kernels::autotune(gpu, &Tuning { formats: vec![format], head_dim }, self.seconds).await?;
        let float = |name: &str, rows, cols| gpu.zeros(name, rows, cols, Dtype::F32);
        let mut speeds = Vec::new();
        let mut add = |kernel: String, shape: String, seconds: f64, work: Work| {
            let (rate, unit, peak) = match work {
                Work::Flops(flops) => (flops / seconds / 1e9, "GFLOP/s", peaks.fma_gflops),
                Work::Bytes(bytes) => (bytes / seconds / 1e9, "GB/s", peaks.copy_gbytes),
            };
            speeds.push(KernelSpeed { model, kernel, shape, seconds, rate, unit, share: rate / peak });
        };
        let product = |n: u32, k: u32| Work::Flops(2.0 * f64::from(m) * f64::from(n) * f64::from(k));
        let op = kernels::op;

        for (what, n, k) in [
            ("q, k, v", columns, hidden),
            ("output", hidden, heads * head_dim),
            ("gate, up", 2 * inner, hidden),
            ("down", hidden, inner),
            ("head, a chunk", chunk, hidden),
        ] {
            let (x, w, y) = (float("x", m, k), gpu.zeros("w", n, k, format), float("y", m, n));
            let forward = |rec: &mut Recorder<'_>| {
                kernels::matmul_forward(rec, Class::Main, &x, &w, 1.0, 0, Epilogue::default(), &y);
            };
            let name = gpu.kernel(op("matmul_forward").with_weight(format).class("main")).name();
            add(name, format!("{what} {m}x{n}x{k}"), self.time(&forward).await?, product(n, k));
            let backward =
                |rec: &mut Recorder<'_>| kernels::matmul_backward_input(rec, &y, &w, 1.0, Store::Set, 0, None, &x);
            let name = gpu.kernel(op("matmul_backward_input").with_weight(format).class("main")).name();
            add(name, format!("{what} {m}x{k}x{n}"), self.time(&backward).await?, product(n, k));
            for rows in [1, 16] {
                let (x, y) = (float("x", rows, k), float("y", rows, n));
                let decode = |rec: &mut Recorder<'_>| {
                    kernels::matmul_forward(rec, Class::Decode, &x, &w, 1.0, 0, Epilogue::default(), &y);
                };
                let class = if rows == 1 { "decode_1" } else { "decode" };
                let name = gpu.kernel(op("matmul_forward").with_weight(format).class(class)).name();
                add(name, format!("{what} {rows}x{n}x{k}"), self.time(&decode).await?, Work::Bytes(w.bytes() as f64));
            }
        }

        // LoRA's own products, at the widest group.
        let (x, dy, u) = (float("x", m, hidden), float("dy", m, 2 * inner), float("u", m, 2 * RANK));
        let (a, b) = (float("a", 2 * RANK, hidden), float("b", 2 * inner, RANK));
        let segments = Segments { ends: vec![inner, 2 * inner], u_at: vec![Some(0), Some(RANK)] };
        let thin = |rec: &mut Recorder<'_>| {
            kernels::matmul_forward(rec, Class::Thin, &x, &a, 1.0, 0, Epilogue::default(), &u);
        };
        let name = gpu.kernel(op("matmul_forward").with_weight(Dtype::F32).class("thin")).name();
        add(name, format!("A {m}x{}x{hidden}", 2 * RANK), self.time(&thin).await?, product(2 * RANK, hidden));
        let to_u = |rec: &mut Recorder<'_>| kernels::lora_backward(rec, &dy, &b, 1.0, &segments, &u);
        let name = gpu.kernel(op("lora_backward")).name();
        add(name, format!("{m}x{RANK}x{inner}, twice"), self.time(&to_u).await?, product(RANK, 2 * inner));
        let rows_per_part = Partials::rows_per_part(m);
        let len = RANK * (2 * inner).max(2 * hidden);
        let partials = Partials { tensor: float("partials", m.div_ceil(rows_per_part), len), rows_per_part };
        let of_b = |rec: &mut Recorder<'_>| {
            kernels::matmul_backward_weight(rec, &dy, &u, Some(&segments), &partials, 0, RANK);
        };
        let of_a = |rec: &mut Recorder<'_>| kernels::matmul_backward_weight(rec, &u, &x, None, &partials, 0, hidden);
        let name = gpu.kernel(op("matmul_backward_weight")).name();
        let seconds = self.time(&of_b).await?;
        add(name.clone(), format!("B {}x{RANK}x{m}", 2 * inner), seconds, product(2 * inner, RANK));
        add(name, format!("A {}x{hidden}x{m}", 2 * RANK), self.time(&of_a).await?, product(2 * RANK, hidden));

        // Attention of one sequence; half of all scores are seen.
        let span = |row| Span { start: 0, hole_start: row, hole_end: row, position: row };
        let spans = pack_spans(&(0..m).map(span).collect::<Vec<Span>>());
        let spans = gpu.upload("spans", spans.len() as u32, 4, Dtype::U32, spans.as_flattened());
        let (qkv, dqkv) = (float("qkv", m, columns), float("dqkv", m, columns));
        let (out, lse, stats) =
            (float("out", m, heads * head_dim), float("lse", m, heads), float("stats", m, 2 * heads));
        let scores = f64::from(m) * f64::from(m) / 2.0 * f64::from(heads * head_dim);
        let what = format!("{m} rows, {heads}/{kv_heads} heads of {head_dim}");
        let class = shape.class();
        let forward = |rec: &mut Recorder<'_>| kernels::attention_forward(rec, &qkv, &spans, shape, &out, &lse);
        let name = |operation: &str| gpu.kernel(op(operation).class(class)).name();
        let seconds = self.time(&forward).await?;
        add(name("attention_forward"), what.clone(), seconds, Work::Flops(4.0 * scores));
        let backward =
            |rec: &mut Recorder<'_>| kernels::attention_backward_q(rec, &out, &qkv, &stats, &spans, shape, &dqkv);
        let seconds = self.time(&backward).await?;
        add(name("attention_backward_q"), what.clone(), seconds, Work::Flops(6.0 * scores));
        let backward =
            |rec: &mut Recorder<'_>| kernels::attention_backward_kv(rec, &out, &qkv, &stats, &spans, shape, &dqkv);
        let seconds = self.time(&backward).await?;
        add(name("attention_backward_kv"), what, seconds, Work::Flops(8.0 * scores));

        // What only moves bytes.
        let (y, gain, rstd) = (float("y", m, hidden), float("gain", 1, hidden), float("rstd", m, 1));
        let bytes = |floats: u32| Work::Bytes(4.0 * f64::from(m) * f64::from(floats));
        let norm = |rec: &mut Recorder<'_>| kernels::rmsnorm_forward(rec, &x, &gain, 1e-5, &y, &rstd);
        add("rmsnorm_forward".to_owned(), format!("{m}x{hidden}"), self.time(&norm).await?, bytes(2 * hidden));
        let gate_up = float("gate_up", m, 2 * inner);
        let act = float("act", m, inner);
        let swiglu = |rec: &mut Recorder<'_>| kernels::swiglu_forward(rec, &gate_up, &act);
        add("swiglu_forward".to_owned(), format!("{m}x{inner}"), self.time(&swiglu).await?, bytes(3 * inner));
        let (labels, logits) = (gpu.zeros("labels", m, 1, Dtype::U32), float("logits", m, chunk));
        let state = float("state", m, 8);
        let logprob = |rec: &mut Recorder<'_>| {
            kernels::logprob_forward(rec, &labels, &logits, 0, chunk, true, true, &state, &y);
        };
        add("logprob_forward".to_owned(), format!("{m}x{chunk}"), self.time(&logprob).await?, bytes(3 * chunk));
        Ok(speeds)
    }
}
