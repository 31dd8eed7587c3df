// What a question may be about, from what its vector and its words found: those rows, and what lies beside the best.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "dense.hpp"
#include "kernels.hpp"
#include "lexical.hpp"

namespace edgeperso {

// Rows that one way of searching found, with their scores; mean and deviation are of the scores of all rows.
struct FoundBy {
    std::span<const std::int64_t> rows;
    std::span<const float> scores;
    float mean = 0.0f;
    float deviation = 0.0f;
};

// The neighbours of each row in its thread, below 0 where there is none.
struct Links {
    std::span<const std::int32_t> previous;
    std::span<const std::int32_t> next;
};

struct Gathered {
    std::vector<std::int64_t> rows;      // ascending
    std::vector<float> cosines;          // not a number without a vector
    std::vector<float> words;
    std::vector<std::int64_t> previous;  // the neighbour's place among these rows, -1 where it isn't there
    std::vector<std::int64_t> next;
};

class Gatherer {
   public:
    // A question: its codes with their scale, and its terms. All that is given must outlive this object.
    Gatherer(const DenseIndex& dense, const Kernels& run, std::span<const std::int8_t> codes, float scale,
             const LexicalIndex& lexical, std::span<const Term> terms, const Links& links)
        : dense_(dense), run_(run), codes_(codes), scale_(scale), lexical_(lexical), terms_(terms), links_(links) {}

    // All rows of both, and those up to `steps` before and behind the `leading` best of them by the sum of both scores as
    // distances from the mean in standard deviations; a missing score counts as the mean. Found rows are distinct and
    // below the number of rows; links beyond it are taken for none.
    Gathered gather(const FoundBy& by_vector, const FoundBy& by_words, std::size_t leading, std::size_t steps) const;

   private:
    struct Row {
        std::int64_t row = 0;
        float cosine = 0.0f;
        float words = 0.0f;
        bool has_cosine = false;
        bool has_words = false;
    };

    static std::vector<Row> merged(const FoundBy& by_vector, const FoundBy& by_words);
    void complete(std::vector<Row>& rows) const;
    std::vector<Row> beside(const std::vector<Row>& best, const FoundBy& by_vector, const FoundBy& by_words,
                            std::size_t leading, std::size_t steps) const;

    const DenseIndex& dense_;
    const Kernels& run_;
    std::span<const std::int8_t> codes_;
    float scale_;
    const LexicalIndex& lexical_;
    std::span<const Term> terms_;
    Links links_;
};

}  // namespace edgeperso
