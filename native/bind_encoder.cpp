#include "bind.hpp"

#include <algorithm>
#include <limits>
#include <tuple>
#include <utility>

#include <nanobind/stl/tuple.h>

#include "encoder.hpp"

namespace edgeperso {
namespace {

using Codes = Table<std::int8_t>;
using Floats = Line<float>;
using Given = std::tuple<Codes, Floats, Floats>;  // weights, scales, bias
using Pair = std::tuple<Floats, Floats>;
using Scaled = std::tuple<Codes, Floats>;  // a table and its rows' scales
using GivenLayer = std::tuple<Given, Given, Pair, Given, Given, Pair>;

void require(bool holds, const char* otherwise) {
    if (!holds) {
        throw nb::value_error(otherwise);
    }
}

std::vector<float> copied(const Floats& from, std::size_t n) {
    require(from.shape(0) == n, "an array of the encoder has another length than the rest");
    return {from.data(), from.data() + n};
}

Norm norm_of(const Pair& given, std::size_t n) {
    return {copied(std::get<0>(given), n), copied(std::get<1>(given), n)};
}

// Depth and columns as they must be; 0 columns for any.
Linear linear_of(const Given& given, std::size_t depth, std::size_t columns) {
    const auto& [weights, scales, bias] = given;
    const std::size_t found = weights.shape(1);
    require(weights.shape(0) == depth && (columns == 0 || found == columns) && scales.shape(0) == found &&
                bias.shape(0) == found,
            "a matrix of the encoder has another shape than the rest");
    require(depth % lane_columns == 0 && found % lane_columns == 0 && found != 0 && depth <= most_depth,
            "a matrix of the encoder isn't of 16s");
    return Linear(weights.data(), scales.data(), bias.data(), depth, found);
}

Layer layer_of(const GivenLayer& given, std::size_t model) {
    const auto& [qkv, attended, after_attention, up, down, after_all] = given;
    Linear rising = linear_of(up, model, 0);
    const std::size_t inner = rising.columns();
    return {linear_of(qkv, model, 3 * model), linear_of(attended, model, model), norm_of(after_attention, model),
            std::move(rising), linear_of(down, inner, model), norm_of(after_all, model)};
}

const Way& chosen_way(const std::optional<std::string>& name) {
    const auto& all = ways();
    const auto found =
        name ? std::find_if(all.begin(), all.end(), [&](const Way& one) { return one.name == *name; }) : all.begin();
    if (found == all.end()) {
        throw nb::value_error("no such implementation on this CPU");
    }
    return *found;
}

template <typename T>
nb::ndarray<nb::numpy, T, nb::ndim<2>> owned_table(std::unique_ptr<T[]> data, std::size_t rows, std::size_t columns) {
    T* bare = data.release();
    nb::capsule owner(bare, [](void* p) noexcept { delete[] static_cast<T*>(p); });
    return {bare, {rows, columns}, owner};
}

class BoundEncoder {
   public:
    BoundEncoder(const Scaled& words, const Scaled& positions, Floats type, const Pair& first, const std::vector<GivenLayer>& layers, std::size_t heads, float attention_scale,
                 float epsilon, const std::optional<std::string>& implementation)
        : words_(std::get<0>(words)),
          word_scales_(std::get<1>(words)),
          positions_(std::get<0>(positions)),
          position_scales_(std::get<1>(positions)),
          type_(std::move(type)),
          way_(chosen_way(implementation)),
          encoder_(made(first, layers, heads, attention_scale, epsilon)) {}

    BoundEncoder(const BoundEncoder&) = delete;  // its tables' addresses are those of its own arrays

    nb::ndarray<nb::numpy, float, nb::ndim<2>> encode(const Line<std::int32_t>& ids, const Line<std::int64_t>& starts,
                                                      std::size_t threads) const {
        check(ids, starts);
        require(threads >= 1, "one thread at least");
        const std::size_t count = starts.shape(0) - 1;
        const std::size_t model = words_.shape(1);
        auto out = std::make_unique<float[]>(count * model);
        {
            nb::gil_scoped_release release;
            encoder_.encode(way_, ids.data(), starts.data(), count, threads, out.get());
        }
        return owned_table(std::move(out), count, model);
    }

    std::size_t dim() const { return words_.shape(1); }

