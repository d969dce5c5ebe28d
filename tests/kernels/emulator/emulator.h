// Runs a CUDA grid on one CPU thread: a fiber for every CUDA thread of every block, all alive at
// once, switched at barriers, shuffles, polls and (now and then) accesses to global memory, in a
// random order that a seed fixes. What it is there to find:
//
//   races           threads run in a new random order between any two barriers, blocks at random
//                   speeds, and a thread may be preempted around an access to global memory
//   missing fences  a store stays in its thread's buffer, a barrier moves it to the block's, and
//                   each one drains to memory by itself, late, in any order; only a release drains
//                   them all. A weak load may return what was there before another block's store,
//                   until the thread has acquired
//   unwritten data  shared memory begins as NaN
//   deadlocks       nobody can run: reported with who waits
//
// It does not model time, bank conflicts, divergence inside a warp, or loads that a compiler moves.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <unordered_map>
#include <vector>

#include "fiber.h"

namespace emulator {

struct Dim { unsigned x = 1, y = 1, z = 1; };

// A store on its way to memory.
struct Store {
  char* address;
  unsigned size;
  char bytes[16];
};
struct Overwritten {  // what an address held before the last store that reached it
  Store before;
  unsigned writer;  // block
  uint64_t at;      // round
};
// Bytes on their way into a peer's shared memory, and the mbarrier that counts them there.
struct Parcel {
  uint32_t* to;
  uint32_t value;
  struct Mbarrier* counter;
};
struct Mbarrier {  // the 8 bytes that a kernel reserves for one
  int32_t bytes_due;
  uint8_t arrivals, pending, phase, armed;
};

// A rendezvous: of a block, a warp or a cluster. Threads that have returned no longer count.
struct Barrier {
  unsigned members = 0, arrived = 0, generation = 0;
  bool any[2] = {false, false};  // by parity of the generation: __syncthreads_or
};
struct Warp {
  Barrier barrier;
  uint32_t given[2][32][6];  // values of a collective, by parity of its generation
};
struct Block {
  Dim index;
  unsigned number, cluster;
  char* shared;
  unsigned idle_percent;  // how often the scheduler passes it over
  Barrier barrier;
  std::vector<Warp> warps;
  std::deque<Store> stores;  // visible to the block, not yet to others
  std::vector<unsigned> threads;
};
struct Thread {
  Fiber fiber;
  Block* block;
  Warp* warp;
  unsigned index, lane;
  bool returned = false;
  Barrier* waits_for = nullptr;
  unsigned generation = 0;
  std::deque<Store> stores;  // visible to this thread only
  uint64_t acquired_at = 0;  // round
};

constexpr size_t STORES_BUFFERED = 24;
constexpr unsigned STALE_PERCENT = 50;

static Dim grid, block_size;
static unsigned cluster_size, preempt_percent, drain_percent;
static std::vector<Block> blocks;
static std::vector<Thread> threads;
static std::vector<Barrier> cluster_barriers;
static std::vector<Parcel> parcels;
static std::unordered_map<char*, Overwritten> history;
static Thread* current;
static Fiber scheduler;
static uint64_t rounds, random_state;
static void (*kernel)();

static unsigned random_below(unsigned n) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return (unsigned)(random_state >> 20) % n;
}
static bool chance(unsigned percent) { return random_below(100) < percent; }

static void yield() { switch_fiber(current->fiber, scheduler); }
static void maybe_preempt() {
  if (chance(preempt_percent)) yield();
}

// ---- stores on their way ------------------------------------------------------------------------
static void reach_memory(const Store& store, unsigned writer) {
  Overwritten& old = history[store.address];
  old.before = store;
  memcpy(old.before.bytes, store.address, store.size);
  old.writer = writer;
  old.at = rounds;
  memcpy(store.address, store.bytes, store.size);
}
// One store, any but never before an older one to the same address.
static void drain_one(std::deque<Store>& stores, unsigned writer) {
  size_t chosen = random_below((unsigned)stores.size());
  for (size_t i = 0; i < chosen; i++)
    if (stores[i].address == stores[chosen].address) chosen = i;
  reach_memory(stores[chosen], writer);
  stores.erase(stores.begin() + (long)chosen);
}
static void drain_all(std::deque<Store>& stores, unsigned writer) {
  for (const Store& store : stores) reach_memory(store, writer);
  stores.clear();
}
// The same for a thread's own buffer; what its block holds for that address is older.
static void drain_one(Thread& thread) {
  std::deque<Store>& shared = thread.block->stores;
  const unsigned writer = thread.block->number;
  for (const Store& store : shared) reach_memory(store, writer);
  shared.clear();
  drain_one(thread.stores, writer);
}
// Buffers drain by themselves, whether or not their threads run.
static void drain_some() {
  for (Block& block : blocks)
    for (size_t n = block.stores.size(); n > 0; n--)
      if (chance(drain_percent)) drain_one(block.stores, block.number);
  for (Thread& thread : threads)
    if (!thread.stores.empty() && chance(drain_percent)) drain_one(thread);
}

