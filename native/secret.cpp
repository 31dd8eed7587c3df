#include "secret.hpp"

#include <cstdint>
#include <cstring>
#include <limits>
#include <new>

#ifdef _WIN32
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <windows.h>
#else
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace edgeperso {
namespace {

#ifdef _WIN32

std::size_t page_size() {
    SYSTEM_INFO info;
    GetSystemInfo(&info);
    return info.dwPageSize;
}

// `bytes` that nobody can touch yet; null where there are none.
std::byte* reserved(std::size_t bytes) {
    return static_cast<std::byte*>(VirtualAlloc(nullptr, bytes, MEM_RESERVE, PAGE_NOACCESS));
}

bool opened(std::byte* data, std::size_t bytes) {
    return VirtualAlloc(data, bytes, MEM_COMMIT, PAGE_READWRITE) != nullptr;
}

bool lock(std::byte* data, std::size_t bytes) { return VirtualLock(data, bytes) != 0; }

void give_back(std::byte* data, std::size_t) { VirtualFree(data, 0, MEM_RELEASE); }

#else

std::size_t page_size() { return static_cast<std::size_t>(sysconf(_SC_PAGESIZE)); }

// `bytes` that nobody can touch yet; null where there are none.
std::byte* reserved(std::size_t bytes) {
    void* found = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANON, -1, 0);
    return found == MAP_FAILED ? nullptr : static_cast<std::byte*>(found);
}

bool opened(std::byte* data, std::size_t bytes) { return mprotect(data, bytes, PROT_READ | PROT_WRITE) == 0; }

bool lock(std::byte* data, std::size_t bytes) { return mlock(data, bytes) == 0; }

void give_back(std::byte* data, std::size_t bytes) { munmap(data, bytes); }

#endif

#ifdef __linux__
constexpr std::size_t huge = std::size_t{1} << 22;  // from here on numpy asks for large pages, and so do we

// From here on all pages are asked for at once, which takes half as long as one by one, when each is first written.
constexpr std::size_t several = std::size_t{1} << 15;
constexpr int populate = 23;  // MADV_POPULATE_WRITE, of Linux 5.14; glibc names it later

bool advised(std::byte* data, std::size_t bytes, int what) { return madvise(data, bytes, what) == 0; }
#endif

}  // namespace

void wipe(void* data, std::size_t size) noexcept {
#ifdef _WIN32
    SecureZeroMemory(data, size);
#else
    std::memset(data, 0, size);
    __asm__ volatile("" : : "r"(data) : "memory");  // as if somebody read it here
#endif
}

SecretPages::SecretPages(std::size_t size, bool key) : size_(size) {
    const std::size_t page = page_size();
    if (size > std::numeric_limits<std::size_t>::max() - 4 * page) {
        throw std::bad_alloc();
    }
    room_ = size == 0 ? page : (size + page - 1) / page * page;
    guard_ = key ? page : 0;
    std::byte* first = reserved(room_ + 2 * guard_);
    if (first == nullptr) {
        throw std::bad_alloc();
    }
    data_ = first + guard_;
    if (!opened(data_, room_)) {
        give_back(first, room_ + 2 * guard_);
        throw std::bad_alloc();
    }
#ifdef __linux__
    undumped_ = advised(data_, room_, MADV_DONTDUMP);
    unforked_ = key && advised(data_, room_, MADV_WIPEONFORK);
    if (room_ >= huge) {
        advised(data_, room_, MADV_HUGEPAGE);
    } else if (room_ >= several) {
        advised(data_, room_, populate);
    }
#endif
    locked_ = key && lock(data_, room_);
}

SecretPages::~SecretPages() {
    wipe(data_, size_);
    give_back(data_ - guard_, room_ + 2 * guard_);
}

}  // namespace edgeperso
