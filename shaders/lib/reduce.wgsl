// lib/reduce.wgsl: reductions over one workgroup of WG lanes. Every lane must make the call.
//
// Two short rounds instead of a tree: on software adapters a barrier costs more than a few additions.

const WG = 64u;
const STRIDE = 8u;

var<workgroup> partial: array<f32, WG>;
var<workgroup> partial_index: array<u32, WG>;

fn workgroup_sum(lane: u32, value: f32) -> f32 {
    workgroupBarrier();
    partial[lane] = value;
    workgroupBarrier();
    if lane < STRIDE {
        var sum = 0.0;
        for (var i = lane; i < WG; i += STRIDE) {
            sum += partial[i];
        }
        partial[lane] = sum;
    }
    workgroupBarrier();
    var total = 0.0;
    for (var i = 0u; i < STRIDE; i++) {
        total += partial[i];
    }
    return total;
}

// The sum over the STRIDE lanes of a row, where a workgroup holds WG / STRIDE rows. A second call stands after a
// barrier: all must have read the first sum.
fn row_sum(lane: u32, value: f32) -> f32 {
    partial[lane] = value;
    workgroupBarrier();
    let first = lane - lane % STRIDE;
    var total = 0.0;
    for (var i = 0u; i < STRIDE; i++) {
        total += partial[first + i];
    }
    return total;
}

struct Best {
    value: f32,
    index: u32,
}

// The largest value and, of equals, the smallest index.
fn better(a: Best, b: Best) -> Best {
    if b.value > a.value || (b.value == a.value && b.index < a.index) {
        return b;
    }
    return a;
}

fn workgroup_best(lane: u32, mine: Best) -> Best {
    workgroupBarrier();
    partial[lane] = mine.value;
    partial_index[lane] = mine.index;
    workgroupBarrier();
    if lane < STRIDE {
        var best = mine;
        for (var i = lane; i < WG; i += STRIDE) {
            best = better(best, Best(partial[i], partial_index[i]));
        }
        partial[lane] = best.value;
        partial_index[lane] = best.index;
    }
    workgroupBarrier();
    var best = Best(partial[0], partial_index[0]);
    for (var i = 1u; i < STRIDE; i++) {
        best = better(best, Best(partial[i], partial_index[i]));
    }
    return best;
}
