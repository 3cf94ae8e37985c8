//! Measures the device's own peak, to compare matmul with. Records `shaders/fma_peak.wgsl`; the CPU twin is
//! `reference::fma_peak`.

use bytemuck::{Pod, Zeroable};

use super::grids::{as_is, wgsl};
use crate::gpu::{Bind, Op, Recorder, Tensor, Variant};

/// Multiply-adds of one invocation in one round: 8 chains of 4 components, 4 steps each.
pub const FMAS_PER_ROUND: u32 = 128;

/// Runs `rounds` rounds in one invocation per entry of `out`, whose length is a multiple of 64.
pub fn fma_peak(rec: &mut Recorder<'_>, rounds: u32, factor: f32, out: &Tensor) {
    assert_eq!(out.len() % 64, 0, "whole workgroups only");
    let params = Params { rounds, factor };
    rec.dispatch(&FMA_PEAK, &params, &[out], [out.len() / 64, 1, 1]);
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rounds: u32,
    factor: f32,
}

pub(super) static FMA_PEAK: Op = Op {
    name: "fma_peak",
    params_bytes: size_of::<Params>(),
    binds: &[Bind::Write],
    formats: &[],
    variants: &[Variant::only(wgsl!("fma_peak"), as_is)],
};
