#!/usr/bin/env bash
# Compiles the kernels for Arm and runs their tests under an emulator, with and without the dot-product extension.
# Needs Debian's g++-aarch64-linux-gnu and qemu-user; without them it says so and ends well.
set -euo pipefail
cd "$(dirname "$0")/.."
for tool in aarch64-linux-gnu-g++ qemu-aarch64; do
    command -v "$tool" >/dev/null || {
        echo "kernels for Arm: skipped, there is no $tool here (Debian: g++-aarch64-linux-gnu, qemu-user)"
        exit 0
    }
done
mkdir -p build/neon
kernels=(native/{scalar,avx2,avx512,neon,dense,lexical,gather,secret}.cpp)
flags=(-std=c++20 -O2 -Wall -Wextra -Wpedantic -ffp-contract=off -static)
aarch64-linux-gnu-g++ "${flags[@]}" -Wl,--wrap=munmap -o build/neon/kernels_test tests/native/kernels_test.cpp "${kernels[@]}"
aarch64-linux-gnu-g++ "${flags[@]}" -DEDGEPERSO_FUZZ_MAIN -o build/neon/kernels_fuzz tests/fuzz/kernels_fuzz.cpp "${kernels[@]}"
found=$(qemu-aarch64 -cpu max build/neon/kernels_test)
printf '%s\n' "$found"
grep -q '^neon: ok$' <<<"$found"
qemu-aarch64 -cpu max build/neon/kernels_fuzz
qemu-aarch64 -cpu cortex-a53 build/neon/kernels_test

# The encoder has no way of its own for Arm, but must compile and run there.
aarch64-linux-gnu-g++ -std=c++20 -O2 -Wall -Wextra -Wpedantic -ffp-contract=off -static -o build/neon/encoder_test \
    tests/native/encoder_test.cpp native/{gemm,gemm_x86,gemm_amx,encoder,encoder_scalar,encoder_avx2,encoder_avx512}.cpp
qemu-aarch64 -cpu max build/neon/encoder_test
