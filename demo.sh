#!/usr/bin/env bash
# Tunes the bundled model to the bundled pairs on this machine's GPU (or on a software driver, which it installs), and
# prints answers from before and after. ./demo.sh [FOLDER]: the adapter goes to FOLDER, out/demo if there is none.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source scripts/install.sh

demo=assets/demo
output=${1:-out/demo}

# answers [FLAGS...]  what the model says to three questions that are in no pair it is trained on.
answers() {
    local question
    for question in 'How much is a bicycle for the day?' 'How do I get from the lighthouse to the library?' \
        'I lost my green camera at the bus stop.'; do
        printf '  %s\n    ' "$question"
        "$pairtune" generate --model "$demo/model" --prompt "Question: $question"$'\nAnswer:' \
            --max-new-tokens 48 --temperature 0.8 --seed 1 "$@" 2>/dev/null
        printf '\n'
    done
}

install_to_run
printf 'Building the command line (once; a few minutes) ...\n'
cargo build --locked --no-default-features
pairtune=target/debug/pairtune

before=$(answers)
"$pairtune" train --model "$demo/model" --pairs "$demo/pairs.jsonl" --eval-pairs "$demo/held_out.jsonl" \
    --config "$demo/config.json" --output "$output" --overwrite
after=$(answers --adapter "$output")

printf '\nBefore, at the same seed:\n%s\n\nAfter:\n%s\n\n' "$before" "$after"
printf 'The adapter is in %s, an ordinary PEFT folder. Ask it something yourself:\n' "$output"
printf '  %s generate --model %s/model --adapter %s --prompt $'\''Question: When is high tide?\\nAnswer:'\''\n' \
    "$pairtune" "$demo" "$output"

if [[ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" || "$(uname -s)" != Linux ]]; then
    printf 'Building the app (once; a few minutes more); its first button does the same with charts.\n'
    cargo build --locked
    "$pairtune" app || printf 'No window could be opened here; the adapter above is complete.\n'
fi
