// Search over short codes of vectors: bits choose candidates, bytes put them in order.
//
// All results are the same with every set of kernels: distances and products are integers, an estimate is one
// rounded multiplication, and ties go to the lower row.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "kernels.hpp"

namespace edgeperso {

// Codes of `n` rows; `present` says which of them have a vector, null that all have. Without bits none of them has.
struct CodeBlock {
    const std::uint8_t* bits = nullptr;     // uint8[n, width]
    const std::int8_t* codes = nullptr;     // int8[n, dim]
    const float* scales = nullptr;          // float32[n]
    const std::uint8_t* present = nullptr;  // bool[n]
    std::size_t n = 0;

    bool has(std::size_t row) const { return bits != nullptr && (present == nullptr || present[row] != 0); }
};

struct Scored {
    float score = 0.0f;
    std::uint32_t row = 0;
};

// Best first; of equal scores the lower row.
inline bool better(const Scored& a, const Scored& b) {
    return a.score > b.score || (a.score == b.score && a.row < b.row);
}

struct Moments {
    double mean = 0.0;
    double deviation = 0.0;
};

class DenseIndex {
   public:
    // Rows are those of the blocks, one block after another; fewer than 2^32 in all.
    DenseIndex(std::vector<CodeBlock> blocks, std::size_t dim, std::size_t width);

    std::size_t rows() const { return rows_; }
    std::size_t dim() const { return dim_; }
    std::size_t width() const { return width_; }

    // Of the 4 x `candidates` rows whose bits differ least, the `candidates` for which the query's codes sum up highest
    // where bits are set, and of these the `keep` best by estimate. An estimate is the product of the codes times the
    // row's scale: the cosine, short of the query's own scale. `mask` is bool[rows] or null for all.
    std::vector<Scored> nearest(const Kernels& run, const std::uint8_t* bits, const std::int8_t* codes,
                                std::size_t candidates, std::size_t keep, const std::uint8_t* mask) const;

    // Estimates of `n` rows, each below rows(); not a number without a vector.
    void estimates(const Kernels& run, const std::int8_t* codes, const std::int64_t* rows, std::size_t n,
                   float* out) const;

    // Of the estimates of every `step`-th row that has a vector, from row 0 on. The first call with a step copies those
    // rows' codes to one place, for the next ones.
    Moments moments(const Kernels& run, const std::int8_t* codes, std::size_t step) const;

   private:
    struct Sample {
        std::size_t step = 0;
        std::vector<std::int8_t> codes;
        std::vector<float> scales;
    };

    class Nearest;

    std::shared_ptr<const Sample> sampled(std::size_t step) const;
    std::uint32_t likely_limit(const Kernels& run, const std::uint8_t* bits, std::size_t wanted,
                               const std::uint8_t* mask) const;
    void scan(const Kernels& run, const std::uint8_t* bits, const std::uint8_t* mask, Nearest& nearest) const;
    std::vector<std::uint32_t> by_bits(const Kernels& run, const std::uint8_t* bits, std::size_t candidates,
                                       const std::uint8_t* mask) const;
    std::vector<std::int64_t> by_sums(const Kernels& run, const std::int8_t* codes,
                                      const std::vector<std::uint32_t>& rows, std::size_t candidates) const;
    std::size_t block_of(std::size_t row, std::size_t hint) const;

    std::vector<CodeBlock> blocks_;
    std::vector<std::size_t> starts_;
    std::size_t rows_ = 0;
    std::size_t dim_;
    std::size_t width_;
    std::unique_ptr<std::mutex> lock_ = std::make_unique<std::mutex>();
    mutable std::shared_ptr<const Sample> sample_;  // under the lock
};

}  // namespace edgeperso
