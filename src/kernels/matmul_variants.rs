//! Variants of the products: the parts of their WGSL, what each needs, and its grid.

use super::grids::{by_item, wgsl};
use super::matmul::{
    BackwardInputParams, BackwardWeightParams, ForwardParams, LoraBackwardParams, ScaleParams, SumParams,
};
use super::weight::FORMATS;
use crate::gpu::Adapters::{self, All, Hardware, Software};
use crate::gpu::{Bind, Grid, Needs, Op, Precision, Shape, Variant, row_grid};

/// A tile per invocation, by workgroups of 8x8 invocations.
fn tile_grid([rows, cols, _]: Shape) -> Grid {
    [cols.div_ceil(64), rows.div_ceil(64), 1]
}

/// Workgroups of 8 lanes with a tile of ROWS rows and 32 columns.
fn subgroup_grid<const ROWS: u32>([rows, cols, _]: Shape) -> Grid {
    [cols.div_ceil(32), rows.div_ceil(ROWS), 1]
}

/// Workgroups of 8 lanes with a tile of 64 rows and 32 columns; rows are the first axis.
fn subgroup_rows_grid([rows, cols, _]: Shape) -> Grid {
    [rows.div_ceil(64), cols.div_ceil(32), 1]
}

/// Workgroups of 8 invocations, each with a 16x16 tile, one below the other.
fn wide_grid([rows, cols, _]: Shape) -> Grid {
    [cols.div_ceil(16), rows.div_ceil(128), 1]
}

/// Workgroups of 32 columns and R rows.
fn rows_grid<const R: u32>([rows, cols, _]: Shape) -> Grid {
    let [x, y, _] = row_grid(cols.div_ceil(32));
    [x, y, rows.div_ceil(R)]
}

/// Workgroups of 32 invocations, each with an 8x8 tile, one below the other.
fn column_grid([rows, cols, layers]: Shape) -> Grid {
    [cols.div_ceil(8), rows.div_ceil(256), layers]
}

/// One workgroup per tile of ROWS by COLS.
fn staged_grid<const ROWS: u32, const COLS: u32>([rows, cols, _]: Shape) -> Grid {
    [rows.div_ceil(ROWS), cols.div_ceil(COLS), 1]
}

/// One workgroup per tile and layer, for several layers side by side.
fn layers_grid<const ROWS: u32, const COLS: u32>([rows, cols, layers]: Shape) -> Grid {
    [rows.div_ceil(ROWS), cols.div_ceil(COLS), layers]
}

/// One workgroup per tile and part of a batch's rows; columns are the first axis.
fn parts_grid<const ROWS: u32, const COLS: u32>([rows, cols, parts]: Shape) -> Grid {
    [cols.div_ceil(COLS), rows.div_ceil(ROWS), parts]
}

/// Workgroups with 8 rows and 32 columns of the weight's gradient.
fn weight_grid([rows, cols, parts]: Shape) -> Grid {
    [cols.div_ceil(32), rows.div_ceil(8), parts]
}

const SUBGROUPS: Needs = Needs { subgroups: true, ..Needs::NOTHING };

/// A variant that needs nothing, for adapters of a kind.
const fn plain(
    name: &'static str,
    made_for: Adapters,
    parts: &'static [&'static str],
    grid: fn(Shape) -> Grid,
) -> Variant {
    Variant { name, made_for, ..Variant::only(parts, grid) }
}

