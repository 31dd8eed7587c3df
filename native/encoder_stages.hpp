// What the encoder does between its products, in float32; one set for each width of registers. They agree within
// rounding. What becomes of a row never depends on which other rows are computed with it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace edgeperso {

constexpr std::size_t stage_columns = 16;  // every length of a row is a multiple of it

// A row of floats as pairs of unsigned bytes: value = scale * (256 * (high - zero) + low). One byte each would be too
// coarse: after a layer norm a few numbers are ten times as large as all others.
struct Coded {
    float scale;
    std::int32_t zero;
};

enum class Then { nothing, gelu };

// From a tile of products back to floats.
struct Finish {
    const std::int32_t* products;  // [rows, 2, panel_columns], of the high bytes and of the low ones
    std::size_t rows;
    std::size_t columns;
    const Coded* codes;            // [rows]
    const std::int32_t* sums;      // of each column's weights
    const float* scales;           // of each column's weights
    const float* bias;
    Then then;
    float* out;                    // [rows, stride]
    std::size_t stride;
};

struct Attention {
    const float* qkv;  // [tokens, 3 * heads * dim]
    std::size_t tokens;
    std::size_t heads;
    std::size_t dim;
    float scale;       // of a question's product with a key
    float* scratch;    // `attention_scratch` floats
    float* out;        // [tokens, heads * dim]
};

struct Stages {
    // row = word * word_scale + type + position * position_scale
    void (*embed)(const std::int8_t* word, float word_scale, const float* type, const std::int8_t* position,
                  float position_scale, std::size_t n, float* row);

    // row = (row + added) at mean 0 and deviation 1, times weight, plus bias; added may be null.
    // Source: Ba, Kiros, Hinton, "Layer Normalization", 2016 (arXiv:1607.06450), equation 4.
    void (*norm)(float* row, const float* added, std::size_t n, const float* weight, const float* bias, float epsilon);

    // Writes n high bytes, then n low ones.
    Coded (*code)(const float* row, std::size_t n, std::uint8_t* out);

    // GELU is x times the normal distribution function of x. Source: Hendrycks, Gimpel, 2016 (arXiv:1606.08415).
    void (*finish)(const Finish& of);

    // Source: Vaswani et al., "Attention Is All You Need", 2017 (arXiv:1706.03762), section 3.2.
    void (*attend)(const Attention& of);

    // out = the mean of the rows, at unit length
    void (*pool)(const float* rows, std::size_t count, std::size_t n, float* out);
};

constexpr std::size_t attention_rows = 8;

constexpr std::size_t attention_scratch(std::size_t tokens, std::size_t dim) {
    return (dim + 1 + attention_rows) * ((tokens + stage_columns - 1) / stage_columns * stage_columns);
}

extern const Stages scalar_stages;
const Stages* avx2_stages();  // null where they were not compiled
const Stages* avx512_stages();

}  // namespace edgeperso
