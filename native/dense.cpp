#include "dense.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iterator>
#include <limits>
#include <utility>

namespace edgeperso {
namespace {

constexpr std::size_t widening = 4;  // so many times the candidates are taken by their bits alone
constexpr std::size_t chunk = 1024;  // rows at a time: their distances stay in the first-level cache

using Distant = std::pair<std::uint32_t, std::uint32_t>;  // row, distance

// Room that a thread keeps from one search to the next: asking the system for it anew costs as much as filling it.
struct Room {
    std::vector<Distant> near;
    std::vector<Scored> found;
};

Room& room() {
    thread_local Room own;
    return own;
}

// The k-th best of those `found`, which are k or more. Put into bins by score first, so that only those of one bin have to
// be told apart.
Scored kth(const std::vector<Scored>& found, std::size_t k) {
    constexpr std::size_t bins = 2048;
    const auto [low, high] = std::minmax_element(
        found.begin(), found.end(), [](const Scored& a, const Scored& b) { return a.score < b.score; });
    const float top = high->score;
    const float per_score = top > low->score ? static_cast<float>(bins - 1) / (top - low->score) : 0.0f;
    const auto bin_of = [&](const Scored& one) { return static_cast<std::size_t>((top - one.score) * per_score); };
    std::size_t counts[bins] = {};
    for (const Scored& one : found) {
        ++counts[bin_of(one)];
    }
    std::size_t bin = 0;
    for (; k > counts[bin]; ++bin) {
        k -= counts[bin];
    }
    std::vector<Scored> among;
    among.reserve(counts[bin]);
    std::copy_if(found.begin(), found.end(), std::back_inserter(among),
                 [&](const Scored& one) { return bin_of(one) == bin; });
    const auto place = among.begin() + static_cast<std::ptrdiff_t>(k - 1);
    std::nth_element(among.begin(), place, among.end(), better);
    return *place;
}

}  // namespace

// The nearest rows so far, by a falling limit: whoever isn't nearer than the limit can't be among the `wanted` any more.
class DenseIndex::Nearest {
   public:
    Nearest(std::size_t wanted, std::size_t farthest)
        : wanted_(wanted), counts_(farthest + 1), edge_(static_cast<std::uint32_t>(farthest)), kept_(room().near) {
        kept_.clear();
    }

    // Rows come in ascending order, so one that is as far as the edge comes too late once there are enough.
    std::uint32_t limit() const { return within_ >= wanted_ ? edge_ : edge_ + 1; }

    void add(std::uint32_t row, std::uint32_t distance) {
        kept_.push_back({row, distance});
        ++counts_[distance];
        ++within_;
        while (within_ - counts_[edge_] >= wanted_) {
            within_ -= counts_[edge_--];
        }
    }

    bool full() const { return within_ >= wanted_; }

    // Ascending rows.
    std::vector<std::uint32_t> rows() const {
        std::size_t at_edge = wanted_ - std::min(wanted_, within_ - counts_[edge_]);
        std::vector<std::uint32_t> out;
        out.reserve(std::min(wanted_, within_));
        for (const auto& [row, distance] : kept_) {
            if (distance < edge_ || (distance == edge_ && at_edge > 0)) {
                at_edge -= distance == edge_;
                out.push_back(row);
            }
        }
        return out;
    }

