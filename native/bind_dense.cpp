#include "bind.hpp"

#include <algorithm>
#include <limits>
#include <tuple>
#include <utility>

#include <nanobind/stl/tuple.h>

namespace edgeperso {
namespace {

constexpr std::size_t most_dim = 65536;  // sums of products of bytes fit 32 bits up to here

using Block = std::tuple<Table<std::uint8_t>, Table<std::int8_t>, Line<float>, Line<bool>>;
using Halves = nb::ndarray<nb::ro, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

CodeBlock checked(const Block& block, std::size_t dim) {
    const auto& [bits, codes, scales, present] = block;
    const std::size_t n = present.shape(0);
    const auto* there = reinterpret_cast<const std::uint8_t*>(present.data());
    if (codes.shape(1) == 0 && dim != 0) {
        if (std::any_of(there, there + n, [](std::uint8_t one) { return one != 0; })) {
            throw nb::value_error("rows are said to have vectors and have none");
        }
        return {nullptr, nullptr, nullptr, there, n};
    }
    if (bits.shape(0) != n || codes.shape(0) != n || scales.shape(0) != n || codes.shape(1) != dim ||
        bits.shape(1) != (dim + 7) / 8) {
        throw nb::value_error("the arrays of a block differ in size");
    }
    return {bits.data(), codes.data(), scales.data(), there, n};
}

class CodeIndex {
   public:
    CodeIndex(std::vector<Block> blocks, const std::optional<std::string>& implementation)
        : blocks_(std::move(blocks)), run_(chosen(implementation)), index_(made(blocks_)) {}

    nb::tuple nearest(const Line<std::uint8_t>& bits, const Line<std::int8_t>& codes, std::size_t candidates,
                      std::size_t keep, const Mask& mask) const {
        check(codes);
        if (bits.shape(0) != index_.width()) {
            throw nb::value_error("bits and rows differ in width");
        }
        if (candidates == 0 || keep == 0) {
            throw nb::value_error("nothing is asked for");
        }
        const std::uint8_t* allowed = bytes_of(mask, index_.rows());
        std::vector<Scored> found;
        {
            nb::gil_scoped_release release;
            found = index_.nearest(run_, bits.data(), codes.data(), candidates, keep, allowed);
        }
        return pair_of(found);
    }

    Result<float> estimates(const Line<std::int8_t>& codes, const Line<std::int64_t>& rows) const {
        check(codes);
        check_rows(rows, index_.rows());
        const std::size_t n = rows.shape(0);
        auto out = std::make_unique<float[]>(n);
        {
            nb::gil_scoped_release release;
            index_.estimates(run_, codes.data(), rows.data(), n, out.get());
        }
        return owned(std::move(out), n);
    }

    nb::tuple moments(const Line<std::int8_t>& codes, std::size_t step) const {
        check(codes);
        if (step == 0) {
            throw nb::value_error("the step must be 1 or more");
        }
        Moments found;
        {
            nb::gil_scoped_release release;
            found = index_.moments(run_, codes.data(), step);
        }
        return nb::make_tuple(found.mean, found.deviation);
    }

   private:
    static DenseIndex made(const std::vector<Block>& blocks) {
        std::size_t dim = 0;
        std::size_t rows = 0;
        for (const Block& block : blocks) {
            dim = std::max(dim, std::get<1>(block).shape(1));
            rows += std::get<3>(block).shape(0);
        }
        if (dim > most_dim || rows >= std::numeric_limits<std::uint32_t>::max()) {
            throw nb::value_error("too many rows or dimensions");
        }
        std::vector<CodeBlock> plain;
        for (const Block& block : blocks) {
            plain.push_back(checked(block, dim));
        }
        return DenseIndex(std::move(plain), dim, (dim + 7) / 8);
    }

    // A query's codes are as large at most as a row's, -127 to 127: the products' sums are sized for that.
    void check(const Line<std::int8_t>& codes) const {
        if (codes.shape(0) != index_.dim()) {
            throw nb::value_error("query and rows differ in dimensions");
        }
    }

    std::vector<Block> blocks_;  // keeps the arrays alive
    const Kernels& run_;
    DenseIndex index_;
};

Result<float> half_dots(const Halves& vectors, const Line<float>& query,
                        const std::optional<std::string>& implementation) {
    if (vectors.dtype() != nb::dlpack::dtype{static_cast<std::uint8_t>(nb::dlpack::dtype_code::Float), 16, 1}) {
        throw nb::type_error("vectors must be float16");
    }
    if (query.shape(0) != vectors.shape(1)) {
        throw nb::value_error("vectors and query differ in dimensions");
    }
    const std::size_t n = vectors.shape(0);
    const Kernels& run = chosen(implementation);
    auto out = std::make_unique<float[]>(n);
    {
        nb::gil_scoped_release release;
        run.half_dots(static_cast<const std::uint16_t*>(vectors.data()), n, vectors.shape(1), query.data(), out.get());
    }
    return owned(std::move(out), n);
}

}  // namespace

void bind_dense(nb::module_& module) {
    nb::class_<CodeIndex>(module, "CodeIndex")
        .def(nb::init<std::vector<Block>, const std::optional<std::string>&>(), nb::arg("blocks").noconvert(),
             nb::arg("implementation") = nb::none())
        .def("nearest", &CodeIndex::nearest, nb::arg("bits").noconvert(), nb::arg("codes").noconvert(),
             nb::arg("candidates"), nb::arg("keep"), nb::arg("mask").noconvert() = nb::none())
        .def("estimates", &CodeIndex::estimates, nb::arg("codes").noconvert(), nb::arg("rows").noconvert())
        .def("moments", &CodeIndex::moments, nb::arg("codes").noconvert(), nb::arg("step"));
    module.def("half_dots", &half_dots, nb::arg("vectors").noconvert(), nb::arg("query").noconvert(),
               nb::arg("implementation") = nb::none(),
               "float32[n]: the products of float16[n, dim] and float32[dim].");
}

}  // namespace edgeperso
