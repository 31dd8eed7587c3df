// Every set of kernels against the scalar one, on odd sizes, in memory that ends where the data end: built with
// sanitizers (scripts/sanitize_native.sh) and for Arm (scripts/neon_native.sh). Tests from Python hold numpy against both.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <new>
#include <random>
#include <vector>

#include "../../native/dense.hpp"
#include "../../native/gather.hpp"
#include "../../native/kernels.hpp"
#include "../../native/lexical.hpp"
#include "../../native/secret.hpp"

#ifdef __linux__
#include <sys/mman.h>

// Every unmapping comes by here (the linker's --wrap): what is given back can be looked at.
namespace {
const std::byte* watched = nullptr;
std::size_t watched_size = 0;
int given_back = 0;
bool clean = false;
}  // namespace

extern "C" int __real_munmap(void* data, std::size_t size);
extern "C" int __wrap_munmap(void* data, std::size_t size) {
    const auto* first = static_cast<const std::byte*>(data);
    if (watched != nullptr && first <= watched && watched + watched_size <= first + size) {
        ++given_back;
        clean = std::all_of(watched, watched + watched_size, [](std::byte one) { return one == std::byte{0}; });
    }
    return __real_munmap(data, size);
}
#endif

namespace {

using namespace edgeperso;

std::mt19937_64 chance(1);

void expect(bool holds, const char* what, std::string_view kernels) {
    if (!holds) {
        std::fprintf(stderr, "%.*s: %s\n", static_cast<int>(kernels.size()), kernels.data(), what);
        std::exit(1);
    }
}

template <typename T>
std::vector<T> drawn(std::size_t n, int least, int most) {
    std::uniform_int_distribution<int> draw(least, most);
    std::vector<T> out(n);
    std::generate(out.begin(), out.end(), [&] { return static_cast<T>(draw(chance)); });
    out.shrink_to_fit();
    return out;
}

void test_bits(const Kernels& run) {
    for (const std::size_t width : {1, 3, 7, 8, 15, 16, 31, 32, 48, 63, 64, 65, 96, 129}) {
        for (const std::size_t n : {0, 1, 7, 8, 9, 33}) {
            const auto codes = drawn<std::uint8_t>(n * width, 0, 255);
            const auto query = drawn<std::uint8_t>(width, 0, 255);
            std::vector<std::uint32_t> ours(n), oracle(n);
            run.distances(codes.data(), query.data(), n, width, ours.data());
            scalar_kernels.distances(codes.data(), query.data(), n, width, oracle.data());
            expect(ours == oracle, "distances", run.name);

            std::vector<std::uint32_t> near(n), expected(n);
            for (const std::uint32_t limit : {0u, static_cast<std::uint32_t>(4 * width), 100000u}) {
                const std::size_t found = run.below(oracle.data(), n, limit, near.data());
                expect(found == scalar_kernels.below(oracle.data(), n, limit, expected.data()), "below", run.name);
                expect(std::equal(near.begin(), near.begin() + static_cast<std::ptrdiff_t>(found), expected.begin()),
                       "below: rows", run.name);
            }

            auto numbers = drawn<std::int8_t>((8 * width + 63) / 64 * 64, -127, 127);
            std::fill(numbers.begin() + static_cast<std::ptrdiff_t>(8 * width), numbers.end(), std::int8_t{0});
            std::vector<const std::uint8_t*> rows(n);
            for (std::size_t i = 0; i < n; ++i) {
                rows[i] = codes.data() + i * width;
            }
            std::vector<std::int32_t> sums(n), sums_expected(n);
            run.bit_sums(rows.data(), n, width, numbers.data(), sums.data());
            scalar_kernels.bit_sums(rows.data(), n, width, numbers.data(), sums_expected.data());
            expect(sums == sums_expected, "bit_sums", run.name);
        }
    }
}

void test_products(const Kernels& run) {
    for (const std::size_t dim : {0, 1, 7, 8, 15, 16, 17, 31, 63, 64, 65, 384, 1000}) {
        for (const std::size_t n : {0, 1, 5, 20}) {
            const auto codes = drawn<std::int8_t>(n * dim, -127, 127);
            const auto query = drawn<std::int8_t>(dim, -127, 127);
            std::vector<const std::int8_t*> rows(n);
            for (std::size_t i = 0; i < n; ++i) {
                rows[i] = codes.data() + i * dim;
            }
            std::vector<std::int32_t> ours(n), oracle(n);
            run.dots(rows.data(), n, dim, query.data(), ours.data());
            scalar_kernels.dots(rows.data(), n, dim, query.data(), oracle.data());
            expect(ours == oracle, "dots", run.name);

            auto halves = drawn<std::uint16_t>(n * dim, 0, 0x7bff);  // every finite one above 0, subnormal ones too
            std::vector<float> question(dim), products(n), expected(n);
            std::generate(question.begin(), question.end(), [&] { return static_cast<float>(chance() % 100) / 1e6f; });
            run.half_dots(halves.data(), n, dim, question.data(), products.data());
            scalar_kernels.half_dots(halves.data(), n, dim, question.data(), expected.data());
            for (std::size_t i = 0; i < n; ++i) {
                expect(std::fabs(products[i] - expected[i]) <= 1e-4f * (1.0f + expected[i]), "half_dots", run.name);
            }
        }
    }
}

void test_words(const Kernels& run) {
    for (const std::size_t n : {1, 7, 8, 9, 16, 17, 100}) {
        std::vector<std::uint16_t> rows;
        for (std::uint16_t row = 0; row < n; ++row) {
            if (chance() % 2 != 0) {
                rows.push_back(row);
            }
        }
        rows.shrink_to_fit();
        const auto counts = drawn<std::uint16_t>(rows.size(), 1, 65535);
        std::vector<float> norms(n), ours(n, 0.5f), oracle(n, 0.5f);
        std::generate(norms.begin(), norms.end(), [&] { return 0.1f + static_cast<float>(chance() % 100) / 7.0f; });
        run.add_term(rows.data(), counts.data(), rows.size(), 1.7f, norms.data(), ours.data());
        scalar_kernels.add_term(rows.data(), counts.data(), rows.size(), 1.7f, norms.data(), oracle.data());
        expect(ours == oracle, "add_term", run.name);

        std::vector<std::uint32_t> high(n), expected(n);
        Sums total, wanted;
        const std::size_t found = run.above(oracle.data(), n, 0.9f, high.data(), total);
        expect(found == scalar_kernels.above(oracle.data(), n, 0.9f, expected.data(), wanted), "above", run.name);
        expect(std::equal(high.begin(), high.begin() + static_cast<std::ptrdiff_t>(found), expected.begin()),
               "above: rows", run.name);
        expect(std::fabs(total.squares - wanted.squares) < 1e-3 && std::fabs(total.plain - wanted.plain) < 1e-3,
               "above: sums", run.name);
    }
}

void test_dense(const Kernels& run) {
    const std::size_t dim = 83, width = 11;
    std::vector<std::vector<std::uint8_t>> bits, present;
    std::vector<std::vector<std::int8_t>> codes;
    std::vector<std::vector<float>> scales;
    std::vector<CodeBlock> blocks;
    for (const std::size_t n : {3000, 0, 1, 1500}) {
        bits.push_back(drawn<std::uint8_t>(n * width, 0, 255));
        codes.push_back(drawn<std::int8_t>(n * dim, -127, 127));
        present.push_back(drawn<std::uint8_t>(n, 0, 1));
        scales.emplace_back(n, 0.01f);
        blocks.push_back({bits.back().data(), codes.back().data(), scales.back().data(), present.back().data(), n});
    }
    blocks.push_back({nullptr, nullptr, nullptr, nullptr, 0});
    const DenseIndex index(blocks, dim, width);
    const auto query_bits = drawn<std::uint8_t>(width, 0, 255);
    const auto query = drawn<std::int8_t>(dim, -127, 127);
    const auto mask = drawn<std::uint8_t>(index.rows(), 0, 1);
    for (const std::size_t candidates : {std::size_t{1}, std::size_t{100}, ~std::size_t{0}}) {
        for (const std::uint8_t* allowed : {mask.data(), static_cast<const std::uint8_t*>(nullptr)}) {
            const auto ours = index.nearest(run, query_bits.data(), query.data(), candidates, 50, allowed);
            const auto oracle = index.nearest(scalar_kernels, query_bits.data(), query.data(), candidates, 50, allowed);
            expect(ours.size() == oracle.size(), "nearest", run.name);
            for (std::size_t i = 0; i < ours.size(); ++i) {
                expect(ours[i].row == oracle[i].row && ours[i].score == oracle[i].score, "nearest: rows", run.name);
            }
        }
    }
    const Moments moments = index.moments(run, query.data(), 3);
    expect(std::isfinite(moments.mean) && moments.deviation > 0.0, "moments", run.name);
}

void test_gather(const Kernels& run) {
    const std::size_t n = 40, dim = 16, width = 2;
    const auto bits = drawn<std::uint8_t>(n * width, 0, 255);
    const auto codes = drawn<std::int8_t>(n * dim, -127, 127), query = drawn<std::int8_t>(dim, -127, 127);
    const std::vector<float> scales(n, 0.01f);
    const DenseIndex dense({{bits.data(), codes.data(), scales.data(), nullptr, n}}, dim, width);
    const std::vector<std::uint64_t> hashes = {5};
    const std::vector<std::int32_t> starts = {0, 2}, lengths(n, 3);
    const std::vector<std::uint16_t> rows = {1, 39}, counts = {2, 1};
    const LexicalIndex lexical({{hashes.data(), starts.data(), 1, rows.data(), counts.data(), 2, lengths.data(), n}}, 1.2,
                               0.5, 3.0);
    std::vector<std::int32_t> previous(n), next(n, 1 << 30);  // the rows behind aren't there
    for (std::size_t i = 0; i < n; ++i) {
        previous[i] = static_cast<std::int32_t>(i) - 1;
    }
    const std::vector<Term> terms = {{5, 1.0}};
    const std::vector<std::int64_t> best = {7, 3}, named = {39, 7};
    const std::vector<float> cosines = {0.9f, 0.8f}, words = {2.0f, 0.5f};
    const Gatherer gatherer(dense, run, query, 0.5f, lexical, terms, {previous, next});
    const Gathered found = gatherer.gather({best, cosines, 0.1f, 0.2f}, {named, words, 0.0f, 1.0f}, 3, 2);
    expect(found.rows == std::vector<std::int64_t>({1, 2, 3, 5, 6, 7, 37, 38, 39}), "gather: rows", run.name);
    expect(found.previous == std::vector<std::int64_t>({-1, 0, 1, -1, 3, 4, -1, 6, 7}), "gather: previous", run.name);
    expect(found.next == std::vector<std::int64_t>(9, -1), "gather: next", run.name);
    expect(found.cosines[5] == 0.9f && found.words[8] == 2.0f && found.words[0] > 0.0f && found.words[1] == 0.0f,
           "gather: scores", run.name);
    const Gathered none = gatherer.gather({}, {}, 3, 2);
    expect(none.rows.empty() && none.next.empty(), "gather: nothing found", run.name);
}

void test_lexical(const Kernels& run) {
    const std::vector<std::uint64_t> hashes = {5, 1ULL << 40, ~0ULL};
    const std::vector<std::int32_t> starts = {0, 2, 2, 5};
    const std::vector<std::uint16_t> rows = {0, 4, 1, 2, 4}, counts = {1, 2, 1, 9, 1};
    const std::vector<std::int32_t> lengths = {3, 1, 9, 0, 4};
    const Postings sound = {hashes.data(), starts.data(), 3, rows.data(), counts.data(), 5, lengths.data(), 5};
    expect(is_sound(sound), "sound postings", run.name);
    const LexicalIndex index({sound, sound}, 1.2, 0.5, 3.4);
    const std::vector<Term> terms = {{5, 1.0}, {~0ULL, 0.5}, {7, 1.0}};
    const auto found = index.top(run, terms, 3, nullptr);
    expect(found.best.size() == 3 && found.best[0].row == 4 && found.best[1].row == 9, "top", run.name);
    std::vector<float> scores(index.rows());
    index.scores(run, terms, scores.data());
    expect(scores[4] == found.best[0].score && scores[3] == 0.0f, "scores", run.name);

    const std::vector<std::uint16_t> outside = {0, 5, 1, 2, 4}, falling = {4, 0, 1, 2, 4};
    const std::vector<std::int32_t> backward = {0, 6, 2, 5}, beyond = {0, 2, 2, 6};
    const std::vector<std::uint64_t> unordered = {5, 5, 6};
    const std::vector<std::int32_t> negative = {3, 1, -9, 0, 4};
    for (const Postings& broken : {
             Postings{hashes.data(), starts.data(), 3, outside.data(), counts.data(), 5, lengths.data(), 5},
             Postings{hashes.data(), starts.data(), 3, falling.data(), counts.data(), 5, lengths.data(), 5},
             Postings{hashes.data(), backward.data(), 3, rows.data(), counts.data(), 5, lengths.data(), 5},
             Postings{hashes.data(), beyond.data(), 3, rows.data(), counts.data(), 5, lengths.data(), 5},
             Postings{unordered.data(), starts.data(), 3, rows.data(), counts.data(), 5, lengths.data(), 5},
             Postings{hashes.data(), starts.data(), 3, rows.data(), counts.data(), 5, negative.data(), 5},
         }) {
        expect(!is_sound(broken), "broken postings", run.name);
    }
}

void test_secrets() {
    std::byte stack[40];
    std::fill(std::begin(stack), std::end(stack), std::byte{7});
    wipe(stack, sizeof stack);
    for (const std::byte one : stack) {
        expect(one == std::byte{0}, "wipe", "secrets");
    }
#ifdef __linux__
    for (const bool key : {false, true}) {
        for (const std::size_t size : {1, 33, 4096, 100000, 5 << 20}) {
            {
                const SecretPages pages(size, key);
                expect(reinterpret_cast<std::uintptr_t>(pages.data()) % 64 == 0, "alignment", "secrets");
                expect(std::all_of(pages.data(), pages.data() + size, [](std::byte one) { return one == std::byte{0}; }),
                       "zeros at first", "secrets");
                std::fill_n(pages.data(), size, std::byte{7});
                watched = pages.data();
                watched_size = size;
                given_back = 0;
            }
            watched = nullptr;
            expect(given_back == 1 && clean, "wiped before it is given back", "secrets");
        }
    }
#endif
    for (const std::size_t size : {~std::size_t{0}, std::size_t{1} << 62}) {
        try {
            const SecretPages pages(size, true);
            expect(false, "more than there is", "secrets");
        } catch (const std::bad_alloc&) {
        }
    }
    std::puts("secrets: ok");
}

}  // namespace

int main() {
    test_secrets();
    for (const Kernels& run : kernels()) {
        test_bits(run);
        test_products(run);
        test_words(run);
        test_dense(run);
        test_lexical(run);
        test_gather(run);
        std::printf("%.*s: ok\n", static_cast<int>(run.name.size()), run.name.data());
    }
}
