#!/usr/bin/env bash
# Builds the kernels' own tests with AddressSanitizer and UndefinedBehaviorSanitizer, and runs them.
set -euo pipefail
cd "$(dirname "$0")/.."
cmake -S . -B build/sanitize -DEDGEPERSO_KERNEL_TEST=ON -DEDGEPERSO_SANITIZE=ON >/dev/null
cmake --build build/sanitize
build/sanitize/kernels_test
build/sanitize/encoder_test
