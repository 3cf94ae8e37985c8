//! `Kernel`: what a WGSL file needs to be dispatched, and the pipelines made from it on first use.

use std::borrow::Cow;

/// How a kernel uses one of its storage buffers; binding 0 is always the uniform `Params`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bind {
    /// `var<storage, read>`.
    Read,
    /// `var<storage, read_write>`.
    Write,
}

/// One compute shader: `main` of a WGSL text with its bindings in order.
#[derive(Debug)]
pub struct Kernel {
    /// Unique: the operation, the variant if there are several, and the format of the weight if it reads one, by `_`.
    pub name: &'static str,
    /// Which of several ways to compute the operation; empty for the one that runs everywhere.
    pub variant: &'static str,
    /// How the weight is stored that it reads (f32, f16, bf16); empty if it reads none.
    pub format: &'static str,
    /// The whole text: library parts, then the file itself.
    pub wgsl: &'static str,
    /// Size of the `Params` struct in bytes.
    pub params_bytes: usize,
    /// Storage buffers from binding 1 on.
    pub binds: &'static [Bind],
    /// True if it passes values between the lanes of a subgroup, of which it needs 8.
    pub subgroups: bool,
}

impl Kernel {
    /// Name of a file for it: `<operation>[.<variant>][.<format>].wgsl`.
    pub fn file_name(&self) -> String {
        let mut operation = self.name;
        for part in [self.format, self.variant] {
            operation = operation.strip_suffix(part).unwrap_or(operation).trim_end_matches('_');
        }
        let parts = [operation, self.variant, self.format, "wgsl"];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(".")
    }

    /// The text as a native driver gets it, after a line that says which features it needs.
    ///
    /// In a browser `enable subgroups;` stands before it where that is needed.
    pub fn listing(&self) -> String {
        let needs = if self.subgroups { "subgroups" } else { "nothing" };
        format!("// needs: {needs}\n{}", self.wgsl)
    }
}

/// A kernel compiled for one device.
#[derive(Debug, Clone)]
pub(super) struct Pipeline {
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) layout: wgpu::BindGroupLayout,
}

impl Pipeline {
    pub(super) fn new(device: &wgpu::Device, kernel: &Kernel, browser: bool) -> Self {
        // Browsers ask for the directive, naga does not know it yet (gfx-rs/wgpu#5555).
        let enable = if kernel.subgroups && browser { "enable subgroups;\n" } else { "" };
        let descriptor = wgpu::ShaderModuleDescriptor {
            label: Some(kernel.name),
            source: wgpu::ShaderSource::Wgsl(Cow::Owned(format!("{enable}{}", kernel.wgsl))),
        };
        let checks = wgpu::ShaderRuntimeChecks::unchecked();
        #[expect(
            unsafe_code,
            reason = "every index of our kernels is clamped or guarded against Params, which the \
            kernel functions check against the shapes; loops end by construction; the driver's own bounds stay"
        )]
        // SAFETY: see the reason above; `tests/kernels.rs` runs every kernel at ragged sizes.
        let module = unsafe { device.create_shader_module_trusted(descriptor, checks) };
        let entry = |binding: u32, ty: wgpu::BufferBindingType, dynamic: bool| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: dynamic, min_binding_size: None },
            count: None,
        };
        let mut entries = vec![entry(0, wgpu::BufferBindingType::Uniform, true)];
        for (i, bind) in kernel.binds.iter().enumerate() {
            let read_only = *bind == Bind::Read;
            entries.push(entry(i as u32 + 1, wgpu::BufferBindingType::Storage { read_only }, false));
        }
        let layout = device
            .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(kernel.name), entries: &entries });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(kernel.name),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(kernel.name),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                // Every kernel writes workgroup memory before it reads it.
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: None,
        });
        Self { pipeline, layout }
    }
}
