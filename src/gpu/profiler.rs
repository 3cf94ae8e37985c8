//! `Profiler`: the running time of each kernel, by the device's own clock. Native only: a browser's clock is coarse.

use std::collections::BTreeMap;

use super::recorder::MAX_DISPATCHES;

/// Runs and seconds of a kernel.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize)]
pub struct KernelTime {
    /// Dispatches.
    pub dispatches: u64,
    /// Seconds of all dispatches.
    pub seconds: f64,
}

/// Two time stamps for each dispatch of a submission.
pub(super) struct Profiler {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    staging: wgpu::Buffer,
    /// Nanoseconds of a tick.
    period: f64,
    times: BTreeMap<String, KernelTime>,
}

impl Profiler {
    pub(super) fn new(device: &wgpu::Device, queue: &wgpu::Queue) -> Self {
        let count = 2 * MAX_DISPATCHES as u32;
        let buffer = |label, usage| {
            let size = 8 * u64::from(count);
            device.create_buffer(&wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false })
        };
        let queries = device.create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("times"),
            ty: wgpu::QueryType::Timestamp,
            count,
        });
        Self {
            queries,
            resolved: buffer("times", wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC),
            staging: buffer("times read", wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST),
            period: queue.get_timestamp_period().into(),
            times: BTreeMap::new(),
        }
    }

    /// Begins a pass for a single dispatch, by its number.
    pub(super) fn pass(&self, encoder: &mut wgpu::CommandEncoder, dispatch: u32) -> wgpu::ComputePass<'static> {
        let times = wgpu::ComputePassTimestampWrites {
            query_set: &self.queries,
            beginning_of_pass_write_index: Some(2 * dispatch),
            end_of_pass_write_index: Some(2 * dispatch + 1),
        };
        let descriptor = wgpu::ComputePassDescriptor { label: None, timestamp_writes: Some(times) };
        encoder.begin_compute_pass(&descriptor).forget_lifetime()
    }

    /// Records the reading of the times of `n` dispatches.
    pub(super) fn resolve(&self, encoder: &mut wgpu::CommandEncoder, n: usize) {
        let n = 2 * n as u32;
        encoder.resolve_query_set(&self.queries, 0..n, &self.resolved, 0);
        encoder.copy_buffer_to_buffer(&self.resolved, 0, &self.staging, 0, 8 * u64::from(n));
    }

    /// Takes the times of the kernels of a submission, once it has run.
    pub(super) fn take(&mut self, device: &wgpu::Device, kernels: &[String]) {
        let range = ..16 * kernels.len() as u64;
        self.staging.map_async(wgpu::MapMode::Read, range, |_| ());
        if device.poll(wgpu::PollType::wait_indefinitely()).is_err() {
            return;
        }
        if let Ok(view) = self.staging.get_mapped_range(range) {
            let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&view);
            for (kernel, ticks) in kernels.iter().zip(ticks.as_chunks::<2>().0) {
                let time = self.times.entry(kernel.clone()).or_default();
                time.dispatches += 1;
                time.seconds += ticks[1].saturating_sub(ticks[0]) as f64 * self.period / 1e9;
            }
        }
        self.staging.unmap();
    }

    pub(super) fn into_times(self) -> BTreeMap<String, KernelTime> {
        self.times
    }
}
