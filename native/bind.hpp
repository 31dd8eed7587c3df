// What the bindings share.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dense.hpp"
#include "kernels.hpp"

namespace nb = nanobind;

namespace edgeperso {

template <typename T>
using Line = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <typename T>
using Table = nb::ndarray<const T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
template <typename T>
using Result = nb::ndarray<nb::numpy, T, nb::ndim<1>>;
using Mask = std::optional<Line<bool>>;

// The set of that name, the fastest by default.
const Kernels& chosen(const std::optional<std::string>& name);

// A numpy array that owns `data`, of `n` elements.
template <typename T>
Result<T> owned(std::unique_ptr<T[]> data, std::size_t n) {
    T* bare = data.release();
    nb::capsule owner(bare, [](void* p) noexcept { delete[] static_cast<T*>(p); });
    return Result<T>(bare, {n}, owner);
}

// Rows and scores as int64[m], float32[m].
nb::tuple pair_of(const std::vector<Scored>& found);

// Null for no mask. Throws where it isn't of `rows`.
const std::uint8_t* bytes_of(const Mask& mask, std::size_t rows);

// Throws where one of them is negative, or `total` or more.
void check_rows(const Line<std::int64_t>& rows, std::size_t total);

void bind_dense(nb::module_& module);
void bind_lexical(nb::module_& module);
void bind_encoder(nb::module_& module);
void bind_gather(nb::module_& module);
void bind_secret(nb::module_& module);

}  // namespace edgeperso
