//! How a weight may be stored: kernels that read one exist once per format, from one text.

use crate::gpu::{Dtype, Format};

/// The formats, each with the WGSL that declares binding 2, the weight, and reads four elements of it.
macro_rules! formats {
    ($($name:literal: $dtype:ident),+) => {
        &[$(Format {
            name: $name,
            dtype: Some(Dtype::$dtype),
            part: include_str!(concat!("../../shaders/lib/weight_", $name, ".wgsl")),
        }),+]
    };
}

/// Those that are plain numbers.
pub(super) const PLAIN: &[Format] = formats!("f32": F32, "f16": F16, "bf16": Bf16);

/// All of them: plain numbers, ggml's blocks, and bitsandbytes'.
pub(super) const FORMATS: &[Format] = formats!(
    "f32": F32, "f16": F16, "bf16": Bf16, "q4_0": Q4_0, "q4_1": Q4_1, "q5_0": Q5_0, "q5_1": Q5_1, "q8_0": Q8_0,
    "q4_k": Q4K, "q5_k": Q5K, "q6_k": Q6K, "nf4": Nf4
);
