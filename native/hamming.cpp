#include "hamming.hpp"

#include <bit>
#include <cstring>

#if (defined(__x86_64__) || defined(_M_X64)) && defined(__GNUC__)
#define EDGEPERSO_X86 1
#include <immintrin.h>
#endif

namespace edgeperso::hamming {
namespace {

std::uint32_t distance(const std::uint8_t* a, const std::uint8_t* b, std::size_t width) {
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

void scalar(const std::uint8_t* codes, const std::uint8_t* query, std::size_t n, std::size_t width,
            std::uint32_t* out) {
    for (std::size_t row = 0; row < n; ++row) {
        out[row] = distance(codes + row * width, query, width);
    }
}

#ifdef EDGEPERSO_X86

// Counts bits by looking up both halves of each byte. Source: Muła, Kurz, Lemire, "Faster Population Counts Using AVX2
// Instructions", The Computer Journal 61(1), 2018, section 3.
__attribute__((target("avx2"))) void avx2(const std::uint8_t* codes, const std::uint8_t* query, std::size_t n,
                                          std::size_t width, std::uint32_t* out) {
    const __m256i low = _mm256_set1_epi8(0x0f);
    const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,  //
                                           0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    for (std::size_t row = 0; row < n; ++row) {
        const std::uint8_t* code = codes + row * width;
        __m256i sums = _mm256_setzero_si256();
        std::size_t i = 0;
        for (; i + 32 <= width; i += 32) {
            const __m256i x =
                _mm256_xor_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(code + i)),
                                 _mm256_loadu_si256(reinterpret_cast<const __m256i*>(query + i)));
            const __m256i lower = _mm256_shuffle_epi8(table, _mm256_and_si256(x, low));
            const __m256i upper = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(x, 4), low));
            sums = _mm256_add_epi64(sums, _mm256_sad_epu8(_mm256_add_epi8(lower, upper), _mm256_setzero_si256()));
        }
        alignas(32) std::uint64_t lanes[4];
        _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), sums);
        out[row] = static_cast<std::uint32_t>(lanes[0] + lanes[1] + lanes[2] + lanes[3]) +
                   distance(code + i, query + i, width - i);
    }
}

__attribute__((target("avx512f,avx512bw,avx512vpopcntdq"))) void avx512(const std::uint8_t* codes,
                                                                        const std::uint8_t* query, std::size_t n,
                                                                        std::size_t width, std::uint32_t* out) {
    const std::size_t whole = width / 64 * 64;
    const __mmask64 tail = (std::uint64_t{1} << (width - whole)) - 1;  // masked loads never touch what lies beyond
    for (std::size_t row = 0; row < n; ++row) {
        const std::uint8_t* code = codes + row * width;
        __m512i sums = _mm512_setzero_si512();
        for (std::size_t i = 0; i < whole; i += 64) {
            const __m512i x = _mm512_xor_si512(_mm512_loadu_si512(code + i), _mm512_loadu_si512(query + i));
            sums = _mm512_add_epi64(sums, _mm512_popcnt_epi64(x));
        }
        const __m512i x = _mm512_xor_si512(_mm512_maskz_loadu_epi8(tail, code + whole),
                                           _mm512_maskz_loadu_epi8(tail, query + whole));
        sums = _mm512_add_epi64(sums, _mm512_popcnt_epi64(x));
        out[row] = static_cast<std::uint32_t>(_mm512_reduce_add_epi64(sums));
    }
}

#endif  // EDGEPERSO_X86

}  // namespace

const std::vector<Implementation>& implementations() {
    static const std::vector<Implementation> found = [] {
        std::vector<Implementation> list;
#ifdef EDGEPERSO_X86
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
            __builtin_cpu_supports("avx512vpopcntdq")) {
            list.push_back({"avx512", avx512});
        }
        if (__builtin_cpu_supports("avx2")) {
            list.push_back({"avx2", avx2});
        }
#endif
        list.push_back({"scalar", scalar});
        return list;
    }();
    return found;
}

}  // namespace edgeperso::hamming
