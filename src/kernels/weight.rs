//! Kernels that read a weight exist once per storage type, from one text.

use crate::gpu::{Dtype, Kernel};

/// Three kernels from one file, a variant of an operation: weights as f32, as packed f16, as packed bf16. Binding 2 is
/// the weight; `$lib`s are the other library files that the text needs.
macro_rules! per_dtype {
    ($name:literal, $variant:literal, [$($lib:literal),*], $params:ty, $binds:expr, subgroups: $subgroups:literal) => {
        [
            per_dtype!(@one "f32", $name, $variant, [$($lib),*], $params, $binds, $subgroups),
            per_dtype!(@one "f16", $name, $variant, [$($lib),*], $params, $binds, $subgroups),
            per_dtype!(@one "bf16", $name, $variant, [$($lib),*], $params, $binds, $subgroups),
        ]
    };
    (
        @one $format:literal, $name:literal, $variant:literal, [$($lib:literal),*], $params:ty, $binds:expr,
        $subgroups:literal
    ) => {
        $crate::gpu::Kernel {
            name: concat!($name, "_", $format),
            variant: $variant,
            format: $format,
            wgsl: concat!(
                include_str!(concat!("../../shaders/lib/weight_", $format, ".wgsl")),
                $(include_str!(concat!("../../shaders/lib/", $lib, ".wgsl")),)*
                include_str!(concat!("../../shaders/", $name, ".wgsl")),
            ),
            params_bytes: size_of::<$params>(),
            binds: $binds,
            subgroups: $subgroups,
        }
    };
}
pub(super) use per_dtype;

/// The one of three kernels for weights of this type.
pub(super) fn for_dtype(kernels: &'static [Kernel; 3], dtype: Dtype) -> &'static Kernel {
    match dtype {
        Dtype::F32 => &kernels[0],
        Dtype::F16 => &kernels[1],
        Dtype::Bf16 => &kernels[2],
        Dtype::U32 => unreachable!("a weight is never stored as indices"),
    }
}
