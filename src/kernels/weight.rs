//! Formats of stored weights: a kernel that reads a weight exists once per format, from a single text.

use crate::gpu::{Dtype, Format};

/// The formats, each with the WGSL that declares the weight at binding 2 and reads four of its elements.
macro_rules! formats {
    ($($name:literal: $dtype:ident),+) => {
        &[$(Format {
            name: $name,
            dtype: Some(Dtype::$dtype),
            part: include_str!(concat!("../../shaders/lib/weight_", $name, ".wgsl")),
        }),+]
    };
}

/// Formats of plain numbers.
pub(super) const PLAIN: &[Format] = formats!("f32": F32, "f16": F16, "bf16": Bf16);

/// All formats: plain numbers, ggml's blocks, and bitsandbytes'.
pub(super) const FORMATS: &[Format] = formats!(
    "f32": F32, "f16": F16, "bf16": Bf16, "q4_0": Q4_0, "q4_1": Q4_1, "q5_0": Q5_0, "q5_1": Q5_1, "q8_0": Q8_0,
    "q4_k": Q4K, "q5_k": Q5K, "q6_k": Q6K, "nf4": Nf4
);
