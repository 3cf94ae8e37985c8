#!/usr/bin/env bash
# What must pass, fast to slow, with what it needs installed. From any folder:
#   ./check.sh        what CI runs: everything native, and one short journey in the window and in each browser
#   ./check.sh full   also newer drivers, llama.cpp and TRL, damaged files, every other test of the window and of the
#                     page, examples in the docs, and the page as it is released
# docs/testing.md lists which test is where, what it proves, and how long it takes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source scripts/install.sh

tier=${1:-default}
[[ "$tier" == default || "$tier" == full ]] || { printf 'usage: ./check.sh [full]\n' >&2; exit 2; }

# Tests take a window on X11, and no more of a desktop: a quarter fewer crates to compile than a default build.
app=(--locked --no-default-features --features app)
took=()

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
    took+=("$(printf '%5s s  %s' "$((SECONDS - start))" "$name")")
    printf '== %s: ok, %s s\n\n' "$name" "$((SECONDS - start))"
}

check_scripts() {
    local script
    for script in ./*.sh scripts/* web/*.sh benches/*.sh benches/peers/*.sh .ci/run; do
        bash -n "$script" || return 1
    done
}

# Files for llama.cpp, in the real llama.cpp.
check_llama_cpp() {
    cargo build "${app[@]}" --bin pairtune --example greedy && "$(llama_cpp_python)" tests/llama_cpp_check.py
}

# Folders for TRL, in the real TRL, on one process and on two.
check_trl() { cargo build "${app[@]}" --bin pairtune && "$(trl_python)" tests/trl_export_check.py; }

# Every test binary; end_to_end is not among those that cargo builds by itself.
build_tests() { cargo test "${app[@]}" --no-run --lib --bins --tests --test end_to_end; }

# run_tests FLAGS...  by nextest, which runs the tests of all binaries side by side, where it is installed.
run_tests() {
    if cargo nextest --version >/dev/null 2>&1; then
        cargo nextest run "${app[@]}" --no-fail-fast "$@"
    else
        cargo test "${app[@]}" --no-fail-fast "$@"
    fi
}

# The page: for the short journeys built fast, in `full` as it is released, with what a first visit loads of it. Without
# wasm-opt, which takes minutes more and changes no behaviour.
build_page() {
    local profile=(--cargo-profile page) file
    [[ "$tier" == full ]] && profile=()
    WASM_OPT=none trunk build --release "${profile[@]}" || return 1
    for file in dist/*.wasm dist/*.js; do
        printf '%9s bytes, %9s by gzip  %s\n' "$(wc -c <"$file")" "$(gzip -9c "$file" | wc -c)" "${file##*/}"
    done
}

step 'install what it takes to run' install_to_run
step 'install what it takes to check' install_to_check
step 'scripts parse' check_scripts
step 'format' cargo fmt --check
step 'format of the fuzz targets' cargo fmt --check --manifest-path fuzz/Cargo.toml
step 'clippy' cargo clippy "${app[@]}" --all-targets --test end_to_end -- -D warnings
step 'docs' env RUSTDOCFLAGS='-D warnings' cargo doc "${app[@]}" --no-deps --lib
step 'build the tests' build_tests
step 'tests' run_tests
step 'build the page' build_page
case $tier in
default)
    step 'short journeys, and kernels in the browsers' run_tests --test end_to_end -- short_ kernels_in_
    ;;
full)
    step 'cooperative matrices' scripts/matrices.sh
    step 'install what it takes to ask llama.cpp' install_to_check_llama_cpp
    step 'exports in llama.cpp' check_llama_cpp
    step 'install what it takes to ask TRL' install_to_check_trl
    step 'exports in TRL' check_trl
    step 'end to end, window and page' run_tests --test end_to_end
    step 'clippy, the whole desktop' cargo clippy --locked --all-targets --test end_to_end -- -D warnings
    step 'clippy, browser' env CLIPPY_CONF_DIR=web \
        cargo clippy --locked --lib --bins --target wasm32-unknown-unknown -- -D warnings
    step 'damaged files' scripts/fuzz.sh 20000
    step 'examples in the docs' cargo test "${app[@]}" --doc
    ;;
esac
printf '%s\n' "${took[@]}" "$(printf '%5s s  in all' "$SECONDS")"
printf 'all checks passed (%s)\n' "$tier"
