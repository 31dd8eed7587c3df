// A BERT encoder with weights in int8: token ids to vectors of unit length, the mean of the last layer's rows.
//
// Sequences lie behind one another, without padding. Before each product a row of activations becomes two bytes for
// each number, at a scale of its own (Dettmers et al., "LLM.int8()", 2022, arXiv:2208.07339, section 2.1, calls that
// vector-wise); the rest is float32. A text's vector is the same bytes whichever texts are encoded with it, on however many threads.
// Source: Devlin et al., "BERT", 2019 (arXiv:1810.04805), section 3.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "encoder_stages.hpp"
#include "gemm.hpp"

namespace edgeperso {

// A kind of processor: how it multiplies, and what it does between products.
struct Way {
    std::string_view name;
    const Product* product;
    const Stages* stages;
};

// Those that this processor can run, fastest first; the last one is always "scalar".
const std::vector<Way>& ways();

// x times weights, plus bias. The weights are int8[depth, columns], each column with a scale.
class Linear {
   public:
    Linear(const std::int8_t* weights, const float* scales, const float* bias, std::size_t depth, std::size_t columns);

    // out[rows, columns] = then(in[rows, depth] times weights, plus bias). codes has room for 2 * rows * depth.
    void apply(const Way& way, const float* in, std::size_t rows, Then then, std::uint8_t* codes, Coded* coded,
               float* out) const;

    std::size_t depth() const { return depth_; }
    std::size_t columns() const { return columns_; }

   private:
    void panel(const Way& way, const std::uint8_t* codes, const Coded* coded, std::size_t rows, std::size_t start,
               Then then, float* out) const;

    Lined<std::int8_t> packed_;
    std::vector<float> scales_;
    std::vector<float> bias_;
    std::vector<std::int32_t> sums_;
    std::size_t depth_;
    std::size_t columns_;
};

struct Norm {
    std::vector<float> weight;
    std::vector<float> bias;
};

struct Layer {
    Linear qkv;  // questions, keys and values side by side
    Linear attended;
    Norm after_attention;
    Linear up;
    Linear down;
    Norm after_all;
};

// Tables of int8 with a scale for each row. They aren't copied.
struct Embeddings {
    const std::int8_t* words;  // [vocabulary, model]
    const float* word_scales;
    const std::int8_t* positions;  // [longest, model]
    const float* position_scales;
    const float* type;  // [model], of the first segment
};

class Encoder {
   public:
    // model is the length of a row, a multiple of 16 times heads.
    Encoder(Embeddings tables, Norm first, std::vector<Layer> layers, std::size_t model, std::size_t heads,
            float attention_scale, float epsilon);

    // Sequence i is ids[starts[i]] up to ids[starts[i + 1]]; out is float[count, model]. An empty one gives zeros.
    void encode(const Way& way, const std::int32_t* ids, const std::int64_t* starts, std::size_t count,
                std::size_t threads, float* out) const;

   private:
    struct Space;
    void run(const Way& way, const std::int32_t* ids, const std::int64_t* starts, std::size_t first, std::size_t last,
             Space& space, float* out) const;
    void embed(const Way& way, const std::int32_t* ids, std::size_t tokens, float* rows) const;
    void apply(const Way& way, const Layer& layer, const std::int64_t* starts, std::size_t first, std::size_t last,
               Space& space) const;

    Embeddings tables_;
    Norm first_;
    std::vector<Layer> layers_;
    std::size_t model_;
    std::size_t heads_;
    std::size_t inner_;
    float attention_scale_;
    float epsilon_;
};

}  // namespace edgeperso