/// A variant for graphics processors that stages its operands as f16.
const fn halves(name: &'static str, parts: &'static [&'static str], grid: fn(Shape) -> Grid) -> Variant {
    let needs = Needs { f16: true, ..Needs::NOTHING };
    Variant { needs, precision: Precision::F16, ..plain(name, Hardware, parts, grid) }
}

/// A variant for graphics processors that multiplies cooperative matrices of `size` rows.
const fn matrices(name: &'static str, size: u32, parts: &'static [&'static str], grid: fn(Shape) -> Grid) -> Variant {
    let needs = Needs { subgroups: true, f16: true, matrices: size };
    Variant { needs, ..halves(name, parts, grid) }
}

/// Parts of a staged product: the staging of operands, the tile, and the way to read the right operand.
macro_rules! staged {
    ($operand:literal, $tile:literal, $right:literal, $lib:literal, $main:literal) => {
        wgsl!($operand, $tile, "lib/chunk", "lib/products", "lib/staged", $right, "lib/matmul", $lib, $main)
    };
}

/// Parts of the forward product, with operands staged in workgroup memory.
macro_rules! forward {
    ($operand:literal, $tile:literal) => {
        staged!($operand, $tile, "lib/right_rows", "lib/matmul_forward", "matmul_forward_staged")
    };
    ($tile:literal) => {
        forward!("lib/operand_f32", $tile)
    };
}

/// Parts of the backward product to the input, with operands staged in workgroup memory.
macro_rules! backward_input {
    ($operand:literal, $tile:literal) => {
        staged!($operand, $tile, "lib/right_columns", "lib/matmul_backward_input", "matmul_backward_input_staged")
    };
    ($tile:literal) => {
        backward_input!("lib/operand_f32", $tile)
    };
}

/// Parts of a product by cooperative matrices.
macro_rules! coop {
    ($matrix:literal, $tile:literal, $right:literal, $lib:literal, $main:literal) => {
        wgsl!("lib/operand_f16", $tile, "lib/chunk", $matrix, "lib/coop", $right, $lib, $main)
    };
}

/// Parts of the forward product by cooperative matrices.
macro_rules! forward_matrices {
    ($matrix:literal, $tile:literal) => {
        coop!($matrix, $tile, "lib/coop_right_rows", "lib/matmul_forward", "matmul_forward_staged")
    };
}

/// Parts of the backward product to the input by cooperative matrices.
macro_rules! backward_input_matrices {
    ($matrix:literal, $tile:literal) => {
        coop!($matrix, $tile, "lib/coop_right_columns", "lib/matmul_backward_input", "matmul_backward_input_staged")
    };
}

pub(super) static FORWARD: Op = Op {
    name: "matmul_forward",
    params_bytes: size_of::<ForwardParams>(),
    binds: &[Bind::Read, Bind::Read, Bind::Write, Bind::Read, Bind::Read, Bind::Read, Bind::Read],
    formats: FORMATS,
    variants: &[
        // One tile per workgroup, with both operands staged in its memory.
        plain("staged_64x64", Hardware, forward!("lib/tile_64x64"), staged_grid::<64, 64>),
        plain("staged_64x64_tall", Hardware, forward!("lib/tile_64x64_tall"), staged_grid::<64, 64>),
        plain("staged_128x64", Hardware, forward!("lib/tile_128x64"), staged_grid::<128, 64>),
        plain("staged_32x32", Hardware, forward!("lib/tile_32x32"), staged_grid::<32, 32>),
        // The same with f16 operands, which take half of the workgroup memory.
        halves("staged_64x64_f16", forward!("lib/operand_f16", "lib/tile_64x64"), staged_grid::<64, 64>),
        halves("staged_128x64_f16", forward!("lib/operand_f16", "lib/tile_128x64"), staged_grid::<128, 64>),
        // The same by the matrix units of GPUs.
        matrices(
            "staged_64x64_coop_16",
            16,
            forward_matrices!("lib/coop_16", "lib/tile_64x64_tall"),
            staged_grid::<64, 64>,
        ),
        matrices(
            "staged_64x64_coop_16_wide",
            16,
            forward_matrices!("lib/coop_16", "lib/tile_64x64"),
            staged_grid::<64, 64>,
        ),
        matrices("staged_32x32_coop_8", 8, forward_matrices!("lib/coop_8", "lib/tile_32x32"), staged_grid::<32, 32>),
        // Few columns and long sums: LoRA's A.
        plain(
            "thin",
            Hardware,
            wgsl!("lib/products", "lib/thin", "lib/matmul", "lib/matmul_forward", "matmul_forward_thin"),
            staged_grid::<32, 8>,
        ),
        // The weight is read once for a few rows: texts that are generated.
        plain("rows_1", All, wgsl!("lib/matmul_forward", "lib/rows_1", "matmul_forward_rows"), rows_grid::<1>),
        plain("rows_4", All, wgsl!("lib/matmul_forward", "lib/rows_4", "matmul_forward_rows"), rows_grid::<4>),
        plain("rows_16", All, wgsl!("lib/matmul_forward", "lib/rows_16", "matmul_forward_rows"), rows_grid::<16>),
        // The same, with the other operand passed around in a subgroup.
        Variant {
            needs: SUBGROUPS,
            ..plain(
                "row_subgroup",
                Software,
                wgsl!("lib/products", "lib/matmul_forward", "matmul_forward_row_subgroup"),
                rows_grid::<1>,
            )
        },
        Variant {
            needs: SUBGROUPS,
            ..plain(
                "rows_subgroup",
                Software,
                wgsl!(
                    "lib/products",
                    "lib/matmul",
                    "lib/matmul_forward",
                    "lib/subgroup",
                    "matmul_forward_rows_subgroup"
                ),
                subgroup_grid::<16>,
            )
        },
        // An 8x8 tile per lane, no communication.
        plain("tile", Software, wgsl!("lib/matmul", "lib/matmul_forward", "matmul_forward"), tile_grid),
        // A 64x4 tile per lane, one operand passed around in a subgroup.
        Variant {
            needs: SUBGROUPS,
            ..plain(
                "subgroup",
                Software,
                wgsl!("lib/matmul", "lib/matmul_forward", "lib/subgroup", "matmul_forward_subgroup"),
                subgroup_grid::<64>,
            )
        },
        // A 16x16 tile per lane, no communication.
        plain(
            "wide",
            Software,
            wgsl!("lib/matmul", "lib/matmul_forward", "lib/wide", "matmul_forward_wide"),
            wide_grid,
        ),
    ],
};

pub(super) static BACKWARD_INPUT: Op = Op {
    name: "matmul_backward_input",
    params_bytes: size_of::<BackwardInputParams>(),
    binds: &[Bind::Read, Bind::Read, Bind::Write, Bind::Read, Bind::Read],
    formats: FORMATS,
    variants: &[
        plain("staged_64x64", Hardware, backward_input!("lib/tile_64x64"), staged_grid::<64, 64>),
        plain("staged_64x64_tall", Hardware, backward_input!("lib/tile_64x64_tall"), staged_grid::<64, 64>),
        plain("staged_128x64", Hardware, backward_input!("lib/tile_128x64"), staged_grid::<128, 64>),
        plain("staged_32x32", Hardware, backward_input!("lib/tile_32x32"), staged_grid::<32, 32>),
        halves("staged_64x64_f16", backward_input!("lib/operand_f16", "lib/tile_64x64"), staged_grid::<64, 64>),
        halves("staged_128x64_f16", backward_input!("lib/operand_f16", "lib/tile_128x64"), staged_grid::<128, 64>),
        // The same by the matrix units of GPUs.
        matrices(
            "staged_64x64_coop_16",
            16,
            backward_input_matrices!("lib/coop_16", "lib/tile_64x64_tall"),
            staged_grid::<64, 64>,
        ),
        matrices(
            "staged_32x32_coop_8",
            8,
            backward_input_matrices!("lib/coop_8", "lib/tile_32x32"),
            staged_grid::<32, 32>,
        ),
        plain("tile", Software, wgsl!("lib/matmul", "lib/matmul_backward_input", "matmul_backward_input"), tile_grid),
        Variant {
            needs: SUBGROUPS,
            ..plain(
                "subgroup",
                Software,
                wgsl!("lib/matmul", "lib/matmul_backward_input", "lib/subgroup", "matmul_backward_input_subgroup"),
                subgroup_rows_grid,
            )
        },
        plain(
            "wide",
            Software,
            wgsl!("lib/matmul", "lib/matmul_backward_input", "lib/wide", "matmul_backward_input_wide"),
            wide_grid,
        ),
    ],
};

pub(super) static LORA_BACKWARD: Op = Op {
    name: "lora_backward",
    params_bytes: size_of::<LoraBackwardParams>(),
    binds: &[Bind::Read, Bind::Read, Bind::Write],
    formats: &[],
    variants: &[
        plain(
            "thin",
            Hardware,
            wgsl!("lib/products", "lib/thin", "lib/matmul", "lib/lora_backward", "lora_backward_thin"),
            layers_grid::<32, 8>,
        ),
        plain(
            "staged_64x64",
            Hardware,
            staged!(
                "lib/operand_f32",
                "lib/tile_64x64",
                "lib/right_columns",
                "lib/lora_backward",
                "lora_backward_staged"
            ),
            layers_grid::<64, 64>,
        ),
        plain("tile", Software, wgsl!("lib/matmul", "lib/lora_backward", "lora_backward"), column_grid),
    ],
};

/// Parts of a gradient's sums for this tile.
macro_rules! weight {
    ($tile:literal, $main:literal) => {
        wgsl!($tile, "lib/products", "lib/matmul_backward_weight", $main)
    };
}

pub(super) static BACKWARD_WEIGHT: Op = Op {
    name: "matmul_backward_weight",
    params_bytes: size_of::<BackwardWeightParams>(),
    binds: &[Bind::Read, Bind::Read, Bind::Write],
    formats: &[],
    variants: &[
        plain("thin_16x64", Hardware, weight!("lib/thin_16x64", "matmul_backward_weight_thin"), parts_grid::<16, 64>),
        plain("thin_64x16", Hardware, weight!("lib/thin_64x16", "matmul_backward_weight_thin"), parts_grid::<64, 16>),
        plain(
            "staged_32x32",
            Hardware,
            weight!("lib/tile_32x32", "matmul_backward_weight_staged"),
            parts_grid::<32, 32>,
        ),
        plain(
            "staged_64x64",
            Hardware,
            weight!("lib/tile_64x64", "matmul_backward_weight_staged"),
            parts_grid::<64, 64>,
        ),
        plain("tile", Software, wgsl!("lib/matmul_backward_weight", "matmul_backward_weight"), weight_grid),
    ],
};

pub(super) static SCALE_SEGMENTS: Op = Op {
    name: "scale_segments",
    params_bytes: size_of::<ScaleParams>(),
    binds: &[Bind::Write],
    formats: &[],
    variants: &[Variant::only(wgsl!("scale_segments"), by_item)],
};

pub(super) static SUM_PARTIALS: Op = Op {
    name: "sum_partials",
    params_bytes: size_of::<SumParams>(),
    binds: &[Bind::Read, Bind::Write],
    formats: &[],
    variants: &[Variant::only(wgsl!("sum_partials"), by_item)],
};
