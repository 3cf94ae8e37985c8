# Sourced by check.sh, demo.sh and the scripts of this folder: installs what a fresh machine lacks, through apt where
# root and Debian; elsewhere it says what to install and stops.

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
has_cc() { has cc; }
has_cxx() { has c++; }
has_fuzz() { cargo fuzz --version >/dev/null 2>&1; }
has_lints() { cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1; }
has_wasm() { [[ -d "$(rustc --print target-libdir --target wasm32-unknown-unknown 2>/dev/null)" ]]; }

# A loader and at least one driver; other systems than Linux bring theirs.
has_vulkan() {
    [[ "$(uname -s)" == Linux ]] || return 0
    PATH="$PATH:/sbin:/usr/sbin" ldconfig -p | grep 'libvulkan\.so\.1' >/dev/null || return 1
    [[ -n "${VK_DRIVER_FILES:-}${VK_ICD_FILENAMES:-}" ]] && return 0
    compgen -G '/usr/share/vulkan/icd.d/*.json' >/dev/null || compgen -G '/etc/vulkan/icd.d/*.json' >/dev/null
}

# What the app's tests drive: two browsers, a display without a screen, a mouse, pictures.
has_test_tools() {
    local program
    for program in Xvfb xdotool import openssl chromedriver chromium firefox-esr; do has "$program" || return 1; done
}
# Of the scripts that the pictures show and a small system lacks.
has_fonts() {
    local wanted
    for wanted in :lang=ko :lang=hi :lang=ar :lang=und-zsye; do [[ -n "$(fc-list "$wanted")" ]] || return 1; done
}
has_trunk() { has trunk; }
has_wasm_bindgen() { [[ "$(wasm-bindgen --version 2>/dev/null)" == *" $(wasm_bindgen_version)" ]]; }
# The command must have the version of the library, to the last digit.
wasm_bindgen_version() { grep -A1 '^name = "wasm-bindgen"$' Cargo.lock | sed -n 's/^version = "\(.*\)"$/\1/p'; }

# Debian's packages, where we may.
apt_install() {
    [[ "$(id -u)" == 0 ]] && has apt-get || return 1
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@"
}
# Debian has rustup from version 13 on; it fetches the toolchain that rust-toolchain.toml names.
install_rust() { apt_install rustup; }
install_lints() { has rustup && rustup component add rustfmt clippy; }
install_wasm() { has rustup && rustup target add wasm32-unknown-unknown; }
install_vulkan() { apt_install mesa-vulkan-drivers libvulkan1; }
install_test_tools() {
    apt_install \
        chromium chromium-driver firefox-esr xvfb xdotool x11-utils imagemagick openssl libgl1 libegl1 libgl1-mesa-dri \
        libxkbcommon-x11-0 libxcursor1 libxi6 libxrandr2
}
install_fonts() { apt_install fontconfig fonts-noto-core fonts-noto-cjk fonts-noto-color-emoji; }
# install_tool NAME VERSION [FLAGS...]  with the dependencies that it was published with, for newer ones need not fit
# together; where the registry no longer serves one of those, with today's. Says which way it went.
install_tool() {
    local name=$1 version=$2
    shift 2
    local command=(env CARGO_PROFILE_DEV_DEBUG=false cargo install "$name" --version "$version" --quiet "$@")
    if "${command[@]}" --locked; then
        printf '== %s %s is installed with its published lock file\n' "$name" "$version"
    elif "${command[@]}"; then
        printf '== %s %s is installed without its lock file, which did not resolve\n' "$name" "$version"
    else
        return 1
    fi
}
# Without optimisation: trunk only calls others.
install_trunk() { install_tool trunk 0.21.14 --debug; }
install_wasm_bindgen() { install_tool wasm-bindgen-cli "$(wasm_bindgen_version)"; }
install_fuzz() { install_tool cargo-fuzz 0.13.2 --debug; }
# An interpreter with the packages of tests/llama_cpp_check.py: the one that PAIRTUNE_PYTHON names, or one of our own.
llama_cpp_python() { printf '%s\n' "${PAIRTUNE_PYTHON:-${CARGO_TARGET_DIR:-target}/llama_cpp/bin/python}"; }
has_llama_cpp() { "$(llama_cpp_python)" -c 'import gguf, peft, torch, transformers, xllamacpp' >/dev/null 2>&1; }
install_llama_cpp() {
    [[ -z "${PAIRTUNE_PYTHON:-}" ]] && has python3 || return 1
    local folder=${CARGO_TARGET_DIR:-target}/llama_cpp
    python3 -m venv "$folder" && "$folder/bin/pip" install --quiet torch transformers peft gguf xllamacpp
}
# The same for tests/trl_export_check.py, with the versions that an exported folder asks for.
trl_python() { printf '%s\n' "${PAIRTUNE_TRL_PYTHON:-${CARGO_TARGET_DIR:-target}/trl/bin/python}"; }
has_trl() {
    "$(trl_python)" - <<'EOF' >/dev/null 2>&1
from importlib.metadata import version
lines = open("assets/trl/requirements.txt").read().split()
assert all(version(name) == wanted or not wanted for name, _, wanted in (line.partition("==") for line in lines))
EOF
}
install_trl() {
    [[ -z "${PAIRTUNE_TRL_PYTHON:-}" ]] && has python3 || return 1
    local folder=${CARGO_TARGET_DIR:-target}/trl
    python3 -m venv "$folder" && "$folder/bin/pip" install --quiet -r assets/trl/requirements.txt
}
install_cc() { apt_install gcc libc6-dev; }
install_cxx() { apt_install g++; }

