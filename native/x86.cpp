// AVX2 and AVX-512. Each function is compiled for its own instructions; the rest of the module runs anywhere.
#include "kernels.hpp"

#if (defined(__x86_64__) || defined(_M_X64)) && defined(__GNUC__)

#include <cpuid.h>
#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "portable.hpp"

#define AVX2 __attribute__((target("avx2,fma,f16c")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vpopcntdq,fma,f16c")))

namespace edgeperso {
namespace {

// The processor's own prefetching stops at each page's end; a scan asks for what lies so many bytes further on.
constexpr std::size_t early = 1024;
constexpr std::size_t ahead = 12;  // rows that lie anywhere in memory are asked for so many rows early

void fetch(const void* at, std::size_t bytes) {
    const auto* row = static_cast<const std::uint8_t*>(at);
    for (std::size_t i = 0; i < bytes; i += 64) {
        __builtin_prefetch(row + i);
    }
}

namespace avx2 {

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

}  // namespace avx2

namespace avx512 {

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

AVX512 void distances(const std::uint8_t* codes, const std::uint8_t* query, std::size_t n, std::size_t width,
                      std::uint32_t* out) {
    const std::size_t start = width / 64 * 64;
    const __mmask64 lanes = (std::uint64_t{1} << (width - start)) - 1;
    const Tail tail = {start, lanes, _mm512_maskz_loadu_epi8(lanes, query + start)};
    std::size_t row = 0;
    for (; 8 * width < 65536 && row + 8 <= n; row += 8) {
        if (row * width + early + 8 * width <= n * width) {
            fetch(codes + row * width + early, 8 * width);
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
            _mm512_mask_compressstoreu_epi32(out + found, less, at);
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
            _mm512_mask_compressstoreu_epi32(out + found, more, at);
            found += static_cast<std::size_t>(__builtin_popcount(more));
        }
    }
    total.plain += static_cast<double>(_mm512_reduce_add_ps(plain));
    total.squares += static_cast<double>(_mm512_reduce_add_ps(squares));
    return found;
}

}  // namespace avx512

// Asked of the processor itself: Clang's __builtin_cpu_supports doesn't know the name.
bool has_f16c() {
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}

}  // namespace

void add_x86(std::vector<Kernels>& found) {
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vpopcntdq")) {
        found.push_back({"avx512", avx512::distances, avx512::below, avx512::bit_sums, avx512::dots,
                         avx512::half_dots, avx512::add_term, avx512::above});
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c()) {
        found.push_back({"avx2", avx2::distances, avx2::below, avx2::bit_sums, avx2::dots, avx2::half_dots,
                         avx2::add_term, avx2::above});
    }
}

}  // namespace edgeperso

#else

namespace edgeperso {
void add_x86(std::vector<Kernels>&) {}
}  // namespace edgeperso

#endif
