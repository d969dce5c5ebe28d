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
#include "emulator.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <unordered_map>
#include <vector>

#include "fiber.h"

namespace emulator {

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
  Mbarrier* counter;
};

// A rendezvous: of a block, a warp or a cluster. Threads that have returned no longer count.
struct Barrier {
  unsigned members = 0, arrived = 0, generation = 0;
  bool any[2] = {false, false};  // by parity of the generation: __syncthreads_or
};
struct Warp {
  Barrier barrier;
  Collected given[2];  // by parity of the generation
};
struct LiveBlock : Block {
  unsigned idle_percent;  // how often the scheduler passes it over
  Barrier barrier;
  std::vector<Warp> warps;
  std::deque<Store> stores;  // visible to the block, not yet to others
  std::vector<unsigned> threads;
};
struct LiveThread : Thread {
  Fiber fiber;
  LiveBlock* home;
  Warp* warp;
  bool returned = false;
  Barrier* waits_for = nullptr;
  unsigned generation = 0;
  std::deque<Store> stores;  // visible to this thread only
  uint64_t acquired_at = 0;  // round
};

constexpr size_t STORES_BUFFERED = 24;
constexpr unsigned STALE_PERCENT = 50;

Thread* current;
Dim grid;
uint64_t rounds;
static unsigned cluster_size, preempt_percent, drain_percent;
static std::vector<LiveBlock> blocks;
static std::vector<LiveThread> threads;
static std::vector<Barrier> cluster_barriers;
static std::vector<Parcel> parcels;
static std::unordered_map<char*, Overwritten> history;
static Fiber scheduler;
static uint64_t random_state;
static void (*kernel)();

static unsigned random_below(unsigned n) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return (unsigned)(random_state >> 20) % n;
}
static bool chance(unsigned percent) { return random_below(100) < percent; }

