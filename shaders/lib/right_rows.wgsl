// lib/right_rows.wgsl: the right operand of a staged tile where its rows lie along the sum, as w in y = x wᵀ.

const RIGHT_GROUP = COLS / 4u * STRIDE + STEP4;

var<workgroup> right_tile: array<Operand, 4u * RIGHT_GROUP>;

fn spot_of(lane: u32) -> Spot {
    let step = lane % STEP4;
    return Spot(
        place(lane / STEP4, LEFT_GROUP) + step, place(lane / STEP4, RIGHT_GROUP) + step,
        lane / COLS4 * STRIDE, lane % COLS4 * STRIDE);
}

fn stage(chunk: Chunk, spot: Spot) {
    stage_left(chunk, spot);
    right_tile[spot.put_right] = Operand(chunk.right_a);
    if TWO_RIGHT {
        right_tile[spot.put_right + APART / 4u * STRIDE] = Operand(chunk.right_b);
    }
}

fn right_row(at: u32) -> vec4<f32> {
    return vec4<f32>(right_tile[at]);
}

// Column j of the result: the j-th component of each of the four vec4s.
fn columns(spot: u32, k: u32) -> mat4x4<f32> {
    let at = spot + k;
    return transpose(mat4x4<f32>(right_row(at), right_row(at + RIGHT_GROUP),
        right_row(at + 2u * RIGHT_GROUP), right_row(at + 3u * RIGHT_GROUP)));
}
