# Sourced by the other scripts: installs what the build needs on Debian or Ubuntu.

packages="build-essential pkg-config clang libclang-dev ffmpeg libavutil-dev libavcodec-dev libavformat-dev
libavfilter-dev libavdevice-dev libswscale-dev libswresample-dev"
# What ranks over MPI need besides.
mpi_packages="libopenmpi-dev openmpi-bin"
# As many ranks as are asked for, also of root and on few cores.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

setup() {
    command -v cargo >/dev/null || {
        echo "cargo is not installed: get a Rust toolchain (1.90 or later) from https://rustup.rs and try again" >&2
        exit 1
    }
    missing=
    for package in $packages; do
        dpkg -s "$package" >/dev/null 2>&1 || missing="$missing $package"
    done
    [ -z "$missing" ] && return
    command -v apt-get >/dev/null || {
        echo "these are missing, and apt-get is not here to install them:$missing" >&2
        exit 1
    }
    if [ "$(id -u)" = 0 ]; then
        as_root=
    elif command -v sudo >/dev/null; then
        as_root=sudo
    else
        echo "run this as root, or install sudo, or install these yourself:$missing" >&2
        exit 1
    fi
    echo "installing:$missing" >&2
    $as_root apt-get update -qq
    # shellcheck disable=SC2086
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
}
