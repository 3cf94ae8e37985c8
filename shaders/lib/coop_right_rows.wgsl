// lib/coop_right_rows.wgsl: the right operand of a tile of cooperative matrices where its rows lie along the sum, as w
// in y = x wᵀ.

const RIGHT_PITCH = STEP4 + 2u;

var<workgroup> right_tile: array<Operand, COLS * RIGHT_PITCH>;

fn right_spot(lane: u32) -> u32 {
    return lane / STEP4 * RIGHT_PITCH + lane % STEP4;
}

fn stage_right(chunk: Chunk, spot: Spot) {
    right_tile[spot.put_right] = Operand(chunk.right_a);
    if TWO_RIGHT {
        right_tile[spot.put_right + APART * RIGHT_PITCH] = Operand(chunk.right_b);
    }
}

fn right_block(column: u32, k4: u32) -> Right {
    return coopLoad<Right>(&right_tile[column * RIGHT_PITCH + k4], RIGHT_PITCH);
}
