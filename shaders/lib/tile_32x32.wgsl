// lib/tile_32x32.wgsl: 32 rows by 32 columns for 64 lanes, 4x4 each: where larger tiles would be too few.

const ROWS = 32u;
const COLS = 32u;
const LANES = 64u;
