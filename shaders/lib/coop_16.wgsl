// lib/coop_16.wgsl: cooperative matrices of 16x16, which most GPUs have: f16 operands, f32 sums.

alias Left = coop_mat16x16<f16, A>;
alias Right = coop_mat16x16<f16, B>;
alias Sum = coop_mat16x16<f32, C>;
const SIZE = 16u;
