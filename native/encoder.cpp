#include "encoder.hpp"

#include <algorithm>
#include <atomic>
#include <functional>
#include <system_error>
#include <thread>
#include <utility>

namespace edgeperso {
namespace {

// Tokens that go through a layer together: enough that its weights are read from memory once for many, few enough that
// their rows stay in the second-level cache.
constexpr std::size_t chunk_tokens = 192;

// Edges of chunks of whole sequences: as many for each thread as it takes to have about `chunk_tokens` in each.
std::vector<std::size_t> chunked(const std::int64_t* starts, std::size_t count, std::size_t threads) {
    const auto total = static_cast<std::size_t>(starts[count]);
    const std::size_t parts = (total + threads * chunk_tokens - 1) / (threads * chunk_tokens) * threads;
    std::vector<std::size_t> edges = {0};
    for (std::size_t i = 1; i < count; ++i) {
        if (static_cast<std::size_t>(starts[i]) * parts >= total * edges.size()) {
            edges.push_back(i);
        }
    }
    edges.push_back(count);
    return edges;
}

}  // namespace

const std::vector<Way>& ways() {
    static const std::vector<Way> found = [] {
        std::vector<Way> list;
        if (amx_product() != nullptr && avx512_stages() != nullptr) {
            list.push_back({"amx", amx_product(), avx512_stages()});
        }
        if (avx512_product() != nullptr && avx512_stages() != nullptr) {
            list.push_back({"avx512", avx512_product(), avx512_stages()});
        }
        if (avx_vnni_product() != nullptr && avx2_stages() != nullptr) {
            list.push_back({"avx_vnni", avx_vnni_product(), avx2_stages()});
        }
        list.push_back({"scalar", &scalar_product, &scalar_stages});
        return list;
    }();
    return found;
}

Linear::Linear(const std::int8_t* weights, const float* scales, const float* bias, std::size_t depth,
               std::size_t columns)
    : packed_(packed(weights, depth, columns)),
      scales_(scales, scales + columns),
      bias_(bias, bias + columns),
      sums_(columns),
      depth_(depth),
      columns_(columns) {
    for (std::size_t k = 0; k < depth; ++k) {
        for (std::size_t column = 0; column < columns; ++column) {
            sums_[column] += weights[k * columns + column];
        }
    }
}

void Linear::apply(const Way& way, const float* in, std::size_t rows, Then then, std::uint8_t* codes, Coded* coded,
                   float* out) const {
    for (std::size_t row = 0; row < rows; ++row) {
        coded[row] = way.stages->code(in + row * depth_, depth_, codes + row * 2 * depth_);
    }
    for (std::size_t start = 0; start < columns_; start += panel_columns) {
        panel(way, codes, coded, rows, start, then, out + start);
    }
}

// One panel for all rows: it stays in the first-level cache meanwhile.
void Linear::panel(const Way& way, const std::uint8_t* codes, const Coded* coded, std::size_t rows, std::size_t start,
                   Then then, float* out) const {
    alignas(64) std::int32_t products[most_tile_rows * panel_columns];
    const std::size_t columns = std::min(panel_columns, columns_ - start);
    const std::size_t step = way.product->rows / 2;
    for (std::size_t row = 0; row < rows; row += step) {
        const std::size_t some = std::min(step, rows - row);
        way.product->tile(codes + row * 2 * depth_, some * 2, depth_, packed_.data() + start * depth_,
                          columns / lane_columns, products);
        way.stages->finish({products, some, columns, coded + row, sums_.data() + start, scales_.data() + start,
                            bias_.data() + start, then, out + row * columns_, columns_});
    }
}

// What a thread works in.
struct Encoder::Space {
    Space(std::size_t tokens, std::size_t longest, std::size_t model, std::size_t inner, std::size_t heads)
        : rows(tokens * model),
          wide(tokens * std::max(3 * model, inner)),
          narrow(tokens * model),
          scratch(attention_scratch(longest, model / heads)),
          codes(2 * tokens * std::max(model, inner)),
          coded(tokens) {}

