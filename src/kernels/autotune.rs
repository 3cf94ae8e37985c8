//! Choice of the fastest variant of an operation on the device at hand, and the record of it.

use std::cell::RefCell;

use super::attention::{self, AttentionShape, Span};
use super::matmul::{self, Class, Epilogue, Partials, Segments, Store};
use super::{
    attention_backward_kv, attention_backward_q, attention_forward, lora_backward, matmul_backward_input,
    matmul_backward_weight, matmul_forward, ops, pack_spans,
};
use crate::error::Result;
use crate::gpu::{Call, Dtype, Gpu, Needs, Op, Precision, Recorder, Tensor, Variant, VariantSet};

/// Properties of a model that decide which operations are tuned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tuning {
    /// Types in which its weights are stored.
    pub formats: Vec<Dtype>,
    /// Columns of a head.
    pub head_dim: u32,
}

/// Times each variant of each operation that has several, on shapes of medium size, and keeps the fastest; earlier
/// choices stay. `seconds` is the platform's clock.
pub async fn autotune(gpu: &Gpu, tuning: &Tuning, seconds: &dyn Fn() -> f64) -> Result<VariantSet> {
    // A software adapter needs as long for a thousandth of the work that keeps a graphics processor busy.
    let is_software = gpu.report().is_software();
    let [m, k, n] = if is_software { [256, 512, 256] } else { [1024, 1024, 1024] };
    let tuner = Tuner { gpu, seconds, too_large: RefCell::default() };
    let float = |name: &str, rows, cols| gpu.zeros(name, rows, cols, Dtype::F32);
    let (x, y) = (float("x", m, k), float("y", m, n));
    let classes = [(Class::Main, m), (Class::Decode, 1), (Class::Decode, 16)];
    // LoRA's matrices are f32 whatever the model's weights are. A software adapter compiles each kernel for seconds, so
    // that it is timed with one type; weights in blocks, of many kernels, use the variant that is best for f32.
    let plain = tuning.formats.iter().copied().filter(|format| format.block().0 == 1);
    let f32 = [Dtype::F32].into_iter().filter(|f32| !tuning.formats.contains(f32));
    let mut tuned = None;
    for format in plain.chain(f32) {
        if let Some(tuned) = tuned.filter(|_| is_software) {
            choose_like(gpu, format, tuned, &classes);
            continue;
        }
        tuned = Some(format);
        let many = gpu.zeros("w", DECODED * n, k, format);
        let w = many.row_range(0, n);
        for (class, rows) in classes {
            let w = if class == Class::Decode { &many } else { &w };
            let (x, y) = (x.view(rows, k), float("y", rows, w.rows()));
            let record = |rec: &mut Recorder<'_>| {
                matmul_forward(rec, class, &x, w, 1.0, 0, Epilogue::default(), &y);
            };
            tuner.choose(matmul::forward_call(format, class, rows), &record).await?;
        }
        let record = |rec: &mut Recorder<'_>| matmul_backward_input(rec, &y, &w, 1.0, Store::Set, 0, None, &x);
        tuner.choose(matmul::backward_input_call(format), &record).await?;
    }
    for format in tuning.formats.iter().copied().filter(|format| format.block().0 > 1) {
        choose_like(gpu, format, Dtype::F32, &classes);
    }
    for rank in RANKS {
        tuner.lora(&x, &y, rank).await?;
    }
    tuner.attention(tuning.head_dim, m).await?;
    Ok(gpu.variant_set())
}

/// Multiplies weights of this format by the variants that are chosen for another, where nothing is chosen yet.
fn choose_like(gpu: &Gpu, format: Dtype, other: Dtype, classes: &[(Class, u32)]) {
    let calls = |format| {
        let forward = classes.iter().map(move |&(class, rows)| matmul::forward_call(format, class, rows));
        forward.chain([matmul::backward_input_call(format)])
    };
    for (call, other) in calls(format).zip(calls(other)).filter(|(call, _)| !gpu.has_chosen(*call)) {
        gpu.choose(call, gpu.kernel(other).variant);
    }
}

/// Factor of the columns where rows are few: with fewer columns, the dispatch itself would take as long as its
/// computation.
const DECODED: u32 = 8;
/// Ranks of LoRA's matrices to tune with, one of each class.
const RANKS: [u32; 2] = [16, 64];
/// Rounds of a variant: the first compiles; the fastest of the others counts.
const ROUNDS: usize = 4;
/// A variant is given up once it takes this many times the best so far.
const HOPELESS: f64 = 1.5;
/// Seconds of a first round after which a software adapter does not try the variants behind it, which are larger: Mesa
/// 25 with LLVM 19 compiles each of them for a quarter of a minute.
const DEAR: f64 = 8.0;

