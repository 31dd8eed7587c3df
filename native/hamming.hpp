// Hamming distance from one packed bit code to many: the scan of 1-bit vector search.
//
// `codes` is uint8[n, width], row-major; `query` is uint8[width]; `out` is uint32[n], the count of differing bits.
// Every implementation gives the same integers as `scalar`, the oracle.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace edgeperso::hamming {

using Scan = void (*)(const std::uint8_t* codes, const std::uint8_t* query, std::size_t n, std::size_t width,
                      std::uint32_t* out);

struct Implementation {
    std::string_view name;
    Scan scan;
};

// Those that this CPU can run, fastest first; the last one is always "scalar".
const std::vector<Implementation>& implementations();

}  // namespace edgeperso::hamming
