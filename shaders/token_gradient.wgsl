// The derivative of a loss with respect to each token's log-probability, from that with respect to the sums.
//
//   dlogp[t] = w dsums[s].x + v dsums[s].y [times exp(lp) with by_chance],   s the sequence of token t
//
// Grid    One invocation per token.
// Reads   dsums (S,2), stats (T,4), weights (T,4): w, v; sequence (T)
// Writes  dlogp (T) =
// Twin    reference::token_gradient

struct Params {
    tokens: u32,
    by_chance: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dsums: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read> stats: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> weights: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> sequence: array<u32>;
@group(0) @binding(5) var<storage, read_write> dlogp: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let t = (group.y * grid.x + group.x) * 64u + lane;
    if t < params.tokens {
        let d = dsums[sequence[t]];
        let chance = select(1.0, exp(stats[t].x), params.by_chance != 0u);
        dlogp[t] = weights[t].x * d.x + weights[t].y * chance * d.y;
    }
}
