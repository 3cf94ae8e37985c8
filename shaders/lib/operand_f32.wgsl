// lib/operand_f32.wgsl: operands lie in workgroup memory as f32, up to 16 of a sum at a time.

alias Operand = vec4<f32>;
const DEPTH4 = 4u;
