//! Each kernel at the shapes of a model, against what the device can do at the most.

use serde::Serialize;

use super::Sizes;
use super::report::Bench;
use crate::error::Result;
use crate::gpu::{Call, Dtype, Recorder, Tensor};
use crate::kernels::{
    self, Act, AttentionShape, Class, Epilogue, FMAS_PER_ROUND, Partials, Segments, Span, Store, Tuning, op, pack_spans,
};

/// Peak rates of a device.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Peaks {
    /// Billions of floating-point operations a second (a multiply-add is two) on values that stay in registers.
    pub fma_gflops: f64,
    /// Billions of bytes a second, read or written, of a copy from buffer to buffer.
    pub copy_gbytes: f64,
}

impl Peaks {
    /// The larger of each.
    pub(super) fn max(self, other: Self) -> Self {
        Self { fma_gflops: self.fma_gflops.max(other.fma_gflops), copy_gbytes: self.copy_gbytes.max(other.copy_gbytes) }
    }
}

/// One kernel at one shape.
#[derive(Debug, Clone, Serialize)]
pub struct KernelSpeed {
    /// The model whose shape it is.
    pub model: &'static str,
    /// Operation, variant and format.
    pub kernel: String,
    /// Its use in the model, with its sizes.
    pub shape: String,
    /// Seconds of one run.
    pub seconds: f64,
    /// Billions a second of floating-point operations, or of bytes that must move at least.
    pub rate: f64,
    /// `GFLOP/s` or `GB/s`.
    pub unit: &'static str,
    /// Share of the device's peak.
    pub share: f64,
}

/// Minimum work of a kernel.
enum Work {
    /// Floating-point operations.
    Flops(f64),
    /// Bytes that are read or written.
    Bytes(f64),
}

/// Units of rates.
pub(super) const GFLOPS: &str = "GFLOP/s";
const GBYTES: &str = "GB/s";
/// Rank of LoRA's matrices.
const RANK: u32 = 16;
/// Seconds that a measurement lasts at least, where a kernel is short.
const LEAST_SECONDS: f64 = 0.02;
/// Runs of one kernel in a measurement at most.
const MOST_RUNS: usize = 64;

impl Bench<'_> {
    /// Seconds of one run of what is recorded: the best of four measurements, the first of which compiles.
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
            best = best.min(each);
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

    /// Every kernel that a training step runs often. Their shares are told later.
    pub(super) async fn kernels(&self, model: &'static str, sizes: &Sizes) -> Result<Vec<KernelSpeed>> {
        let m = if self.gpu.report().is_software() { 64 } else { 1024 };
        let [hidden, inner, vocab] = [sizes.hidden, sizes.inner, sizes.vocab].map(|n| n as u32);
        let [heads, kv_heads, head_dim] = [sizes.heads, sizes.kv_heads, sizes.head_dim].map(|n| n as u32);
        let shape = AttentionShape::new(heads, kv_heads, head_dim);
        kernels::autotune(self.gpu, &Tuning { formats: vec![FORMAT], head_dim }, self.seconds).await?;
        let chunk = vocab.min(8192);
        let mut shapes = Shapes { bench: self, model, m, speeds: Vec::new() };
        for (what, n, k) in [
            ("q, k, v", shape.columns(), hidden),
            ("output", hidden, heads * head_dim),
            ("gate, up", 2 * inner, hidden),
            ("down", hidden, inner),
            ("head, a chunk", chunk, hidden),
        ] {
            shapes.product(what, n, k).await?;
        }
        shapes.lora(hidden, inner).await?;
        shapes.attention(shape).await?;
        shapes.moved(hidden, inner, chunk).await?;
        Ok(shapes.speeds)
    }
}

/// Type of the weights.
const FORMAT: Dtype = Dtype::Bf16;

/// The kernels of one model, with `m` rows.
struct Shapes<'a> {
    bench: &'a Bench<'a>,
    model: &'static str,
    m: u32,
    speeds: Vec<KernelSpeed>,
}

