// lib/coop_8.wgsl: cooperative matrices of 8x8, as Apple's GPUs and lavapipe have them: f16 operands, f32 sums.

alias Left = coop_mat8x8<f16, A>;
alias Right = coop_mat8x8<f16, B>;
alias Sum = coop_mat8x8<f32, C>;
const SIZE = 8u;
