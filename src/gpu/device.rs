//! `Gpu`: one adapter and device, its limits, its buffers and its pipelines.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytemuck::Pod;

use super::adapter_report::{AdapterReport, Backend};
use super::bind_groups::BindGroups;
use super::choices::{Call, Choices, VariantSet};
use super::kernel::{Kernel, KernelId, Op, Pipeline, Precision, Variant};
use super::profiler::{KernelTime, Profiler};
use super::recorder::{MAX_DISPATCHES, Recorder};
use super::tensor::{Allocation, Dtype, Tensor};
use crate::error::{Error, Result};

/// Choice of an adapter.
#[derive(Debug, Clone, Default)]
pub struct AdapterChoice {
    /// Part of the adapter's name, in any case of letters; `None` takes the fastest adapter.
    pub name: Option<String>,
}

/// A device to run kernels on, with everything allocated on it.
pub struct Gpu {
    device: wgpu::Device,
    queue: wgpu::Queue,
    report: AdapterReport,
    params: wgpu::Buffer,
    pipelines: RefCell<HashMap<KernelId, Pipeline>>,
    bind_groups: Rc<BindGroups>,
    choices: RefCell<Choices>,
    counters: Cell<Counters>,
    n_buffers: Cell<u64>,
    profiler: RefCell<Option<Profiler>>,
    failure: Arc<Mutex<Option<Error>>>,
    /// The tensor that was last asked for, and its bytes.
    asked: Arc<Mutex<(String, u64)>>,
    live_bytes: Arc<AtomicU64>,
    peak_bytes: Cell<u64>,
    max_dispatches: Cell<usize>,
}

impl Gpu {
    /// Takes the chosen adapter, or the fastest; if there is none, an error says what to install.
    pub async fn new(choice: &AdapterChoice) -> Result<Self> {
        let adapter = choose(choice).await?;
        // Take all limits that the adapter offers: models are split to fit, so larger limits only mean fewer pieces.
        let limits = adapter.limits();
        let (device, queue) = adapter
            .request_device(&wgpu::DeviceDescriptor {
                label: Some("pairtune"),
                required_features: adapter.features() & wanted_features(),
                required_limits: limits.clone(),
                experimental_features: experimental_features(),
                memory_hints: wgpu::MemoryHints::MemoryUsage,
                trace: wgpu::Trace::Off,
            })
            .await
            .map_err(|e| {
                Error::device(
                    format!("The adapter {} gave no device: {e}", adapter.get_info().name),
                    "Close other programs that use the GPU, or choose another adapter with --adapter-name",
                )
            })?;
        let (failure, asked, live_bytes) = (Arc::default(), Arc::default(), Arc::default());
        watch(&device, &failure, &asked, &live_bytes);
        let params = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("params"),
            size: Recorder::PARAMS_BYTES,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let report = AdapterReport::of(&adapter, &limits);
        let choices = Choices::new(report.is_software());
        Ok(Self {
            device,
            queue,
            report,
            params,
            pipelines: RefCell::default(),
            bind_groups: Rc::default(),
            choices: RefCell::new(choices),
            counters: Cell::default(),
            n_buffers: Cell::default(),
            profiler: RefCell::default(),
            failure,
            asked,
            live_bytes,
            peak_bytes: Cell::new(0),
            max_dispatches: Cell::new(MAX_DISPATCHES),
        })
    }

    /// The adapter in use.
    pub fn report(&self) -> &AdapterReport {
        &self.report
    }

    /// Most dispatches of one submission.
    pub fn max_dispatches(&self) -> usize {
        self.max_dispatches.get()
    }

    /// Limits a submission to `n` dispatches (1 to 256), because drivers reset a GPU that works on one submission for
    /// seconds.
    pub fn set_max_dispatches(&self, n: usize) {
        self.max_dispatches.set(n.clamp(1, MAX_DISPATCHES));
    }

    /// The largest tensor that one binding can hold, in bytes.
    pub fn max_tensor_bytes(&self) -> u64 {
        self.report.max_storage_buffer_binding_size.min(self.report.max_buffer_size)
    }

    /// Bytes of the tensors that exist now.
    pub fn live_bytes(&self) -> u64 {
        self.live_bytes.load(Ordering::Relaxed)
    }

