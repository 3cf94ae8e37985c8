#!/usr/bin/env bash
# Every check there is, fast to slow: this is what CI runs, and it installs what it needs. From any folder: ./check.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

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

# need WHAT TEST INSTALL HOW  leaves if TEST succeeds, else tries INSTALL; if that did not help says HOW to get it.
need() {
    if "$2"; then return; fi
    printf '== %s is missing: %s\n' "$1" "$3"
    "$3" || true
    if "$2"; then return; fi
    printf '%s is missing. %s\n' "$1" "$4" >&2
    exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }
has_cargo() { has cargo; }
has_lints() { cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1; }
has_wasm() { [[ -d "$(rustc --print target-libdir --target wasm32-unknown-unknown 2>/dev/null)" ]]; }

# A loader and at least one driver; other systems than Linux bring theirs.
has_vulkan() {
    [[ "$(uname -s)" == Linux ]] || return 0
    PATH="$PATH:/sbin:/usr/sbin" ldconfig -p | grep 'libvulkan\.so\.1' >/dev/null || return 1
    [[ -n "${VK_DRIVER_FILES:-}${VK_ICD_FILENAMES:-}" ]] && return 0
    compgen -G '/usr/share/vulkan/icd.d/*.json' >/dev/null || compgen -G '/etc/vulkan/icd.d/*.json' >/dev/null
}

install_nothing() { return 1; }
install_lints() { has rustup && rustup component add rustfmt clippy; }
install_wasm() { has rustup && rustup target add wasm32-unknown-unknown; }
install_vulkan() {
    [[ "$(id -u)" == 0 ]] && has apt-get || return 1
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq && apt-get install -y -qq --no-install-recommends mesa-vulkan-drivers libvulkan1
}

install_what_is_missing() {
    need Rust has_cargo install_nothing 'Install it from https://rustup.rs; rust-toolchain.toml names the version.'
    need 'rustfmt or clippy' has_lints install_lints 'Run: rustup component add rustfmt clippy'
    need 'the wasm32 target' has_wasm install_wasm 'Run: rustup target add wasm32-unknown-unknown'
    need 'a Vulkan driver' has_vulkan install_vulkan \
        'On Debian: sudo apt-get install mesa-vulkan-drivers libvulkan1 (a driver that needs no GPU).
Elsewhere: the Vulkan loader, with the driver of the GPU or with Mesa lavapipe.'
}

run_tests() {
    if cargo nextest --version >/dev/null 2>&1; then
        cargo nextest run --locked --no-fail-fast
    else
        cargo test --locked --no-fail-fast --lib --bins --tests
    fi
}

check_scripts() {
    local script
    for script in ./*.sh .ci/run; do bash -n "$script" || return 1; done
}

install_what_is_missing
# Mesa complains, harmlessly, where this is not set.
if [[ -z "${XDG_RUNTIME_DIR:-}" ]]; then
    XDG_RUNTIME_DIR=$(mktemp -d)
    export XDG_RUNTIME_DIR
    trap 'rm -rf "$XDG_RUNTIME_DIR"' EXIT
fi

# Clippy leaves the dependencies' metadata behind, which doc takes up; tests build them once, optimised (Cargo.toml).
step 'scripts parse' check_scripts
step 'format' cargo fmt --check
step 'clippy, native' cargo clippy --locked --all-targets -- -D warnings
step 'clippy, browser' env CLIPPY_CONF_DIR=web \
    cargo clippy --locked --lib --target wasm32-unknown-unknown -- -D warnings
step 'docs' env RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --lib
step 'tests' run_tests
step 'examples in the docs' cargo test --locked --doc
printf 'all checks passed\n'
