#!/usr/bin/env bash
# The step of benches/train.rs by turns: in pairtune, in burn with its wgpu backend on the same adapter, and in PyTorch
# with transformers and PEFT on the CPU. Prints each one's tokens a second, and how many times pairtune's are a peer's.
#
#   benches/peers/run.sh [ROUNDS [TOKENS]]
#
# ROUNDS is 2 by default, TOKENS of a sequence 256. On a software driver burn tries its kernels for more than twenty
# minutes at 256, for four at 16. PyTorch, transformers and PEFT are those of the interpreter that PAIRTUNE_PYTHON
# names, or of python3. burn is built in half an hour on two cores, into benches/peers/burn/target unless
# CARGO_TARGET_DIR names another folder.
# On a software driver CUBECL_AUTOTUNE_LEVEL=minimal lets burn choose among fewer kernels.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
rounds=${1:-2}
tokens=${2:-256}
python=${PAIRTUNE_PYTHON:-python3}
versions='import torch, transformers, peft
print(f"PyTorch {torch.__version__}, transformers {transformers.__version__}, PEFT {peft.__version__}")'
if ! torch=$("$python" -c "$versions"); then
    echo "$python lacks torch, transformers or peft: let PAIRTUNE_PYTHON name an interpreter that has them" >&2
    exit 1
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

pairtune=(cargo bench --locked --quiet --profile dev --no-default-features --bench train)
burn=(--locked --quiet --release --manifest-path benches/peers/burn/Cargo.toml)
"${pairtune[@]}" --no-run
cargo build "${burn[@]}"

# turn PEER COMMAND...  runs the command, and keeps the tokens a second of each case for the table.
turn() {
    local peer=$1
    shift
    "$@" >"$work/$peer.txt"
    sed -nE -e "s/^((half|no)[^:]*): ([0-9]+) tokens.*/\1\t$peer\t\3/p" \
        -e "s/.*\"case\":\"([^\"]*)\".*\"tokens_per_second\":([0-9]+).*/\1\t$peer\t\2/p" "$work/$peer.txt" |
        tee -a "$work/table"
}

for ((round = 1; round <= rounds; round++)); do
    printf '== round %d of %d\n' "$round" "$rounds"
    turn pairtune "${pairtune[@]}" -- --tokens "$tokens"
    turn burn cargo run "${burn[@]}" -- "$tokens"
    turn torch "$python" benches/peer_torch.py --tokens "$tokens"
done

# field NAME  is the text of that name in what burn's peer said last.
field() { sed -nE "\$s/.*\"$1\":\"([^\"]*)\".*/\1/p" "$work/burn.txt"; }

printf '== tokens a second, means over the rounds\n'
printf 'pairtune %s on %s\n' "$(git describe --always --dirty)" "$(sed -n 's/^adapter: //p' "$work/pairtune.txt")"
printf 'burn %s, cubecl %s, wgpu %s on %s, %s\n' \
    "$(field burn)" "$(field cubecl)" "$(field wgpu)" "$(field adapter)" "$(field driver)"
printf '%s on the CPU\n' "$torch"
awk -F '\t' '
    { sum[$1, $2] += $3; count[$1, $2]++; cases[$1] }
    function mean(of, peer) { return sum[of, peer] / count[of, peer] }
    END {
        for (of in cases) {
            ours = mean(of, "pairtune"); burn = mean(of, "burn"); torch = mean(of, "torch")
            printf "%s: pairtune %.0f, burn %.0f, PyTorch %.0f; ", of, ours, burn, torch
            printf "pairtune is %.2f times as fast as burn, %.2f times as fast as PyTorch\n", ours / burn, ours / torch
        }
    }' "$work/table"
