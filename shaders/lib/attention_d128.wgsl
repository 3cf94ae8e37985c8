// lib/attention_d128.wgsl: a workgroup writes 128 columns of a head, 4 rows by 8 columns per lane.

const WIDE = true;
const COLS4 = 32u;
