#include "plan.h"

#include <algorithm>

namespace nexus {
namespace {

// A second thread costs an exchange per step (about 0.2 us): below this many multiply-adds per step the
// step itself is shorter.
constexpr int64_t kMultiplyAddsPerThread = 3000;
// Projected inputs of a chunk stay in the L2 cache between their projection and their steps.
constexpr int64_t kChunkBytes = 192 << 10;
constexpr int kChunkRowsMin = 48;

int64_t multiply_adds_of_step(const StackShape& shape, const Load& load) {
  const int64_t per_row = static_cast<int64_t>(gates_of(shape.cell)) * shape.hidden * shape.hidden;
  const int64_t rows = load.steps > 0 ? (load.row_steps + load.steps - 1) / load.steps : 0;
  return per_row * rows;
}

int choose_threads(const StackShape& shape, const Load& load, int pool_threads) {
  const int64_t worth = multiply_adds_of_step(shape, load) / kMultiplyAddsPerThread;
  const int most = std::min<int64_t>(pool_threads, std::max(1, shape.hidden / 16));
  return static_cast<int>(std::clamp<int64_t>(worth, 1, most));
}

Split choose_split(const StackShape& shape, int threads) {
  return shape.directions == 2 && threads % 2 == 0 ? Split::kDirections : Split::kUnits;
}

int choose_chunk_rows(const StackShape& shape, int threads) {
  const int64_t row_bytes = int64_t{4} * gates_of(shape.cell) * shape.hidden / threads;
  return static_cast<int>(std::max<int64_t>(kChunkRowsMin, kChunkBytes / std::max<int64_t>(1, row_bytes)));
}

}  // namespace

Plan complete_plan(const Plan& wanted, const StackShape& shape, const Load& load, int pool_threads) {
  Plan plan = wanted;
  if (plan.threads == 0) plan.threads = choose_threads(shape, load, pool_threads);
  plan.threads = std::clamp(plan.threads, 1, pool_threads);
  if (plan.split == Split::kAuto) plan.split = choose_split(shape, plan.threads);
  if (plan.split == Split::kDirections && (shape.directions == 1 || plan.threads % 2 != 0)) {
    plan.split = Split::kUnits;
  }
  if (plan.chunk_rows == 0) plan.chunk_rows = choose_chunk_rows(shape, plan.threads);
  return plan;
}

}  // namespace nexus
