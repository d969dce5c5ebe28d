// Persistent worker threads that take part in one call at a time, in lock step.
//
// Handing a call over costs a few hundred nanoseconds: idle workers spin for a while before they sleep.
// They are pinned away from the caller's core: a worker woken on the core of a caller that spins for it
// would wait out a scheduler quantum.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "kernel.h"
#include "scratch.h"

namespace nexus {

constexpr int kPoolThreadsMax = 64;

class Pool {
 public:
  // `threads` counts the caller. `cores`: where the workers run; empty: the process's cores but the
  // caller's, followed when the caller moves. Throws std::invalid_argument.
  Pool(int threads, std::vector<int> cores);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  int threads() const { return threads_; }
  bool closed() const { return closed_.load(); }
  void close();  // joins the workers; waits for a call in flight

  // What one call holds: the pool is its alone. Throws std::runtime_error after close() and in a forked
  // child, where there are no workers to wait for.
  class Turn {
   public:
    explicit Turn(Pool& pool);

   private:
    std::unique_lock<std::mutex> lock_;
  };

  // Runs work(context, thread) on threads 0 (the caller) to `threads` - 1. Needs a Turn.
  using Work = void (*)(void* context, int thread);
  void run(int threads, Work work, void* context);

  // One per thread, zero when a run starts.
  Counter* counters() { return counters_.get(); }
  Scratch& shared_scratch() { return shared_scratch_; }
  ThreadScratch& scratch(int thread) { return scratches_[thread]; }

 private:
  struct alignas(128) Mailbox {
    std::atomic<int64_t> asked{0};
    std::atomic<int64_t> done{0};
  };
  void serve(int thread);
  int64_t wait_for_call(Mailbox& mailbox, int64_t seen);
  void place_workers();

  const int threads_;
  const int64_t generation_;
  const bool follow_caller_;
  std::vector<int> cores_;
  int caller_core_ = -1;

  std::mutex turn_;
  std::atomic<bool> closed_{false};
  std::atomic<bool> quit_{false};
  std::vector<std::thread> workers_;
  std::unique_ptr<Mailbox[]> mailboxes_;
  std::unique_ptr<Counter[]> counters_;
  std::vector<ThreadScratch> scratches_;
  Scratch shared_scratch_;

  Work work_ = nullptr;
  void* context_ = nullptr;
  int64_t calls_ = 0;

  std::mutex sleep_;
  std::condition_variable wake_;
  std::atomic<int> sleepers_{0};
};

}  // namespace nexus
