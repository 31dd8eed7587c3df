// AVX2.
#include "kernels.hpp"

#if (defined(__x86_64__) || defined(_M_X64)) && defined(__GNUC__)

#include <cpuid.h>
#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "portable.hpp"
#include "x86.hpp"

#define AVX2 __attribute__((target("avx2,fma,f16c")))

namespace edgeperso {
namespace {

// Counts bits by looking up both halves of each byte. Source: Muła, Kurz, Lemire, "Faster Population Counts Using AVX2
// Instructions", The Computer Journal 61(1), 2018, section 3.
AVX2 inline __m256i counted(__m256i x) {
    const __m256i low = _mm256_set1_epi8(0x0f);
    const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,  //
                                           0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const __m256i lower = _mm256_shuffle_epi8(table, _mm256_and_si256(x, low));
    const __m256i upper = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(x, 4), low));
    return _mm256_sad_epu8(_mm256_add_epi8(lower, upper), _mm256_setzero_si256());
}

AVX2 inline __m256i load(const void* at) { return _mm256_loadu_si256(static_cast<const __m256i*>(at)); }

AVX2 inline __m256i load_half(const void* at) {
    return _mm256_zextsi128_si256(_mm_loadu_si128(static_cast<const __m128i*>(at)));
}

AVX2 void distances(const std::uint8_t* codes, const std::uint8_t* query, std::size_t n, std::size_t width,
                    std::uint32_t* out) {
    for (std::size_t row = 0; row < n; ++row) {
        const std::uint8_t* code = codes + row * width;
        __m256i sums = _mm256_setzero_si256();
        std::size_t i = 0;
        for (; i + 32 <= width; i += 32) {
            sums = _mm256_add_epi64(sums, counted(_mm256_xor_si256(load(code + i), load(query + i))));
        }
        if (i + 16 <= width) {
            sums = _mm256_add_epi64(sums, counted(_mm256_xor_si256(load_half(code + i), load_half(query + i))));
            i += 16;
        }
        const __m128i pair = _mm_add_epi64(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
        const auto whole = static_cast<std::uint32_t>(_mm_cvtsi128_si64(pair) + _mm_extract_epi64(pair, 1));
        out[row] = whole + portable::distance(code + i, query + i, width - i);
    }
}

AVX2 std::size_t below(const std::uint32_t* values, std::size_t n, std::uint32_t limit, std::uint32_t* out) {
    // Compared as signed numbers: distances and limits lie far under 2^31.
    const __m256i edge = _mm256_set1_epi32(static_cast<int>(limit));
    std::size_t found = 0;
    std::size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m256i less = _mm256_cmpgt_epi32(edge, load(values + i));
        auto bits = static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(less)));
        for (; bits != 0; bits &= bits - 1) {
            out[found++] = static_cast<std::uint32_t>(i) + static_cast<std::uint32_t>(__builtin_ctz(bits));
        }
    }
    for (; i < n; ++i) {
        if (values[i] < limit) {
            out[found++] = static_cast<std::uint32_t>(i);
        }
    }
    return found;
}

AVX2 inline std::int32_t sum_of(__m256i x) {
    __m128i half = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4e));
    half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0xb1));
    return _mm_cvtsi128_si32(half);
}

AVX2 void bit_sums(const std::uint8_t* const* rows, std::size_t n, std::size_t width, const std::int8_t* query,
                   std::int32_t* out) {
    // Each byte of a row eight times, then the bit that each lane stands for.
    const __m256i spread = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1,  //
                                            2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
    const __m256i place = _mm256_set1_epi64x(static_cast<long long>(0x8040201008040201ULL));
    for (std::size_t row = 0; row < n; ++row) {
        if (row + ahead < n) {
            fetch(rows[row + ahead], width);
        }
        __m256i sums = _mm256_setzero_si256();
        std::size_t i = 0;
        for (; i + 4 <= width; i += 4) {
            std::int32_t four = 0;
            std::memcpy(&four, rows[row] + i, 4);
            const __m256i bytes = _mm256_shuffle_epi8(_mm256_set1_epi32(four), spread);
            const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(bytes, place), place);
            const __m256i chosen = _mm256_and_si256(set, load(query + 8 * i));
            const __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), chosen);
            sums = _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
        }
        out[row] = sum_of(sums) + portable::bit_sum(rows[row] + i, query + 8 * i, width - i);
    }
}

