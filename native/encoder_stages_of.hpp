// The stages, written once for lanes of any width. Included by the encoder_*.cpp alone.
#pragma once

#include "encoder_lanes.hpp"
#include "encoder_stages.hpp"
#include "gemm.hpp"

namespace edgeperso {
namespace {

void embed(const std::int8_t* word, float word_scale, const float* type, const std::int8_t* position,
           float position_scale, std::size_t n, float* row) {
    for (std::size_t i = 0; i < n; i += width) {
        const Lanes both = add(mul(from_bytes(word + i), all(word_scale)), load(type + i));
        store(row + i, add(both, mul(from_bytes(position + i), all(position_scale))));
    }
}

void norm(float* row, const float* added, std::size_t n, const float* weight, const float* bias, float epsilon) {
    Lanes total = all(0.0f);
    for (std::size_t i = 0; i < n; i += width) {
        const Lanes x = added == nullptr ? load(row + i) : add(load(row + i), load(added + i));
        store(row + i, x);
        total = add(total, x);
    }
    const Lanes mean = all(sum_of(total) / static_cast<float>(n));
    Lanes squares = all(0.0f);
    for (std::size_t i = 0; i < n; i += width) {
        const Lanes x = sub(load(row + i), mean);
        squares = fma(x, x, squares);
    }
    const Lanes gain = all(1.0f / sqrtf(sum_of(squares) / static_cast<float>(n) + epsilon));
    for (std::size_t i = 0; i < n; i += width) {
        const Lanes x = mul(sub(load(row + i), mean), gain);
        store(row + i, fma(x, load(weight + i), load(bias + i)));
    }
}

// The range always holds 0, so that zero's code is a code; one step of the high byte is left for rounding it up.
Coded code(const float* row, std::size_t n, std::uint8_t* out) {
    Lanes low = all(0.0f);
    Lanes high = all(0.0f);
    for (std::size_t i = 0; i < n; i += width) {
        low = least(load(row + i), low);
        high = most(load(row + i), high);
    }
    const float least_value = least_of(low);
    const float range = most_of(high) - least_value;
    if (!(range > 1e-30f && range < 1e30f)) {  // nothing but zeros, or no numbers at all
        for (std::size_t i = 0; i < 2 * n; ++i) {
            out[i] = 0;
        }
        return {range < 1e30f ? 0.0f : range - range, 0};
    }
    const float scale = range / (65535.0f - 256.0f);
    const auto zero = static_cast<std::int32_t>(ceilf(-least_value / (256.0f * scale)));
    const Lanes inverse = all(1.0f / scale);
    for (std::size_t i = 0; i < n; i += width) {
        const Ints exact = add(nearest(mul(load(row + i), inverse)), all(256 * zero));
        const Ints kept = most(least(exact, all(std::int32_t{65535})), all(std::int32_t{0}));
        store_low_bytes(out + i, high_bytes(kept));
        store_low_bytes(out + n + i, kept);
    }
    return {scale, zero};
}

// The distribution function is 1/2 plus x times an even function: a polynomial of 2x²/25 - 1, fitted at Chebyshev nodes
// for |x| <= 5, where it is within 3e-6; beyond, the function is 0 or 1 within 3e-7.
Lanes gelu(Lanes x) {
    constexpr float terms[] = {0.14136381f,  -0.07029591f, 0.05151793f, -0.04045128f,  0.03147676f,
                               -0.02321313f, 0.01623609f,  -0.01130712f, 0.006766527f, -0.0025269168f,
                               0.0013745961f, -0.0016767309f, 0.00073537638f};
    const Lanes near = least(most(x, all(-5.0f)), all(5.0f));
    const Lanes u = fma(mul(near, near), all(2.0f / 25.0f), all(-1.0f));
    Lanes even = all(terms[12]);
    for (int i = 11; i >= 0; --i) {
        even = fma(even, u, all(terms[i]));
    }
    return mul(x, fma(near, even, all(0.5f)));
}

void finish(const Finish& of) {
    for (std::size_t row = 0; row < of.rows; ++row) {
        const std::int32_t* high = of.products + row * 2 * panel_columns;
        const Coded coded = of.codes[row];
        float* out = of.out + row * of.stride;
        for (std::size_t i = 0; i < of.columns; i += width) {
            // Whole numbers first, so that taking zero off costs no precision.
            const Lanes coarse = floats(sub(load(high + i), mul(all(coded.zero), load(of.sums + i))));
            const Lanes sum = fma(coarse, all(256.0f), floats(load(high + panel_columns + i)));
            const Lanes value = fma(sum, mul(load(of.scales + i), all(coded.scale)), load(of.bias + i));
            store(out + i, of.then == Then::gelu ? gelu(value) : value);
        }
    }
}

// e to the x, for x from -87 to 0: a power of two times a polynomial for the rest, within 3e-7 of it.
Lanes exponential(Lanes x) {
    const Lanes bounded = most(x, all(-87.0f));
    const Lanes power = rounded(mul(bounded, all(1.44269504f)));
    const Lanes rest = fma(power, all(-1.42860677e-6f), fma(power, all(-0.693145752f), bounded));
    Lanes sum = all(0.0013948581f);
    for (const float term : {0.0083751287f, 0.041666217f, 0.16666415f, 0.5f, 1.0f, 1.0f}) {
        sum = fma(sum, rest, all(term));
    }
    return times_power(sum, power);
}

// keys[i, token] of one head; what lies beyond the tokens is 0.
void turn_keys(const Attention& of, std::size_t head, std::size_t padded, float* keys) {
    const std::size_t model = of.heads * of.dim;
    const float* from = of.qkv + model + head * of.dim;
    for (std::size_t i = 0; i < of.dim; ++i) {
        for (std::size_t token = 0; token < of.tokens; ++token) {
            keys[i * padded + token] = from[token * 3 * model + i];
        }
        for (std::size_t token = of.tokens; token < padded; ++token) {
            keys[i * padded + token] = 0.0f;
        }
    }
}

// Products with the keys become shares of the sum that is given back.
float softmax(float* row, std::size_t padded) {
    Lanes high = load(row);
    for (std::size_t i = width; i < padded; i += width) {
        high = most(load(row + i), high);
    }
    const Lanes top = all(most_of(high));
    Lanes total = all(0.0f);
    for (std::size_t i = 0; i < padded; i += width) {
        const Lanes x = exponential(sub(load(row + i), top));
        store(row + i, x);
        total = add(total, x);
    }
    return sum_of(total);
}

// Rows of one head together, so that what is loaded serves all of them.
template <std::size_t Rows>
void attend_rows(const Attention& of, std::size_t head, std::size_t first, std::size_t padded, const float* keys,
                 const float* beyond, float* shares) {
    const std::size_t model = of.heads * of.dim;
    const float* questions = of.qkv + first * 3 * model + head * of.dim;
    for (std::size_t token = 0; token < padded; token += width) {
        Lanes sums[Rows];
        EDGEPERSO_UNROLLED
        for (std::size_t row = 0; row < Rows; ++row) {
            sums[row] = all(0.0f);
        }
        for (std::size_t i = 0; i < of.dim; ++i) {
            const Lanes key = load(keys + i * padded + token);
            EDGEPERSO_UNROLLED
            for (std::size_t row = 0; row < Rows; ++row) {
                sums[row] = fma(all(questions[row * 3 * model + i]), key, sums[row]);
            }
        }
        EDGEPERSO_UNROLLED
        for (std::size_t row = 0; row < Rows; ++row) {
            store(shares + row * padded + token, fma(sums[row], all(of.scale), load(beyond + token)));
        }
    }
    float whole[Rows];
    for (std::size_t row = 0; row < Rows; ++row) {
        whole[row] = 1.0f / softmax(shares + row * padded, padded);
    }
    const float* values = of.qkv + 2 * model + head * of.dim;
    for (std::size_t i = 0; i < of.dim; i += width) {
        Lanes sums[Rows];
        EDGEPERSO_UNROLLED
        for (std::size_t row = 0; row < Rows; ++row) {
            sums[row] = all(0.0f);
        }
        for (std::size_t token = 0; token < of.tokens; ++token) {
            const Lanes value = load(values + token * 3 * model + i);
            EDGEPERSO_UNROLLED
            for (std::size_t row = 0; row < Rows; ++row) {
                sums[row] = fma(all(shares[row * padded + token]), value, sums[row]);
            }
        }
        EDGEPERSO_UNROLLED
        for (std::size_t row = 0; row < Rows; ++row) {
            store(of.out + (first + row) * model + head * of.dim + i, mul(sums[row], all(whole[row])));
        }
    }
}

void attend(const Attention& of) {
    const std::size_t padded = (of.tokens + stage_columns - 1) / stage_columns * stage_columns;
    float* keys = of.scratch;
    float* beyond = keys + of.dim * padded;  // takes what lies beyond the tokens out of the softmax
    float* shares = beyond + padded;
    for (std::size_t token = 0; token < padded; ++token) {
        beyond[token] = token < of.tokens ? 0.0f : -1e30f;
    }
    for (std::size_t head = 0; head < of.heads; ++head) {
        turn_keys(of, head, padded, keys);
        std::size_t row = 0;
        for (; row + attention_rows <= of.tokens; row += attention_rows) {
            attend_rows<attention_rows>(of, head, row, padded, keys, beyond, shares);
        }
        for (; row + 3 <= of.tokens; row += 3) {
            attend_rows<3>(of, head, row, padded, keys, beyond, shares);
        }
        for (; row < of.tokens; ++row) {
            attend_rows<1>(of, head, row, padded, keys, beyond, shares);
        }
    }
}

void pool(const float* rows, std::size_t count, std::size_t n, float* out) {
    Lanes squares = all(0.0f);
    const Lanes share = all(1.0f / static_cast<float>(count));
    for (std::size_t i = 0; i < n; i += width) {
        Lanes sum = all(0.0f);
        for (std::size_t row = 0; row < count; ++row) {
            sum = add(sum, load(rows + row * n + i));
        }
        const Lanes mean = mul(sum, share);
        store(out + i, mean);
        squares = fma(mean, mean, squares);
    }
    const Lanes gain = all(1.0f / fmaxf(sqrtf(sum_of(squares)), 1e-12f));
    for (std::size_t i = 0; i < n; i += width) {
        store(out + i, mul(load(out + i), gain));
    }
}

constexpr Stages stages_here = {embed, norm, code, finish, attend, pool};

}  // namespace
}  // namespace edgeperso
