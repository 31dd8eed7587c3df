#!/usr/bin/env bash
# Makes sure that what pip can't bring is there: a C++ compiler, python3-venv; and, if possible, Python's headers (for
# the optional extension) and strace (for the privacy tests). Installs what is missing with apt-get when run as root.
# With `kernels` as a second word also what the kernels' checks need: CMake, a compiler and an emulator for Arm.
set -euo pipefail

python="${1:-python3}"
required=()
optional=()

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "edgeperso needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" >&2
    exit 1
}
command -v "${CXX:-c++}" >/dev/null || command -v g++ >/dev/null || command -v clang++ >/dev/null || required+=(g++)
"$python" -c 'import ensurepip, venv' 2>/dev/null || required+=(python3-venv)
headers=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
[ -e "$headers/Python.h" ] || optional+=(python3-dev)
[ "$(uname -s)" != Linux ] || command -v strace >/dev/null || optional+=(strace)
if [ "${2:-}" = kernels ]; then
    command -v cmake >/dev/null || optional+=(cmake)
    command -v aarch64-linux-gnu-g++ >/dev/null || optional+=(g++-aarch64-linux-gnu)
    command -v qemu-aarch64 >/dev/null || optional+=(qemu-user)
fi

wanted=(${required[@]+"${required[@]}"} ${optional[@]+"${optional[@]}"})  # bash 3.2 has no empty arrays under set -u
[ ${#wanted[@]} -gt 0 ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing ${wanted[*]} with apt-get" >&2
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -q && apt-get install -q -y --no-install-recommends "${wanted[@]}"; } </dev/null >&2 && exit 0
    echo "apt-get could not install ${wanted[*]}" >&2
fi
if [ ${#required[@]} -gt 0 ]; then
    echo "missing: ${required[*]}. Install them with your package manager, e.g. sudo apt-get install ${required[*]}" >&2
    exit 1
fi
echo "going on without ${optional[*]}: parts of the package or of the tests are left out" >&2
