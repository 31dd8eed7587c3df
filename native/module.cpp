// The one extension module, edgeperso._native. Bindings check every size, then release the GIL.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "hamming.hpp"

namespace nb = nanobind;
using namespace edgeperso;

namespace {

using Codes = nb::ndarray<const std::uint8_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Code = nb::ndarray<const std::uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Distances = nb::ndarray<nb::numpy, std::uint32_t, nb::ndim<1>>;

hamming::Scan choose(const std::optional<std::string>& name) {
    const auto& all = hamming::implementations();
    if (!name) {
        return all.front().scan;
    }
    for (const auto& one : all) {
        if (one.name == *name) {
            return one.scan;
        }
    }
    throw nb::value_error("no such implementation on this CPU");
}

Distances scan(const Codes& codes, const Code& query, const std::optional<std::string>& implementation) {
    const std::size_t n = codes.shape(0);
    const std::size_t width = codes.shape(1);
    if (query.shape(0) != width) {
        throw nb::value_error("codes and query differ in width");
    }
    const hamming::Scan run = choose(implementation);
    auto out = std::make_unique<std::uint32_t[]>(n);
    {
        nb::gil_scoped_release release;
        run(codes.data(), query.data(), n, width, out.get());
    }
    std::uint32_t* data = out.release();
    nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<std::uint32_t*>(p); });
    return Distances(data, {n}, owner);
}

std::vector<std::string> names() {
    std::vector<std::string> out;
    for (const auto& one : hamming::implementations()) {
        out.emplace_back(one.name);
    }
    return out;
}

}  // namespace

NB_MODULE(_native, module) {
    module.doc() = "Search kernels in C++, each equal to its numpy counterpart.";
    module.def("hamming", &scan, nb::arg("codes").noconvert(), nb::arg("query").noconvert(),
               nb::arg("implementation") = nb::none(),
               "uint32[n]: how many bits of each row of uint8[n, width] differ from uint8[width].");
    module.def("implementations", &names, "The kernels that this CPU can run, fastest first.");
}
