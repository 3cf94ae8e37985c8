//! The tables of rotary embeddings on the device.

use super::architecture::QueryGrowth;
use super::rope::Rope;
use crate::gpu::{Dtype, Gpu, Tensor};

/// Tables of one rotary embedding: a single one, or one for short batches and one for long batches.
pub(super) struct RopeTables {
    /// Longest sequence that the short table is for.
    switches_at: Option<usize>,
    short: RopeTable,
    long: Option<RopeTable>,
}

/// A table (positions, rotated columns) of (cos, sin).
pub(super) struct RopeTable {
    pub(super) keys: Tensor,
    /// Table of the queries, if they grow with their position.
    pub(super) queries: Option<Tensor>,
}

impl RopeTables {
    /// Makes tables for sequences of at most `positions` tokens.
    pub(super) fn new(gpu: &Gpu, rope: &Rope, growth: Option<QueryGrowth>, positions: usize) -> Self {
        let table = |longest: usize| RopeTable::new(gpu, rope, growth, positions, longest);
        let switches_at = rope.switches_at().filter(|at| *at < positions);
        let (short, long) = (table(switches_at.unwrap_or(positions)), switches_at.map(|_| table(positions)));
        Self { switches_at, short, long }
    }

    /// The table for batches whose longest sequence has `longest` tokens.
    pub(super) fn of(&self, longest: usize) -> &RopeTable {
        match (&self.long, self.switches_at) {
            (Some(long), Some(at)) if longest > at => long,
            _ => &self.short,
        }
    }
}

impl RopeTable {
    fn new(gpu: &Gpu, rope: &Rope, growth: Option<QueryGrowth>, positions: usize, longest: usize) -> Self {
        let upload = |table: &[[f32; 2]]| {
            gpu.upload("rope_table", positions as u32, rope.dim as u32, Dtype::F32, table.as_flattened())
        };
        let table = rope.table(positions, longest);
        let queries = growth.map(|QueryGrowth { beta, original }| {
            let factor = |position: usize| (1.0 + beta * ((1 + position / original) as f64).ln()) as f32;
            let rows = table.chunks_exact(rope.dim / 2).enumerate();
            let grown = rows.flat_map(|(position, row)| row.iter().map(move |turn| turn.map(|v| v * factor(position))));
            upload(&grown.collect::<Vec<[f32; 2]>>())
        });
        Self { keys: upload(&table), queries }
    }
}
