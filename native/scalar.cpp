#include <bit>
#include <cstring>

#include "kernels.hpp"
#include "portable.hpp"

namespace edgeperso {
namespace {

void distances(const std::uint8_t* codes, const std::uint8_t* query, std::size_t n, std::size_t width,
               std::uint32_t* out) {
    for (std::size_t row = 0; row < n; ++row) {
        out[row] = portable::distance(codes + row * width, query, width);
    }
}

void bit_sums(const std::uint8_t* const* rows, std::size_t n, std::size_t width, const std::int8_t* query,
              std::int32_t* out) {
    for (std::size_t i = 0; i < n; ++i) {
        out[i] = portable::bit_sum(rows[i], query, width);
    }
}

void dots(const std::int8_t* const* rows, std::size_t n, std::size_t dim, const std::int8_t* query,
          std::int32_t* out) {
    for (std::size_t i = 0; i < n; ++i) {
        out[i] = portable::dot(rows[i], query, dim);
    }
}

void half_dots(const std::uint16_t* vectors, std::size_t n, std::size_t dim, const float* query, float* out) {
    for (std::size_t row = 0; row < n; ++row) {
        out[row] = portable::half_dot(vectors + row * dim, query, dim);
    }
}

}  // namespace

const Kernels scalar_kernels = {"scalar", distances, portable::below,    bit_sums,
                                dots,     half_dots, portable::add_term, portable::above};

const std::vector<Kernels>& kernels() {
    static const std::vector<Kernels> found = [] {
        std::vector<Kernels> list;
        add_avx512(list);
        add_avx2(list);
        add_neon(list);
        list.push_back(scalar_kernels);
        return list;
    }();
    return found;
}

}  // namespace edgeperso
