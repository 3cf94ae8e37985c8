// Attention of one new row of each text over its rows in the cache.
//
//   out[r,h] = sum_k p[r,k] v[k],   p = softmax over the text's rows, or the last `window` of them, of scale * q.k
//
// Grid    x: rows r, y: heads. A workgroup takes 64 keys at a time, one score per lane; then each lane sums four
//         columns of the values over its share of the keys, for as many shares as heads of D columns leave lanes.
// Reads   qkv (R, (heads + 2 kv_heads)*D), of which the queries; cache (rows, 2 kv_heads*D): keys, values;
//         spans: row r has the first and the last row of its text in the cache
// Writes  out (R, heads*D) =
// Twin    reference::attention_decode
// With    lib/score_{plain,capped}.wgsl

struct Params {
    heads: u32,
    kv_heads: u32,
    d4: u32,
    scale: f32,
    softcap: f32,
    window: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> cache: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> spans: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4<f32>>;

const LANES = 64u;
// A score below every real one, and a first maximum above it: exp(MASKED - FLOOR) is 0, and nothing is infinite.
const MASKED = -1e30;
const FLOOR = -1e29;

var<workgroup> weights: array<f32, LANES>;
var<workgroup> shares: array<vec4<f32>, LANES>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = group.x;
    let head = group.y;
    let kv_head = head / (params.heads / params.kv_heads);
    let d4 = params.d4;
    let query = (row * (params.heads + 2u * params.kv_heads) + head) * d4;
    // Its first and last row in the cache that the query sees.
    let all = spans[row].xy;
    let text = vec2<u32>(max(all.x, max(all.y + 1u, params.window) - params.window), all.y);

    // This lane's four columns and its share of the keys; lanes beyond the last whole share have none.
    let column = lane % d4;
    let share = lane / d4;
    let n_shares = LANES / d4;
    var largest = FLOOR;
    var sum = 0.0;
    var mine = vec4<f32>();
    for (var first = text.x; first <= text.y; first += LANES) {
        // Number of lanes that have a key. It is small early in a text, and the loops below skip the other lanes.
        let n = min(LANES, text.y - first + 1u);
        let key = min(first + lane, text.y);
        let at = (key * 2u * params.kv_heads + kv_head) * d4;
        var products = vec4<f32>();
        for (var d = 0u; d < d4; d++) {
            products = fma(qkv[query + d], cache[at + d], products);
        }
        let product = products.x + products.y + products.z + products.w;
        weights[lane] = select(MASKED, score(vec4<f32>(product)).x, first + lane <= text.y);
        workgroupBarrier();
        var top = largest;
        for (var i = 0u; i < n; i++) {
            top = max(top, weights[i]);
        }
        let weight = exp(weights[lane] - top);
        workgroupBarrier();
        weights[lane] = weight;
        workgroupBarrier();
        let factor = exp(largest - top);
        largest = top;
        sum *= factor;
        for (var i = 0u; i < n; i++) {
            sum += weights[i];
        }
        mine *= factor;
        if share < n_shares {
            for (var i = share; i < n; i += n_shares) {
                let value = ((first + i) * 2u * params.kv_heads + params.kv_heads + kv_head) * d4 + column;
                mine = fma(vec4<f32>(weights[i]), cache[value], mine);
            }
        }
        workgroupBarrier();
    }
    shares[lane] = mine;
    workgroupBarrier();
    if lane < d4 {
        var total = vec4<f32>();
        for (var i = 0u; i < n_shares; i++) {
            total += shares[i * d4 + lane];
        }
        out[(row * params.heads + head) * d4 + lane] = total / sum;
    }
}
