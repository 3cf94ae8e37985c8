// lib/tile_64x64_tall.wgsl: 64 rows by 64 columns for 128 lanes, 8x4 each.

const ROWS = 64u;
const COLS = 64u;
const LANES = 128u;
