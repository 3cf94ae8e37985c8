#!/usr/bin/env bash
# Cooperative matrices without a GPU, on drivers of a newer Debian, which lie in a folder of their own:
#   scripts/matrices.sh    runs the kernels and gradients of the 8x8 matrices of its lavapipe, and compiles the kernels
#                          with 16x16 matrices by its RADV
# As root on Debian, for debootstrap. Only the drivers and their C library come from there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/install.sh

install_to_run
system=$(realpath -m "${CARGO_TARGET_DIR:-target}/matrices")
mirror=http://deb.debian.org/debian
drivers=usr/share/vulkan/icd.d
libraries=usr/lib/x86_64-linux-gnu
has_debootstrap() { has debootstrap; }
install_debootstrap() { apt_install debootstrap; }
has_drivers() { [[ -f "$system/$drivers/lvp_icd.json" && -f "$system/radv/$drivers/radeon_icd.json" ]]; }
install_drivers() {
    rm -rf "$system"
    debootstrap --variant=minbase trixie "$system" "$mirror" >/dev/null || return 1
    echo "deb $mirror trixie-backports main" >"$system/etc/apt/sources.list.d/backports.list"
    chroot "$system" sh -c 'apt-get update -qq && apt-get install -y -qq --no-install-recommends \
        -t trixie-backports mesa-vulkan-drivers libvulkan1 && \
        cd /var/tmp && apt-get download -qq mesa-vulkan-drivers/trixie && \
        dpkg -x mesa-vulkan-drivers_*.deb /radv' >/dev/null
}
need debootstrap has_debootstrap install_debootstrap 'Install it with your package manager.'
need "drivers with cooperative matrices" has_drivers install_drivers 'They are from trixie-backports, by debootstrap.'

# Everything is run by the other system's loader, with its libraries: `there PATH` looks for some in PATH first.
there() {
    local loader=$system/$libraries/ld-linux-x86-64.so.2
    export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="$loader --library-path $1:$system/$libraries"
}
there "$system/$libraries"
export VK_LOADER_LAYERS_DISABLE='*'
export VK_DRIVER_FILES=$system/$drivers/lvp_icd.json VK_ICD_FILENAMES=$system/$drivers/lvp_icd.json
app=(--locked --no-default-features --features app)
cargo run "${app[@]}" --quiet -- doctor >"$system/doctor.txt" || { cat "$system/doctor.txt" >&2; exit 1; }
grep -q '^matmul_forward.*coop.* ok$' "$system/doctor.txt" ||
    { printf 'this lavapipe offers no cooperative matrices of 8x8\n' >&2; exit 1; }
cargo test "${app[@]}" --test kernels -- matmul_forward matmul_backward_input multiplies_wrongly
cargo test "${app[@]}" --test model -- each_variant_has_the_gradients_of_sigmoid
# The newest RADV compiles for no GPU that is not there; the one before does.
there "$system/radv/$libraries"
PAIRTUNE_RADV=$system/radv/$drivers/radeon_icd.json cargo test "${app[@]}" --test isa -- --nocapture
