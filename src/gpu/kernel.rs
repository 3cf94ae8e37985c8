//! `Op`: an operation on the device, with all ways to compute it; `Kernel`: one of them, as it is compiled.

use std::borrow::Cow;

use super::{Dtype, Grid};

/// Use of a storage buffer by a kernel; binding 0 is always the uniform `Params`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bind {
    /// `var<storage, read>`.
    Read,
    /// `var<storage, read_write>`.
    Write,
}

/// Sizes that decide an operation's number of workgroups: rows, columns, and a third size.
pub type Shape = [u32; 3];

/// An operation: its bindings, which all variants share, and the variants.
#[derive(Debug)]
pub struct Op {
    /// Unique name: that of its function in `kernels`, of its twin and of its first shader.
    pub name: &'static str,
    /// Size of the `Params` struct in bytes.
    pub params_bytes: usize,
    /// Storage buffers from binding 1 on.
    pub binds: &'static [Bind],
    /// Forms of its text: storage formats of the weight that it reads, or other choices made before compilation. A form
    /// without a name is the usual one. Empty if the text has a single form.
    pub formats: &'static [Format],
    /// All ways to compute it; for each kind of adapter there is one that needs nothing.
    pub variants: &'static [Variant],
}

/// One way to compute an operation.
#[derive(Debug)]
pub struct Variant {
    /// Unique within the operation; empty if it is the only variant.
    pub name: &'static str,
    /// WGSL texts that follow the format's text: library parts, then the shader with `main`.
    pub parts: &'static [&'static str],
    /// Workgroups for a shape.
    pub grid: fn(Shape) -> Grid,
    /// Features that a device must have to run it.
    pub needs: Needs,
    /// Adapters that it was made for; autotune tries it on no other.
    pub made_for: Adapters,
    /// Precision of the operands of products; autotune tries no variant below the one that was asked for.
    pub precision: Precision,
}

/// Rounding of the operands of products. Sums are always f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Precision {
    /// Operands are rounded to 11 bits, and to 0 below 6e-8: numbers agree with f32's to three digits.
    F16,
    /// Operands are not rounded.
    #[default]
    F32,
}

/// Needs of a variant beyond what WebGPU guarantees everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Needs {
    /// True if values pass between the lanes of a subgroup, which must have at least 8.
    pub subgroups: bool,
    /// True if the shader has 16-bit floats.
    pub f16: bool,
    /// Rows and columns of cooperative matrices with f16 operands and f32 sums; 0 for none. Native only.
    pub matrices: u32,
}

impl Needs {
    /// No needs: the variant runs everywhere.
    pub const NOTHING: Self = Self { subgroups: false, f16: false, matrices: 0 };

    /// Names of the features in WebGPU, or in wgpu if WebGPU does not have them.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let matrices = self.matrices > 0;
        let all = [(self.subgroups, "subgroups"), (self.f16, "shader-f16"), (matrices, "wgpu-cooperative-matrix")];
        all.into_iter().filter(|n| n.0).map(|n| n.1)
    }
}

/// A kind of adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adapters {
    /// All adapters.
    All,
    /// Adapters whose work the CPU does.
    Software,
    /// Graphics processors.
    Hardware,
}

/// A form of an operation's text.
#[derive(Debug)]
pub struct Format {
    /// f32, f16, bf16 and so on, for the storage format of the weight; or the name of another choice.
    pub name: &'static str,
    /// Type of the weight, if the form is a storage format.
    pub dtype: Option<Dtype>,
    /// WGSL that comes first. The text for a weight declares binding 2 and `weight(i)`, the i-th four elements.
    pub part: &'static str,
}

impl Variant {
    /// The only way to compute an operation.
    pub const fn only(parts: &'static [&'static str], grid: fn(Shape) -> Grid) -> Self {
        Self { name: "", parts, grid, needs: Needs::NOTHING, made_for: Adapters::All, precision: Precision::F32 }
    }
}

