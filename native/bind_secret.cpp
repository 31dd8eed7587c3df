#include "bind.hpp"
#include "secret.hpp"

namespace edgeperso {

void bind_secret(nb::module_& module) {
    nb::class_<SecretPages>(module, "SecretPages")
        .def(nb::init<std::size_t, bool>(), nb::arg("size"), nb::arg("key"))
        .def("array",
             [](nb::handle_t<SecretPages> self) {
                 const SecretPages& pages = nb::cast<const SecretPages&>(self);
                 return Result<std::uint8_t>(pages.data(), {pages.size()}, self);
             })
        .def_prop_ro("undumped", &SecretPages::undumped)
        .def_prop_ro("locked", &SecretPages::locked)
        .def_prop_ro("unforked", &SecretPages::unforked);
}

}  // namespace edgeperso
