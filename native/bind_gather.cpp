#include "bind_dense.hpp"
#include "bind_lexical.hpp"
#include "gather.hpp"

#include <nanobind/stl/tuple.h>

#include <tuple>

namespace edgeperso {
namespace {

using Found = std::tuple<Line<std::int64_t>, Line<float>, double, double>;

FoundBy checked(const Found& found, std::size_t total) {
    const auto& [rows, scores, mean, deviation] = found;
    check_rows(rows, total);
    if (scores.shape(0) != rows.shape(0)) {
        throw nb::value_error("each row needs a score");
    }
    return {{rows.data(), rows.shape(0)}, {scores.data(), scores.shape(0)}, static_cast<float>(mean),
            static_cast<float>(deviation)};
}

template <typename T>
Result<T> array_of(const std::vector<T>& from) {
    auto out = std::make_unique<T[]>(from.size());
    std::copy(from.begin(), from.end(), out.get());
    return owned(std::move(out), from.size());
}

nb::tuple gather(const CodeIndex& dense, const Bm25Index& lexical, const Line<std::int8_t>& codes, float scale,
                 const Line<std::uint64_t>& hashes, const Line<double>& weights, const Line<std::int32_t>& previous,
                 const Line<std::int32_t>& next, const Found& by_vector, const Found& by_words, std::size_t leading,
                 std::size_t steps) {
    dense.check(codes);
    const std::size_t rows = dense.index().rows();
    if (lexical.index().rows() != rows || previous.shape(0) != rows || next.shape(0) != rows) {
        throw nb::value_error("vectors, words and links aren't of as many rows");
    }
    const FoundBy vector_found = checked(by_vector, rows);
    const FoundBy words_found = checked(by_words, rows);
    const std::vector<Term> terms = Bm25Index::terms_of(hashes, weights);
    Gathered found;
    {
        nb::gil_scoped_release release;
        const Gatherer gatherer(dense.index(), dense.kernels(), {codes.data(), codes.shape(0)}, scale, lexical.index(),
                                terms, {{previous.data(), rows}, {next.data(), rows}});
        found = gatherer.gather(vector_found, words_found, leading, steps);
    }
    return nb::make_tuple(array_of(found.rows), array_of(found.cosines), array_of(found.words), array_of(found.previous),
                          array_of(found.next));
}

}  // namespace

void bind_gather(nb::module_& module) {
    module.def("gather", &gather, nb::arg("dense"), nb::arg("lexical"), nb::arg("codes").noconvert(), nb::arg("scale"),
               nb::arg("hashes").noconvert(), nb::arg("weights").noconvert(), nb::arg("previous").noconvert(),
               nb::arg("following").noconvert(), nb::arg("by_vector").noconvert(), nb::arg("by_words").noconvert(),
               nb::arg("leading"), nb::arg("steps"));
}

}  // namespace edgeperso
