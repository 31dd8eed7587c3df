#include "gemm.hpp"

#include <algorithm>

namespace edgeperso {
namespace {

void tile(const std::uint8_t* a, std::size_t rows, std::size_t depth, const std::int8_t* panel, std::size_t lanes,
          std::int32_t* out) {
    const std::size_t width = lanes * lane_columns;
    for (std::size_t row = 0; row < rows; ++row) {
        for (std::size_t column = 0; column < width; ++column) {
            std::int32_t sum = 0;
            for (std::size_t k = 0; k < depth; ++k) {
                const std::size_t at = (k / depth_step * width + column) * depth_step + k % depth_step;
                sum += a[row * depth + k] * panel[at];
            }
            out[row * panel_columns + column] = sum;
        }
    }
}

}  // namespace

const Product scalar_product = {"scalar", 8, tile};

Lined<std::int8_t> packed(const std::int8_t* weights, std::size_t depth, std::size_t columns) {
    Lined<std::int8_t> out(depth * columns);
    std::int8_t* next = out.data();
    for (std::size_t start = 0; start < columns; start += panel_columns) {
        const std::size_t end = std::min(columns, start + panel_columns);
        for (std::size_t k = 0; k < depth; k += depth_step) {
            for (std::size_t column = start; column < end; ++column) {
                for (std::size_t i = 0; i < depth_step; ++i) {
                    *next++ = weights[(k + i) * columns + column];
                }
            }
        }
    }
    return out;
}

void multiply(const Product& by, const std::uint8_t* a, std::size_t rows, const Lined<std::int8_t>& weights,
              std::size_t depth, std::size_t columns, std::int32_t* out) {
    alignas(64) std::int32_t sums[most_tile_rows * panel_columns];
    for (std::size_t start = 0; start < columns; start += panel_columns) {
        const std::size_t width = std::min(panel_columns, columns - start);
        for (std::size_t row = 0; row < rows; row += by.rows) {
            const std::size_t some = std::min(by.rows, rows - row);
            by.tile(a + row * depth, some, depth, weights.data() + start * depth, width / lane_columns, sums);
            for (std::size_t i = 0; i < some; ++i) {
                std::copy_n(sums + i * panel_columns, width, out + (row + i) * columns + start);
            }
        }
    }
}

}  // namespace edgeperso
