// Waiting for another core: first busily, then by giving the core away in turns.
#pragma once

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include <thread>

namespace nexus {

inline void pause_core() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

class Spin {
 public:
  void once() {
    ++spins_;
    if (spins_ > kYieldFrom) {
      std::this_thread::yield();
    } else if (spins_ > kPauseFrom) {
      pause_core();
    }
  }

 private:
  static constexpr int kPauseFrom = 200;
  static constexpr int kYieldFrom = 4000;
  int spins_ = 0;
};

}  // namespace nexus
