// AMX: one instruction multiplies a tile of 16 rows of 64 unsigned bytes by one of 64 by 16 signed bytes.
//
// In assembler, since GCC 12's intrinsics don't say what memory they read (docs/adr/0011).
#include "gemm.hpp"

#if defined(__x86_64__) && defined(__linux__) && (__GNUC__ >= 11 || __clang_major__ >= 12)

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace edgeperso {
namespace {

constexpr std::size_t tile_depth = 64;

// What LDTILECFG reads: of each tile its rows and the bytes of a row.
struct alignas(64) Shapes {
    std::uint8_t palette = 1;
    std::uint8_t start_row = 0;
    std::uint8_t reserved[14] = {};
    std::uint16_t bytes[16] = {};
    std::uint8_t rows[16] = {};
};

Shapes shapes_for(std::size_t rows) {
    Shapes out;
    for (std::size_t tile = 0; tile < 7; ++tile) {  // 0 to 2 for sums, 3 for rows, 4 to 6 for weights
        out.bytes[tile] = 64;
        out.rows[tile] = static_cast<std::uint8_t>(tile < 4 ? rows : tile_depth / depth_step);
    }
    return out;
}

// `memory` keeps the compiler from moving its own loads and stores over the tiles'.
template <std::size_t Lanes>
void tiles(const std::uint8_t* a, std::size_t depth, const std::int8_t* panel, std::int32_t* out) {
    constexpr std::size_t row = Lanes * 64;
    __asm__ volatile("tilezero %%tmm0\n\ttilezero %%tmm1\n\ttilezero %%tmm2" ::: "memory");
    for (std::size_t k = 0; k < depth; k += tile_depth, panel += tile_depth / depth_step * row) {
        __asm__ volatile("tileloadd (%0,%1,1), %%tmm3" ::"r"(a + k), "r"(depth) : "memory");
        __asm__ volatile("tileloadd (%0,%1,1), %%tmm4\n\ttdpbusd %%tmm4, %%tmm3, %%tmm0" ::"r"(panel), "r"(row) : "memory");
        if constexpr (Lanes > 1) {
            __asm__ volatile("tileloadd (%0,%1,1), %%tmm5\n\ttdpbusd %%tmm5, %%tmm3, %%tmm1" ::"r"(panel + 64), "r"(row)
                             : "memory");
        }
        if constexpr (Lanes > 2) {
            __asm__ volatile("tileloadd (%0,%1,1), %%tmm6\n\ttdpbusd %%tmm6, %%tmm3, %%tmm2" ::"r"(panel + 128), "r"(row)
                             : "memory");
        }
    }
    constexpr std::size_t stride = panel_columns * sizeof(std::int32_t);
    __asm__ volatile("tilestored %%tmm0, (%0,%1,1)" ::"r"(out), "r"(stride) : "memory");
    if constexpr (Lanes > 1) {
        __asm__ volatile("tilestored %%tmm1, (%0,%1,1)" ::"r"(out + lane_columns), "r"(stride) : "memory");
    }
    if constexpr (Lanes > 2) {
        __asm__ volatile("tilestored %%tmm2, (%0,%1,1)" ::"r"(out + 2 * lane_columns), "r"(stride) : "memory");
    }
}

void tile(const std::uint8_t* a, std::size_t rows, std::size_t depth, const std::int8_t* panel, std::size_t lanes,
          std::int32_t* out) {
    if (depth % tile_depth != 0) {
        const Product& other = *avx512_product();
        for (std::size_t row = 0; row < rows; row += other.rows) {
            const std::size_t some = rows - row < other.rows ? rows - row : other.rows;
            other.tile(a + row * depth, some, depth, panel, lanes, out + row * panel_columns);
        }
        return;
    }
    const Shapes shapes = shapes_for(rows);
    // Whoever else multiplies by tiles on this thread (llama.cpp may) configures them once and finds them so again.
    Shapes before;
    __asm__ volatile("sttilecfg %0" : "=m"(before)::"memory");
    __asm__ volatile("ldtilecfg %0" ::"m"(shapes) : "memory");
    switch (lanes) {
        case 1: tiles<1>(a, depth, panel, out); break;
        case 2: tiles<2>(a, depth, panel, out); break;
        default: tiles<3>(a, depth, panel, out); break;
    }
    __asm__ volatile("ldtilecfg %0" ::"m"(before) : "memory");  // also of none, which is a configuration of zeros
}

// The processor has it (CPUID leaf 7, EDX bits 24 and 25), and Linux grants it: a process has to ask before its first
// tile. Source: Linux, Documentation/arch/x86/xstate.rst.
bool granted() {
    constexpr long request = 0x1023;  // ARCH_REQ_XCOMP_PERM
    constexpr long tile_data = 18;    // XFEATURE_XTILE_DATA
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    return avx512_product() != nullptr && __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 &&
           (edx >> 24 & 3) == 3 && syscall(SYS_arch_prctl, request, tile_data) == 0;
}

const Product product = {"amx", 16, tile};

}  // namespace

const Product* amx_product() {
    static const bool usable = granted();
    return usable ? &product : nullptr;
}

}  // namespace edgeperso

#else

namespace edgeperso {
const Product* amx_product() { return nullptr; }
}  // namespace edgeperso

#endif
