// Memory of a call that stays allocated for the next one.
#pragma once
#include <cstddef>

#include "aligned_buffer.h"

namespace nexus {

class Scratch {
 public:
  // At least `count` values; earlier contents are lost when it has to grow.
  template <class T>
  T* array(size_t count) {
    reserve(count * sizeof(T));
    return buffer_.as<T>();
  }

 private:
  void reserve(size_t bytes);

  AlignedBuffer buffer_;
};

// What each thread of a pool has for itself.
struct ThreadScratch {
  Scratch projected;
  Scratch inputs;
  Scratch rows;
};

}  // namespace nexus
