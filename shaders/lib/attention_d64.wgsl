// lib/attention_d64.wgsl: a workgroup writes 64 columns of a head, 4 rows by 4 columns per lane.

const WIDE = false;
const COLS4 = 16u;
