// Arbitrary postings and blocks, in memory that ends where the data end, through the checks and then through every set
// of kernels: what passes the checks must be searched without a step outside, and alike by all sets.
//
// For libFuzzer (scripts/fuzz_native.sh), and with a main of its own for any compiler (scripts/sanitize_native.sh).
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <vector>

#include "../../native/dense.hpp"
#include "../../native/kernels.hpp"
#include "../../native/lexical.hpp"

namespace {

using namespace edgeperso;

void require(bool holds, const char* what) {
    if (!holds) {
        std::fprintf(stderr, "%s\n", what);
        std::abort();
    }
}

// Takes the input's bytes for whatever is asked, zeros when they are used up.
class Source {
   public:
    Source(const std::uint8_t* data, std::size_t size) : data_(data), left_(size) {}

    template <typename T>
    T next() {
        T out{};
        const std::size_t n = std::min(sizeof out, left_);
        if (n != 0) {
            std::memcpy(&out, data_, n);
        }
        data_ += n;
        left_ -= n;
        return out;
    }

    std::size_t below(std::size_t limit) { return next<std::uint16_t>() % limit; }

    template <typename T>
    std::vector<T> several(std::size_t n) {
        std::vector<T> out(n);
        std::generate(out.begin(), out.end(), [this] { return next<T>(); });
        return out;
    }

   private:
    const std::uint8_t* data_;
    std::size_t left_;
};

bool same(float a, float b) { return std::memcmp(&a, &b, sizeof a) == 0 || (a != a && b != b); }

struct Arrays {
    std::vector<std::uint64_t> hashes;
    std::vector<std::int32_t> starts;
    std::vector<std::uint16_t> rows, counts;
    std::vector<std::int32_t> lengths;

