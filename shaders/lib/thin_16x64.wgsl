// lib/thin_16x64.wgsl: 16 rows by 64 columns, for an A of rank 16 and its like.

const ROWS = 16u;
const COLS = 64u;
