#include "fork_guard.h"

#include <atomic>

#if !defined(_WIN32)
#include <pthread.h>
#endif

namespace nexus {
namespace {

std::atomic<int64_t> generation{0};

#if !defined(_WIN32)
const int registered = pthread_atfork(nullptr, nullptr, [] { generation.fetch_add(1); });
#endif

}  // namespace

int64_t process_generation() {
#if !defined(_WIN32)
  static_cast<void>(registered);
#endif
  return generation.load(std::memory_order_relaxed);
}

}  // namespace nexus
