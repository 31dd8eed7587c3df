// AVX-512 with VBMI, VNNI and VPOPCNTDQ.
#include "kernels.hpp"

#if (defined(__x86_64__) || defined(_M_X64)) && defined(__GNUC__)

#include <immintrin.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "portable.hpp"
#include "x86.hpp"

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vnni,avx512vpopcntdq,fma,f16c")))

namespace edgeperso {
namespace {

// The last part of a query, which may be shorter than a register. Masked loads never touch what lies beyond.
struct Tail {
    std::size_t start;
    __mmask64 lanes;
    __m512i query;
};

AVX512 inline __m512i differing(const std::uint8_t* code, const std::uint8_t* query, const Tail& tail) {
    const __m512i x = _mm512_xor_si512(_mm512_maskz_loadu_epi8(tail.lanes, code + tail.start), tail.query);
    __m512i sums = _mm512_popcnt_epi64(x);
    for (std::size_t i = 0; i < tail.start; i += 64) {
        const __m512i more = _mm512_xor_si512(_mm512_loadu_si512(code + i), _mm512_loadu_si512(query + i));
        sums = _mm512_add_epi64(sums, _mm512_popcnt_epi64(more));
    }
    return sums;
}

// Four rows' counts, each below 2^16, in 16 bits of each lane.
AVX512 inline __m512i packed(const __m512i* x) {
    const __m512i low = _mm512_or_si512(x[0], _mm512_slli_epi64(x[1], 16));
    return _mm512_or_si512(low, _mm512_or_si512(_mm512_slli_epi64(x[2], 32), _mm512_slli_epi64(x[3], 48)));
}

// Counts of eight rows, each the sum of its vector's lanes. Packed first, since moving lanes is what the scan would wait
// for.
AVX512 inline __m256i summed(const __m512i* x) {
    const __m512i first = packed(x);
    const __m512i second = packed(x + 4);
    const __m512i pairs =
        _mm512_add_epi64(_mm512_unpacklo_epi64(first, second), _mm512_unpackhi_epi64(first, second));
    const __m256i half = _mm256_add_epi64(_mm512_castsi512_si256(pairs), _mm512_extracti64x4_epi64(pairs, 1));
    const __m128i whole = _mm_add_epi64(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
    return _mm256_cvtepu16_epi32(whole);
}

constexpr std::size_t usual = 48;  // bytes of a row of 384 dimensions, which the default embedder has

// Eight such rows fill six registers, and each word of a register belongs to one row: words[8 * row + i] says where, in
// six registers' counts packed byte beside byte, that of the row's i-th word is.
constexpr std::array<std::uint8_t, 64> words_of_rows() {
    std::array<std::uint8_t, 64> words{};
    for (std::size_t row = 0; row < 8; ++row) {
        for (std::size_t i = 0; i < 6; ++i) {
            const std::size_t word = 6 * row + i;
            words[8 * row + i] = static_cast<std::uint8_t>(8 * (word % 8) + word / 8);
        }
    }
    return words;
}

// The counts of eight rows of 48 bytes; `query` holds the query four times.
AVX512 inline __m256i usual_distances(const std::uint8_t* codes, const __m512i* query, __m512i words) {
    __m512i packed = _mm512_setzero_si512();
    for (int i = 0; i < 6; ++i) {
        const __m512i x = _mm512_xor_si512(_mm512_loadu_si512(codes + 64 * i), query[i % 3]);
        packed = _mm512_or_si512(packed, _mm512_slli_epi64(_mm512_popcnt_epi64(x), static_cast<unsigned>(8 * i)));
    }
    const __m512i rows = _mm512_maskz_permutexvar_epi8(0x3f3f3f3f3f3f3f3f, words, packed);
    return _mm512_cvtepi64_epi32(_mm512_sad_epu8(rows, _mm512_setzero_si512()));
}

AVX512 std::size_t usual_rows(const std::uint8_t* codes, const std::uint8_t* query, std::size_t n, std::uint32_t* out) {
    static constexpr std::array<std::uint8_t, 64> places = words_of_rows();
    std::uint8_t repeated[4 * usual];
    for (std::size_t i = 0; i < 4; ++i) {
        std::memcpy(repeated + i * usual, query, usual);
    }
    const __m512i queries[3] = {_mm512_loadu_si512(repeated), _mm512_loadu_si512(repeated + 64),
                                _mm512_loadu_si512(repeated + 128)};
    const __m512i words = _mm512_loadu_si512(places.data());
    std::size_t row = 0;
    for (; row + 8 <= n; row += 8) {
        const std::uint8_t* some = codes + row * usual;
        if ((n - row - 8) * usual >= early) {
            fetch_early(some + early, 8 * usual);
        }
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + row), usual_distances(some, queries, words));
    }
    return row;
}

AVX512 void distances(const std::uint8_t* codes, const std::uint8_t* query, std::size_t n, std::size_t width,
                      std::uint32_t* out) {
    const std::size_t start = width / 64 * 64;
    const __mmask64 lanes = (std::uint64_t{1} << (width - start)) - 1;
    const Tail tail = {start, lanes, _mm512_maskz_loadu_epi8(lanes, query + start)};
    std::size_t row = width == usual ? usual_rows(codes, query, n, out) : 0;
    for (; 8 * width < 65536 && row + 8 <= n; row += 8) {
        if (row * width + early + 8 * width <= n * width) {
            fetch_early(codes + row * width + early, 8 * width);
        }
        __m512i x[8];
        for (std::size_t j = 0; j < 8; ++j) {
            x[j] = differing(codes + (row + j) * width, query, tail);
        }
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + row), summed(x));
    }
    for (; row < n; ++row) {
        out[row] = static_cast<std::uint32_t>(
            _mm512_reduce_add_epi64(differing(codes + row * width, query, tail)));
    }
}

