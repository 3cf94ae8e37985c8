#!/usr/bin/env bash
# Takes every picture of docs/ anew: the window and the page by the tests that click through them, failures as the app's
# own tests draw them. From any folder: scripts/screenshots.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/install.sh

install_to_run
install_to_check
install_to_take_pictures

WASM_OPT=none trunk build --release
PAIRTUNE_DOCS=docs cargo test --locked --test end_to_end -- --test-threads=1 \
    the_window_tunes_the_demo the_page_tunes_the_demo_by_clicks_in_chromium \
    a_model_and_pairs_come_from_files_in_chromium other_scripts without_a_gpu

drawn=$(mktemp -d)
PAIRTUNE_SHOTS=$drawn cargo test --locked --test app -- \
    a_lost_device out_of_memory a_full_storage pages_are_drawn
for name in run-device-lost run-out-of-memory run-storage-full plan-does-not-fit; do
    cp "$drawn/$name-light.png" "docs/failure-${name#*-}.png"
done
rm -r "$drawn"
