// The classes of search by codes, as Python has them.
#pragma once

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "bind.hpp"
#include "dense.hpp"

namespace edgeperso {

constexpr std::size_t most_dim = 65536;  // sums of products of bytes fit 32 bits up to here

// One segment's codes, held as they are and checked once.
class CodeRows {
   public:
    CodeRows(Table<std::uint8_t> bits, Table<std::int8_t> codes, Line<float> scales, Line<bool> present)
        : bits_(std::move(bits)), codes_(std::move(codes)), scales_(std::move(scales)), present_(std::move(present)) {
        const std::size_t n = present_.shape(0);
        const auto* there = reinterpret_cast<const std::uint8_t*>(present_.data());
        const bool all = n == 0 || std::memchr(there, 0, n) == nullptr;
        if (dim() == 0) {
            if (std::any_of(there, there + n, [](std::uint8_t one) { return one != 0; })) {
                throw nb::value_error("rows are said to have vectors and have none");
            }
            plain_ = {nullptr, nullptr, nullptr, there, n};
            return;
        }
        if (bits_.shape(0) != n || codes_.shape(0) != n || scales_.shape(0) != n || bits_.shape(1) != (dim() + 7) / 8) {
            throw nb::value_error("the arrays of a block differ in size");
        }
        // Mostly all rows have a vector: then nothing needs to be looked up for each of them.
        plain_ = {bits_.data(), codes_.data(), scales_.data(), all ? nullptr : there, n};
    }

    const CodeBlock& plain() const { return plain_; }
    std::size_t dim() const { return codes_.shape(1); }

   private:
    Table<std::uint8_t> bits_;
    Table<std::int8_t> codes_;
    Line<float> scales_;
    Line<bool> present_;
    CodeBlock plain_;
};

class CodeIndex {
   public:
    CodeIndex(nb::list blocks, const std::optional<std::string>& implementation)
        : objects_(std::move(blocks)), run_(chosen(implementation)), index_(made(objects_)) {}

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

    const DenseIndex& index() const { return index_; }
    const Kernels& kernels() const { return run_; }

    // A query's codes are as large at most as a row's, -127 to 127: the products' sums are sized for that.
    void check(const Line<std::int8_t>& codes) const {
        if (codes.shape(0) != index_.dim()) {
            throw nb::value_error("query and rows differ in dimensions");
        }
    }

   private:
    static DenseIndex made(const nb::list& blocks) {
        std::vector<CodeBlock> plain;
        std::size_t dim = 0;
        std::size_t rows = 0;
        for (nb::handle one : blocks) {
            const auto& block = nb::cast<const CodeRows&>(one);
            if (block.dim() != 0 && dim != 0 && block.dim() != dim) {
                throw nb::value_error("the blocks differ in dimensions");
            }
            dim = std::max(dim, block.dim());
            plain.push_back(block.plain());
            rows += plain.back().n;
        }
        if (dim > most_dim || rows >= std::numeric_limits<std::uint32_t>::max()) {
            throw nb::value_error("too many rows or dimensions");
        }
        return DenseIndex(std::move(plain), dim, (dim + 7) / 8);
    }

    nb::list objects_;  // keeps the blocks alive
    const Kernels& run_;
    DenseIndex index_;
};

}  // namespace edgeperso
