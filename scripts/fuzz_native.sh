#!/usr/bin/env bash
# Looks for postings and blocks that the kernels stumble over, by libFuzzer with both sanitizers. Needs clang.
# Usage: scripts/fuzz_native.sh [seconds]; what was found before is kept in build/fuzz/corpus.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p build/fuzz/corpus
clang++ -std=c++20 -g -O1 -ffp-contract=off -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
    -o build/fuzz/kernels_fuzz tests/fuzz/kernels_fuzz.cpp native/{scalar,avx2,avx512,neon,dense,lexical}.cpp
exec build/fuzz/kernels_fuzz -max_total_time="${1:-60}" -max_len=8192 -print_final_stats=1 \
    -artifact_prefix=build/fuzz/ build/fuzz/corpus
