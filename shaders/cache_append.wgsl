// Keys and values of a batch into the cache of the texts that they belong to.
//
//   cache[slots[r]] = keys and values of row r
//
// Grid    One invocation per row r and vec4 of keys and values.
// Reads   qkv (R, (heads + 2 kv_heads)*D), slots (R): rows of the cache
// Writes  cache (rows, 2 kv_heads*D) =, at those rows
// Twin    reference::cache_append

struct Params {
    rows: u32,
    columns4: u32,
    first4: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> slots: array<u32>;
@group(0) @binding(3) var<storage, read_write> cache: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * grid.x + group.x) * 64u + lane;
    let kv4 = params.columns4 - params.first4;
    if i >= params.rows * kv4 {
        return;
    }
    let r = i / kv4;
    let c = i % kv4;
    cache[slots[r] * kv4 + c] = qkv[r * params.columns4 + params.first4 + c];
}
