// The one extension module, edgeperso._native. Bindings check every size, then release the GIL.
#include <algorithm>

#include "bind.hpp"

namespace edgeperso {

const Kernels& chosen(const std::optional<std::string>& name) {
    const auto& all = kernels();
    const auto found =
        name ? std::find_if(all.begin(), all.end(), [&](const Kernels& one) { return one.name == *name; }) : all.begin();
    if (found == all.end()) {
        throw nb::value_error("no such implementation on this CPU");
    }
    return *found;
}

nb::tuple pair_of(const std::vector<Scored>& found) {
    auto rows = std::make_unique<std::int64_t[]>(found.size());
    auto scores = std::make_unique<float[]>(found.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
        rows[i] = found[i].row;
        scores[i] = found[i].score;
    }
    return nb::make_tuple(owned(std::move(rows), found.size()), owned(std::move(scores), found.size()));
}

const std::uint8_t* bytes_of(const Mask& mask, std::size_t rows) {
    if (!mask) {
        return nullptr;
    }
    if (mask->shape(0) != rows) {
        throw nb::value_error("the mask isn't of as many rows as there are");
    }
    return reinterpret_cast<const std::uint8_t*>(mask->data());
}

void check_rows(const Line<std::int64_t>& rows, std::size_t total) {
    for (std::size_t i = 0; i < rows.shape(0); ++i) {
        if (rows(i) < 0 || static_cast<std::size_t>(rows(i)) >= total) {
            throw nb::index_error("no such row");
        }
    }
}

namespace {

Result<std::uint32_t> hamming(const Table<std::uint8_t>& codes, const Line<std::uint8_t>& query,
                              const std::optional<std::string>& implementation) {
    const std::size_t n = codes.shape(0);
    const std::size_t width = codes.shape(1);
    if (query.shape(0) != width) {
        throw nb::value_error("codes and query differ in width");
    }
    const Kernels& run = chosen(implementation);
    auto out = std::make_unique<std::uint32_t[]>(n);
    {
        nb::gil_scoped_release release;
        run.distances(codes.data(), query.data(), n, width, out.get());
    }
    return owned(std::move(out), n);
}

void shift(const nb::ndarray<std::int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>& rows, std::int32_t start,
           std::int32_t by) {
    std::int32_t* row = rows.data();
    const std::size_t n = rows.shape(0);
    nb::gil_scoped_release release;
    for (std::size_t i = 0; i < n; ++i) {
        row[i] += row[i] >= start ? by : 0;
    }
}

std::vector<std::string> names() {
    std::vector<std::string> out;
    for (const Kernels& one : kernels()) {
        out.emplace_back(one.name);
    }
    return out;
}

}  // namespace
}  // namespace edgeperso

NB_MODULE(_native, module) {
    nb::set_leak_warnings(false);  // a process may end while a thread of the index still holds one
    using namespace edgeperso;
    module.doc() = "Kernels in C++: of search, each equal to its numpy counterpart, and of the encoder.";
    module.attr("INTERFACE") = 2;  // see edgeperso/kernels.py
    module.def("hamming", &hamming, nb::arg("codes").noconvert(), nb::arg("query").noconvert(),
               nb::arg("implementation") = nb::none(),
               "uint32[n]: how many bits of each row of uint8[n, width] differ from uint8[width].");
    module.def("shift", &shift, nb::arg("rows").noconvert(), nb::arg("start"), nb::arg("by"));
    module.def("implementations", &names, "The kernels that this CPU can run, fastest first.");
    bind_dense(module);
    bind_lexical(module);
    bind_gather(module);
    bind_encoder(module);
    bind_secret(module);
}
