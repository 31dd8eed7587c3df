// BM25 over postings, one segment after another: a segment's sums stay in the first-level cache, and nothing is kept
// beside the postings as the segments hold them. Scores are the same floats as in edgeperso/index/lexical.py.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "dense.hpp"
#include "kernels.hpp"

namespace edgeperso {

// One segment; the postings of the term with hashes[t] are rows and counts from starts[t] to starts[t + 1], rows
// ascending.
struct Postings {
    const std::uint64_t* hashes = nullptr;  // uint64[terms], ascending
    const std::int32_t* starts = nullptr;   // int32[terms + 1]
    std::size_t terms = 0;
    const std::uint16_t* rows = nullptr;    // uint16[postings], each below n
    const std::uint16_t* counts = nullptr;  // uint16[postings]
    std::size_t postings = 0;
    const std::int32_t* lengths = nullptr;  // int32[n]
    std::size_t n = 0;                      // at most 65,536
};

// Whether hashes, starts and rows keep to what is said above.
bool is_sound(const Postings& segment);

// One term of a question.
struct Term {
    std::uint64_t hash = 0;
    double weight = 0.0;

    bool operator==(const Term&) const = default;
};

// A term with what it adds at most to a row, and where each segment has its postings: from first to last.
struct LocatedTerm {
    float gain = 0.0f;
    std::vector<std::pair<std::int32_t, std::int32_t>> spans;
};

struct LexicalResult {
    std::vector<Scored> best;
    Moments moments;
};

class LexicalIndex {
   public:
    // `average`: of the lengths of all rows.
    LexicalIndex(std::vector<Postings> segments, double k1, double b, double average);

    std::size_t rows() const { return rows_; }

    // ln(1 + (N - df + 0.5) / (df + 0.5)); 0 where nothing holds the term.
    double idf(std::uint64_t hash) const;

    // The `k` best rows above 0; `mask` is bool[rows] or null for all. Moments of all rows.
    LexicalResult top(const Kernels& run, std::span<const Term> terms, std::size_t k,
                      const std::uint8_t* mask) const;

    // float32[rows].
    void scores(const Kernels& run, std::span<const Term> terms, float* out) const;

    // float32[n], of `wanted`, each below rows().
    void at(std::span<const Term> terms, const std::int64_t* wanted, std::size_t n, float* out) const;

   private:
    using Places = std::shared_ptr<const std::vector<LocatedTerm>>;

    double idf_of(std::size_t holding) const;
    Places located(std::span<const Term> terms) const;
    bool add(const Kernels& run, std::span<const LocatedTerm> terms, std::size_t number, float* sums) const;

    std::vector<Postings> segments_;
    std::vector<std::size_t> starts_;
    std::vector<float> norms_;
    std::size_t rows_ = 0;
    std::size_t largest_ = 0;  // rows of the largest segment
    std::unique_ptr<std::mutex> lock_ = std::make_unique<std::mutex>();
    mutable std::vector<Term> asked_;  // under the lock; where the last question's terms are
    mutable Places places_;
};

}  // namespace edgeperso
