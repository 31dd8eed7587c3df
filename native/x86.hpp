// What the sets for x86 share. Each function is compiled for its own instructions; the rest of the module runs anywhere.
#pragma once

#include <cstddef>
#include <cstdint>

namespace edgeperso {

// The processor's own prefetching stops at each page's end; a scan asks for what lies so many bytes further on.
constexpr std::size_t early = 1024;
constexpr std::size_t ahead = 12;  // rows that lie anywhere in memory are asked for so many rows early

inline void fetch(const void* at, std::size_t bytes) {
    const auto* row = static_cast<const std::uint8_t*>(at);
    for (std::size_t i = 0; i < bytes; i += 64) {
        __builtin_prefetch(row + i);
    }
}

// What a scan comes to in a while, into the second-level cache: the first is full of what it has to do with now.
inline void fetch_early(const std::uint8_t* at, std::size_t bytes) {
    for (std::size_t i = 0; i < bytes; i += 64) {
        __builtin_prefetch(at + i, 0, 2);
    }
}

}  // namespace edgeperso