    Lined<float> rows;    // [tokens, model], a layer's input and then its output
    Lined<float> wide;    // [tokens, 3 * model], then [tokens, inner]
    Lined<float> narrow;  // [tokens, model]
    Lined<float> scratch;
    Lined<std::uint8_t> codes;
    std::vector<Coded> coded;
};

Encoder::Encoder(Embeddings tables, Norm first, std::vector<Layer> layers, std::size_t model, std::size_t heads,
                 float attention_scale, float epsilon)
    : tables_(tables),
      first_(std::move(first)),
      layers_(std::move(layers)),
      model_(model),
      heads_(heads),
      inner_(model),
      attention_scale_(attention_scale),
      epsilon_(epsilon) {
    for (const Layer& layer : layers_) {
        inner_ = std::max(inner_, layer.up.columns());
    }
}

void Encoder::encode(const Way& way, const std::int32_t* ids, const std::int64_t* starts, std::size_t count,
                     std::size_t threads, float* out) const {
    threads = std::clamp<std::size_t>(threads, 1, std::max<std::size_t>(count, 1));
    const std::vector<std::size_t> edges = chunked(starts, count, threads);
    const std::size_t chunks = edges.size() - 1;
    std::int64_t most = 0;
    std::int64_t longest = 0;
    for (std::size_t i = 0; i < chunks; ++i) {
        most = std::max(most, starts[edges[i + 1]] - starts[edges[i]]);
    }
    for (std::size_t i = 0; i < count; ++i) {
        longest = std::max(longest, starts[i + 1] - starts[i]);
    }
    // All that can fail for want of memory comes before the first thread.
    std::vector<Space> spaces;
    const std::size_t workers = std::min(threads, chunks);
    for (std::size_t i = 0; i < workers; ++i) {
        spaces.emplace_back(static_cast<std::size_t>(most), static_cast<std::size_t>(longest), model_, inner_, heads_);
    }
    std::atomic<std::size_t> next = 0;
    const auto work = [&](Space& space) noexcept {
        for (std::size_t i = next++; i < chunks; i = next++) {
            run(way, ids, starts, edges[i], edges[i + 1], space, out);
        }
    };
    std::vector<std::thread> others;
    others.reserve(workers);
    try {
        for (std::size_t i = 1; i < workers; ++i) {
            others.emplace_back(work, std::ref(spaces[i]));
        }
    } catch (const std::system_error&) {
        // No more threads are to be had: those at hand do all of it.
    }
    work(spaces[0]);
    for (std::thread& other : others) {
        other.join();
    }
}

void Encoder::run(const Way& way, const std::int32_t* ids, const std::int64_t* starts, std::size_t first,
                  std::size_t last, Space& space, float* out) const {
    for (std::size_t i = first; i < last; ++i) {
        const auto tokens = static_cast<std::size_t>(starts[i + 1] - starts[i]);
        embed(way, ids + starts[i], tokens, space.rows.data() + static_cast<std::size_t>(starts[i] - starts[first]) * model_);
    }
    for (const Layer& layer : layers_) {
        apply(way, layer, starts, first, last, space);
    }
    for (std::size_t i = first; i < last; ++i) {
        const auto tokens = static_cast<std::size_t>(starts[i + 1] - starts[i]);
        const auto at = static_cast<std::size_t>(starts[i] - starts[first]);
        if (tokens == 0) {
            std::fill_n(out + i * model_, model_, 0.0f);
        } else {
            way.stages->pool(space.rows.data() + at * model_, tokens, model_, out + i * model_);
        }
    }
}

void Encoder::embed(const Way& way, const std::int32_t* ids, std::size_t tokens, float* rows) const {
    for (std::size_t i = 0; i < tokens; ++i) {
        const auto id = static_cast<std::size_t>(ids[i]);
        float* row = rows + i * model_;
        way.stages->embed(tables_.words + id * model_, tables_.word_scales[id], tables_.type,
                          tables_.positions + i * model_, tables_.position_scales[i], model_, row);
        way.stages->norm(row, nullptr, model_, first_.weight.data(), first_.bias.data(), epsilon_);
    }
}

void Encoder::apply(const Way& way, const Layer& layer, const std::int64_t* starts, std::size_t first,
                    std::size_t last, Space& space) const {
    const auto rows = static_cast<std::size_t>(starts[last] - starts[first]);
    float* states = space.rows.data();
    float* wide = space.wide.data();
    float* narrow = space.narrow.data();
    std::uint8_t* codes = space.codes.data();
    Coded* coded = space.coded.data();

    layer.qkv.apply(way, states, rows, Then::nothing, codes, coded, wide);
    for (std::size_t i = first; i < last; ++i) {
        const auto at = static_cast<std::size_t>(starts[i] - starts[first]);
        const auto tokens = static_cast<std::size_t>(starts[i + 1] - starts[i]);
        way.stages->attend({wide + at * 3 * model_, tokens, heads_, model_ / heads_, attention_scale_,
                            space.scratch.data(), narrow + at * model_});
    }
    layer.attended.apply(way, narrow, rows, Then::nothing, codes, coded, wide);
    for (std::size_t row = 0; row < rows; ++row) {
        way.stages->norm(states + row * model_, wide + row * model_, model_, layer.after_attention.weight.data(),
                         layer.after_attention.bias.data(), epsilon_);
    }
    layer.up.apply(way, states, rows, Then::gelu, codes, coded, wide);
    layer.down.apply(way, wide, rows, Then::nothing, codes, coded, narrow);
    for (std::size_t row = 0; row < rows; ++row) {
        way.stages->norm(states + row * model_, narrow + row * model_, model_, layer.after_all.weight.data(),
                         layer.after_all.bias.data(), epsilon_);
    }
}

}  // namespace edgeperso
