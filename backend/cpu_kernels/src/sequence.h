// Whole sequences, chunks of them and single steps: rows of inputs through a packed stack.
#pragma once
#include <cstddef>
#include <vector>

#include "packed_stack.h"
#include "plan.h"
#include "pool.h"

namespace nexus {

// One sequence. A finished row costs nothing: rows are kept longest first, and each step runs a prefix.
struct SequenceRow {
  const float* x = nullptr;
  float* y = nullptr;
  int length = 0;
  int state = 0;  // its row in `States`
};

// h and c of (layer, direction) `i` and row `r` at base + i * block + r * hidden. In and out may be the
// same memory. Null in: zeros. Null out: not wanted.
struct States {
  const float* h_in = nullptr;
  float* h_out = nullptr;
  const float* c_in = nullptr;
  float* c_out = nullptr;
  size_t block = 0;
};

struct SequenceCall {
  const PackedStack* stack = nullptr;
  std::vector<SequenceRow> rows;
  int steps = 0;         // of y; beyond a row's length it is set to zero
  ptrdiff_t x_step = 0;  // floats from one step to the next
  ptrdiff_t y_step = 0;
  States states;
  Plan plan;
};

// Sorts the rows, completes the plan and runs. Throws what Pool::Turn throws.
void run_sequences(Pool& pool, SequenceCall& call);

}  // namespace nexus