   private:
    Encoder made(const Pair& first, const std::vector<GivenLayer>& layers, std::size_t heads, float attention_scale,
                 float epsilon) const {
        const std::size_t model = words_.shape(1);
        require(model != 0 && heads != 0 && model % (heads * stage_columns) == 0, "a head isn't of 16s");
        require(words_.shape(0) == word_scales_.shape(0) && positions_.shape(0) == position_scales_.shape(0) &&
                    positions_.shape(1) == model && type_.shape(0) == model,
                "the tables of the encoder differ in size");
        std::vector<Layer> all;
        for (const GivenLayer& one : layers) {
            all.push_back(layer_of(one, model));
        }
        const Embeddings tables = {words_.data(), word_scales_.data(), positions_.data(), position_scales_.data(),
                                   type_.data()};
        return Encoder(tables, norm_of(first, model), std::move(all), model, heads, attention_scale, epsilon);
    }

    void check(const Line<std::int32_t>& ids, const Line<std::int64_t>& starts) const {
        require(starts.shape(0) >= 1 && starts(0) == 0, "sequences don't start at 0");
        require(starts(starts.shape(0) - 1) == static_cast<std::int64_t>(ids.shape(0)), "sequences don't end with ids");
        const auto longest = static_cast<std::int64_t>(positions_.shape(0));
        for (std::size_t i = 1; i < starts.shape(0); ++i) {
            // Each start lies between its neighbours, so that none lies outside.
            require(starts(i) >= starts(i - 1) && starts(i) - starts(i - 1) <= longest,
                    "a sequence is longer than the encoder's positions, or ends before it starts");
        }
        for (std::size_t i = 0; i < ids.shape(0); ++i) {
            if (ids(i) < 0 || static_cast<std::size_t>(ids(i)) >= words_.shape(0)) {
                throw nb::index_error("no such token");
            }
        }
    }

    Codes words_;  // they keep the arrays alive
    Floats word_scales_;
    Codes positions_;
    Floats position_scales_;
    Floats type_;
    const Way& way_;
    Encoder encoder_;
};

nb::ndarray<nb::numpy, std::int32_t, nb::ndim<2>> product_of(const Table<std::uint8_t>& codes, const Codes& weights,
                                                             const std::optional<std::string>& implementation) {
    const std::size_t rows = codes.shape(0);
    const std::size_t depth = codes.shape(1);
    const std::size_t columns = weights.shape(1);
    require(weights.shape(0) == depth && depth % depth_step == 0 && depth <= most_depth && columns % lane_columns == 0,
            "codes and weights don't fit each other");
    const Product& product = *chosen_way(implementation).product;
    auto out = std::make_unique<std::int32_t[]>(rows * columns);
    {
        nb::gil_scoped_release release;
        multiply(product, codes.data(), rows, packed(weights.data(), depth, columns), depth, columns, out.get());
    }
    return owned_table(std::move(out), rows, columns);
}

std::vector<std::string> way_names() {
    std::vector<std::string> out;
    for (const Way& one : ways()) {
        out.emplace_back(one.name);
    }
    return out;
}

}  // namespace

void bind_encoder(nb::module_& module) {
    nb::class_<BoundEncoder>(module, "Encoder")
        .def(nb::init<const Scaled&, const Scaled&, Floats, const Pair&, const std::vector<GivenLayer>&, std::size_t, float,
                      float, const std::optional<std::string>&>(),
             nb::arg("words").noconvert(), nb::arg("positions").noconvert(), nb::arg("type").noconvert(),
             nb::arg("first").noconvert(), nb::arg("layers").noconvert(), nb::arg("heads"), nb::arg("attention_scale"),
             nb::arg("epsilon"), nb::arg("implementation") = nb::none())
        .def_prop_ro("dim", &BoundEncoder::dim)
        .def("encode", &BoundEncoder::encode, nb::arg("ids").noconvert(), nb::arg("starts").noconvert(),
             nb::arg("threads"));
    module.def("multiply", &product_of, nb::arg("codes").noconvert(), nb::arg("weights").noconvert(),
               nb::arg("implementation") = nb::none(),
               "int32[n, columns]: the product of uint8[n, depth] and int8[depth, columns].");
    module.def("encoders", &way_names, "The encoder's implementations that this CPU can run, fastest first.");
}

}  // namespace edgeperso