static LiveThread& self() { return *static_cast<LiveThread*>(current); }
void yield() { switch_fiber(self().fiber, scheduler); }
void maybe_preempt() {
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
static void drain_one(LiveThread& thread) {
  std::deque<Store>& shared = thread.home->stores;
  const unsigned writer = thread.home->number;
  for (const Store& store : shared) reach_memory(store, writer);
  shared.clear();
  drain_one(thread.stores, writer);
}
// Buffers drain by themselves, whether or not their threads run.
static void drain_some() {
  for (LiveBlock& block : blocks)
    for (size_t n = block.stores.size(); n > 0; n--)
      if (chance(drain_percent)) drain_one(block.stores, block.number);
  for (LiveThread& thread : threads)
    if (!thread.stores.empty() && chance(drain_percent)) drain_one(thread);
}

void store_bytes(void* address, const void* bytes, unsigned size) {
  maybe_preempt();
  Store store = {(char*)address, size, {}};
  memcpy(store.bytes, bytes, size);
  LiveThread& thread = self();
  thread.stores.push_back(store);
  if (thread.stores.size() > STORES_BUFFERED) drain_one(thread);
  maybe_preempt();
}
static bool find_buffered(const std::deque<Store>& stores, const void* address, void* bytes) {
  for (size_t i = stores.size(); i-- > 0;) {
    if (stores[i].address != address) continue;
    memcpy(bytes, stores[i].bytes, stores[i].size);
    return true;
  }
  return false;
}
void load_bytes(const void* address, void* bytes, unsigned size, bool weak) {
  maybe_preempt();
  const LiveThread& thread = self();
  if (find_buffered(thread.stores, address, bytes)) return;
  if (find_buffered(thread.home->stores, address, bytes)) return;
  memcpy(bytes, address, size);
  if (!weak) return;
  const auto found = history.find((char*)address);
  if (found == history.end()) return;
  const Overwritten& old = found->second;
  if (old.writer != thread.home->number && old.at >= thread.acquired_at && chance(STALE_PERCENT))
    memcpy(bytes, old.before.bytes, size);
}
void release_stores() {
  drain_all(self().home->stores, self().home->number);
  drain_all(self().stores, self().home->number);
}
void acquire_stores() { self().acquired_at = rounds + 1; }

// ---- barriers -----------------------------------------------------------------------------------
static void complete(Barrier& barrier) {
  barrier.arrived = 0;
  barrier.generation++;
  barrier.any[barrier.generation % 2] = false;  // the result just made stays until the next one
}
// The block's threads now see each other's stores, and what any of them had acquired.
static void share_stores(LiveBlock& block) {
  uint64_t acquired = 0;
  for (unsigned index : block.threads) {
    LiveThread& thread = threads[index];
    block.stores.insert(block.stores.end(), thread.stores.begin(), thread.stores.end());
    thread.stores.clear();
    acquired = std::max(acquired, thread.acquired_at);
  }
  for (unsigned index : block.threads) threads[index].acquired_at = acquired;
}
static void arrive(Barrier& barrier) {
  LiveThread& thread = self();
  if (++barrier.arrived < barrier.members) {
    thread.waits_for = &barrier;
    thread.generation = barrier.generation;
  } else {
    if (&barrier == &thread.home->barrier) share_stores(*thread.home);
    complete(barrier);
  }
  yield();
}
static void leave(Barrier& barrier) {
  if (--barrier.members && barrier.arrived == barrier.members) complete(barrier);
}

bool meet_block(bool predicate) {
  Barrier& barrier = self().home->barrier;
  bool& any = barrier.any[barrier.generation % 2];
  any = any || predicate;
  arrive(barrier);
  return any;
}
void meet_cluster() { arrive(cluster_barriers[current->block->cluster]); }

// What each lane gives, for all lanes to read: shuffles and mma.
const Collected& collect(const uint32_t* values, int count) {
  Warp& warp = *self().warp;
  Collected& given = warp.given[warp.barrier.generation % 2];
  for (int i = 0; i < count; i++) given[current->lane][i] = values[i];
  arrive(warp.barrier);
  return given;
}

// ---- clusters -----------------------------------------------------------------------------------
void settle(Mbarrier& mbarrier) {
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

void send_bytes(void* destination, void* mbarrier, unsigned rank, uint32_t value) {
  const Block& mine = *current->block;
  char* there = blocks[mine.cluster * cluster_size + rank].shared;
  maybe_preempt();
  parcels.push_back({(uint32_t*)(there + ((char*)destination - mine.shared)), value,
                     (Mbarrier*)(there + ((char*)mbarrier - mine.shared))});
}

// ---- the scheduler ------------------------------------------------------------------------------
static void enter_thread() {
  kernel();
  self().returned = true;
  leave(self().home->barrier);
  leave(self().warp->barrier);
  if (cluster_size > 1) leave(cluster_barriers[current->block->cluster]);
  for (;;) yield();
}

static void prepare(unsigned per_block, size_t shared_bytes) {
  const unsigned count = grid.x * grid.y * grid.z;
  blocks.assign(count, LiveBlock());
  threads.assign((size_t)count * per_block, LiveThread());
  cluster_barriers.assign(count / cluster_size, Barrier());
  parcels.clear();
  history.clear();
  for (unsigned b = 0; b < count; b++) {
    LiveBlock& block = blocks[b];
    block.index = {b % grid.x, b / grid.x % grid.y, b / grid.x / grid.y};
    block.number = b;
    block.cluster = b / cluster_size;
    block.rank = b % cluster_size;
    block.idle_percent = (unsigned[]){0, 0, 50, 90}[random_below(4)];
    block.shared = (char*)aligned_alloc(128, (shared_bytes + 255) / 128 * 128);
    memset(block.shared, 0xff, shared_bytes);  // NaN, as fp32, fp16 and bf16
    block.warps.resize(per_block / 32);
    for (unsigned t = 0; t < per_block; t++) {
      const unsigned number = b * per_block + t;
      LiveThread& thread = threads[number];
      thread.block = thread.home = &block;
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

static bool may_run(LiveThread& thread) {
  if (thread.waits_for && thread.waits_for->generation == thread.generation) return false;
  thread.waits_for = nullptr;
  return true;
}

// One turn for every thread that can run, blocks that idle excepted. False: nobody could.
static bool run_round(std::vector<LiveThread*>& alive) {
  bool ran = false;
  std::vector<bool> idle(blocks.size());
  for (size_t b = 0; b < blocks.size(); b++) idle[b] = chance(blocks[b].idle_percent);
  for (unsigned i = (unsigned)alive.size(); i > 1; i--)
    std::swap(alive[i - 1], alive[random_below(i)]);
  for (LiveThread* thread : alive) {
    if (!may_run(*thread)) continue;
    ran = true;
    if (idle[thread->home->number]) continue;
    current = thread;
    switch_fiber(scheduler, thread->fiber);
  }
  for (size_t i = parcels.size(); i-- > 0;)
    if (i < parcels.size() && chance(30)) deliver(random_below((unsigned)parcels.size()));
  drain_some();
  rounds++;
  return ran || !parcels.empty();
}

int launch(Dim of_grid, unsigned per_block, unsigned shared_bytes, unsigned cluster, uint64_t seed,
           unsigned preempt, void (*function)()) {
  grid = of_grid;
  cluster_size = cluster;
  preempt_percent = preempt;
  kernel = function;
  rounds = 0;
  random_state = seed * 0x9E3779B97F4A7C15ull + 0x2545F4914F6CDD1Dull;
  drain_percent = (unsigned[]){1, 5, 40}[random_below(3)];
  prepare(per_block, shared_bytes);
  std::vector<LiveThread*> alive;
  for (LiveThread& thread : threads) alive.push_back(&thread);
  int result = 0;
  while (!alive.empty()) {
    if (!run_round(alive)) {
      const LiveThread& first = *alive[0];
      fprintf(stderr, "emulator: deadlock, %zu threads wait; one is block %u, thread %u\n",
              alive.size(), first.home->number, first.index);
      result = 1;
      break;
    }
    const auto returned = [](LiveThread* thread) { return thread->returned; };
    alive.erase(std::remove_if(alive.begin(), alive.end(), returned), alive.end());
  }
  for (LiveThread& thread : threads) destroy_fiber(thread.fiber);
  for (LiveBlock& block : blocks) drain_all(block.stores, block.number);
  for (LiveThread& thread : threads) drain_all(thread.stores, thread.home->number);
  for (LiveBlock& block : blocks) free(block.shared);
  return result;
}

}  // namespace emulator
