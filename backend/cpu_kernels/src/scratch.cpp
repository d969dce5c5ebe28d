#include "scratch.h"

namespace nexus {

void Scratch::reserve(size_t bytes) {
  if (bytes > buffer_.bytes()) buffer_ = AlignedBuffer(bytes + bytes / 4);
}

}  // namespace nexus
