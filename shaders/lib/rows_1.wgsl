// lib/rows_1.wgsl: rows that a workgroup of matmul_forward_rows computes.

const ROWS = 1u;