AVX2 void dots(const std::int8_t* const* rows, std::size_t n, std::size_t dim, const std::int8_t* query,
               std::int32_t* out) {
    for (std::size_t row = 0; row < n; ++row) {
        if (row + ahead < n) {
            fetch(rows[row + ahead], dim);
        }
        __m256i sums = _mm256_setzero_si256();
        std::size_t i = 0;
        for (; i + 16 <= dim; i += 16) {
            const __m128i a = _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[row] + i));
            const __m128i b = _mm_loadu_si128(reinterpret_cast<const __m128i*>(query + i));
            sums = _mm256_add_epi32(sums, _mm256_madd_epi16(_mm256_cvtepi8_epi16(a), _mm256_cvtepi8_epi16(b)));
        }
        out[row] = sum_of(sums) + portable::dot(rows[row] + i, query + i, dim - i);
    }
}

AVX2 inline float sum_of(__m256 x) {
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
}

AVX2 void half_dots(const std::uint16_t* vectors, std::size_t n, std::size_t dim, const float* query, float* out) {
    for (std::size_t row = 0; row < n; ++row) {
        const std::uint16_t* vector = vectors + row * dim;
        __m256 sums = _mm256_setzero_ps();
        std::size_t i = 0;
        for (; i + 8 <= dim; i += 8) {
            const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(vector + i));
            sums = _mm256_fmadd_ps(_mm256_cvtph_ps(halves), _mm256_loadu_ps(query + i), sums);
        }
        out[row] = sum_of(sums) + portable::half_dot(vector + i, query + i, dim - i);
    }
}

AVX2 void add_term(const std::uint16_t* rows, const std::uint16_t* counts, std::size_t n, float gain,
                   const float* norms, float* sums) {
    const __m256 weight = _mm256_set1_ps(gain);
    std::size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m256i at = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(rows + i)));
        const __m256 count = _mm256_cvtepi32_ps(
            _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(counts + i))));
        const __m256 under = _mm256_add_ps(count, _mm256_i32gather_ps(norms, at, 4));
        alignas(32) float part[8];
        _mm256_store_ps(part, _mm256_div_ps(_mm256_mul_ps(weight, count), under));
        for (std::size_t j = 0; j < 8; ++j) {
            sums[rows[i + j]] += part[j];
        }
    }
    portable::add_term(rows + i, counts + i, n - i, gain, norms, sums);
}

AVX2 std::size_t above(const float* values, std::size_t n, float limit, std::uint32_t* out, Sums& total) {
    const __m256 edge = _mm256_set1_ps(limit);
    __m256 plain = _mm256_setzero_ps();
    __m256 squares = _mm256_setzero_ps();
    std::size_t found = 0;
    std::size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m256 value = _mm256_loadu_ps(values + i);
        plain = _mm256_add_ps(plain, value);
        squares = _mm256_fmadd_ps(value, value, squares);
        auto bits = static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps(value, edge, _CMP_GT_OQ)));
        for (; bits != 0; bits &= bits - 1) {
            out[found++] = static_cast<std::uint32_t>(i) + static_cast<std::uint32_t>(__builtin_ctz(bits));
        }
    }
    total.plain += static_cast<double>(sum_of(plain));
    total.squares += static_cast<double>(sum_of(squares));
    const std::size_t rest = portable::above(values + i, n - i, limit, out + found, total);
    for (std::size_t j = found; j < found + rest; ++j) {
        out[j] += static_cast<std::uint32_t>(i);
    }
    return found + rest;
}

// Asked of the processor itself: Clang's __builtin_cpu_supports doesn't know the name.
bool has_f16c() {
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}

}  // namespace

void add_avx2(std::vector<Kernels>& found) {
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c()) {
        found.push_back({"avx2", distances, below, bit_sums, dots, half_dots, add_term, above});
    }
}

}  // namespace edgeperso

#else

namespace edgeperso {
void add_avx2(std::vector<Kernels>&) {}
}  // namespace edgeperso

#endif