    /// Largest number of bytes of tensors that existed at the same time.
    pub fn peak_bytes(&self) -> u64 {
        self.peak_bytes.get()
    }

    /// The kernel in use for a call: the forced variant, else the chosen one, else the one that runs everywhere.
    pub fn kernel(&self, call: impl Into<Call>) -> Kernel {
        self.choices.borrow().kernel(call.into())
    }

    /// Chooses a variant for an operation, the format of its weight and a class of shapes.
    pub fn choose(&self, call: impl Into<Call>, variant: &'static Variant) {
        self.choices.borrow_mut().choose(call.into(), variant);
    }

    /// True if `choose` was called for this call.
    pub fn has_chosen(&self, call: impl Into<Call>) -> bool {
        self.choices.borrow().chosen(&call.into()).is_some()
    }

    /// Uses one variant for every call of an operation, whatever was chosen; `None` ends this.
    pub fn force(&self, op: &'static Op, variant: Option<&'static Variant>) {
        self.choices.borrow_mut().force(op, variant);
    }

    /// The chosen variants, replaced by the forced ones.
    pub fn variant_set(&self) -> VariantSet {
        self.choices.borrow().set()
    }

    /// The variants of an operation that this device can run.
    pub fn variants(&self, op: &'static Op) -> Vec<&'static Variant> {
        op.variants.iter().filter(|variant| self.has(variant)).collect()
    }

    /// The variants of `variants` that were made for this kind of adapter, and round no more than allowed.
    pub fn candidates(&self, op: &'static Op) -> Vec<&'static Variant> {
        let choices = self.choices.borrow();
        self.variants(op).into_iter().filter(|variant| choices.may_try(variant)).collect()
    }

    /// Sets the lowest precision that variants may have; f32 at first. Each precision has its own choices, which stay;
    /// forced variants hold for all.
    pub fn allow(&self, precision: Precision) {
        self.choices.borrow_mut().allow(precision);
    }

    /// Lowest precision that variants may have; see `allow`.
    pub fn precision(&self) -> Precision {
        self.choices.borrow().precision()
    }

    /// True if the device meets the needs of a variant.
    fn has(&self, variant: &Variant) -> bool {
        let features = self.device.features();
        let subgroups = self.report.subgroup_min_size >= 8 && features.contains(wgpu::Features::SUBGROUP);
        let needs = variant.needs;
        (subgroups || !needs.subgroups)
            && (features.contains(wgpu::Features::SHADER_F16) || !needs.f16)
            && (needs.matrices == 0 || self.report.cooperative_matrices.contains(&needs.matrices))
    }

    /// A tensor of zeros.
    pub fn zeros(&self, name: &str, rows: u32, cols: u32, dtype: Dtype) -> Tensor {
        let bytes = dtype.bytes_of(u64::from(rows) * u64::from(cols)).next_multiple_of(16).max(16);
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = (name.to_owned(), bytes);
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(name),
            size: bytes,
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        self.n_buffers.set(self.n_buffers.get() + 1);
        let allocation = Allocation::new(buffer, self.n_buffers.get(), &self.live_bytes, &self.bind_groups);
        self.peak_bytes.set(self.peak_bytes.get().max(self.live_bytes()));
        Tensor::new(allocation, rows, cols, dtype)
    }

    /// A tensor with the given content: `f32` or `u32` elements, or packed halves.
    pub fn upload<T: Pod>(&self, name: &str, rows: u32, cols: u32, dtype: Dtype, data: &[T]) -> Tensor {
        let tensor = self.zeros(name, rows, cols, dtype);
        self.write(&tensor, data);
        tensor
    }

    /// Overwrites the whole of `tensor`, before anything that is submitted later.
    pub fn write<T: Pod>(&self, tensor: &Tensor, data: &[T]) {
        let bytes: &[u8] = bytemuck::cast_slice(data);
        assert_eq!(bytes.len() as u64, tensor.bytes(), "data for a tensor of {:?}", tensor.dims());
        self.write_bytes(tensor, 0, bytes);
    }

    /// Overwrites part of `tensor` from byte `offset`; lengths are padded to 4 bytes within the buffer.
    pub fn write_bytes(&self, tensor: &Tensor, offset: u64, bytes: &[u8]) {
        assert!(offset + bytes.len() as u64 <= tensor.bytes(), "a write beyond the tensor");
        self.count(|counters| counters.bytes_written += bytes.len() as u64);
        let whole = bytes.len() & !3;
        self.queue.write_buffer(tensor.buffer(), tensor.offset + offset, &bytes[..whole]);
        if whole < bytes.len() {
            let mut last = [0; 4];
            last[..bytes.len() - whole].copy_from_slice(&bytes[whole..]);
            self.queue.write_buffer(tensor.buffer(), tensor.offset + offset + whole as u64, &last);
        }
    }

    /// Starts an empty list of commands.
    pub fn recorder(&self) -> Recorder<'_> {
        Recorder::new(self)
    }

    /// Reads the elements of an `F32` tensor, after everything submitted so far has run.
    pub async fn read(&self, tensor: &Tensor) -> Result<Vec<f32>> {
        assert_eq!(tensor.dtype(), Dtype::F32, "the elements are floats");
        self.read_back(tensor).await
    }

    /// Reads the elements of a `U32` tensor, after everything submitted so far has run.
    pub async fn read_indices(&self, tensor: &Tensor) -> Result<Vec<u32>> {
        assert_eq!(tensor.dtype(), Dtype::U32, "the elements are indices");
        self.read_back(tensor).await
    }

    async fn read_back<T: Pod>(&self, tensor: &Tensor) -> Result<Vec<T>> {
        let bytes = tensor.bytes();
        if bytes == 0 {
            return Ok(Vec::new());
        }
        let staging = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("readback"),
            size: bytes,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = self.encoder();
        encoder.copy_buffer_to_buffer(tensor.buffer(), tensor.offset, &staging, 0, bytes);
        self.count(|counters| counters.readbacks += 1);
        self.submit(encoder, &[], &[]);
        let (done, mapped) = futures_channel::oneshot::channel();
        staging.map_async(wgpu::MapMode::Read, .., move |result| drop(done.send(result)));
        // Natively this waits for the GPU; in the browser it does nothing, and the await below yields to the page.
        let polled = self.device.poll(wgpu::PollType::wait_indefinitely());
        self.check()?;
        polled.map_err(|e| Error::device(format!("Waiting for the GPU failed: {e}"), RESTART))?;
        match mapped.await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => return Err(self.failure_or(format!("Reading from the GPU failed: {e}"))),
            Err(_) => return Err(self.failure_or("The GPU went away while it was read".to_owned())),
        }
        let view = staging
            .get_mapped_range(..)
            .map_err(|e| Error::device(format!("Reading from the GPU failed: {e}"), RESTART))?;
        Ok(bytemuck::pod_collect_to_vec(&view))
    }

