// lib/tile_128x64.wgsl: 128 rows by 64 columns for 256 lanes, 8x4 each.

const ROWS = 128u;
const COLS = 64u;
const LANES = 256u;
