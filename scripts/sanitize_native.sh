#!/usr/bin/env bash
# Builds the kernels' own tests, that of hostile input too, with AddressSanitizer and UndefinedBehaviorSanitizer, and runs
# them. Where the compiler has no sanitizers, or there is no CMake, it says so and ends well.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PATH:$PWD/.venv/bin"
command -v cmake >/dev/null || {
    echo "kernels under sanitizers: skipped, there is no cmake here"
    exit 0
}
echo 'int main() {}' | "${CXX:-c++}" -x c++ -fsanitize=address,undefined -o /dev/null - 2>/dev/null || {
    echo "kernels under sanitizers: skipped, ${CXX:-c++} has none"
    exit 0
}
cmake -S . -B build/sanitize -DEDGEPERSO_KERNEL_TEST=ON -DEDGEPERSO_SANITIZE=ON >/dev/null
cmake --build build/sanitize
build/sanitize/kernels_test
build/sanitize/encoder_test
build/sanitize/kernels_fuzz
