// The innermost loops of search, one set for each kind of processor.
//
// Every set gives the same integers as the scalar one, the oracle. `add_term` gives the same floats too, since each row
// is computed by itself in the same order of operations; sums over rows (`above`, `half_dots`) agree within rounding.
// No kernel allocates, checks or throws: callers have checked every size.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace edgeperso {

// What the sums of the scores in one call came to.
struct Sums {
    double plain = 0.0;
    double squares = 0.0;
};

struct Kernels {
    std::string_view name;

    // out[row] = how many bits of codes[row] (uint8[n, width]) differ from query (uint8[width]).
    void (*distances)(const std::uint8_t* codes, const std::uint8_t* query, std::size_t n, std::size_t width,
                      std::uint32_t* out);

    // Writes each index with values[index] < limit to out (room for n), ascending; returns how many.
    std::size_t (*below)(const std::uint32_t* values, std::size_t n, std::uint32_t limit, std::uint32_t* out);

    // out[i] = the sum of those of query's numbers where a bit of rows[i] (uint8[width]) is set. The numbers are in the
    // order of the bits, the lowest of each byte first, and padded with zeros to a multiple of 64.
    void (*bit_sums)(const std::uint8_t* const* rows, std::size_t n, std::size_t width, const std::int8_t* query,
                     std::int32_t* out);

    // out[i] = the product of rows[i] (int8[dim], -127 to 127) and query (the same); dim at most 65,536.
    void (*dots)(const std::int8_t* const* rows, std::size_t n, std::size_t dim, const std::int8_t* query,
                 std::int32_t* out);

    // out[row] = the product of vectors[row] (float16[n, dim], as bits) and query (float32[dim]).
    void (*half_dots)(const std::uint16_t* vectors, std::size_t n, std::size_t dim, const float* query, float* out);

    // sums[rows[i]] += gain * counts[i] / (counts[i] + norms[rows[i]]); the rows are distinct.
    void (*add_term)(const std::uint16_t* rows, const std::uint16_t* counts, std::size_t n, float gain,
                     const float* norms, float* sums);

    // Writes each index with values[index] > limit to out (room for n), ascending; returns how many. Adds all to total.
    std::size_t (*above)(const float* values, std::size_t n, float limit, std::uint32_t* out, Sums& total);
};

// Those that this processor can run, fastest first; the last one is always "scalar".
const std::vector<Kernels>& kernels();

extern const Kernels scalar_kernels;

// Each appends its set if the processor at hand can run it.
void add_avx512(std::vector<Kernels>& found);
void add_avx2(std::vector<Kernels>& found);
void add_neon(std::vector<Kernels>& found);

}  // namespace edgeperso
