#!/usr/bin/env bash
# Every check there is, fast to slow: this is what CI runs, and it installs what it needs. From any folder: ./check.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source scripts/install.sh

# step NAME COMMAND...  runs the command and says what it is and how long it took. A function given as the command runs
# without `set -e` and returns its failures itself.
step() {
    local name=$1 start=$SECONDS
    shift
    printf '== %s\n' "$name"
    if ! "$@"; then
        printf '== FAILED: %s, after %s s\n   %s\n' "$name" "$((SECONDS - start))" "$*" >&2
        exit 1
    fi
    printf '== %s: ok, %s s\n\n' "$name" "$((SECONDS - start))"
}

run_tests() {
    if cargo nextest --version >/dev/null 2>&1; then
        cargo nextest run --locked --no-fail-fast -E 'not binary(end_to_end)'
    else
        cargo test --locked --no-fail-fast --lib --bins --test '[!e]*' --test engine
    fi
}

# The page, in release but without wasm-opt, which takes minutes and changes no behaviour.
build_page() { WASM_OPT=none trunk build --release; }

# Two at a time, for Chromium's software GPU keeps hardly more than one core busy.
run_end_to_end() { cargo test --locked --test end_to_end -- --test-threads=2; }

# The kernels against their twins in Chromium's WebGPU; they share the page's release build.
run_kernels_in_browser() {
    CHROMEDRIVER=$(command -v chromedriver) WASM_BINDGEN_TEST_TIMEOUT=600 \
        CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER=wasm-bindgen-test-runner \
        cargo test --locked --release --target wasm32-unknown-unknown --test kernels
}

check_scripts() {
    local script
    for script in ./*.sh scripts/*.sh web/*.sh .ci/run; do bash -n "$script" || return 1; done
}

install_to_run
install_to_check

# Clippy leaves the dependencies' metadata behind, which doc takes up; tests build them once, optimised (Cargo.toml).
step 'scripts parse' check_scripts
step 'format' cargo fmt --check
step 'clippy, native' cargo clippy --locked --all-targets -- -D warnings
step 'clippy, browser' env CLIPPY_CONF_DIR=web \
    cargo clippy --locked --lib --bins --target wasm32-unknown-unknown -- -D warnings
step 'docs' env RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --lib
step 'tests' run_tests
step 'examples in the docs' cargo test --locked --doc
step 'the page' build_page
step 'end to end, window and page' run_end_to_end
step 'kernels in the browser' run_kernels_in_browser
printf 'all checks passed\n'
