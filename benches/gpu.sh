#!/usr/bin/env bash
# What a GPU that is at hand for minutes can tell: does it compute correctly, how fast is it, and how fast is PyTorch on
# it. Takes at most 8 minutes; what a part has not said by its end is left out.
#
#   benches/gpu.sh BINARY [FOLDER]
#
# BINARY is a built pairtune (cargo build --release --no-default-features); results go to FOLDER, by default
# benches/results/<adapter>. PyTorch, transformers and peft are used where they are installed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [ $# -lt 1 ] || [ ! -x "$1" ]; then
    echo "usage: $0 BINARY [FOLDER]   (build one: cargo build --release --no-default-features)" >&2
    exit 2
fi
binary=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# part NAME SECONDS COMMAND... runs a part of it, and says how it ended.
part() {
    local name=$1 seconds=$2 started=$SECONDS
    shift 2
    printf '== %s\n' "$name"
    if timeout "$seconds" "$@" 2>"$work/$name.err" | tee "$work/$name.txt"; then
        printf '== %s: ok, %d s\n' "$name" $((SECONDS - started))
    else
        printf '== %s: failed or took more than %d s\n' "$name" "$seconds"
        tail -5 "$work/$name.err"
    fi
}

part doctor 120 "$binary" doctor
part bench 240 "$binary" bench --output "$work/bench.json"
python=$(command -v python3 || true)
if [ -n "$python" ] && "$python" -c 'import torch, transformers, peft' 2>/dev/null; then
    part torch 120 "$python" benches/peers/torch_step.py
else
    echo '== torch: left out (python3 with torch, transformers and peft is not installed)'
fi

name=$(sed -n 's/^adapter  *//p' "$work/doctor.txt" | sed 's/ (.*//; s/[^A-Za-z0-9]\{1,\}/-/g; s/-$//')
folder=${2:-benches/results/${name:-unknown}}
mkdir -p "$folder"
for file in doctor.txt bench.txt bench.json torch.txt; do
    if [ -s "$work/$file" ]; then
        cp "$work/$file" "$folder/"
    fi
done
git rev-parse --short HEAD >"$folder/commit" 2>/dev/null || true
date -u +%F >"$folder/date"
printf 'the results are in %s (%d s)\n' "$folder" "$SECONDS"
