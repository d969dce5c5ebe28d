#include "pool.h"

#include <stdexcept>
#include <string>

#include "fork_guard.h"
#include "spin.h"

#if defined(__linux__)
#include <pthread.h>
#include <sched.h>
#endif

namespace nexus {
namespace {

#if defined(__linux__)
std::vector<int> allowed_cores() {
  std::vector<int> cores;
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return cores;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(core, &set)) cores.push_back(core);
  }
  return cores;
}
int current_core() { return sched_getcpu(); }
void pin(std::thread& thread, int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  pthread_setaffinity_np(thread.native_handle(), sizeof set, &set);  // refused: it runs anywhere
}
#else
std::vector<int> allowed_cores() { return {}; }
int current_core() { return -1; }
void pin(std::thread&, int) {}
#endif

}  // namespace

void wait_for_team(const Exchange& exchange) {
  for (int i = 0; i < exchange.members; ++i) {
    if (i == exchange.self) continue;
    const int64_t* value = &exchange.counters[exchange.first + i * exchange.stride].value;
    Spin spin;
    while (__atomic_load_n(value, __ATOMIC_ACQUIRE) < exchange.expected) spin.once();
  }
}

Pool::Pool(int threads, std::vector<int> cores)
    : threads_(threads),
      generation_(process_generation()),
      follow_caller_(cores.empty()),
      cores_(cores.empty() ? allowed_cores() : std::move(cores)) {
  if (threads < 1 || threads > kPoolThreadsMax) {
    throw std::invalid_argument("threads: got " + std::to_string(threads) + ", expected 1 to " +
                                std::to_string(kPoolThreadsMax));
  }
  mailboxes_ = std::make_unique<Mailbox[]>(threads);
  counters_ = std::make_unique<Counter[]>(threads);
  scratches_.resize(threads);
  for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { serve(i); });
}

Pool::~Pool() { close(); }

void Pool::close() {
  if (process_generation() != generation_) {  // a forked child: nothing to join
    for (std::thread& worker : workers_) worker.detach();
    workers_.clear();
    closed_ = true;
    return;
  }
  const std::unique_lock<std::mutex> turn(turn_);
  if (closed_.exchange(true)) return;
  quit_ = true;
  for (int i = 1; i < threads_; ++i) mailboxes_[i].asked.fetch_add(1);
  {
    const std::lock_guard<std::mutex> lock(sleep_);
    wake_.notify_all();
  }
  for (std::thread& worker : workers_) worker.join();
  workers_.clear();
}

Pool::Turn::Turn(Pool& pool) {
  if (process_generation() != pool.generation_) {
    throw std::runtime_error("this pool was made before fork() and its threads are not in this process: "
                             "make a Pool in the child");
  }
  lock_ = std::unique_lock<std::mutex>(pool.turn_);
  if (pool.closed_) throw std::runtime_error("this pool is closed: make a new Pool");
}

void Pool::run(int threads, Work work, void* context) {
  if (threads <= 1) {
    counters_[0].value = 0;
    work(context, 0);
    return;
  }
  place_workers();
  for (int i = 0; i < threads; ++i) __atomic_store_n(&counters_[i].value, 0, __ATOMIC_RELAXED);
  work_ = work;
  context_ = context;
  ++calls_;
  for (int i = 1; i < threads; ++i) mailboxes_[i].asked.store(calls_);  // seq_cst: before sleepers_ is read
  if (sleepers_.load() > 0) {
    const std::lock_guard<std::mutex> lock(sleep_);
    wake_.notify_all();
  }
  work(context, 0);
  for (int i = 1; i < threads; ++i) {
    Spin spin;
    while (mailboxes_[i].done.load(std::memory_order_acquire) != calls_) spin.once();
  }
}

void Pool::serve(int thread) {
  Mailbox& mailbox = mailboxes_[thread];
  int64_t seen = 0;
  for (;;) {
    seen = wait_for_call(mailbox, seen);
    if (quit_) return;
    work_(context_, thread);
    mailbox.done.store(seen, std::memory_order_release);
  }
}

int64_t Pool::wait_for_call(Mailbox& mailbox, int64_t seen) {
  constexpr int kSpinsBeforeSleep = 20000;  // some 0.3 ms
  for (int spins = 0; spins < kSpinsBeforeSleep; ++spins) {
    const int64_t asked = mailbox.asked.load(std::memory_order_acquire);
    if (asked != seen) return asked;
    pause_core();
  }
  std::unique_lock<std::mutex> lock(sleep_);
  sleepers_.fetch_add(1);
  wake_.wait(lock, [&] { return mailbox.asked.load() != seen; });
  sleepers_.fetch_sub(1);
  return mailbox.asked.load();
}

// The i-th worker goes to the i-th core after the caller's. More threads than cores: the system places them.
void Pool::place_workers() {
  const int core = follow_caller_ ? current_core() : 0;
  if (core == caller_core_) return;
  caller_core_ = core;
  const int count = static_cast<int>(cores_.size());
  const int needed = follow_caller_ ? threads_ : threads_ - 1;
  if (count < needed) return;
  int at = -1;
  for (int i = 0; follow_caller_ && i < count; ++i) {
    if (cores_[i] == core) at = i;
  }
  for (int i = 1; i < threads_; ++i) pin(workers_[i - 1], cores_[(at + i) % count]);
}

}  // namespace nexus