template <class T>
static void store_global(T* address, const T& value) {
  static_assert(sizeof(T) <= 16);
  maybe_preempt();
  Store store = {(char*)address, sizeof(T), {}};
  memcpy(store.bytes, &value, sizeof(T));
  current->stores.push_back(store);
  if (current->stores.size() > STORES_BUFFERED) drain_one(*current);
  maybe_preempt();
}
template <class T>
static bool find_buffered(const std::deque<Store>& stores, const T* address, T& value) {
  for (size_t i = stores.size(); i-- > 0;) {
    if (stores[i].address != (char*)address) continue;
    memcpy(&value, stores[i].bytes, sizeof(T));
    return true;
  }
  return false;
}
template <class T>
static T load_global(const T* address, bool weak) {
  maybe_preempt();
  T value;
  if (find_buffered(current->stores, address, value)) return value;
  if (find_buffered(current->block->stores, address, value)) return value;
  memcpy(&value, address, sizeof(T));
  if (!weak) return value;
  auto found = history.find((char*)address);
  if (found == history.end()) return value;
  const Overwritten& old = found->second;
  if (old.writer != current->block->number && old.at >= current->acquired_at &&
      chance(STALE_PERCENT))
    memcpy(&value, old.before.bytes, sizeof(T));
  return value;
}
static void release_stores() {
  drain_all(current->block->stores, current->block->number);
  drain_all(current->stores, current->block->number);
}
static void acquire_stores() { current->acquired_at = rounds + 1; }

// ---- barriers -----------------------------------------------------------------------------------
static void complete(Barrier& barrier) {
  barrier.arrived = 0;
  barrier.generation++;
  barrier.any[barrier.generation % 2] = false;  // the result just made stays until the next one
}
// The block's threads now see each other's stores, and what any of them had acquired.
static void share_stores(Block& block) {
  uint64_t acquired = 0;
  for (unsigned index : block.threads) {
    Thread& thread = threads[index];
    block.stores.insert(block.stores.end(), thread.stores.begin(), thread.stores.end());
    thread.stores.clear();
    acquired = std::max(acquired, thread.acquired_at);
  }
  for (unsigned index : block.threads) threads[index].acquired_at = acquired;
}
static void arrive(Barrier& barrier) {
  if (++barrier.arrived < barrier.members) {
    current->waits_for = &barrier;
    current->generation = barrier.generation;
  } else {
    if (&barrier == &current->block->barrier) share_stores(*current->block);
    complete(barrier);
  }
  yield();
}
static void leave(Barrier& barrier) {
  if (--barrier.members && barrier.arrived == barrier.members) complete(barrier);
}

// What each lane gives, for all lanes to read: shuffles and mma.
static const uint32_t (&collect(const uint32_t* values, int count))[32][6] {
  Warp& warp = *current->warp;
  auto& given = warp.given[warp.barrier.generation % 2];
  for (int i = 0; i < count; i++) given[current->lane][i] = values[i];
  arrive(warp.barrier);
  return given;
}

// ---- clusters -----------------------------------------------------------------------------------
static void settle(Mbarrier& mbarrier) {
  if (mbarrier.pending != 0 || mbarrier.bytes_due != 0) return;
  mbarrier.phase ^= 1;
  mbarrier.pending = mbarrier.arrivals;
}
static void deliver(size_t index) {
  const Parcel parcel = parcels[index];
  parcels[index] = parcels.back();
  parcels.pop_back();
  *parcel.to = parcel.value;
  parcel.counter->bytes_due -= 4;
  settle(*parcel.counter);
}

