// The encoder's products of bytes against the scalar ones, to the bit, and whole encodings against the scalar encoder, in
// memory that ends where the data end. Built with sanitizers by scripts/sanitize_native.sh.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <random>
#include <vector>

#include "../../native/encoder.hpp"

namespace {

using namespace edgeperso;

std::mt19937_64 chance(1);

void expect(bool holds, const char* what, std::string_view way) {
    if (!holds) {
        std::fprintf(stderr, "%.*s: %s\n", static_cast<int>(way.size()), way.data(), what);
        std::exit(1);
    }
}

template <typename T>
std::vector<T> drawn(std::size_t n, int least, int most, T unit = 1) {
    std::uniform_int_distribution<int> draw(least, most);
    std::vector<T> out(n);
    std::generate(out.begin(), out.end(), [&] { return static_cast<T>(static_cast<T>(draw(chance)) * unit); });
    out.shrink_to_fit();
    return out;
}

void test_products(const Way& way) {
    for (const std::size_t depth : {0, 4, 12, 64, 100, 384}) {
        for (const std::size_t columns : {16, 32, 48, 64, 112}) {
            for (const std::size_t rows : {1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 17, 35}) {
                const auto codes = drawn<std::uint8_t>(rows * depth, 0, 255);
                const auto weights = packed(drawn<std::int8_t>(depth * columns, -128, 127).data(), depth, columns);
                std::vector<std::int32_t> ours(rows * columns), oracle(rows * columns);
                multiply(*way.product, codes.data(), rows, weights, depth, columns, ours.data());
                multiply(scalar_product, codes.data(), rows, weights, depth, columns, oracle.data());
                expect(ours == oracle, "products", way.name);
            }
        }
    }
    const std::size_t depth = 1536;
    for (const std::int8_t weight : {std::int8_t{-128}, std::int8_t{127}}) {
        const std::vector<std::uint8_t> codes(depth, 255);
        const std::vector<std::int8_t> weights(depth * 16, weight);
        std::vector<std::int32_t> ours(16);
        multiply(*way.product, codes.data(), 1, packed(weights.data(), depth, 16), depth, 16, ours.data());
        expect(ours[15] == 255 * weight * static_cast<std::int32_t>(depth), "the largest sum", way.name);
    }
}

struct Model {
    static constexpr std::size_t model = 64, heads = 2, inner = 80, words = 30, positions = 200;

    std::vector<std::int8_t> word_codes = drawn<std::int8_t>(words * model, -127, 127);
    std::vector<std::int8_t> position_codes = drawn<std::int8_t>(positions * model, -127, 127);
    std::vector<float> word_scales = std::vector<float>(words, 0.01f);
    std::vector<float> position_scales = std::vector<float>(positions, 0.005f);
    std::vector<float> type = drawn<float>(model, -9, 9, 0.01f);

    static Norm norm() { return {drawn<float>(model, 50, 150, 0.01f), drawn<float>(model, -9, 9, 0.01f)}; }

    static Linear linear(std::size_t depth, std::size_t columns) {
        const auto weights = drawn<std::int8_t>(depth * columns, -127, 127);
        const auto scales = drawn<float>(columns, 5, 15, 1e-4f);
        const auto bias = drawn<float>(columns, -9, 9, 0.01f);
        return Linear(weights.data(), scales.data(), bias.data(), depth, columns);
    }

    Encoder encoder() const {
        std::vector<Layer> layers;
        for (int i = 0; i < 2; ++i) {
            layers.push_back({linear(model, 3 * model), linear(model, model), norm(), linear(model, inner),
                              linear(inner, model), norm()});
        }
        return Encoder({word_codes.data(), word_scales.data(), position_codes.data(), position_scales.data(),
                        type.data()},
                       norm(), std::move(layers), model, heads, 0.17f, 1e-12f);
    }
};

void test_encodings(const Way& way) {
    const Model given;
    const Encoder encoder = given.encoder();
    const std::vector<std::int64_t> lengths = {0, 1, 7, 8, 9, 16, 17, 33, 200, 90, 60, 0, 3};
    const std::size_t count = lengths.size(), model = Model::model;
    std::vector<std::int64_t> starts(count + 1);
    std::partial_sum(lengths.begin(), lengths.end(), starts.begin() + 1);
    const auto ids = drawn<std::int32_t>(static_cast<std::size_t>(starts.back()), 0, Model::words - 1);
    std::vector<float> ours(count * model), threaded(count * model), oracle(count * model), alone(model);
    encoder.encode(way, ids.data(), starts.data(), count, 1, ours.data());
    encoder.encode(way, ids.data(), starts.data(), count, 3, threaded.data());
    encoder.encode(ways().back(), ids.data(), starts.data(), count, 1, oracle.data());
    expect(ours == threaded, "threads", way.name);
    for (std::size_t i = 0; i < count; ++i) {
        const std::int64_t ends[] = {0, lengths[i]};
        encoder.encode(way, ids.data() + starts[i], ends, 1, 1, alone.data());
        float nearness = 0.0f;
        for (std::size_t j = 0; j < model; ++j) {
            expect(alone[j] == ours[i * model + j], "alone and among others", way.name);
            nearness += ours[i * model + j] * oracle[i * model + j];
        }
        expect(std::fabs(nearness - (lengths[i] == 0 ? 0.0f : 1.0f)) < 1e-5f, "encodings", way.name);
    }
}

// Another library's tiles on this thread are configured afterwards as they were before.
void test_what_tiles_were([[maybe_unused]] const Way& way) {
#if defined(__x86_64__) && defined(__linux__)
    if (way.name != "amx") {
        return;
    }
    alignas(64) std::uint8_t theirs[64] = {1};
    theirs[16] = 48;  // bytes of tile 0's rows
    theirs[48] = 7;   // and how many rows
    const std::vector<std::uint8_t> codes(64, 3);
    const std::vector<std::int8_t> weights(64 * 16, 2);
    std::vector<std::int32_t> out(16);
    for (const bool configured : {true, false}) {
        alignas(64) std::uint8_t found[64];
        if (configured) {
            __asm__ volatile("ldtilecfg %0" ::"m"(theirs) : "memory");
        } else {
            __asm__ volatile("tilerelease" ::: "memory");
        }
        multiply(*way.product, codes.data(), 1, packed(weights.data(), 64, 16), 64, 16, out.data());
        __asm__ volatile("sttilecfg %0" : "=m"(found)::"memory");
        expect(found[0] == (configured ? 1 : 0) && found[16] == (configured ? 48 : 0) && found[48] == (configured ? 7 : 0),
               "what tiles were", way.name);
    }
    __asm__ volatile("tilerelease" ::: "memory");
#endif
}

}  // namespace

int main() {
    for (const Way& way : ways()) {
        test_products(way);
        test_encodings(way);
        test_what_tiles_were(way);
        std::printf("%.*s: ok\n", static_cast<int>(way.name.size()), way.name.data());
    }
}