struct Tuner<'a> {
    gpu: &'a Gpu,
    seconds: &'a dyn Fn() -> f64,
    /// Variants that would take too long to compile.
    too_large: RefCell<Vec<&'static Variant>>,
}

impl Tuner<'_> {
    /// Tunes LoRA's own products of a rank, for inputs like `x` and outputs like `y`.
    async fn lora(&self, x: &Tensor, y: &Tensor, rank: u32) -> Result<()> {
        let ([m, k], n) = (x.dims(), y.cols());
        let float = |name: &str, rows, cols| self.gpu.zeros(name, rows, cols, Dtype::F32);
        let (a, b, u) = (float("a", rank, k), float("b", n, rank), float("u", m, rank));
        let segments = Segments::one(n);
        let thin = |rec: &mut Recorder<'_>| {
            matmul_forward(rec, Class::Thin, x, &a, 1.0, 0, Epilogue::default(), &u);
        };
        self.choose(matmul::forward_call(Dtype::F32, Class::Thin, m), &thin).await?;
        let backward = |rec: &mut Recorder<'_>| lora_backward(rec, y, &b, 1.0, &segments, &u);
        self.choose(matmul::lora_backward_call(rank), &backward).await?;
        let rows_per_part = Partials::rows_per_part(m, rank * n.max(k));
        let partials =
            Partials { tensor: float("partials", m.div_ceil(rows_per_part), rank * n.max(k)), rows_per_part };
        let of_b = |rec: &mut Recorder<'_>| matmul_backward_weight(rec, y, &u, Some(&segments), &partials, 0, rank);
        self.choose(matmul::backward_weight_call(n, rank), &of_b).await?;
        let of_a = |rec: &mut Recorder<'_>| matmul_backward_weight(rec, &u, x, None, &partials, 0, k);
        self.choose(matmul::backward_weight_call(rank, k), &of_a).await
    }

    /// Tunes attention of one sequence of `rows` rows.
    async fn attention(&self, head_dim: u32, rows: u32) -> Result<()> {
        let shape = AttentionShape::new(4, 2, head_dim);
        let span = |row| Span { start: 0, hole_start: row, hole_end: row, position: row };
        let spans = pack_spans(&(0..rows).map(span).collect::<Vec<Span>>());
        let spans = self.gpu.upload("spans", spans.len() as u32, 4, Dtype::U32, spans.as_flattened());
        let float = |name: &str, cols| self.gpu.zeros(name, rows, cols, Dtype::F32);
        let (qkv, dqkv) = (float("qkv", shape.columns()), float("dqkv", shape.columns()));
        let (out, lse) = (float("out", shape.heads * head_dim), float("lse", shape.heads));
        let stats = float("stats", 2 * shape.heads);
        let forward = |rec: &mut Recorder<'_>| attention_forward(rec, &qkv, &spans, shape, &out, &lse);
        self.choose(shape.call(&attention::FORWARD), &forward).await?;
        let backward_q = |rec: &mut Recorder<'_>| attention_backward_q(rec, &out, &qkv, &stats, &spans, shape, &dqkv);
        self.choose(shape.call(&attention::BACKWARD_Q), &backward_q).await?;
        let backward_kv = |rec: &mut Recorder<'_>| attention_backward_kv(rec, &out, &qkv, &stats, &spans, shape, &dqkv);
        self.choose(shape.call(&attention::BACKWARD_KV), &backward_kv).await
    }

    async fn choose(&self, call: Call, record: &dyn Fn(&mut Recorder<'_>)) -> Result<()> {
        if self.gpu.has_chosen(call) {
            return Ok(());
        }
        let mut candidates = self.gpu.candidates(call.op());
        candidates.retain(|variant| matmul::suits(call, variant));
        let mut best = (f64::INFINITY, candidates[0]);
        for (index, &candidate) in candidates.iter().enumerate().filter(|_| candidates.len() > 1) {
            if self.too_large.borrow().iter().any(|variant| std::ptr::eq(*variant, candidate)) {
                continue;
            }
            if candidate.needs.matrices > 0 && !multiplies_right(self.gpu, call.op(), candidate).await? {
                log::warn!("{} is not used: {WRONG}", candidate.name);
                continue;
            }
            self.gpu.choose(call, candidate);
            for round in 0..ROUNDS {
                self.gpu.wait().await?;
                let start = (self.seconds)();
                let mut rec = self.gpu.recorder();
                record(&mut rec);
                rec.submit();
                self.gpu.wait().await?;
                let time = (self.seconds)() - start;
                if time > DEAR && self.gpu.report().is_software() {
                    self.too_large.borrow_mut().extend(candidates.iter().skip(index + 1));
                }
                if round > 0 && time < best.0 {
                    best = (time, candidate);
                }
                if round > 0 && time > HOPELESS * best.0 {
                    break;
                }
            }
        }
        self.gpu.choose(call, best.1);
        Ok(())
    }
}

