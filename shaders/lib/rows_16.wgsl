// lib/rows_16.wgsl: rows that a workgroup of matmul_forward_rows computes.

const ROWS = 16u;
