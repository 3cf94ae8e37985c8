// Peak rate of the device: fused multiply-adds on values that never leave registers.
//
// Grid    Any; each invocation does `rounds` * 32 * 4 multiply-adds on 8 independent vec4 chains.
// Writes  out: one value per invocation, so that nothing is optimised away
// Twin    reference::fma_peak

struct Params {
    rounds: u32,
    factor: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let f = vec4<f32>(params.factor);
    var a = vec4<f32>(f32(id.x));
    var b = a + 1.0;
    var c = a + 2.0;
    var d = a + 3.0;
    var e = a + 4.0;
    var g = a + 5.0;
    var h = a + 6.0;
    var i = a + 7.0;
    for (var round = 0u; round < params.rounds; round++) {
        a = fma(a, f, f);
        b = fma(b, f, f);
        c = fma(c, f, f);
        d = fma(d, f, f);
        e = fma(e, f, f);
        g = fma(g, f, f);
        h = fma(h, f, f);
        i = fma(i, f, f);
        a = fma(a, f, f);
        b = fma(b, f, f);
        c = fma(c, f, f);
        d = fma(d, f, f);
        e = fma(e, f, f);
        g = fma(g, f, f);
        h = fma(h, f, f);
        i = fma(i, f, f);
        a = fma(a, f, f);
        b = fma(b, f, f);
        c = fma(c, f, f);
        d = fma(d, f, f);
        e = fma(e, f, f);
        g = fma(g, f, f);
        h = fma(h, f, f);
        i = fma(i, f, f);
        a = fma(a, f, f);
        b = fma(b, f, f);
        c = fma(c, f, f);
        d = fma(d, f, f);
        e = fma(e, f, f);
        g = fma(g, f, f);
        h = fma(h, f, f);
        i = fma(i, f, f);
    }
    let sum = a + b + c + d + e + g + h + i;
    out[id.x] = sum.x + sum.y + sum.z + sum.w;
}
