#include "bind_lexical.hpp"

namespace edgeperso {

void bind_lexical(nb::module_& module) {
    nb::class_<SegmentPostings>(module, "SegmentPostings")
        .def(nb::init<Line<std::uint64_t>, Line<std::int32_t>, Line<std::uint16_t>, Line<std::uint16_t>,
                      Line<std::int32_t>>(),
             nb::arg("hashes").noconvert(), nb::arg("starts").noconvert(), nb::arg("rows").noconvert(),
             nb::arg("counts").noconvert(), nb::arg("lengths").noconvert());
    nb::class_<Bm25Index>(module, "Bm25Index")
        .def(nb::init<nb::list, double, double, double, const std::optional<std::string>&>(), nb::arg("segments"),
             nb::arg("k1"), nb::arg("b"), nb::arg("average"), nb::arg("implementation") = nb::none())
        .def("idf", &Bm25Index::idf, nb::arg("term"))
        .def("scores", &Bm25Index::scores, nb::arg("hashes").noconvert(), nb::arg("weights").noconvert())
        .def("top", &Bm25Index::top, nb::arg("hashes").noconvert(), nb::arg("weights").noconvert(), nb::arg("k"),
             nb::arg("mask").noconvert() = nb::none())
        .def("at", &Bm25Index::at, nb::arg("hashes").noconvert(), nb::arg("weights").noconvert(),
             nb::arg("rows").noconvert());
}

}  // namespace edgeperso