/// Reason for not using a variant that `multiplies_right` refuses.
const WRONG: &str = "this device's cooperative matrices give other numbers than it says";

/// True if a variant of `matmul_forward` or `matmul_backward_input` agrees with one that needs nothing, up to the
/// rounding of its operands. Some drivers list matrices and multiply them wrongly.
pub async fn multiplies_right(gpu: &Gpu, op: &'static Op, variant: &'static Variant) -> Result<bool> {
    // No size is a multiple of a matrix's size.
    let (m, k, n) = (37, 44, 52);
    let numbers = |name, rows, cols| {
        let of = |i: u32| (i * 37 % 101) as f32 / 101.0 - 0.5;
        gpu.upload(name, rows, cols, Dtype::F32, &(0..rows * cols).map(of).collect::<Vec<f32>>())
    };
    let (x, w) = (numbers("x", m, k), numbers("w", n, k));
    let (dy, zeros) = (numbers("dy", m, n), |cols| gpu.zeros("result", m, cols, Dtype::F32));
    let plain = gpu.variants(op).into_iter().find(|variant| variant.needs == Needs::NOTHING);
    let mut results = Vec::new();
    for variant in [Some(variant), plain] {
        gpu.force(op, variant);
        let mut rec = gpu.recorder();
        let result = if op.name == matmul::FORWARD.name {
            let y = zeros(n);
            matmul_forward(&mut rec, Class::Main, &x, &w, 1.0, 0, Epilogue::default(), &y);
            y
        } else {
            let dx = zeros(k);
            matmul_backward_input(&mut rec, &dy, &w, 1.0, Store::Set, 0, None, &dx);
            dx
        };
        rec.submit();
        let numbers = gpu.read(&result).await;
        gpu.force(op, None);
        results.push(numbers?);
    }
    let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 0.02;
    Ok(results[0].iter().zip(&results[1]).all(near))
}

/// Chooses the variants of a recorded set, so that a run continues with the same bits.
///
/// Returns the entries that this device cannot run or that this version does not know; its own choices for them stay.
pub fn adopt(gpu: &Gpu, set: &VariantSet) -> Vec<String> {
    let mut left = Vec::new();
    for (key, name) in set {
        let known = call(key).and_then(|call| {
            let variants = gpu.variants(call.op());
            variants.into_iter().find(|variant| variant.name == name).map(|variant| (call, variant))
        });
        match known {
            Some((call, variant)) => gpu.choose(call, variant),
            None => left.push(format!("{key}: {name}")),
        }
    }
    left
}

/// Key of a stored set, which is valid for one device, its driver, and the present shaders.
pub fn tuning_key(gpu: &Gpu) -> String {
    let mut hash = blake3::Hasher::new();
    let report = gpu.report();
    for part in [&report.name, &report.backend.to_string(), &report.driver] {
        hash.update(part.as_bytes()).update(&[0]);
    }
    // The key has no part for f32, whose sets were stored before there was another precision.
    if gpu.precision() != Precision::F32 {
        hash.update(format!("{:?}", gpu.precision()).as_bytes());
    }
    for kernel in super::all() {
        hash.update(kernel.source(false).as_bytes());
    }
    hash.finalize().to_hex().to_string()
}

/// The call that a key of a `VariantSet` stands for.
fn call(key: &str) -> Option<Call> {
    let mut parts = key.split('.');
    let name = parts.next()?;
    let op = ops().iter().copied().find(|op| op.name == name)?;
    let rest: Vec<&str> = parts.collect();
    let format = op.formats.iter().find(|format| Some(&format.name) == rest.first());
    let call = format.map_or_else(|| Call::from(op), |format| op.with_format(format.name));
    let Some(class) = rest.get(usize::from(format.is_some())) else { return Some(call) };
    let mut classes = matmul::CLASSES.into_iter().chain(attention::CLASSES);
    classes.find(|known| known == class).map(|class| call.class(class))
}
