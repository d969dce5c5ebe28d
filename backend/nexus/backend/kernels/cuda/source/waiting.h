// Waiting with an end to it. A defect, or a block that never started, must not hang the GPU: who
// has polled for longer than `patience` sets the error word and gives up, and the others, who look
// at that word now and then, follow. The host reads the word after the launch.
#pragma once
#include "arguments.h"

struct Watch {
  u32* error;
  u64 patience;
  u64 since;
  u32 polls;
  bool failed;

  __device__ __forceinline__ explicit Watch(const Arguments& arguments)
      : error(arguments.error), patience(arguments.patience), since(0), polls(0), failed(false) {}

  __device__ __forceinline__ void begin() { polls = 0; }

  // Called after each poll that found nothing. True: stop waiting, the launch has failed.
  __device__ __forceinline__ bool expired() {
    spin_pause();
    if (polls++ == 0) since = clock_ticks();
    if (polls % 64 != 0) return failed;
    if (clock_ticks() - since > patience) store_relaxed(error, 1);
    failed = failed || load_relaxed(error) != 0;
    return failed;
  }
};

// Until `counter` has reached `target`, whatever it wraps around.
__device__ __forceinline__ void wait_for_count(const u32* counter, u32 target, Watch& watch) {
  watch.begin();
  while ((int)(load_acquire(counter) - target) < 0)
    if (watch.expired()) return;
}
