// The classes of search by words, as Python has them.
#pragma once

#include <limits>
#include <utility>

#include "bind.hpp"
#include "lexical.hpp"

namespace edgeperso {

// One segment's arrays, held as they are and checked once.
class SegmentPostings {
   public:
    SegmentPostings(Line<std::uint64_t> hashes, Line<std::int32_t> starts, Line<std::uint16_t> rows,
                    Line<std::uint16_t> counts, Line<std::int32_t> lengths)
        : hashes_(std::move(hashes)),
          starts_(std::move(starts)),
          rows_(std::move(rows)),
          counts_(std::move(counts)),
          lengths_(std::move(lengths)) {
        if (starts_.shape(0) != hashes_.shape(0) + 1 || rows_.shape(0) != counts_.shape(0)) {
            throw nb::value_error("the arrays of a segment differ in size");
        }
        plain_ = {hashes_.data(), starts_.data(),  hashes_.shape(0), rows_.data(),
                  counts_.data(), rows_.shape(0), lengths_.data(),  lengths_.shape(0)};
        bool sound = false;
        {
            nb::gil_scoped_release release;
            sound = is_sound(plain_);
        }
        if (!sound) {
            throw nb::value_error("the postings of a segment are out of order");
        }
    }

    const Postings& plain() const { return plain_; }

   private:
    Line<std::uint64_t> hashes_;
    Line<std::int32_t> starts_;
    Line<std::uint16_t> rows_;
    Line<std::uint16_t> counts_;
    Line<std::int32_t> lengths_;
    Postings plain_;
};

class Bm25Index {
   public:
    Bm25Index(nb::list segments, double k1, double b, double average, const std::optional<std::string>& implementation)
        : objects_(std::move(segments)), run_(chosen(implementation)), index_(made(objects_, k1, b, average)) {}

    double idf(std::uint64_t hash) const { return index_.idf(hash); }

    Result<float> scores(const Line<std::uint64_t>& hashes, const Line<double>& weights) const {
        const std::vector<Term> terms = terms_of(hashes, weights);
        auto out = std::make_unique<float[]>(index_.rows());
        {
            nb::gil_scoped_release release;
            index_.scores(run_, terms, out.get());
        }
        return owned(std::move(out), index_.rows());
    }

    nb::tuple top(const Line<std::uint64_t>& hashes, const Line<double>& weights, std::size_t k,
                  const Mask& mask) const {
        if (k == 0) {
            throw nb::value_error("k must be 1 or more");
        }
        const std::uint8_t* allowed = bytes_of(mask, index_.rows());
        const std::vector<Term> terms = terms_of(hashes, weights);
        LexicalResult found;
        {
            nb::gil_scoped_release release;
            found = index_.top(run_, terms, k, allowed);
        }
        return nb::make_tuple(pair_of(found.best), found.moments.mean, found.moments.deviation);
    }

    Result<float> at(const Line<std::uint64_t>& hashes, const Line<double>& weights,
                     const Line<std::int64_t>& rows) const {
        check_rows(rows, index_.rows());
        const std::vector<Term> terms = terms_of(hashes, weights);
        auto out = std::make_unique<float[]>(rows.shape(0));
        {
            nb::gil_scoped_release release;
            index_.at(terms, rows.data(), rows.shape(0), out.get());
        }
        return owned(std::move(out), rows.shape(0));
    }

    const LexicalIndex& index() const { return index_; }

    static std::vector<Term> terms_of(const Line<std::uint64_t>& hashes, const Line<double>& weights) {
        if (hashes.shape(0) != weights.shape(0)) {
            throw nb::value_error("each term needs a weight");
        }
        std::vector<Term> out;
        for (std::size_t i = 0; i < hashes.shape(0); ++i) {
            out.push_back({hashes(i), weights(i)});
        }
        return out;
    }

   private:
    static LexicalIndex made(const nb::list& segments, double k1, double b, double average) {
        std::vector<Postings> plain;
        std::size_t rows = 0;
        for (nb::handle one : segments) {
            plain.push_back(nb::cast<const SegmentPostings&>(one).plain());
            rows += plain.back().n;
        }
        if (rows >= std::numeric_limits<std::uint32_t>::max()) {
            throw nb::value_error("too many rows");
        }
        return LexicalIndex(std::move(plain), k1, b, average);
    }

    nb::list objects_;  // keeps the segments alive
    const Kernels& run_;
    LexicalIndex index_;
};

}  // namespace edgeperso
