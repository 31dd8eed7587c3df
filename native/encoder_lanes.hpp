// Floats side by side, as many as the instructions hold that a file is compiled for: 16, 8 or 1. Included by the
// encoder_*.cpp alone. Nothing inline from other headers may be used here: the linker keeps one copy of such a function,
// and it could be the one of another file, with instructions that the processor lacks.
#pragma once

#include <math.h>

#include <cstddef>
#include <cstdint>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

namespace edgeperso {
namespace {

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__)

using Lanes = __m512;
constexpr std::size_t width = 16;
inline Lanes load(const float* at) { return _mm512_loadu_ps(at); }
inline void store(float* at, Lanes x) { _mm512_storeu_ps(at, x); }
inline Lanes all(float x) { return _mm512_set1_ps(x); }
inline Lanes from_bytes(const std::int8_t* at) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at))));
}
inline Lanes add(Lanes a, Lanes b) { return _mm512_add_ps(a, b); }
inline Lanes sub(Lanes a, Lanes b) { return _mm512_sub_ps(a, b); }
inline Lanes mul(Lanes a, Lanes b) { return _mm512_mul_ps(a, b); }
inline Lanes fma(Lanes a, Lanes b, Lanes c) { return _mm512_fmadd_ps(a, b, c); }
inline Lanes least(Lanes a, Lanes b) { return _mm512_min_ps(a, b); }
inline Lanes most(Lanes a, Lanes b) { return _mm512_max_ps(a, b); }
inline float sum_of(Lanes x) { return _mm512_reduce_add_ps(x); }
inline float least_of(Lanes x) { return _mm512_reduce_min_ps(x); }
inline float most_of(Lanes x) { return _mm512_reduce_max_ps(x); }
inline Lanes rounded(Lanes x) { return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
inline Lanes times_power(Lanes x, Lanes exponent) { return _mm512_scalef_ps(x, exponent); }

using Ints = __m512i;
inline Ints load(const std::int32_t* at) { return _mm512_loadu_si512(at); }
inline Ints all(std::int32_t x) { return _mm512_set1_epi32(x); }
inline Ints add(Ints a, Ints b) { return _mm512_add_epi32(a, b); }
inline Ints sub(Ints a, Ints b) { return _mm512_sub_epi32(a, b); }
inline Ints mul(Ints a, Ints b) { return _mm512_mullo_epi32(a, b); }
inline Ints least(Ints a, Ints b) { return _mm512_min_epi32(a, b); }
inline Ints most(Ints a, Ints b) { return _mm512_max_epi32(a, b); }
inline Ints high_bytes(Ints x) { return _mm512_srli_epi32(x, 8); }
inline Lanes floats(Ints x) { return _mm512_cvtepi32_ps(x); }
inline Ints nearest(Lanes x) { return _mm512_cvtps_epi32(x); }
inline void store_low_bytes(std::uint8_t* at, Ints x) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(at), _mm512_cvtepi32_epi8(x));
}

#elif defined(__AVX2__) && defined(__FMA__)

using Lanes = __m256;
constexpr std::size_t width = 8;
inline Lanes load(const float* at) { return _mm256_loadu_ps(at); }
inline void store(float* at, Lanes x) { _mm256_storeu_ps(at, x); }
inline Lanes all(float x) { return _mm256_set1_ps(x); }
inline Lanes from_bytes(const std::int8_t* at) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(at))));
}
inline Lanes add(Lanes a, Lanes b) { return _mm256_add_ps(a, b); }
inline Lanes sub(Lanes a, Lanes b) { return _mm256_sub_ps(a, b); }
inline Lanes mul(Lanes a, Lanes b) { return _mm256_mul_ps(a, b); }
inline Lanes fma(Lanes a, Lanes b, Lanes c) { return _mm256_fmadd_ps(a, b, c); }
inline Lanes least(Lanes a, Lanes b) { return _mm256_min_ps(a, b); }
inline Lanes most(Lanes a, Lanes b) { return _mm256_max_ps(a, b); }
inline float sum_of(Lanes x) {
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
}
inline float least_of(Lanes x) {
    __m128 half = _mm_min_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    half = _mm_min_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_min_ss(half, _mm_movehdup_ps(half)));
}
inline float most_of(Lanes x) {
    __m128 half = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    half = _mm_max_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_max_ss(half, _mm_movehdup_ps(half)));
}
inline Lanes rounded(Lanes x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
inline Lanes times_power(Lanes x, Lanes exponent) {
    const __m256i bits = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(exponent), _mm256_set1_epi32(127)), 23);
    return _mm256_mul_ps(x, _mm256_castsi256_ps(bits));
}

