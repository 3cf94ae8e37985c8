#!/usr/bin/env bash
# What a GPU that is at hand for minutes can tell: does it compute correctly, how fast is it, and how fast is PyTorch on
# it. Takes at most 8 minutes, or MINUTES; what a part has not said by its end is left out.
#
#   benches/gpu.sh BINARY [FOLDER] [MINUTES]
#
# BINARY is a built pairtune (cargo build --release --no-default-features); results go to FOLDER, by default
# benches/results: <adapter>.json as `bench` writes it, with the commit, and <adapter>.txt with everything that was
# said. PyTorch, transformers and peft are used where $PYTHON, or python3, has them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [ $# -lt 1 ] || [ ! -x "$1" ]; then
    echo "usage: $0 BINARY [FOLDER] [MINUTES]   (build one: cargo build --release --no-default-features)" >&2
    exit 2
fi
binary=$1
folder=${2:-benches/results}
# A quarter for the doctor, half for the bench, a quarter for PyTorch.
quarter=$((${3:-8} * 15))
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# part NAME SECONDS COMMAND... runs a part of it, and says how it ended.
part() {
    local name=$1 seconds=$2 started=$SECONDS
    shift 2
    printf '== %s\n' "$name"
    if timeout "$seconds" "$@" 2> >(tee "$work/$name.err" >&2) | tee "$work/$name.txt"; then
        printf '== %s: ok, %d s\n' "$name" $((SECONDS - started))
    else
        printf '== %s: failed or took more than %d s\n' "$name" "$seconds"
        tail -5 "$work/$name.err"
    fi
}

part doctor "$quarter" "$binary" doctor
part bench $((2 * quarter)) "$binary" bench --output "$work/bench.json"
python=$(command -v "${PYTHON:-python3}" || true)
if [ -n "$python" ] && "$python" -c 'import torch, transformers, peft' 2>/dev/null; then
    part torch "$quarter" "$python" benches/peers/torch_step.py
else
    echo '== torch: left out (python3 with torch, transformers and peft is not installed)'
fi

name=$(sed -n 's/^adapter  *//p' "$work/doctor.txt" | sed 's/[^A-Za-z0-9]\{1,\}/-/g; s/-$//')
name=${name:-unknown}
mkdir -p "$folder"
for part in doctor bench torch; do
    if [ -s "$work/$part.txt" ]; then
        printf '== %s\n' "$part"
        cat "$work/$part.txt"
    fi
done >"$folder/$name.txt"
if [ -s "$work/bench.json" ]; then
    commit=$(git describe --always --dirty 2>/dev/null || echo unknown)
    sed "1s/{/{\n  \"commit\": \"$commit\",/" "$work/bench.json" >"$folder/$name.json"
fi
printf 'the results are in %s/%s.* (%d s)\n' "$folder" "$name" "$SECONDS"
