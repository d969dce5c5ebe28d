// Exchange by a counter barrier: every block stores its units, adds one to a counter (release) and
// waits until all have (acquire). Four trips through L2 one after the other where words need two,
// but easy to believe in: the reference for debugging.
#pragma once

struct Exchange {
  const Arguments& arguments;
  Watch& watch;
  int steps;

  __device__ __forceinline__ Exchange(const Arguments& arguments, Watch& watch, char*, int steps)
      : arguments(arguments), watch(watch), steps(steps) {}

  __device__ __forceinline__ static int copy_of(int) { return 0; }
  __device__ __forceinline__ void open() {}
  __device__ __forceinline__ void wait_for_credit(int) {}
  __device__ __forceinline__ void receive_from_below(int, Element*) {}
  __device__ __forceinline__ void give_credit() {}

  __device__ __forceinline__ int group() const {
    return part_index() * tile_count() + tile_index();
  }
  __device__ __forceinline__ u32* values_of(int number) const {
    return (u32*)arguments.words +
           (size_t)(group() * 2 + number % 2) * BATCH_TILE * PADDED_HIDDEN;
  }
  __device__ __forceinline__ u32* counter() const { return arguments.counters + group(); }

  __device__ __forceinline__ void send(int number, const float (&values)[ITEMS]) {
    u32* to = values_of(number);
    UNROLL for (int i = 0; i < ITEMS; i++) {
      const Place place = place_of(i);
      if (place.real)
        store_relaxed(&to[place.row * PADDED_HIDDEN + blockIdx.x * UNITS + place.unit],
                      bits_of(values[i]));
    }
    barrier();  // all stores of the block come before its one release
    if (threadIdx.x == 0) add_release(counter(), 1);
  }

  __device__ __forceinline__ void receive(int number, Element* vectors) {
    if (threadIdx.x == 0) wait_for_count(counter(), (arguments.epoch + number) * BLOCKS, watch);
    barrier();
    const u32* from = values_of(number);
    for (int i = threadIdx.x; i < BATCH_TILE * HIDDEN; i += THREADS) {
      const int row = i / HIDDEN, unit = i % HIDDEN;
      put(vectors, row * VECTOR_STRIDE + unit,
          float_of(load_weak(&from[row * PADDED_HIDDEN + unit])));
    }
  }

  // Arrivals of the exchanges that this tile did not have, so that the counter is again
  // `epoch * BLOCKS` for the next launch.
  __device__ __forceinline__ void close() {
    const int sent = larger(steps * EXCHANGES_PER_STEP - 1, 0);  // none after the last step
    if (threadIdx.x == 0)
      add_release(counter(), arguments.launch_steps * EXCHANGES_PER_STEP - sent);
  }
};