   private:
    std::size_t wanted_;
    std::vector<std::size_t> counts_;  // of kept rows, by distance
    std::size_t within_ = 0;           // kept rows at the edge or nearer
    std::uint32_t edge_;
    std::vector<Distant>& kept_;
};

DenseIndex::DenseIndex(std::vector<CodeBlock> blocks, std::size_t dim, std::size_t width)
    : blocks_(std::move(blocks)), dim_(dim), width_(width) {
    for (const CodeBlock& block : blocks_) {
        starts_.push_back(rows_);
        rows_ += block.n;
    }
}

// The block that holds the row; `hint` is that of the row before, since rows mostly come in ascending order.
std::size_t DenseIndex::block_of(std::size_t row, std::size_t hint) const {
    for (const std::size_t number : {hint, hint + 1}) {
        if (number < blocks_.size() && row >= starts_[number] && row - starts_[number] < blocks_[number].n) {
            return number;
        }
    }
    // The last block that begins at the row or before it: empty ones begin there too, and hold nothing.
    return static_cast<std::size_t>(std::upper_bound(starts_.begin(), starts_.end(), row) - starts_.begin()) - 1;
}

std::vector<std::uint32_t> DenseIndex::by_bits(const Kernels& run, const std::uint8_t* bits, std::size_t candidates,
                                               const std::uint8_t* mask) const {
    const std::uint32_t farthest = static_cast<std::uint32_t>(8 * width_);
    const std::uint32_t likely = likely_limit(run, bits, candidates, mask);
    Nearest nearest(candidates, likely);
    scan(run, bits, mask, nearest);
    if (!nearest.full() && likely < farthest) {
        Nearest every(candidates, farthest);
        scan(run, bits, mask, every);
        return every.rows();
    }
    return nearest.rows();
}

// A distance within which there are probably half as many rows again as wanted: with it, few rows are taken up that nearer
// ones push out. Eight rows in 2,048 are looked at.
std::uint32_t DenseIndex::likely_limit(const Kernels& run, const std::uint8_t* bits, std::size_t wanted,
                                       const std::uint8_t* mask) const {
    constexpr std::size_t few = 8;
    constexpr std::size_t step = 2048;
    std::vector<std::size_t> counts(8 * width_ + 1);
    std::uint32_t distances[few];
    for (std::size_t number = 0; number < blocks_.size(); ++number) {
        const CodeBlock& block = blocks_[number];
        for (std::size_t first = 0; block.bits != nullptr && first + few <= block.n; first += step) {
            run.distances(block.bits + first * width_, bits, few, width_, distances);
            for (std::size_t i = 0; i < few; ++i) {
                const bool allowed = mask == nullptr || mask[starts_[number] + first + i] != 0;
                counts[distances[i]] += allowed && block.has(first + i);
            }
        }
    }
    std::size_t within = 0;
    for (std::size_t distance = 0; distance < counts.size(); ++distance) {
        within += counts[distance];
        if (within * (step / few) >= wanted + wanted / 2) {
            return static_cast<std::uint32_t>(distance);
        }
    }
    return static_cast<std::uint32_t>(8 * width_);
}

void DenseIndex::scan(const Kernels& run, const std::uint8_t* bits, const std::uint8_t* mask, Nearest& nearest) const {
    std::uint32_t distances[chunk];
    std::uint32_t close[chunk];
    for (std::size_t number = 0; number < blocks_.size(); ++number) {
        const CodeBlock& block = blocks_[number];
        for (std::size_t first = 0; block.bits != nullptr && first < block.n; first += chunk) {
            const std::size_t n = std::min(chunk, block.n - first);
            const std::size_t row = starts_[number] + first;
            if (mask != nullptr && std::memchr(mask + row, 1, n) == nullptr) {
                continue;
            }
            run.distances(block.bits + first * width_, bits, n, width_, distances);
            const std::size_t found = run.below(distances, n, nearest.limit(), close);
            for (std::size_t i = 0; i < found; ++i) {
                const std::uint32_t at = close[i];
                // The limit may have fallen since.
                if (distances[at] < nearest.limit() && block.has(first + at) &&
                    (mask == nullptr || mask[row + at] != 0)) {
                    nearest.add(static_cast<std::uint32_t>(row + at), distances[at]);
                }
            }
        }
    }
}

std::vector<std::int64_t> DenseIndex::by_sums(const Kernels& run, const std::int8_t* codes,
                                              const std::vector<std::uint32_t>& rows, std::size_t candidates) const {
    if (rows.size() <= candidates) {
        return {rows.begin(), rows.end()};
    }
    // In the order of the bits: numpy packs the first dimension into the highest.
    std::vector<std::int8_t> query((8 * width_ + 63) / 64 * 64);
    for (std::size_t i = 0; i < dim_; ++i) {
        query[i / 8 * 8 + (7 - i % 8)] = codes[i];
    }
    const std::uint8_t* bits[chunk];
    std::int32_t sums[chunk];
    std::vector<Scored>& found = room().found;
    found.resize(rows.size());
    std::size_t number = 0;
    for (std::size_t first = 0; first < rows.size(); first += chunk) {
        const std::size_t count = std::min(chunk, rows.size() - first);
        for (std::size_t i = 0; i < count; ++i) {
            number = block_of(rows[first + i], number);
            bits[i] = blocks_[number].bits + (rows[first + i] - starts_[number]) * width_;
        }
        run.bit_sums(bits, count, width_, query.data(), sums);
        for (std::size_t i = 0; i < count; ++i) {
            found[first + i] = {static_cast<float>(sums[i]), rows[first + i]};  // exact: below 2^24
        }
    }
    const Scored last = kth(found, candidates);
    std::vector<std::int64_t> out;
    out.reserve(candidates);
    for (const Scored& one : found) {
        if (!better(last, one)) {
            out.push_back(one.row);
        }
    }
    return out;
}

std::vector<Scored> DenseIndex::nearest(const Kernels& run, const std::uint8_t* bits, const std::int8_t* codes,
                                        std::size_t candidates, std::size_t keep, const std::uint8_t* mask) const {
    candidates = std::min(candidates, std::max<std::size_t>(rows_, 1));  // four times that can't overflow
    const std::vector<std::int64_t> rows =
        by_sums(run, codes, by_bits(run, bits, widening * candidates, mask), candidates);
    std::vector<float> scores(rows.size());
    estimates(run, codes, rows.data(), rows.size(), scores.data());
    std::vector<Scored> out(rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
        out[i] = {scores[i], static_cast<std::uint32_t>(rows[i])};
    }
    if (keep < out.size()) {
        std::nth_element(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(keep), out.end(), better);
        out.resize(keep);
    }
    std::sort(out.begin(), out.end(), better);
    return out;
}

void DenseIndex::estimates(const Kernels& run, const std::int8_t* codes, const std::int64_t* rows, std::size_t n,
                           float* out) const {
    const std::int8_t* vectors[chunk];
    float scales[chunk];
    std::int32_t dots[chunk];
    std::size_t number = 0;
    for (std::size_t first = 0; first < n; first += chunk) {
        const std::size_t count = std::min(chunk, n - first);
        for (std::size_t i = 0; i < count; ++i) {
            const auto row = static_cast<std::size_t>(rows[first + i]);
            number = block_of(row, number);
            const CodeBlock& block = blocks_[number];
            const std::size_t local = row - starts_[number];
            const bool there = block.has(local);
            vectors[i] = there ? block.codes + local * dim_ : codes;
            scales[i] = there ? block.scales[local] : std::numeric_limits<float>::quiet_NaN();
        }
        run.dots(vectors, count, dim_, codes, dots);
        for (std::size_t i = 0; i < count; ++i) {
            out[first + i] = static_cast<float>(dots[i]) * scales[i];
        }
    }
}

std::shared_ptr<const DenseIndex::Sample> DenseIndex::sampled(std::size_t step) const {
    const std::lock_guard<std::mutex> hold(*lock_);
    if (sample_ != nullptr && sample_->step == step) {
        return sample_;
    }
    auto made = std::make_shared<Sample>();
    made->step = step;
    made->codes.reserve((rows_ / step + 1) * dim_);
    std::size_t number = 0;
    for (std::size_t row = 0; row < rows_; row += step) {
        number = block_of(row, number);
        const CodeBlock& block = blocks_[number];
        const std::size_t local = row - starts_[number];
        if (block.has(local)) {
            const std::int8_t* codes = block.codes + local * dim_;
            made->codes.insert(made->codes.end(), codes, codes + dim_);
            made->scales.push_back(block.scales[local]);
        }
    }
    sample_ = made;
    return made;
}

Moments DenseIndex::moments(const Kernels& run, const std::int8_t* codes, std::size_t step) const {
    const std::shared_ptr<const Sample> sample = sampled(step);
    const std::size_t n = sample->scales.size();
    if (n == 0) {
        return {};
    }
    const std::int8_t* rows[chunk];
    std::int32_t dots[chunk];
    std::vector<float> scores(n);
    double sum = 0.0;
    for (std::size_t first = 0; first < n; first += chunk) {
        const std::size_t count = std::min(chunk, n - first);
        for (std::size_t i = 0; i < count; ++i) {
            rows[i] = sample->codes.data() + (first + i) * dim_;
        }
        run.dots(rows, count, dim_, codes, dots);
        for (std::size_t i = 0; i < count; ++i) {
            scores[first + i] = static_cast<float>(dots[i]) * sample->scales[first + i];
            sum += static_cast<double>(scores[first + i]);
        }
    }
    const double mean = sum / static_cast<double>(n);
    double squares = 0.0;
    for (const float score : scores) {
        squares += (static_cast<double>(score) - mean) * (static_cast<double>(score) - mean);
    }
    return {mean, std::sqrt(squares / static_cast<double>(n))};
}

}  // namespace edgeperso
