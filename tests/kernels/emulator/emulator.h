// What a kernel's source may ask of the emulated machine; emulator.cc says how it works. Kept to
// plain declarations: every configuration compiles this anew, but emulator.cc only once.
#pragma once
#include <stdint.h>
#include <string.h>

namespace emulator {

struct Dim { unsigned x, y, z; };
struct Block {
  Dim index;
  unsigned number, cluster, rank;
  char* shared;
};
struct Thread {
  Block* block;
  unsigned index, lane;
};
extern Thread* current;
extern Dim grid;
extern uint64_t rounds;  // turns that every thread has had

void yield();
void maybe_preempt();

// Global memory, up to 16 bytes in one access.
void store_bytes(void* address, const void* bytes, unsigned size);
void load_bytes(const void* address, void* bytes, unsigned size, bool weak);
void release_stores();
void acquire_stores();
template <class T>
void store_global(T* address, const T& value) {
  store_bytes(address, &value, sizeof(T));
}
template <class T>
T load_global(const T* address, bool weak) {
  T value;
  load_bytes(address, &value, sizeof(T), weak);
  return value;
}

// Rendezvous of a block, a cluster and a warp. `collect` returns what each lane of the warp gave.
bool meet_block(bool predicate);
void meet_cluster();
constexpr int LANE_VALUES = 6;
typedef uint32_t Collected[32][LANE_VALUES];
const Collected& collect(const uint32_t* values, int count);

// The 8 bytes of shared memory that a kernel reserves for an mbarrier.
struct Mbarrier {
  int32_t bytes_due;
  uint8_t arrivals, pending, phase, unused;
};
void settle(Mbarrier& mbarrier);
// 4 bytes on their way to the same place in a block of this cluster, and the mbarrier that counts
// them there.
void send_bytes(void* destination, void* mbarrier, unsigned rank, uint32_t value);

// Runs the grid to its end. 0: done; 1: deadlock, said on stderr.
int launch(Dim grid, unsigned threads, unsigned shared_bytes, unsigned cluster, uint64_t seed,
           unsigned preempt_percent, void (*kernel)());

}  // namespace emulator
