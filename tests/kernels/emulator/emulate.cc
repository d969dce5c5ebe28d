// The shared library that the tests load: one kernel of one configuration, and what Python must
// agree with it about.
#define GRNN_EMULATOR
#include KERNEL_SOURCE

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT int shared_bytes() { return SHARED_BYTES; }
EXPORT int recurrent_packed() { return RECURRENT_PACKED; }
EXPORT int input_packed() { return INPUT_PACKED; }

struct Launch {
  const float* x; float* y; const Slot* slots;
  const uint4* recurrent_weights; const uint4* input_weights; const float* bias;
  float* h_state; float* c_state; float* projected; Word* words; u32* counters; u32* error;
  int state_rows, launch_steps; u32 epoch; u64 patience;
};
static Launch l;
static void enter() {
  recurrent(l.x, l.y, l.slots, l.recurrent_weights, l.input_weights, l.bias, l.h_state, l.c_state,
            l.projected, l.words, l.counters, l.error, l.state_rows, l.launch_steps, l.epoch,
            l.patience);
}
EXPORT int emulate(unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned cluster, u64 seed,
                   unsigned preempt_percent, const Launch* launch) {
  l = *launch;
  return emulator::launch({grid_x, grid_y, grid_z}, THREADS, SHARED_BYTES, cluster, seed,
                          preempt_percent, enter);
}