impl Op {
    /// All kernels of the operation: each variant with each format.
    pub fn kernels(&'static self) -> impl Iterator<Item = Kernel> {
        let formats = || {
            let none = self.formats.is_empty().then_some(None);
            none.into_iter().chain(self.formats.iter().map(Some))
        };
        self.variants.iter().flat_map(move |variant| formats().map(move |format| Kernel { op: self, variant, format }))
    }

    /// The format of a weight of this type; a type that the operation cannot read is the caller's fault.
    pub(super) fn format(&self, dtype: Dtype) -> &'static Format {
        let format = self.formats.iter().find(|format| format.dtype == Some(dtype));
        format.unwrap_or_else(|| unreachable!("{} reads no weight stored as {dtype:?}", self.name))
    }
}

/// Joins names with dots; empty names are left out.
pub(super) fn joined(names: [&str; 3]) -> String {
    names.into_iter().filter(|name| !name.is_empty()).collect::<Vec<_>>().join(".")
}

/// One compute shader: a variant of an operation for one format of its weight.
#[derive(Debug, Clone, Copy)]
pub struct Kernel {
    /// The operation.
    pub op: &'static Op,
    /// The way to compute it.
    pub variant: &'static Variant,
    /// The format of its weight, if it reads one.
    pub format: Option<&'static Format>,
}

impl Kernel {
    /// Unique name: `<operation>[.<variant>][.<format>]`.
    pub fn name(&self) -> String {
        joined([self.op.name, self.variant.name, self.format.map_or("", |format| format.name)])
    }

    /// The whole text, without directives.
    pub fn wgsl(&self) -> String {
        let format = self.format.map_or("", |format| format.part);
        std::iter::once(format).chain(self.variant.parts.iter().copied()).collect()
    }

    /// The text that a native driver gets, after a line with the features that it needs.
    ///
    /// A browser's text begins with `enable subgroups;` if the variant needs it.
    pub fn listing(&self) -> String {
        let needs: Vec<&str> = self.variant.needs.names().collect();
        let needs = if needs.is_empty() { "nothing".to_owned() } else { needs.join(", ") };
        format!("// needs: {needs}\n{}", self.source(false))
    }

    /// The text, after the directives that it needs.
    pub fn source(&self, browser: bool) -> String {
        let Needs { subgroups, f16, matrices } = self.variant.needs;
        let directives = [
            // Browsers require it; naga does not know it yet (gfx-rs/wgpu#5555).
            (subgroups && browser, "enable subgroups;\n"),
            (f16, "enable f16;\n"),
            (matrices > 0, "enable wgpu_cooperative_matrix;\n"),
        ];
        let mut text: String = directives.into_iter().filter(|d| d.0).map(|d| d.1).collect();
        text.push_str(&self.wgsl());
        text
    }

    /// Identifier that is equal only for equal kernels.
    pub(super) fn id(&self) -> KernelId {
        KernelId(self.op.name, self.variant.name, self.format.map_or("", |format| format.name))
    }
}

/// Names of operation, variant and format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct KernelId(&'static str, &'static str, &'static str);

/// A kernel compiled for one device.
#[derive(Debug, Clone)]
pub(super) struct Pipeline {
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) layout: wgpu::BindGroupLayout,
}

impl Pipeline {
    pub(super) fn new(device: &wgpu::Device, kernel: &Kernel, browser: bool) -> Self {
        let name = kernel.name();
        let label = Some(name.as_str());
        let source = wgpu::ShaderSource::Wgsl(Cow::Owned(kernel.source(browser)));
        let descriptor = wgpu::ShaderModuleDescriptor { label, source };
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
        for (i, bind) in kernel.op.binds.iter().enumerate() {
            let read_only = *bind == Bind::Read;
            entries.push(entry(i as u32 + 1, wgpu::BufferBindingType::Storage { read_only }, false));
        }
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label, entries: &entries });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label,
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label,
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
