// Memory on page boundaries, zeroed; large blocks ask for huge pages, which save TLB misses when a
// kernel streams megabytes of weights at every step.
#pragma once
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace nexus {

class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(size_t bytes) : bytes_(round_up(bytes)) {
    if (bytes_ == 0) return;
    data_.reset(std::aligned_alloc(alignment_of(bytes_), bytes_));
    if (!data_) throw std::bad_alloc();
#if defined(__linux__)
    if (bytes_ >= kHugePage) madvise(data_.get(), bytes_, MADV_HUGEPAGE);
#endif
    std::memset(data_.get(), 0, bytes_);
  }

  template <class T>
  T* as() const {
    return static_cast<T*>(data_.get());
  }
  size_t bytes() const { return bytes_; }

 private:
  static constexpr size_t kPage = 4096;
  static constexpr size_t kHugePage = size_t{2} << 20;

  static size_t alignment_of(size_t bytes) { return bytes >= kHugePage ? kHugePage : kPage; }
  static size_t round_up(size_t bytes) {
    const size_t to = alignment_of(bytes);
    return (bytes + to - 1) / to * to;
  }
  struct Free {
    void operator()(void* p) const { std::free(p); }
  };

  size_t bytes_ = 0;
  std::unique_ptr<void, Free> data_;
};

}  // namespace nexus
