// Arm's NEON with the dot-product extension (Armv8.2-A and later). Words are counted by the portable loops: NEON can
// neither gather nor scatter.
#include "kernels.hpp"

#if defined(__aarch64__) && defined(__GNUC__)

#include <arm_neon.h>

#ifdef __linux__
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#include "portable.hpp"

#define DOTPROD __attribute__((target("arch=armv8.2-a+dotprod")))

namespace edgeperso {
namespace {

bool has_dot_product() {
#ifdef __linux__
    return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#else
    return true;  // every Apple processor of this architecture has it
#endif
}

void distances(const std::uint8_t* codes, const std::uint8_t* query, std::size_t n, std::size_t width,
               std::uint32_t* out) {
    for (std::size_t row = 0; row < n; ++row) {
        const std::uint8_t* code = codes + row * width;
        uint32x4_t sums = vdupq_n_u32(0);
        std::size_t i = 0;
        for (; i + 16 <= width; i += 16) {
            const uint8x16_t x = veorq_u8(vld1q_u8(code + i), vld1q_u8(query + i));
            sums = vpadalq_u16(sums, vpaddlq_u8(vcntq_u8(x)));
        }
        out[row] = vaddvq_u32(sums) + portable::distance(code + i, query + i, width - i);
    }
}

std::size_t below(const std::uint32_t* values, std::size_t n, std::uint32_t limit, std::uint32_t* out) {
    const uint32x4_t edge = vdupq_n_u32(limit);
    std::size_t found = 0;
    std::size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const uint32x4_t least = vminq_u32(vminq_u32(vld1q_u32(values + i), vld1q_u32(values + i + 4)),
                                           vminq_u32(vld1q_u32(values + i + 8), vld1q_u32(values + i + 12)));
        if (vmaxvq_u32(vcltq_u32(least, edge)) == 0) {
            continue;
        }
        for (std::size_t j = i; j < i + 16; ++j) {
            if (values[j] < limit) {
                out[found++] = static_cast<std::uint32_t>(j);
            }
        }
    }
    for (; i < n; ++i) {
        if (values[i] < limit) {
            out[found++] = static_cast<std::uint32_t>(i);
        }
    }
    return found;
}

void bit_sums(const std::uint8_t* const* rows, std::size_t n, std::size_t width, const std::int8_t* query,
              std::int32_t* out) {
    const std::uint8_t powers[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    const uint8x16_t place = vld1q_u8(powers);
    for (std::size_t row = 0; row < n; ++row) {
        int32x4_t sums = vdupq_n_s32(0);
        std::size_t i = 0;
        for (; i + 2 <= width; i += 2) {
            const uint8x16_t both = vcombine_u8(vdup_n_u8(rows[row][i]), vdup_n_u8(rows[row][i + 1]));
            const int8x16_t chosen = vandq_s8(vreinterpretq_s8_u8(vtstq_u8(both, place)), vld1q_s8(query + 8 * i));
            sums = vpadalq_s16(sums, vpaddlq_s8(chosen));
        }
        out[row] = vaddvq_s32(sums) + portable::bit_sum(rows[row] + i, query + 8 * i, width - i);
    }
}

DOTPROD void dots(const std::int8_t* const* rows, std::size_t n, std::size_t dim, const std::int8_t* query,
                  std::int32_t* out) {
    for (std::size_t row = 0; row < n; ++row) {
        int32x4_t sums = vdupq_n_s32(0);
        std::size_t i = 0;
        for (; i + 16 <= dim; i += 16) {
            sums = vdotq_s32(sums, vld1q_s8(rows[row] + i), vld1q_s8(query + i));
        }
        out[row] = vaddvq_s32(sums) + portable::dot(rows[row] + i, query + i, dim - i);
    }
}

void half_dots(const std::uint16_t* vectors, std::size_t n, std::size_t dim, const float* query, float* out) {
    for (std::size_t row = 0; row < n; ++row) {
        const std::uint16_t* vector = vectors + row * dim;
        float32x4_t sums = vdupq_n_f32(0.0f);
        std::size_t i = 0;
        for (; i + 4 <= dim; i += 4) {
            const float32x4_t wide = vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(vector + i)));
            sums = vfmaq_f32(sums, wide, vld1q_f32(query + i));
        }
        out[row] = vaddvq_f32(sums) + portable::half_dot(vector + i, query + i, dim - i);
    }
}

}  // namespace

void add_neon(std::vector<Kernels>& found) {
    if (has_dot_product()) {
        found.push_back(
            {"neon", distances, below, bit_sums, dots, half_dots, portable::add_term, portable::above});
    }
}

}  // namespace edgeperso

#else

namespace edgeperso {
void add_neon(std::vector<Kernels>&) {}
}  // namespace edgeperso

#endif
