// VNNI: one instruction multiplies four unsigned by four signed bytes in each 32-bit lane and adds them to its sum.
#include "gemm.hpp"

#if defined(__x86_64__) && (__GNUC__ >= 11 || __clang_major__ >= 12)

#include <cpuid.h>
#include <immintrin.h>

#include <cstring>

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))
#define AVX_VNNI __attribute__((target("avx2,avxvnni")))

namespace edgeperso {
namespace {

inline int four_of(const std::uint8_t* at) {
    int out = 0;
    std::memcpy(&out, at, sizeof out);
    return out;
}

// The sums stay in registers: Rows * Lanes of the 32.
template <std::size_t Rows, std::size_t Lanes>
AVX512 void wide_tile(const std::uint8_t* a, std::size_t depth, const std::int8_t* panel, std::int32_t* out) {
    __m512i sums[Rows][Lanes];
    EDGEPERSO_UNROLLED
    for (std::size_t row = 0; row < Rows; ++row) {
        EDGEPERSO_UNROLLED
        for (std::size_t lane = 0; lane < Lanes; ++lane) {
            sums[row][lane] = _mm512_setzero_si512();
        }
    }
    for (std::size_t k = 0; k < depth; k += depth_step, panel += Lanes * 64) {
        __m512i weights[Lanes];
        EDGEPERSO_UNROLLED
        for (std::size_t lane = 0; lane < Lanes; ++lane) {
            weights[lane] = _mm512_load_si512(panel + lane * 64);
        }
        EDGEPERSO_UNROLLED
        for (std::size_t row = 0; row < Rows; ++row) {
            const __m512i four = _mm512_set1_epi32(four_of(a + row * depth + k));
            EDGEPERSO_UNROLLED
            for (std::size_t lane = 0; lane < Lanes; ++lane) {
                sums[row][lane] = _mm512_dpbusd_epi32(sums[row][lane], four, weights[lane]);
            }
        }
    }
    EDGEPERSO_UNROLLED
    for (std::size_t row = 0; row < Rows; ++row) {
        EDGEPERSO_UNROLLED
        for (std::size_t lane = 0; lane < Lanes; ++lane) {
            _mm512_storeu_si512(out + row * panel_columns + lane * lane_columns, sums[row][lane]);
        }
    }
}

// Half a lane at a time: Rows * 2 of the 16 registers.
template <std::size_t Rows>
AVX_VNNI void narrow_tile(const std::uint8_t* a, std::size_t depth, const std::int8_t* panel, std::size_t step,
                          std::int32_t* out) {
    __m256i sums[Rows][2];
    EDGEPERSO_UNROLLED
    for (std::size_t row = 0; row < Rows; ++row) {
        sums[row][0] = sums[row][1] = _mm256_setzero_si256();
    }
    for (std::size_t k = 0; k < depth; k += depth_step, panel += step) {
        const __m256i first = _mm256_load_si256(reinterpret_cast<const __m256i*>(panel));
        const __m256i second = _mm256_load_si256(reinterpret_cast<const __m256i*>(panel + 32));
        EDGEPERSO_UNROLLED
        for (std::size_t row = 0; row < Rows; ++row) {
            const __m256i four = _mm256_set1_epi32(four_of(a + row * depth + k));
            sums[row][0] = _mm256_dpbusd_avx_epi32(sums[row][0], four, first);
            sums[row][1] = _mm256_dpbusd_avx_epi32(sums[row][1], four, second);
        }
    }
    EDGEPERSO_UNROLLED
    for (std::size_t row = 0; row < Rows; ++row) {
        auto* to = reinterpret_cast<__m256i*>(out + row * panel_columns);
        _mm256_storeu_si256(to, sums[row][0]);
        _mm256_storeu_si256(to + 1, sums[row][1]);
    }
}

template <std::size_t Lanes>
void wide_rows(const std::uint8_t* a, std::size_t rows, std::size_t depth, const std::int8_t* panel,
               std::int32_t* out) {
    switch (rows) {
        case 1: return wide_tile<1, Lanes>(a, depth, panel, out);
        case 2: return wide_tile<2, Lanes>(a, depth, panel, out);
        case 3: return wide_tile<3, Lanes>(a, depth, panel, out);
        case 4: return wide_tile<4, Lanes>(a, depth, panel, out);
        case 5: return wide_tile<5, Lanes>(a, depth, panel, out);
        case 6: return wide_tile<6, Lanes>(a, depth, panel, out);
        case 7: return wide_tile<7, Lanes>(a, depth, panel, out);
        case 8: return wide_tile<8, Lanes>(a, depth, panel, out);
        default: return;
    }
}

void wide(const std::uint8_t* a, std::size_t rows, std::size_t depth, const std::int8_t* panel, std::size_t lanes,
          std::int32_t* out) {
    switch (lanes) {
        case 1: return wide_rows<1>(a, rows, depth, panel, out);
        case 2: return wide_rows<2>(a, rows, depth, panel, out);
        default: return wide_rows<3>(a, rows, depth, panel, out);
    }
}

void narrow(const std::uint8_t* a, std::size_t rows, std::size_t depth, const std::int8_t* panel, std::size_t lanes,
            std::int32_t* out) {
    const std::size_t step = lanes * 64;
    for (std::size_t lane = 0; lane < lanes; ++lane, panel += 64, out += lane_columns) {
        switch (rows) {
            case 1: narrow_tile<1>(a, depth, panel, step, out); break;
            case 2: narrow_tile<2>(a, depth, panel, step, out); break;
            case 3: narrow_tile<3>(a, depth, panel, step, out); break;
            case 4: narrow_tile<4>(a, depth, panel, step, out); break;
            case 5: narrow_tile<5>(a, depth, panel, step, out); break;
            case 6: narrow_tile<6>(a, depth, panel, step, out); break;
            default: break;
        }
    }
}

const Product wide_product = {"avx512", 8, wide};
const Product narrow_product = {"avx_vnni", 6, narrow};

bool has_avx_vnni() {  // CPUID leaf 7.1; not every compiler knows it by name
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax >> 4 & 1) != 0 &&
           __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

bool has_avx512() {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512vnni");
}

}  // namespace

const Product* avx512_product() { return has_avx512() ? &wide_product : nullptr; }
const Product* avx_vnni_product() { return has_avx_vnni() ? &narrow_product : nullptr; }

}  // namespace edgeperso

#else

namespace edgeperso {
const Product* avx512_product() { return nullptr; }
const Product* avx_vnni_product() { return nullptr; }
}  // namespace edgeperso

#endif
