// lib/coop_right_columns.wgsl: the right operand of a tile of cooperative matrices where its rows lie across the sum,
// as w in dx = dy w.

const RIGHT_PITCH = COLS4 + 2u;

var<workgroup> right_tile: array<Operand, 4u * STEP4 * RIGHT_PITCH>;

fn right_spot(lane: u32) -> u32 {
    return lane / COLS4 * RIGHT_PITCH + lane % COLS4;
}

fn stage_right(chunk: Chunk, spot: Spot) {
    right_tile[spot.put_right] = Operand(chunk.right_a);
    if TWO_RIGHT {
        right_tile[spot.put_right + LANES / COLS4 * RIGHT_PITCH] = Operand(chunk.right_b);
    }
}

fn right_block(column: u32, k4: u32) -> Right {
    return coopLoadT<Right>(&right_tile[k4 * 4u * RIGHT_PITCH + column / 4u], RIGHT_PITCH);
}