    /// Destroys the device, as a driver's reset does: everything on it is lost, and every later read says so.
    pub fn destroy(&self) {
        self.device.destroy();
    }

    /// Waits until everything submitted so far has run.
    pub async fn wait(&self) -> Result<()> {
        let word = self.zeros("wait", 1, 1, Dtype::F32);
        self.read(&word).await.map(drop)
    }

    /// Returns an error if the device has been lost, ran out of memory, or refused a command.
    pub fn check(&self) -> Result<()> {
        match &*self.failure.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(failure) => Err(failure.clone()),
            None => Ok(()),
        }
    }

    fn failure_or(&self, what: String) -> Error {
        self.check().err().unwrap_or_else(|| Error::device(what, RESTART))
    }

    pub(super) fn encoder(&self) -> wgpu::CommandEncoder {
        self.device.create_command_encoder(&Default::default())
    }

    /// Submits commands, and takes the times of those kernels among them that are `profiled`.
    pub(super) fn submit(&self, mut encoder: wgpu::CommandEncoder, params: &[u8], profiled: &[String]) {
        if !params.is_empty() {
            self.queue.write_buffer(&self.params, 0, params);
        }
        self.count(|counters| {
            counters.submissions += 1;
            counters.bytes_written += params.len() as u64;
        });
        let mut profiler = self.profiler.borrow_mut();
        let profiler = profiler.as_mut().filter(|_| !profiled.is_empty());
        if let Some(profiler) = &profiler {
            profiler.resolve(&mut encoder, profiled.len());
        }
        self.queue.submit([encoder.finish()]);
        if let Some(profiler) = profiler {
            profiler.take(&self.device, profiled);
        }
    }

    /// The pipeline of `kernel`, compiled on first use, and the bind group of `tensors` for it.
    pub(super) fn bind(&self, kernel: &Kernel, tensors: &[&Tensor]) -> (wgpu::ComputePipeline, wgpu::BindGroup) {
        let mut pipelines = self.pipelines.borrow_mut();
        let entry = pipelines
            .entry(kernel.id())
            .or_insert_with(|| Pipeline::new(&self.device, kernel, self.report.backend == Backend::BrowserWebGpu));
        let bind_group = self.bind_groups.get(kernel.id(), tensors, || {
            let range = |buffer, offset, bytes| {
                let size = std::num::NonZeroU64::new(bytes);
                wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset, size })
            };
            let params_bytes = (kernel.op.params_bytes as u64).next_multiple_of(16);
            let params = wgpu::BindGroupEntry { binding: 0, resource: range(&self.params, 0, params_bytes) };
            let tensors = tensors.iter().zip(1..).map(|(tensor, binding)| {
                let (buffer, offset) = (tensor.buffer(), tensor.offset);
                wgpu::BindGroupEntry { binding, resource: range(buffer, offset, buffer.size() - offset) }
            });
            self.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some(kernel.op.name),
                layout: &entry.layout,
                entries: &std::iter::once(params).chain(tensors).collect::<Vec<_>>(),
            })
        });
        (entry.pipeline.clone(), bind_group)
    }

    /// Measures the time of every kernel from now on; false if the device has no clock for that.
    ///
    /// Each kernel then has a pass of its own, so the times miss what kernels gain by overlapping.
    pub fn start_profile(&self) -> bool {
        let has_clock = self.device.features().contains(wgpu::Features::TIMESTAMP_QUERY);
        *self.profiler.borrow_mut() = has_clock.then(|| Profiler::new(&self.device, &self.queue));
        has_clock
    }

    /// Returns the times since `start_profile`, by kernel name.
    pub fn end_profile(&self) -> BTreeMap<String, KernelTime> {
        self.profiler.borrow_mut().take().map(Profiler::into_times).unwrap_or_default()
    }

    pub(super) fn is_profiling(&self) -> bool {
        self.profiler.borrow().is_some()
    }

    pub(super) fn profiled_pass(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        dispatch: u32,
    ) -> Option<wgpu::ComputePass<'static>> {
        self.profiler.borrow().as_ref().map(|profiler| profiler.pass(encoder, dispatch))
    }

    /// Counts of the device's work so far.
    pub fn counters(&self) -> Counters {
        Counters { bind_groups: self.bind_groups.made(), ..self.counters.get() }
    }

    pub(super) fn count(&self, add: impl FnOnce(&mut Counters)) {
        let mut counters = self.counters.get();
        add(&mut counters);
        self.counters.set(counters);
    }
}

