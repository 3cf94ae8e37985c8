// lib/right_columns.wgsl: the right operand of a staged tile where its rows lie across the sum, as w in dx = dy w.

var<workgroup> right_tile: array<Operand, 4u * STEP4 * COLS4>;

fn spot_of(lane: u32) -> Spot {
    return Spot(place(lane / STEP4, LEFT_GROUP) + lane % STEP4, lane, lane / COLS4 * STRIDE, lane % COLS4);
}

fn stage(chunk: Chunk, spot: Spot) {
    stage_left(chunk, spot);
    right_tile[spot.put_right] = Operand(chunk.right_a);
    if TWO_RIGHT {
        right_tile[spot.put_right + LANES] = Operand(chunk.right_b);
    }
}

fn right_row(at: u32) -> vec4<f32> {
    return vec4<f32>(right_tile[at]);
}

fn columns(spot: u32, k: u32) -> mat4x4<f32> {
    let at = spot + k * 4u * COLS4;
    return mat4x4<f32>(
        right_row(at), right_row(at + COLS4), right_row(at + 2u * COLS4), right_row(at + 3u * COLS4));
}
