// One row, or a tail of a row, in plain C++: the oracle's loops, which the faster sets use for what is left over.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels.hpp"

namespace edgeperso::portable {

inline std::uint32_t distance(const std::uint8_t* a, const std::uint8_t* b, std::size_t width) {
    std::uint32_t bits = 0;
    std::size_t i = 0;
    for (; i + 8 <= width; i += 8) {
        std::uint64_t x = 0;
        std::uint64_t y = 0;
        std::memcpy(&x, a + i, 8);
        std::memcpy(&y, b + i, 8);
        bits += static_cast<std::uint32_t>(std::popcount(x ^ y));
    }
    for (; i < width; ++i) {
        bits += static_cast<std::uint32_t>(std::popcount(static_cast<std::uint8_t>(a[i] ^ b[i])));
    }
    return bits;
}

inline std::int32_t bit_sum(const std::uint8_t* bits, const std::int8_t* query, std::size_t width) {
    std::int32_t sum = 0;
    for (std::size_t i = 0; i < width; ++i) {
        for (std::size_t bit = 0; bit < 8; ++bit) {
            sum += (bits[i] >> bit & 1) * query[8 * i + bit];
        }
    }
    return sum;
}

inline std::int32_t dot(const std::int8_t* a, const std::int8_t* b, std::size_t dim) {
    std::int32_t sum = 0;
    for (std::size_t i = 0; i < dim; ++i) {
        sum += a[i] * b[i];
    }
    return sum;
}

// IEEE 754 binary16 to binary32. A subnormal is its fraction times 2^-24.
inline float half(std::uint16_t bits) {
    const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16;
    const std::uint32_t exponent = (bits >> 10) & 0x1fu;
    const std::uint32_t fraction = bits & 0x3ffu;
    if (exponent == 0) {
        const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
        return sign != 0 ? -magnitude : magnitude;
    }
    const std::uint32_t wide = exponent == 31 ? 0xffu : exponent + 112;
    return std::bit_cast<float>(sign | (wide << 23) | (fraction << 13));
}

inline float half_dot(const std::uint16_t* vector, const float* query, std::size_t dim) {
    float sum = 0.0f;
    for (std::size_t i = 0; i < dim; ++i) {
        sum += half(vector[i]) * query[i];
    }
    return sum;
}

inline std::size_t below(const std::uint32_t* values, std::size_t n, std::uint32_t limit, std::uint32_t* out) {
    std::size_t found = 0;
    for (std::size_t i = 0; i < n; ++i) {
        out[found] = static_cast<std::uint32_t>(i);
        found += values[i] < limit;
    }
    return found;
}

inline void add_term(const std::uint16_t* rows, const std::uint16_t* counts, std::size_t n, float gain,
                     const float* norms, float* sums) {
    for (std::size_t i = 0; i < n; ++i) {
        const auto count = static_cast<float>(counts[i]);
        sums[rows[i]] += gain * count / (count + norms[rows[i]]);
    }
}

inline std::size_t above(const float* values, std::size_t n, float limit, std::uint32_t* out, Sums& total) {
    std::size_t found = 0;
    for (std::size_t i = 0; i < n; ++i) {
        const auto value = static_cast<double>(values[i]);
        total.plain += value;
        total.squares += value * value;
        out[found] = static_cast<std::uint32_t>(i);
        found += values[i] > limit;
    }
    return found;
}

}  // namespace edgeperso::portable
