// Memory for keys, and for what is as private as the texts it was made from.
#pragma once

#include <cstddef>

namespace edgeperso {

// Overwrites with zeros; no compiler may leave the stores out because nobody reads them.
void wipe(void* data, std::size_t size) noexcept;

// Whole pages of one's own, zero at first, left out of core dumps, and wiped before they go back to the system.
//
// A key's pages are also locked in memory, have a page on either side that nobody can touch, and are zeros in a process
// that is forked from this one. What the system refuses of all that is no error: the object tells.
class SecretPages {
   public:
    // At least `size` bytes at the beginning of a page. Throws std::bad_alloc.
    SecretPages(std::size_t size, bool key);
    ~SecretPages();
    SecretPages(const SecretPages&) = delete;
    SecretPages& operator=(const SecretPages&) = delete;

    std::byte* data() const { return data_; }
    std::size_t size() const { return size_; }
    bool undumped() const { return undumped_; }
    bool locked() const { return locked_; }
    bool unforked() const { return unforked_; }

   private:
    std::byte* data_ = nullptr;
    std::size_t size_;
    std::size_t room_ = 0;   // whole pages
    std::size_t guard_ = 0;  // bytes before and after them that nobody can touch
    bool undumped_ = false;
    bool locked_ = false;
    bool unforked_ = false;
};

}  // namespace edgeperso
