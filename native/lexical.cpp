#include "lexical.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace edgeperso {
namespace {

// The k best rows so far. Rows come in ascending order, so one that equals the limit comes too late.
class Best {
   public:
    explicit Best(std::size_t k) : k_(k), room_(std::max<std::size_t>(2 * k, 256)) { rows_.reserve(room_); }

    float limit() const { return limit_; }

    void add(Scored found) {
        rows_.push_back(found);
        if (rows_.size() == room_) {
            cut();
        }
    }

    std::vector<Scored> sorted() {
        if (rows_.size() > k_) {
            cut();
        }
        std::sort(rows_.begin(), rows_.end(), better);
        return std::move(rows_);
    }

   private:
    void cut() {
        const auto last = rows_.begin() + static_cast<std::ptrdiff_t>(k_ - 1);
        std::nth_element(rows_.begin(), last, rows_.end(), better);
        limit_ = last->score;
        rows_.resize(k_);
    }

    std::size_t k_;
    std::size_t room_;
    float limit_ = 0.0f;
    std::vector<Scored> rows_;
};

// The postings of a term, an empty span where it isn't there. Hashes are spread evenly, so that a term lies near the
// place that its hash says; where it doesn't, all of them are searched.
std::pair<std::int32_t, std::int32_t> span_of(const Postings& segment, std::uint64_t hash) {
    constexpr std::size_t near = 128;
    const auto guess = static_cast<std::size_t>(((hash >> 32) * segment.terms) >> 32);
    const std::uint64_t* first = segment.hashes;
    const std::uint64_t* last = segment.hashes + segment.terms;
    if (guess >= near && segment.hashes[guess - near] < hash) {
        first += guess - near;
    }
    if (segment.terms - guess > near && segment.hashes[guess + near] > hash) {
        last = segment.hashes + guess + near;
    }
    const std::uint64_t* place = std::lower_bound(first, last, hash);
    if (place == last || *place != hash) {
        return {0, 0};
    }
    const std::int32_t* start = segment.starts + (place - segment.hashes);
    return {start[0], start[1]};
}

}  // namespace

bool is_sound(const Postings& segment) {
    if (segment.n > 65536 || segment.starts[0] != 0 ||
        segment.starts[segment.terms] != static_cast<std::int64_t>(segment.postings)) {
        return false;
    }
    for (std::size_t term = 0; term < segment.terms; ++term) {
        if (segment.starts[term] > segment.starts[term + 1] ||
            (term > 0 && segment.hashes[term - 1] >= segment.hashes[term])) {
            return false;
        }
    }
    if (std::any_of(segment.lengths, segment.lengths + segment.n, [](std::int32_t length) { return length < 0; })) {
        return false;
    }
    // Starts rise from 0 to the number of postings, so all of them lie inside.
    for (std::size_t term = 0; term < segment.terms; ++term) {
        std::int32_t before = -1;
        for (std::int32_t i = segment.starts[term]; i < segment.starts[term + 1]; ++i) {
            if (segment.rows[i] <= before || segment.rows[i] >= segment.n) {
                return false;
            }
            before = segment.rows[i];
        }
    }
    return true;
}

LexicalIndex::LexicalIndex(std::vector<Postings> segments, double k1, double b, double average)
    : segments_(std::move(segments)) {
    for (const Postings& segment : segments_) {
        starts_.push_back(rows_);
        rows_ += segment.n;
        largest_ = std::max(largest_, segment.n);
    }
    norms_.resize(rows_);
    float* norm = norms_.data();
    // The order of operations and of roundings is numpy's: the same floats come out.
    const auto outer = static_cast<float>(k1);
    const auto share = static_cast<float>(b);
    const auto rest = static_cast<float>(1.0 - b);
    const auto usual = static_cast<float>(average);
    for (const Postings& segment : segments_) {
        for (std::size_t row = 0; row < segment.n; ++row) {
            norm[row] = outer * (rest + share * static_cast<float>(segment.lengths[row]) / usual);
        }
        norm += segment.n;
    }
}

double LexicalIndex::idf(std::uint64_t hash) const {
    std::size_t holding = 0;
    for (const Postings& segment : segments_) {
        const auto [first, last] = span_of(segment, hash);
        holding += static_cast<std::size_t>(last - first);
    }
    return idf_of(holding);
}