/// Counts of the requests to a device that cost time on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Counters {
    /// Kernels run.
    pub dispatches: u64,
    /// Bind groups made.
    pub bind_groups: u64,
    /// Lists of commands submitted.
    pub submissions: u64,
    /// Tensors read back.
    pub readbacks: u64,
    /// Bytes written to tensors and to `Params`.
    pub bytes_written: u64,
}

impl std::ops::Sub for Counters {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            dispatches: self.dispatches - before.dispatches,
            bind_groups: self.bind_groups - before.bind_groups,
            submissions: self.submissions - before.submissions,
            readbacks: self.readbacks - before.readbacks,
            bytes_written: self.bytes_written - before.bytes_written,
        }
    }
}

const RESTART: &str = "Restart pairtune; a run continues from its last checkpoint";

/// Features that are used where an adapter has them.
fn wanted_features() -> wgpu::Features {
    let always = wgpu::Features::SUBGROUP | wgpu::Features::SHADER_F16;
    // A browser's clock is coarse, and its time stamps have made pages hang.
    match wgpu::Instance::enabled_backend_features().contains(wgpu::Backends::BROWSER_WEBGPU) {
        true => always,
        false => always | wgpu::Features::TIMESTAMP_QUERY | wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX,
    }
}

#[expect(unsafe_code, reason = "wgpu has cooperative matrices among what it calls experimental")]
fn experimental_features() -> wgpu::ExperimentalFeatures {
    // SAFETY: only matrices are asked for. Before a kernel that uses them is chosen, its numbers are compared with
    // those of another kernel (`kernels::autotune`), on sizes that the adapter itself lists.
    unsafe { wgpu::ExperimentalFeatures::enabled() }
}

