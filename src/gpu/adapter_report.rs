//! Facts that an adapter tells of itself.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Interface to an adapter, named as `wgpu` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Backend {
    /// Vulkan.
    Vulkan,
    /// Metal.
    Metal,
    /// DirectX 12.
    Dx12,
    /// OpenGL, which has no compute shaders for our use.
    Gl,
    /// A browser's WebGPU.
    BrowserWebGpu,
    /// None that does any work.
    Noop,
}

impl Backend {
    fn of(backend: wgpu::Backend) -> Self {
        match backend {
            wgpu::Backend::Vulkan => Self::Vulkan,
            wgpu::Backend::Metal => Self::Metal,
            wgpu::Backend::Dx12 => Self::Dx12,
            wgpu::Backend::Gl => Self::Gl,
            wgpu::Backend::BrowserWebGpu => Self::BrowserWebGpu,
            wgpu::Backend::Noop => Self::Noop,
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Kind of an adapter, named as `wgpu` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeviceType {
    /// It is not known.
    Other,
    /// A GPU that shares the computer's memory.
    IntegratedGpu,
    /// A GPU with memory of its own.
    DiscreteGpu,
    /// A GPU of a virtual machine.
    VirtualGpu,
    /// The CPU, by a software driver.
    Cpu,
}

impl DeviceType {
    fn of(device_type: wgpu::DeviceType) -> Self {
        match device_type {
            wgpu::DeviceType::Other => Self::Other,
            wgpu::DeviceType::IntegratedGpu => Self::IntegratedGpu,
            wgpu::DeviceType::DiscreteGpu => Self::DiscreteGpu,
            wgpu::DeviceType::VirtualGpu => Self::VirtualGpu,
            wgpu::DeviceType::Cpu => Self::Cpu,
        }
    }
}

impl fmt::Display for DeviceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Facts about the adapter in use, for a person.
#[derive(Debug, Clone, Serialize)]
pub struct AdapterReport {
    /// Name as the driver gives it.
    pub name: String,
    /// Interface to it.
    pub backend: Backend,
    /// Kind of device.
    pub device_type: DeviceType,
    /// PCI identifier of the adapter's maker; 0 in a browser.
    pub vendor: u32,
    /// PCI identifier of the adapter's model; 0 in a browser.
    pub device: u32,
    /// Driver and its version.
    pub driver: String,
    /// Largest range that one binding may cover, in bytes.
    pub max_storage_buffer_binding_size: u64,
    /// Largest buffer, in bytes.
    pub max_buffer_size: u64,
    /// Workgroup memory, in bytes.
    pub max_compute_workgroup_storage_size: u32,
    /// Invocations of one workgroup.
    pub max_compute_invocations_per_workgroup: u32,
    /// Lanes of the smallest subgroup; 0 if the adapter does not say.
    pub subgroup_min_size: u32,
    /// Rows of the adapter's square cooperative matrices for operands of f16 and sums of f32.
    pub cooperative_matrices: Vec<u32>,
    /// Optional features that the adapter offers.
    pub features: Vec<String>,
}

impl AdapterReport {
    /// Reads what the adapter says of itself; the limits are those of the device.
    pub(super) fn of(adapter: &wgpu::Adapter, limits: &wgpu::Limits) -> Self {
        let info = adapter.get_info();
        let features = [
            (wgpu::Features::SHADER_F16, "shader-f16"),
            (wgpu::Features::SUBGROUP, "subgroups"),
            (wgpu::Features::TIMESTAMP_QUERY, "timestamp-query"),
            (wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX, "wgpu-cooperative-matrix"),
        ];
        let offered = adapter.features();
        Self {
            name: info.name,
            backend: Backend::of(info.backend),
            device_type: DeviceType::of(info.device_type),
            vendor: info.vendor,
            device: info.device,
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
            max_storage_buffer_binding_size: limits.max_storage_buffer_binding_size,
            max_buffer_size: limits.max_buffer_size,
            max_compute_workgroup_storage_size: limits.max_compute_workgroup_storage_size,
            max_compute_invocations_per_workgroup: limits.max_compute_invocations_per_workgroup,
            subgroup_min_size: info.subgroup_min_size,
            cooperative_matrices: cooperative_matrices(adapter),
            features: features.iter().filter(|f| offered.contains(f.0)).map(|f| f.1.to_owned()).collect(),
        }
    }

    /// True if the CPU does the adapter's work.
    pub fn is_software(&self) -> bool {
        self.device_type == DeviceType::Cpu
    }
}

/// Rows of the square matrices that `Needs::matrices` can ask for, as the adapter lists them.
fn cooperative_matrices(adapter: &wgpu::Adapter) -> Vec<u32> {
    use wgpu::CooperativeScalarType::{F16, F32};
    if !adapter.features().contains(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX) {
        return Vec::new();
    }
    let listed = adapter.cooperative_matrix_properties().into_iter();
    let square = listed.filter(|of| of.m_size == of.n_size && of.n_size == of.k_size && !of.saturating_accumulation);
    let mut sizes: Vec<u32> = square.filter(|of| [of.ab_type, of.cr_type] == [F16, F32]).map(|of| of.m_size).collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}