# What building and running take.
install_to_run() {
    need Rust has_cargo install_rust 'Install it from https://rustup.rs; rust-toolchain.toml names the version.'
    need 'a C compiler' has_cc install_cc 'Rust links with it. On Debian: sudo apt-get install gcc libc6-dev'
    need 'a Vulkan driver' has_vulkan install_vulkan \
        'On Debian: sudo apt-get install mesa-vulkan-drivers libvulkan1 (a driver that needs no GPU).
Elsewhere: the Vulkan loader, with the driver of the GPU or with Mesa lavapipe.'
}

# What the checks take beside that.
install_to_check() {
    need 'rustfmt or clippy' has_lints install_lints 'Run: rustup component add rustfmt clippy'
    need 'the wasm32 target' has_wasm install_wasm 'Run: rustup target add wasm32-unknown-unknown'
    install_to_build_the_page
    need 'Chromium, chromedriver, Firefox, Xvfb, xdotool or ImageMagick' has_test_tools install_test_tools \
        'On Debian: sudo apt-get install chromium chromium-driver firefox-esr xvfb xdotool x11-utils imagemagick \
    openssl'
}

# What `trunk build` takes.
install_to_build_the_page() {
    PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
    need wasm-bindgen has_wasm_bindgen install_wasm_bindgen \
        "Run: cargo install wasm-bindgen-cli --version $(wasm_bindgen_version)"
    need trunk has_trunk install_trunk 'Run: cargo install --locked trunk --version 0.21.14'
}

# What fuzzing takes beside what running does.
install_to_fuzz() {
    PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
    need 'a C++ compiler' has_cxx install_cxx 'libFuzzer is built with it. On Debian: sudo apt-get install g++'
    need cargo-fuzz has_fuzz install_fuzz 'Run: cargo install --locked cargo-fuzz --version 0.13.2'
}

# What the check against llama.cpp takes beside that.
install_to_check_llama_cpp() {
    need 'torch, transformers, peft, gguf or xllamacpp' has_llama_cpp install_llama_cpp \
        'Install them with pip, and let PAIRTUNE_PYTHON name the interpreter. On Debian first:
    sudo apt-get install python3-venv'
}

# What the check against TRL takes beside that.
install_to_check_trl() {
    need 'TRL, or what it needs, in the versions of assets/trl/requirements.txt' has_trl install_trl \
        'Install them with pip, and let PAIRTUNE_TRL_PYTHON name the interpreter. On Debian first:
    sudo apt-get install python3-venv'
}

# What the pictures take beside that.
install_to_take_pictures() {
    need 'a font for Korean, Hindi, Arabic or emoji' has_fonts install_fonts \
        'On Debian: sudo apt-get install fonts-noto-core fonts-noto-cjk fonts-noto-color-emoji'
}

# Mesa complains, harmlessly, where this is not set.
if [[ -z "${XDG_RUNTIME_DIR:-}" ]]; then
    XDG_RUNTIME_DIR=$(mktemp -d)
    export XDG_RUNTIME_DIR
    trap 'rm -rf "$XDG_RUNTIME_DIR"' EXIT
fi