impl Shapes<'_> {
    fn float(&self, name: &str, rows: u32, cols: u32) -> Tensor {
        self.bench.gpu.zeros(name, rows, cols, Dtype::F32)
    }

    /// A product of `m` rows with a weight of N by K.
    fn flops(&self, n: u32, k: u32) -> Work {
        Work::Flops(2.0 * f64::from(self.m) * f64::from(n) * f64::from(k))
    }

    /// Floats that are read or written for each row.
    fn bytes(&self, floats: u32) -> Work {
        Work::Bytes(4.0 * f64::from(self.m) * f64::from(floats))
    }

    async fn add(
        &mut self,
        call: impl Into<Call>,
        shape: String,
        work: Work,
        record: &dyn Fn(&mut Recorder<'_>),
    ) -> Result<()> {
        let kernel = self.bench.gpu.kernel(call).name();
        let seconds = self.bench.time(record).await?;
        let (rate, unit) = match work {
            Work::Flops(flops) => (flops / seconds / 1e9, GFLOPS),
            Work::Bytes(bytes) => (bytes / seconds / 1e9, GBYTES),
        };
        let model = self.model;
        self.speeds.push(KernelSpeed { model, kernel, shape, seconds, rate, unit, share: f64::NAN });
        Ok(())
    }

    /// A weight of the model: forward, backward to the input, and for the rows of one text and of sixteen.
    async fn product(&mut self, what: &str, n: u32, k: u32) -> Result<()> {
        let m = self.m;
        let (x, y) = (self.float("x", m, k), self.float("y", m, n));
        let w = self.bench.gpu.zeros("w", n, k, FORMAT);
        let forward = op("matmul_forward").with_weight(FORMAT);
        let record = |rec: &mut Recorder<'_>| {
            kernels::matmul_forward(rec, Class::Main, &x, &w, 1.0, 0, Epilogue::default(), &y);
        };
        self.add(forward.class("main"), format!("{what} {m}x{n}x{k}"), self.flops(n, k), &record).await?;
        let backward = op("matmul_backward_input").with_weight(FORMAT).class("main");
        let record = |rec: &mut Recorder<'_>| kernels::matmul_backward_input(rec, &y, &w, 1.0, Store::Set, 0, None, &x);
        self.add(backward, format!("{what} {m}x{k}x{n}"), self.flops(n, k), &record).await?;
        for (rows, class) in [(1, "decode_1"), (16, "decode")] {
            let (x, y) = (self.float("x", rows, k), self.float("y", rows, n));
            let record = |rec: &mut Recorder<'_>| {
                kernels::matmul_forward(rec, Class::Decode, &x, &w, 1.0, 0, Epilogue::default(), &y);
            };
            let work = Work::Bytes(w.bytes() as f64);
            self.add(forward.class(class), format!("{what} {rows}x{n}x{k}"), work, &record).await?;
        }
        Ok(())
    }

    /// LoRA's own products, at the widest group.
    async fn lora(&mut self, hidden: u32, inner: u32) -> Result<()> {
        let m = self.m;
        let (x, dy, u) = (self.float("x", m, hidden), self.float("dy", m, 2 * inner), self.float("u", m, 2 * RANK));
        let (a, b) = (self.float("a", 2 * RANK, hidden), self.float("b", 2 * inner, RANK));
        let segments = Segments { ends: vec![inner, 2 * inner], u_at: vec![Some(0), Some(RANK)] };
        let thin = op("matmul_forward").with_weight(Dtype::F32).class("thin");
        let record = |rec: &mut Recorder<'_>| {
            kernels::matmul_forward(rec, Class::Thin, &x, &a, 1.0, 0, Epilogue::default(), &u);
        };
        self.add(thin, format!("A {m}x{}x{hidden}", 2 * RANK), self.flops(2 * RANK, hidden), &record).await?;
        let record = |rec: &mut Recorder<'_>| kernels::lora_backward(rec, &dy, &b, 1.0, &segments, &u);
        let shape = format!("{m}x{RANK}x{inner}, twice");
        self.add(op("lora_backward").class("small"), shape, self.flops(RANK, 2 * inner), &record).await?;
        let len = RANK * (2 * inner).max(2 * hidden);
        let rows_per_part = Partials::rows_per_part(m, len);
        let partials = Partials { tensor: self.float("partials", m.div_ceil(rows_per_part), len), rows_per_part };
        let weight = op("matmul_backward_weight");
        let record = |rec: &mut Recorder<'_>| {
            kernels::matmul_backward_weight(rec, &dy, &u, Some(&segments), &partials, 0, RANK);
        };
        let shape = format!("B {}x{RANK}x{m}", 2 * inner);
        self.add(weight.class("b"), shape, self.flops(2 * inner, RANK), &record).await?;
        let record = |rec: &mut Recorder<'_>| kernels::matmul_backward_weight(rec, &u, &x, None, &partials, 0, hidden);
        let shape = format!("A {}x{hidden}x{m}", 2 * RANK);
        self.add(weight.class("a"), shape, self.flops(2 * RANK, hidden), &record).await
    }

    /// One sequence; half of all scores are seen.
    async fn attention(&mut self, shape: AttentionShape) -> Result<()> {
        let m = self.m;
        let AttentionShape { heads, kv_heads, head_dim, .. } = shape;
        let span = |row| Span { start: 0, hole_start: row, hole_end: row, position: row };
        let spans = pack_spans(&(0..m).map(span).collect::<Vec<Span>>());
        let spans = self.bench.gpu.upload("spans", spans.len() as u32, 4, Dtype::U32, spans.as_flattened());
        let (qkv, dqkv) = (self.float("qkv", m, shape.columns()), self.float("dqkv", m, shape.columns()));
        let (out, lse) = (self.float("out", m, heads * head_dim), self.float("lse", m, heads));
        let stats = self.float("stats", m, 2 * heads);
        let scores = f64::from(m) * f64::from(m) / 2.0 * f64::from(heads * head_dim);
        let what = format!("{m} rows, {heads}/{kv_heads} heads of {head_dim}");
        let call = |operation: &str| op(operation).class(shape.class());
        let record = |rec: &mut Recorder<'_>| kernels::attention_forward(rec, &qkv, &spans, shape, &out, &lse);
        self.add(call("attention_forward"), what.clone(), Work::Flops(4.0 * scores), &record).await?;
        let record =
            |rec: &mut Recorder<'_>| kernels::attention_backward_q(rec, &out, &qkv, &stats, &spans, shape, &dqkv);
        self.add(call("attention_backward_q"), what.clone(), Work::Flops(6.0 * scores), &record).await?;
        let record =
            |rec: &mut Recorder<'_>| kernels::attention_backward_kv(rec, &out, &qkv, &stats, &spans, shape, &dqkv);
        self.add(call("attention_backward_kv"), what, Work::Flops(8.0 * scores), &record).await
    }

    /// Measures kernels that only move bytes.
    async fn moved(&mut self, hidden: u32, inner: u32, chunk: u32) -> Result<()> {
        let m = self.m;
        let (x, y) = (self.float("x", m, hidden), self.float("y", m, hidden));
        let (gain, rstd) = (self.float("gain", 1, hidden), self.float("rstd", m, 1));
        let record = |rec: &mut Recorder<'_>| kernels::rmsnorm_forward(rec, &x, &gain, 1e-5, None, &y, &rstd);
        self.add(op("rmsnorm_forward"), format!("{m}x{hidden}"), self.bytes(2 * hidden), &record).await?;
        let (gate_up, act) = (self.float("gate_up", m, 2 * inner), self.float("act", m, inner));
        let record = |rec: &mut Recorder<'_>| kernels::glu_forward(rec, &gate_up, Act::Silu, &act);
        self.add(op("glu_forward"), format!("{m}x{inner}"), self.bytes(3 * inner), &record).await?;
        let labels = self.bench.gpu.zeros("labels", m, 1, Dtype::U32);
        let (logits, state) = (self.float("logits", m, chunk), self.float("state", m, 8));
        let record = |rec: &mut Recorder<'_>| {
            kernels::logprob_forward(rec, &labels, &logits, 0, chunk, true, true, kernels::Logits::PLAIN, &state, &y);
        };
        self.add(op("logprob_forward"), format!("{m}x{chunk}"), self.bytes(3 * chunk), &record).await
    }
}