using Ints = __m256i;
inline Ints load(const std::int32_t* at) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)); }
inline Ints all(std::int32_t x) { return _mm256_set1_epi32(x); }
inline Ints add(Ints a, Ints b) { return _mm256_add_epi32(a, b); }
inline Ints sub(Ints a, Ints b) { return _mm256_sub_epi32(a, b); }
inline Ints mul(Ints a, Ints b) { return _mm256_mullo_epi32(a, b); }
inline Ints least(Ints a, Ints b) { return _mm256_min_epi32(a, b); }
inline Ints most(Ints a, Ints b) { return _mm256_max_epi32(a, b); }
inline Ints high_bytes(Ints x) { return _mm256_srli_epi32(x, 8); }
inline Lanes floats(Ints x) { return _mm256_cvtepi32_ps(x); }
inline Ints nearest(Lanes x) { return _mm256_cvtps_epi32(x); }
inline void store_low_bytes(std::uint8_t* at, Ints x) {
    const __m256i low = _mm256_and_si256(x, _mm256_set1_epi32(255));
    const __m128i pairs = _mm_packus_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(at), _mm_packus_epi16(pairs, pairs));
}

#else

using Lanes = float;
constexpr std::size_t width = 1;
inline Lanes load(const float* at) { return *at; }
inline void store(float* at, Lanes x) { *at = x; }
inline Lanes all(float x) { return x; }
inline Lanes from_bytes(const std::int8_t* at) { return static_cast<float>(*at); }
inline Lanes add(Lanes a, Lanes b) { return a + b; }
inline Lanes sub(Lanes a, Lanes b) { return a - b; }
inline Lanes mul(Lanes a, Lanes b) { return a * b; }
inline Lanes fma(Lanes a, Lanes b, Lanes c) { return a * b + c; }
inline Lanes least(Lanes a, Lanes b) { return a < b ? a : b; }
inline Lanes most(Lanes a, Lanes b) { return a > b ? a : b; }
inline float sum_of(Lanes x) { return x; }
inline float least_of(Lanes x) { return x; }
inline float most_of(Lanes x) { return x; }
inline Lanes rounded(Lanes x) { return nearbyintf(x); }
inline Lanes times_power(Lanes x, Lanes exponent) { return ldexpf(x, static_cast<int>(exponent)); }

using Ints = std::int32_t;
inline Ints load(const std::int32_t* at) { return *at; }
inline Ints all(std::int32_t x) { return x; }
inline Ints add(Ints a, Ints b) { return a + b; }
inline Ints sub(Ints a, Ints b) { return a - b; }
inline Ints mul(Ints a, Ints b) { return a * b; }
inline Ints least(Ints a, Ints b) { return a < b ? a : b; }
inline Ints most(Ints a, Ints b) { return a > b ? a : b; }
inline Ints high_bytes(Ints x) { return x >> 8; }
inline Lanes floats(Ints x) { return static_cast<float>(x); }
inline Ints nearest(Lanes x) { return static_cast<std::int32_t>(nearbyintf(x)); }
inline void store_low_bytes(std::uint8_t* at, Ints x) { *at = static_cast<std::uint8_t>(x); }

#endif

}  // namespace
}  // namespace edgeperso