fn instance() -> wgpu::Instance {
    // OpenGL is left out, though drawing the window may bring it along, because it has no compute shaders for our use.
    let backends = wgpu::Backends::PRIMARY;
    wgpu::Instance::new(wgpu::InstanceDescriptor { backends, ..wgpu::InstanceDescriptor::new_without_display_handle() })
}

fn describe(info: &wgpu::AdapterInfo) -> String {
    format!("{} ({:?}, {:?})", info.name, info.backend, info.device_type)
}

async fn choose(choice: &AdapterChoice) -> Result<wgpu::Adapter> {
    let instance = instance();
    let Some(part) = &choice.name else {
        let options = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..Default::default()
        };
        return instance.request_adapter(&options).await.map_err(|e| {
            // A browser has no drivers, so wgpu's message about drivers would mislead.
            let why = match wgpu::Instance::enabled_backend_features().contains(wgpu::Backends::BROWSER_WEBGPU) {
                true => "the browser's WebGPU offers no adapter".to_owned(),
                false => e.to_string(),
            };
            Error::device(
                format!("No GPU was found ({why})"),
                "Install a Vulkan, Metal or DirectX 12 driver; on Debian without a GPU: \
                 apt-get install mesa-vulkan-drivers (a software driver)",
            )
        });
    };
    let adapters = instance.enumerate_adapters(wgpu::Backends::all()).await;
    let names: Vec<String> = adapters.iter().map(|a| describe(&a.get_info())).collect();
    let wanted = part.to_lowercase();
    adapters.into_iter().find(|a| describe(&a.get_info()).to_lowercase().contains(&wanted)).ok_or_else(|| {
        let found = if names.is_empty() { "none".to_owned() } else { names.join("; ") };
        Error::device(format!("No adapter's name contains {part:?} (found: {found})"), "Name a part of one of these")
    })
}

/// Keeps the first failure of the device, for the next `check`.
fn watch(
    device: &wgpu::Device,
    failure: &Arc<Mutex<Option<Error>>>,
    asked: &Arc<Mutex<(String, u64)>>,
    live_bytes: &Arc<AtomicU64>,
) {
    let keep = |failure: &Mutex<Option<Error>>, error: Error| {
        failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    };
    let lost = failure.clone();
    device.set_device_lost_callback(move |reason, message| {
        // A device that is dropped at its end is destroyed too, but nobody asks about it any more.
        let what = format!("The graphics driver reset ({reason:?}: {message})");
        keep(&lost, Error::DeviceLost { what, fix: RESTART.to_owned() });
    });
    let (refused, asked, live_bytes) = (failure.clone(), asked.clone(), live_bytes.clone());
    device.on_uncaptured_error(Arc::new(move |e: wgpu::Error| {
        let error = match e {
            wgpu::Error::OutOfMemory { .. } => {
                // A browser reports it a little later, so the tensor is the latest one at that time.
                let (name, bytes) = &*asked.lock().unwrap_or_else(PoisonError::into_inner);
                out_of_memory(name, *bytes, live_bytes.load(Ordering::Relaxed))
            }
            e => {
                Error::device(format!("The GPU refused a command: {e}"), "This is a bug in pairtune: please report it")
            }
        };
        keep(&refused, error);
    }));
}

/// Error of a device without free memory: the latest tensor asked for has this name, and so many bytes are in use.
fn out_of_memory(name: &str, bytes: u64, live_bytes: u64) -> Error {
    let mb = |bytes: u64| bytes.div_ceil(1_000_000);
    Error::OutOfMemory {
        what: format!(
            "The GPU ran out of memory: the latest it was asked for is \"{name}\" with {} MB, beside {} MB in use",
            mb(bytes),
            mb(live_bytes)
        ),
        fix: "Lower max_length or per_device_train_batch_size, or switch gradient_checkpointing on".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_found_no_memory_is_named() {
        let error = super::out_of_memory("logits", 622_000_000, 3_100_000_001).to_string();
        assert!(error.contains("\"logits\" with 622 MB, beside 3101 MB in use"), "{error}");
    }
}