// ---- the scheduler ------------------------------------------------------------------------------
static void enter_thread() {
  kernel();
  current->returned = true;
  leave(current->block->barrier);
  leave(current->warp->barrier);
  if (cluster_size > 1) leave(cluster_barriers[current->block->cluster]);
  for (;;) yield();
}

static void prepare(size_t shared_bytes) {
  const unsigned per_block = block_size.x, count = grid.x * grid.y * grid.z;
  blocks.assign(count, Block());
  threads.assign((size_t)count * per_block, Thread());
  cluster_barriers.assign(count / cluster_size, Barrier());
  parcels.clear();
  history.clear();
  for (unsigned b = 0; b < count; b++) {
    Block& block = blocks[b];
    block.index = {b % grid.x, b / grid.x % grid.y, b / grid.x / grid.y};
    block.number = b;
    block.cluster = b / cluster_size;
    block.idle_percent = (unsigned[]){0, 0, 50, 90}[random_below(4)];
    block.shared = (char*)aligned_alloc(128, (shared_bytes + 255) / 128 * 128);
    memset(block.shared, 0xff, shared_bytes);  // NaN, as fp32, fp16 and bf16
    block.warps.resize(per_block / 32);
    for (unsigned t = 0; t < per_block; t++) {
      const unsigned number = b * per_block + t;
      Thread& thread = threads[number];
      thread.block = &block;
      thread.warp = &block.warps[t / 32];
      thread.index = t;
      thread.lane = t % 32;
      block.threads.push_back(number);
      block.barrier.members++;
      thread.warp->barrier.members++;
      cluster_barriers[block.cluster].members++;
      create_fiber(thread.fiber, enter_thread);
    }
  }
}

static bool may_run(Thread& thread) {
  if (thread.waits_for && thread.waits_for->generation == thread.generation) return false;
  thread.waits_for = nullptr;
  return true;
}

// One turn for every thread that can run, blocks that idle excepted. False: nobody could.
static bool run_round(std::vector<Thread*>& alive) {
  bool ran = false;
  std::vector<bool> idle(blocks.size());
  for (size_t b = 0; b < blocks.size(); b++) idle[b] = chance(blocks[b].idle_percent);
  for (size_t i = alive.size(); i > 1; i--) std::swap(alive[i - 1], alive[random_below((unsigned)i)]);
  for (Thread* thread : alive) {
    if (!may_run(*thread)) continue;
    ran = true;
    if (idle[thread->block->number]) continue;
    current = thread;
    switch_fiber(scheduler, thread->fiber);
  }
  for (size_t i = parcels.size(); i-- > 0;)
    if (i < parcels.size() && chance(30)) deliver(random_below((unsigned)parcels.size()));
  drain_some();
  rounds++;
  return ran || !parcels.empty();
}

// Runs the grid to its end. 0: done; 1: deadlock, said on stderr.
static int launch(Dim of_grid, unsigned per_block, size_t shared_bytes, unsigned cluster,
                  uint64_t seed, unsigned preempt, void (*function)()) {
  grid = of_grid;
  block_size = {per_block, 1, 1};
  cluster_size = cluster;
  preempt_percent = preempt;
  kernel = function;
  rounds = 0;
  random_state = seed * 0x9E3779B97F4A7C15ull + 0x2545F4914F6CDD1Dull;
  drain_percent = (unsigned[]){1, 5, 40}[random_below(3)];
  prepare(shared_bytes);
  std::vector<Thread*> alive;
  for (Thread& thread : threads) alive.push_back(&thread);
  int result = 0;
  while (!alive.empty()) {
    if (!run_round(alive)) {
      const Thread& first = *alive[0];
      fprintf(stderr, "emulator: deadlock, %zu threads wait; one is block %u, thread %u\n",
              alive.size(), first.block->number, first.index);
      result = 1;
      break;
    }
    alive.erase(std::remove_if(alive.begin(), alive.end(), [](Thread* t) { return t->returned; }),
                alive.end());
  }
  for (Thread& thread : threads) destroy_fiber(thread.fiber);
  for (Block& block : blocks) drain_all(block.stores, block.number);
  for (Thread& thread : threads) drain_all(thread.stores, thread.block->number);
  for (Block& block : blocks) free(block.shared);
  return result;
}

}  // namespace emulator
