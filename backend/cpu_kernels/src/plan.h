// How a call is spread over threads and blocks: what a planner chooses, and the choice made without one.
#pragma once
#include <cstdint>

#include "packed_stack.h"

namespace nexus {

// kUnits: every thread owns hidden units of all rows, and they exchange h at each step.
// kRows: every thread owns rows, and none waits. kDirections: half the threads run backwards.
enum class Split : int32_t { kAuto, kUnits, kRows, kDirections };

struct Plan {
  int threads = 0;         // 0: chosen; at most the pool's
  Split split = Split::kAuto;
  int rows_per_block = 0;  // rows in registers at once; 0: the most that fit
  int chunk_rows = 0;      // rows of inputs projected before their steps run; 0: chosen
};

struct Load {
  int rows = 0;
  int64_t row_steps = 0;
  int steps = 0;
};

// Fills every zero and kAuto of `wanted`.
Plan complete_plan(const Plan& wanted, const StackShape& shape, const Load& load, int pool_threads);

}  // namespace nexus
