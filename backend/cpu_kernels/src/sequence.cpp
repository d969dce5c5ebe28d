#include "sequence.h"

#include <algorithm>
#include <cstring>

#include "direction_run.h"

namespace nexus {
namespace {

// One call on all its threads.
class SequenceRun {
 public:
  SequenceRun(Pool& pool, const SequenceCall& call) : pool_(pool), call_(call) {
    const StackShape& shape = call.stack->shape();
    const size_t rows = call.rows.size();
    const size_t hidden_rows = rows * shape.hidden * shape.directions;
    between_floats_ = shape.layers > 1 ? hidden_rows * longest() : 0;
    // Two outputs of inner layers in turn, cell states, and r*h.
    scratch_ = pool.shared_scratch().array<float>(2 * between_floats_ + 2 * hidden_rows);
    cells_ = scratch_ + 2 * between_floats_;
    reset_h_ = cells_ + hidden_rows;
  }

  void run() {
    pool_.run(call_.plan.threads,
              [](void* self, int thread) { static_cast<SequenceRun*>(self)->run_thread(thread); }, this);
  }

 private:
  int longest() const { return call_.rows.empty() ? 0 : call_.rows.front().length; }

  void run_thread(int thread) {
    const StackShape& shape = call_.stack->shape();
    clear_beyond_lengths(thread);
    int64_t posted = 0;
    for (int layer = 0; layer < shape.layers; ++layer) {
      for (int direction = 0; direction < shape.directions; ++direction) {
        if (!runs_direction(thread, direction)) continue;
        make_direction(thread, layer, direction, posted).run();
      }
      const bool last = layer + 1 == shape.layers;
      if (call_.plan.split != Split::kRows && (!last || call_.states.h_out)) {
        wait_for_team({pool_.counters(), 0, 1, call_.plan.threads, thread, posted});
      }
      for (int direction = 0; direction < shape.directions; ++direction) {
        if (!runs_direction(thread, direction)) continue;
        make_direction(thread, layer, direction, posted).save_state();
      }
    }
  }

  bool runs_direction(int thread, int direction) const {
    return call_.plan.split != Split::kDirections || thread % 2 == direction;
  }

  Team team_of(int thread) const {
    switch (call_.plan.split) {
      case Split::kRows: return {thread, 1, 1, 0};
      case Split::kDirections: return {thread % 2, 2, call_.plan.threads / 2, thread / 2};
      default: return {0, 1, call_.plan.threads, thread};
    }
  }

  DirectionRun make_direction(int thread, int layer, int direction, int64_t& posted) {
    const StackShape& shape = call_.stack->shape();
    DirectionRun run(pool_, *call_.stack, posted);
    run.thread = thread;
    run.layer = layer;
    run.direction = direction;
    run.team = team_of(thread);
    run.first_row = call_.plan.split == Split::kRows ? thread : 0;
    run.row_stride = call_.plan.split == Split::kRows ? call_.plan.threads : 1;
    run.input = layer == 0 ? caller_rows(true) : between(layer - 1);
    run.output = layer + 1 == shape.layers ? caller_rows(false) : between(layer);
    run.rows = &call_.rows;
    run.states = call_.states;
    run.plan = call_.plan;
    const size_t offset = call_.rows.size() * shape.hidden * direction;
    run.cells = cells_ + offset;
    run.reset_h = reset_h_ + offset;
    return run;
  }

  RowsOverTime caller_rows(bool input) const {
    return {nullptr, 0, input ? call_.x_step : call_.y_step, input};
  }

  RowsOverTime between(int layer) const {
    const ptrdiff_t width = call_.stack->shape().output();
    float* base = scratch_ + (layer % 2) * between_floats_;
    return {base, width, width * static_cast<ptrdiff_t>(call_.rows.size()), false};
  }

  void clear_beyond_lengths(int thread) const {
    const size_t bytes = call_.stack->shape().output() * sizeof(float);
    for (size_t i = thread; i < call_.rows.size(); i += call_.plan.threads) {
      const SequenceRow& row = call_.rows[i];
      for (int t = row.length; t < call_.steps; ++t) std::memset(row.y + t * call_.y_step, 0, bytes);
    }
  }

  Pool& pool_;
  const SequenceCall& call_;
  size_t between_floats_ = 0;
  float* scratch_ = nullptr;
  float* cells_ = nullptr;
  float* reset_h_ = nullptr;
};

}  // namespace

void run_sequences(Pool& pool, SequenceCall& call) {
  std::stable_sort(call.rows.begin(), call.rows.end(),
                   [](const SequenceRow& a, const SequenceRow& b) { return a.length > b.length; });
  if (call.rows.empty()) return;
  Load load{static_cast<int>(call.rows.size()), 0, call.rows.front().length};
  for (const SequenceRow& row : call.rows) load.row_steps += row.length;
  call.plan = complete_plan(call.plan, call.stack->shape(), load, pool.threads());
  const Pool::Turn turn(pool);
  SequenceRun(pool, call).run();
}

}  // namespace nexus
