// lib/rows_4.wgsl: rows that a workgroup of matmul_forward_rows computes.

const ROWS = 4u;
