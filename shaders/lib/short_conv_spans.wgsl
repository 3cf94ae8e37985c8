// lib/short_conv_spans.wgsl: the short convolution over packed sequences; bindings 2 to 4 are spans, weight and bias.

@group(0) @binding(2) var<storage, read> spans: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> bias: array<vec4<f32>>;

// The row of the token `distance` before a row's, whose span is (start, hole_start, hole_end, position); there is one.
fn before(span: vec4<u32>, distance: u32) -> u32 {
    let row = span.x + span.w - distance;
    return select(row + span.z - span.y, row, row < span.y);
}

// The convolution at a row.
fn convolved(row: u32, c: u32) -> vec4<f32> {
    let span = spans[row];
    var sum = weight[(params.taps - 1u) * params.cols4 + c] * gated(row, c);
    for (var d = 1u; d < params.taps && d <= span.w; d++) {
        sum += weight[(params.taps - 1u - d) * params.cols4 + c] * gated(before(span, d), c);
    }
    if params.has_bias != 0u {
        sum += bias[c];
    }
    return sum;
}
