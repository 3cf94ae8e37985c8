//! How a weight may be stored: kernels that read one exist once per format, from one text.

use crate::gpu::{Dtype, Format};

/// The formats, each with the WGSL that declares binding 2, the weight, and reads four elements of it.
pub(super) const FORMATS: &[Format] = &[
    Format { name: "f32", dtype: Some(Dtype::F32), part: include_str!("../../shaders/lib/weight_f32.wgsl") },
    Format { name: "f16", dtype: Some(Dtype::F16), part: include_str!("../../shaders/lib/weight_f16.wgsl") },
    Format { name: "bf16", dtype: Some(Dtype::Bf16), part: include_str!("../../shaders/lib/weight_bf16.wgsl") },
];
