// lib/tile_64x64.wgsl: 64 rows by 64 columns for 256 lanes, 4x4 each.

const ROWS = 64u;
const COLS = 64u;
const LANES = 256u;
