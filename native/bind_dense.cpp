#include "bind_dense.hpp"

namespace edgeperso {
namespace {

using Halves = nb::ndarray<nb::ro, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

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
    nb::class_<CodeRows>(module, "CodeRows")
        .def(nb::init<Table<std::uint8_t>, Table<std::int8_t>, Line<float>, Line<bool>>(), nb::arg("bits").noconvert(),
             nb::arg("codes").noconvert(), nb::arg("scales").noconvert(), nb::arg("present").noconvert());
    nb::class_<CodeIndex>(module, "CodeIndex")
        .def(nb::init<nb::list, const std::optional<std::string>&>(), nb::arg("blocks"),
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
