// lib/thin_64x16.wgsl: 64 rows by 16 columns, for a B of rank 16 and its like.

const ROWS = 64u;
const COLS = 16u;
