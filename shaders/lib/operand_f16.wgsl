// lib/operand_f16.wgsl: operands lie in workgroup memory as f16, up to 32 of a sum at a time; sums are f32.
//
// A number beyond 65,504 becomes infinite, and a number below 6e-8 becomes zero.

alias Operand = vec4<f16>;
const DEPTH4 = 8u;