AVX512 std::size_t below(const std::uint32_t* values, std::size_t n, std::uint32_t limit, std::uint32_t* out) {
    const __m512i edge = _mm512_set1_epi32(static_cast<int>(limit));
    const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    std::size_t found = 0;
    std::size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const __mmask16 less = _mm512_cmplt_epu32_mask(_mm512_loadu_si512(values + i), edge);
        if (less != 0) {
            const __m512i at = _mm512_add_epi32(lanes, _mm512_set1_epi32(static_cast<int>(i)));
            // There is room for 16, since no more than i were found. (To compress into memory takes Zen 4 140 cycles.)
            _mm512_storeu_si512(out + found, _mm512_maskz_compress_epi32(less, at));
            found += static_cast<std::size_t>(__builtin_popcount(less));
        }
    }
    for (; i < n; ++i) {
        if (values[i] < limit) {
            out[found++] = static_cast<std::uint32_t>(i);
        }
    }
    return found;
}

AVX512 void bit_sums(const std::uint8_t* const* rows, std::size_t n, std::size_t width, const std::int8_t* query,
                     std::int32_t* out) {
    const __m512i ones = _mm512_set1_epi8(1);
    for (std::size_t row = 0; row < n; ++row) {
        if (row + ahead < n) {
            fetch(rows[row + ahead], width);
        }
        __m512i sums = _mm512_setzero_si512();
        for (std::size_t i = 0; i < width; i += 8) {
            std::uint64_t bits = 0;
            std::memcpy(&bits, rows[row] + i, std::min<std::size_t>(8, width - i));
            sums = _mm512_dpbusd_epi32(sums, ones, _mm512_maskz_loadu_epi8(bits, query + 8 * i));
        }
        out[row] = _mm512_reduce_add_epi32(sums);
    }
}

// The instruction multiplies unsigned by signed bytes: 128 is added to each row's, and taken off the sum again.
AVX512 void dots(const std::int8_t* const* rows, std::size_t n, std::size_t dim, const std::int8_t* query,
                 std::int32_t* out) {
    const std::size_t whole = dim / 64 * 64;
    const __mmask64 tail = (std::uint64_t{1} << (dim - whole)) - 1;
    const __m512i shift = _mm512_set1_epi8(static_cast<char>(-128));
    std::int32_t query_sum = 0;
    for (std::size_t i = 0; i < dim; ++i) {
        query_sum += query[i];
    }
    for (std::size_t row = 0; row < n; ++row) {
        if (row + ahead < n) {
            fetch(rows[row + ahead], dim);
        }
        __m512i sums = _mm512_setzero_si512();
        for (std::size_t i = 0; i < whole; i += 64) {
            const __m512i x = _mm512_xor_si512(_mm512_loadu_si512(rows[row] + i), shift);
            sums = _mm512_dpbusd_epi32(sums, x, _mm512_loadu_si512(query + i));
        }
        const __m512i x = _mm512_xor_si512(_mm512_maskz_loadu_epi8(tail, rows[row] + whole), shift);
        sums = _mm512_dpbusd_epi32(sums, x, _mm512_maskz_loadu_epi8(tail, query + whole));
        out[row] = _mm512_reduce_add_epi32(sums) - 128 * query_sum;
    }
}

