#!/usr/bin/env bash
# Feeds the readers of foreign files with damaged ones (fuzz/targets), made by libFuzzer from those in fuzz/corpus:
#   scripts/fuzz.sh              a million executions of each target
#   scripts/fuzz.sh RUNS         as many of each
#   scripts/fuzz.sh RUNS gguf    of the targets that are named
# Stops at the first input that makes a reader panic, allocate too much or take longer than ten seconds, and says where
# that input is.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/install.sh

runs=${1:-1000000}
[[ "$runs" =~ ^[0-9]+$ ]] || { printf 'usage: scripts/fuzz.sh [RUNS [TARGET...]]\n' >&2; exit 2; }
targets=("${@:2}")

install_to_run
install_to_fuzz
# What its flags need of the compiler is not stable; this lets the stable one take them.
export RUSTC_BOOTSTRAP=1
[[ ${#targets[@]} -gt 0 ]] || mapfile -t targets < <(cargo fuzz list)

# Words of the readers: keys of configurations and of metadata, which chance does not find.
scratch=$(mktemp -d)
grep -rhoE '"[A-Za-z0-9_.<>|%{}-]{2,40}"' src/model src/files src/data | sort -u >"$scratch/words"
# Without AddressSanitizer: the readers have no `unsafe`, and what they allocate is counted by the targets themselves.
cargo fuzz build --release --sanitizer none
for target in "${targets[@]}"; do
    mkdir "$scratch/$target"
    log=$scratch/$target.log
    # What it finds that goes new ways is kept only while it runs.
    if ! cargo fuzz run --release --sanitizer none "$target" "$scratch/$target" "fuzz/corpus/$target" -- \
        -runs="$runs" -dict="$scratch/words" -max_len=16384 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        >"$log" 2>&1; then
        tail -n 40 "$log" >&2
        found=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
        printf 'the fuzz target %s failed%s\n' "$target" "${found:+ on the input $found}" >&2
        rm -r "$scratch"
        exit 1
    fi
    printf '%-15s %s\n' "$target" "$(grep -E '^#[0-9]+.*DONE|^Done ' "$log" | sed 's/^#[0-9]*\s*//' | tr '\n' ' ')"
done
rm -r "$scratch"
