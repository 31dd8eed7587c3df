// Products of bytes, the encoder's innermost loop: one way for each kind of processor, all equal to the scalar one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <string_view>
#include <vector>

// GCC keeps an array of sums in registers only if the loops over it are unrolled early.
#if defined(__GNUC__) && !defined(__clang__)
#define EDGEPERSO_UNROLLED _Pragma("GCC unroll 8")
#else
#define EDGEPERSO_UNROLLED
#endif

namespace edgeperso {

constexpr std::size_t lane_columns = 16;                  // columns that lie side by side in one register
constexpr std::size_t panel_columns = 3 * lane_columns;   // columns of a panel; the last panel may have fewer
constexpr std::size_t depth_step = 4;                     // products that one instruction adds up
constexpr std::size_t most_tile_rows = 16;
constexpr std::size_t most_depth = 32768;                 // 255 * 127 * depth, doubled, fits 32 bits up to here

// Memory that starts at a cache line, not initialized.
template <typename T>
class Lined {
   public:
    explicit Lined(std::size_t n = 0)
        : data_(static_cast<T*>(::operator new(n * sizeof(T), std::align_val_t{64}))), size_(n) {}
    T* data() { return data_.get(); }
    const T* data() const { return data_.get(); }
    std::size_t size() const { return size_; }

   private:
    struct Free {
        void operator()(T* p) const { ::operator delete(p, std::align_val_t{64}); }
    };
    std::unique_ptr<T, Free> data_;
    std::size_t size_;
};

struct Product {
    std::string_view name;
    std::size_t rows;  // of a tile, even, at most `most_tile_rows`

    // out[row * panel_columns + column] = the sum over k of a[row * depth + k] * the panel's weight at k and column, for
    // up to `rows` rows and `lanes` (1 to 3) times 16 columns. depth is a multiple of 4, at most `most_depth`.
    void (*tile)(const std::uint8_t* a, std::size_t rows, std::size_t depth, const std::int8_t* panel, std::size_t lanes,
                 std::int32_t* out);
};

extern const Product scalar_product;
const Product* avx512_product();    // null where it was not compiled, or this processor lacks it
const Product* avx_vnni_product();
const Product* amx_product();

// Weights int8[depth, columns] as panels of int8[depth / 4, panel's columns, 4]. columns is a multiple of 16.
Lined<std::int8_t> packed(const std::int8_t* weights, std::size_t depth, std::size_t columns);

// out[rows, columns] = a[rows, depth] times weights as `packed` gives them.
void multiply(const Product& by, const std::uint8_t* a, std::size_t rows, const Lined<std::int8_t>& weights,
              std::size_t depth, std::size_t columns, std::int32_t* out);

}  // namespace edgeperso