AVX512 void half_dots(const std::uint16_t* vectors, std::size_t n, std::size_t dim, const float* query, float* out) {
    const std::size_t whole = dim / 16 * 16;
    const auto tail = static_cast<__mmask16>((1u << (dim - whole)) - 1);
    for (std::size_t row = 0; row < n; ++row) {
        const std::uint16_t* vector = vectors + row * dim;
        __m512 sums = _mm512_setzero_ps();
        for (std::size_t i = 0; i < whole; i += 16) {
            const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(vector + i));
            sums = _mm512_fmadd_ps(_mm512_cvtph_ps(halves), _mm512_loadu_ps(query + i), sums);
        }
        const __m512 rest = _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(tail, vector + whole));
        sums = _mm512_fmadd_ps(rest, _mm512_maskz_loadu_ps(tail, query + whole), sums);
        out[row] = _mm512_reduce_add_ps(sums);
    }
}

AVX512 void add_term(const std::uint16_t* rows, const std::uint16_t* counts, std::size_t n, float gain,
                     const float* norms, float* sums) {
    const __m512 weight = _mm512_set1_ps(gain);
    for (std::size_t i = 0; i < n; i += 16) {
        const auto lanes = static_cast<__mmask16>(n - i >= 16 ? 0xffffu : (1u << (n - i)) - 1);
        const __m512i at = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, rows + i));
        const __m512 count =
            _mm512_cvtepi32_ps(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, counts + i)));
        const __m512 norm = _mm512_mask_i32gather_ps(weight, lanes, at, norms, 4);
        const __m512 part = _mm512_div_ps(_mm512_mul_ps(weight, count), _mm512_add_ps(count, norm));
        const __m512 before = _mm512_mask_i32gather_ps(part, lanes, at, sums, 4);
        _mm512_mask_i32scatter_ps(sums, lanes, at, _mm512_add_ps(before, part), 4);
    }
}

AVX512 std::size_t above(const float* values, std::size_t n, float limit, std::uint32_t* out, Sums& total) {
    const __m512 edge = _mm512_set1_ps(limit);
    const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m512 plain = _mm512_setzero_ps();
    __m512 squares = _mm512_setzero_ps();
    std::size_t found = 0;
    for (std::size_t i = 0; i < n; i += 16) {
        const auto there = static_cast<__mmask16>(n - i >= 16 ? 0xffffu : (1u << (n - i)) - 1);
        const __m512 value = _mm512_maskz_loadu_ps(there, values + i);
        plain = _mm512_add_ps(plain, value);
        squares = _mm512_fmadd_ps(value, value, squares);
        const __mmask16 more = _mm512_mask_cmp_ps_mask(there, value, edge, _CMP_GT_OQ);
        if (more != 0) {
            const __m512i at = _mm512_add_epi32(lanes, _mm512_set1_epi32(static_cast<int>(i)));
            const auto count = static_cast<unsigned>(__builtin_popcount(more));
            _mm512_mask_storeu_epi32(out + found, static_cast<__mmask16>((1u << count) - 1),
                                     _mm512_maskz_compress_epi32(more, at));
            found += count;
        }
    }
    total.plain += static_cast<double>(_mm512_reduce_add_ps(plain));
    total.squares += static_cast<double>(_mm512_reduce_add_ps(squares));
    return found;
}

}  // namespace

void add_avx512(std::vector<Kernels>& found) {
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vnni") &&
        __builtin_cpu_supports("avx512vpopcntdq")) {
        found.push_back({"avx512", distances, below, bit_sums, dots, half_dots, add_term, above});
    }
}

}  // namespace edgeperso

#else

namespace edgeperso {
void add_avx512(std::vector<Kernels>&) {}
}  // namespace edgeperso

#endif
