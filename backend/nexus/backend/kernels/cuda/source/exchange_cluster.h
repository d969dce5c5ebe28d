// Exchange inside a thread-block cluster (sm_90): every block writes its units straight into the
// shared memory of all blocks of its part, itself included, and each block waits at its own
// mbarrier until the bytes of a whole exchange have arrived. Nothing goes through L2, and since the
// hardware starts the blocks of a cluster together, no other kernel can come between them.
//
// Two copies of the vectors and two mbarriers, by the number's parity: number n may arrive while
// n-1 is being multiplied.
#pragma once

struct Exchange {
  Watch& watch;
  char* memory;

  __device__ __forceinline__ Exchange(const Arguments&, Watch& watch, char* memory, int)
      : watch(watch), memory(memory) {}

  static constexpr u32 BYTES = BATCH_TILE * PADDED_HIDDEN * ELEMENT_BYTES;

  __device__ __forceinline__ static int copy_of(int number) { return number % 2; }
  __device__ __forceinline__ u64* mbarrier_of(int number) const {
    return (u64*)(memory + MBARRIER_OFFSET) + number % 2;
  }
  __device__ __forceinline__ Element* vectors_of(int number) const {
    return (Element*)memory + copy_of(number) * VECTOR_ELEMENTS;
  }

  // Before anybody sends: mbarriers armed and vectors cleared in every block of the cluster.
  __device__ __forceinline__ void open() {
    if (threadIdx.x == 0) {
      for (int number = 1; number <= 2; number++) {
        mbarrier_init(mbarrier_of(number), 1);
        mbarrier_expect(mbarrier_of(number), BYTES);
      }
    }
    cluster_barrier();
  }

  __device__ __forceinline__ void wait_for_credit(int) {}
  __device__ __forceinline__ void receive_from_below(int, Element*) {}
  __device__ __forceinline__ void give_credit() {}

  __device__ __forceinline__ void send(int number, const float (&values)[ITEMS]) {
    UNROLL for (int i = 0; i < ITEMS; i++) {
      const Place place = place_of(i);
      const bool mine = place.row < BATCH_TILE && place.unit < UNITS &&
                        threadIdx.x % 32 < ITEM_LANES;
#if FAMILY == FAMILY_DOT
      const u32 value = bits_of(values[i]);
      const bool sends = mine;
#else
      const u32 value = pack_pair(values[i], shuffle(values[i], threadIdx.x % 32 + 1));
      const bool sends = mine && place.unit % 2 == 0;
#endif
      if (!sends) continue;
      Element* to =
          vectors_of(number) + place.row * VECTOR_STRIDE + blockIdx.x * UNITS + place.unit;
      for (int peer = 0; peer < BLOCKS; peer++)  // begin with another peer in each block
        send_async(to, mbarrier_of(number), (blockIdx.x + peer) % BLOCKS, value);
    }
  }

  __device__ __forceinline__ void receive(int number, Element*) {
    watch.begin();
    while (!mbarrier_completed(mbarrier_of(number), (number - 1) / 2 % 2))
      if (watch.expired()) return;
    // Armed for number+2 only when all threads have seen this phase: by the barrier that follows.
  }
  __device__ __forceinline__ void rearm(int number) {
    if (threadIdx.x == 0) mbarrier_expect(mbarrier_of(number), BYTES);
  }

  // Nobody leaves while a peer may still send to it.
  __device__ __forceinline__ void close() { cluster_barrier(); }
};