    Postings plain() const {
        return {hashes.data(), starts.data(), hashes.size(),  rows.data(),
                counts.data(), rows.size(),   lengths.data(), lengths.size()};
    }
};

// Sizes fit, as the binding makes sure; whether the contents do is a matter of luck, helped a little.
Arrays postings_from(Source& source) {
    Arrays out;
    const std::size_t terms = source.below(300);
    const std::size_t n = source.below(70);
    const auto repaired = source.next<std::uint8_t>();
    out.lengths = source.several<std::int32_t>(n);
    out.hashes = source.several<std::uint64_t>(terms);
    out.starts = {0};
    for (std::size_t term = 0; term < terms; ++term) {
        std::uint16_t row = 0;
        for (std::size_t held = source.below(5); held > 0; --held) {
            out.rows.push_back(row = static_cast<std::uint16_t>(row + source.next<std::uint8_t>() % 16));
            row = static_cast<std::uint16_t>(row + (repaired & 1));
        }
        out.starts.push_back(static_cast<std::int32_t>(out.rows.size()));
    }
    out.counts = source.several<std::uint16_t>(out.rows.size());
    if ((repaired & 2) != 0) {
        std::sort(out.hashes.begin(), out.hashes.end());
    }
    if ((repaired & 4) != 0) {
        for (std::int32_t& length : out.lengths) {
            length &= std::numeric_limits<std::int32_t>::max();
        }
    }
    for (std::size_t lies = source.below(3); lies > 0; --lies) {
        const std::size_t at = source.next<std::uint16_t>();
        switch (source.below(3)) {
            case 0:
                out.starts[at % out.starts.size()] = source.next<std::int32_t>();
                break;
            case 1:
                if (!out.rows.empty()) {
                    out.rows[at % out.rows.size()] = source.next<std::uint16_t>();
                }
                break;
            default:
                if (!out.hashes.empty()) {
                    out.hashes[at % out.hashes.size()] = source.next<std::uint64_t>();
                }
        }
    }
    out.starts.shrink_to_fit();
    out.rows.shrink_to_fit();
    return out;
}

void search_words(Source& source) {
    const Arrays first = postings_from(source);
    const Arrays second = postings_from(source);
    if (!is_sound(first.plain()) || !is_sound(second.plain())) {
        return;
    }
    const LexicalIndex index({first.plain(), second.plain(), first.plain()}, 1.2, 0.5, 3.0);
    std::vector<Term> terms = {{source.next<std::uint64_t>(), 1.0}, {~0ULL, 0.5}};
    for (const Arrays* arrays : {&first, &second}) {
        if (!arrays->hashes.empty()) {
            terms.push_back({arrays->hashes[source.below(arrays->hashes.size())], 1.5});
        }
    }
    std::vector<std::uint8_t> mask(index.rows());
    std::generate(mask.begin(), mask.end(), [&] { return static_cast<std::uint8_t>(source.next<std::uint8_t>() & 1); });
    std::vector<std::int64_t> rows(index.rows());
    for (std::size_t row = 0; row < rows.size(); ++row) {
        rows[row] = static_cast<std::int64_t>(row);
    }
    const std::size_t k = 1 + source.below(300);
    std::vector<float> oracle(index.rows()), scores(index.rows()), at(index.rows());
    index.scores(scalar_kernels, terms, oracle.data());
    const auto best = index.top(scalar_kernels, terms, k, mask.data()).best;
    require(best.size() <= k, "more than were asked for");
    index.at(terms, rows.data(), rows.size(), at.data());
    for (const Kernels& run : kernels()) {
        index.scores(run, terms, scores.data());
        const auto found = index.top(run, terms, k, mask.data()).best;
        require(found.size() == best.size(), "top: how many");
        for (std::size_t i = 0; i < found.size(); ++i) {
            require(found[i].row == best[i].row && mask[found[i].row] != 0, "top: which");
        }
        for (std::size_t row = 0; row < rows.size(); ++row) {
            require(same(scores[row], oracle[row]) && same(at[row], oracle[row]), "scores");
        }
    }
}

void search_vectors(Source& source) {
    const std::size_t dim = source.below(150);
    const std::size_t width = (dim + 7) / 8;
    std::vector<std::vector<std::uint8_t>> bits, present;
    std::vector<std::vector<std::int8_t>> codes;
    std::vector<std::vector<float>> scales;
    std::vector<CodeBlock> blocks;
    for (std::size_t left = source.below(4); left > 0; --left) {
        const std::size_t n = source.below(40);
        bits.push_back(source.several<std::uint8_t>(n * width));
        codes.push_back(source.several<std::int8_t>(n * dim));
        scales.push_back(source.several<float>(n));
        present.push_back(source.several<std::uint8_t>(n));
        blocks.push_back({bits.back().data(), codes.back().data(), scales.back().data(), present.back().data(), n});
        if (width == 0) {
            std::fill(present.back().begin(), present.back().end(), std::uint8_t{0});
            blocks.back() = {nullptr, nullptr, nullptr, present.back().data(), n};
        }
    }
    const DenseIndex index(std::move(blocks), dim, width);
    const auto query_bits = source.several<std::uint8_t>(width);
    const auto query = source.several<std::int8_t>(dim);
    const auto mask = source.several<std::uint8_t>(index.rows());
    const std::size_t candidates = 1 + source.below(60);
    const std::size_t keep = 1 + source.below(20);
    for (const std::uint8_t* allowed : {mask.data(), static_cast<const std::uint8_t*>(nullptr)}) {
        const auto oracle = index.nearest(scalar_kernels, query_bits.data(), query.data(), candidates, keep, allowed);
        require(oracle.size() <= keep, "more than were asked for");
        for (const Kernels& run : kernels()) {
            const auto found = index.nearest(run, query_bits.data(), query.data(), candidates, keep, allowed);
            require(found.size() == oracle.size(), "nearest: how many");
            for (std::size_t i = 0; i < found.size(); ++i) {
                require(found[i].row == oracle[i].row && found[i].row < index.rows(), "nearest: which");
            }
            if (dim != 0) {
                index.moments(run, query.data(), 1 + index.rows() / 7);
            }
        }
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Source source(data, size);
    if (source.next<std::uint8_t>() % 2 == 0) {
        search_words(source);
    } else {
        search_vectors(source);
    }
    return 0;
}

#ifdef EDGEPERSO_FUZZ_MAIN
#include <random>

int main() {
    std::mt19937_64 chance(1);
    constexpr int tries = 4000;
    for (int i = 0; i < tries; ++i) {
        std::vector<std::uint8_t> input(chance() % 6000);
        // Zeros, small numbers and anything, in turns: what is drawn evenly hits few edges.
        const std::uint64_t most = std::vector<std::uint64_t>{1, 8, 256}[chance() % 3];
        std::generate(input.begin(), input.end(), [&] { return static_cast<std::uint8_t>(chance() % most); });
        if (input.size() > 1) {
            input[0] = static_cast<std::uint8_t>(chance());
            input[1] = static_cast<std::uint8_t>(chance());
        }
        input.shrink_to_fit();
        LLVMFuzzerTestOneInput(input.data(), input.size());
    }
    std::printf("hostile input: ok, %d tries\n", tries);
}
#endif