double LexicalIndex::idf_of(std::size_t holding) const {
    const auto with = static_cast<double>(holding);
    return holding != 0 ? std::log1p((static_cast<double>(rows_) - with + 0.5) / (with + 0.5)) : 0.0;
}

// One question asks for the same terms several times.
LexicalIndex::Places LexicalIndex::located(std::span<const Term> terms) const {
    const std::lock_guard<std::mutex> hold(*lock_);
    if (places_ != nullptr && std::equal(terms.begin(), terms.end(), asked_.begin(), asked_.end())) {
        return places_;
    }
    std::vector<LocatedTerm> out;
    for (const Term& term : terms) {
        LocatedTerm found;
        found.spans.reserve(segments_.size());
        std::size_t holding = 0;
        for (const Postings& segment : segments_) {
            found.spans.push_back(span_of(segment, term.hash));
            holding += static_cast<std::size_t>(found.spans.back().second - found.spans.back().first);
        }
        found.gain = static_cast<float>(term.weight * idf_of(holding));
        out.push_back(std::move(found));
    }
    places_ = std::make_shared<const std::vector<LocatedTerm>>(std::move(out));
    asked_.assign(terms.begin(), terms.end());
    return places_;
}

// Sets sums to what the terms give the segment's rows; false, and sums as they were, where none of them is there.
bool LexicalIndex::add(const Kernels& run, std::span<const LocatedTerm> terms, std::size_t number,
                       float* sums) const {
    const Postings& segment = segments_[number];
    bool any = false;
    for (const LocatedTerm& term : terms) {
        const auto [first, last] = term.spans[number];
        if (first == last) {
            continue;
        }
        if (!any) {
            std::fill_n(sums, segment.n, 0.0f);
            any = true;
        }
        run.add_term(segment.rows + first, segment.counts + first, static_cast<std::size_t>(last - first), term.gain,
                     norms_.data() + starts_[number], sums);
    }
    return any;
}

LexicalResult LexicalIndex::top(const Kernels& run, std::span<const Term> terms, std::size_t k,
                                const std::uint8_t* mask) const {
    const Places places = located(terms);
    Best best(std::min(k, std::max<std::size_t>(rows_, 1)));
    Sums total;
    std::vector<float> sums(largest_);
    std::vector<std::uint32_t> high(largest_);
    for (std::size_t number = 0; number < segments_.size(); ++number) {
        if (!add(run, *places, number, sums.data())) {
            continue;
        }
        const std::size_t found = run.above(sums.data(), segments_[number].n, best.limit(), high.data(), total);
        for (std::size_t i = 0; i < found; ++i) {
            const std::size_t row = starts_[number] + high[i];
            if (sums[high[i]] > best.limit() && (mask == nullptr || mask[row] != 0)) {
                best.add({sums[high[i]], static_cast<std::uint32_t>(row)});
            }
        }
    }
    LexicalResult result;
    result.best = best.sorted();
    if (rows_ != 0) {
        const auto count = static_cast<double>(rows_);
        const double mean = total.plain / count;
        result.moments = {mean, std::sqrt(std::max(total.squares / count - mean * mean, 0.0))};
    }
    return result;
}

void LexicalIndex::scores(const Kernels& run, std::span<const Term> terms, float* out) const {
    const Places places = located(terms);
    for (std::size_t number = 0; number < segments_.size(); ++number) {
        if (!add(run, *places, number, out + starts_[number])) {
            std::fill_n(out + starts_[number], segments_[number].n, 0.0f);
        }
    }
}

void LexicalIndex::at(std::span<const Term> terms, const std::int64_t* wanted, std::size_t n, float* out) const {
    const Places places = located(terms);
    for (std::size_t i = 0; i < n; ++i) {
        const auto row = static_cast<std::size_t>(wanted[i]);
        const auto number =
            static_cast<std::size_t>(std::upper_bound(starts_.begin(), starts_.end(), row) - starts_.begin()) - 1;
        const Postings& segment = segments_[number];
        const auto local = static_cast<std::uint16_t>(row - starts_[number]);
        float sum = 0.0f;
        for (const LocatedTerm& term : *places) {
            const std::uint16_t* last = segment.rows + term.spans[number].second;
            const std::uint16_t* place = std::lower_bound(segment.rows + term.spans[number].first, last, local);
            if (place != last && *place == local) {
                const auto count = static_cast<float>(segment.counts[place - segment.rows]);
                sum += term.gain * count / (count + norms_[row]);
            }
        }
        out[i] = sum;
    }
}

}  // namespace edgeperso
