#!/usr/bin/env bash
# Compiles the kernels and the buffers for secrets for macOS and Windows, and runs the test under Wine where there is one.
# Needs a Python with `ziglang` (pip install ziglang): PYTHON=... names it. Without it, it says so and ends well.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
"$python" -c "import ziglang" 2>/dev/null || {
    echo "kernels for macOS and Windows: skipped, $python has no ziglang"
    exit 0
}
mkdir -p build/elsewhere
kernels=(native/{scalar,avx2,avx512,neon,dense,lexical,gather,secret}.cpp)
flags=(-std=c++20 -O2 -Wall -Wextra -Wpedantic -Werror -ffp-contract=off)
for target in aarch64-macos x86_64-macos x86_64-windows-gnu; do
    "$python" -m ziglang c++ -target "$target" "${flags[@]}" -o "build/elsewhere/kernels_test.$target.exe" \
        tests/native/kernels_test.cpp "${kernels[@]}"
    echo "$target: compiled"
done
if command -v wine >/dev/null; then
    WINEDEBUG=-all wine build/elsewhere/kernels_test.x86_64-windows-gnu.exe
else
    echo "Windows: not run, there is no wine here"
fi
