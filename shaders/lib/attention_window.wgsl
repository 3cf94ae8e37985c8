// lib/attention_window.wgsl: which keys a sliding window leaves. A query sees `params.window` tokens of its sequence,
// itself included; the hole of its span, (start, hole_start, hole_end, position), holds none of them.

// True for those of four keys that are near enough, if they are seen at all.
fn in_window(query: u32, span: vec4<u32>, keys: vec4<u32>) -> vec4<bool> {
    let hole = select(vec4<u32>(), vec4<u32>(span.z - span.y), keys < vec4<u32>(span.y));
    return vec4<u32>(query) - keys - hole < vec4<u32>(params.window);
}

// The first key that a tile's first query sees, of which `start` is the first of its sequence.
fn first_seen(start: u32, span: vec4<u32>) -> u32 {
    if span.w < params.window {
        return start;
    }
    let row = start + span.w - params.window + 1u;
    return select(row + span.z - span.y, row, row < span.y);
}
