#include "direction_run.h"

#include <algorithm>
#include <cstring>

namespace nexus {
namespace {

constexpr int kFloatsPerLine = 16;

// Shares tiles out so that no cache line of h has two writers, as far as there are enough of them.
TileRange share_of(int tiles, int lanes, const Team& team) {
  const int per_line = std::max(1, kFloatsPerLine / lanes);
  const int lines = (tiles + per_line - 1) / per_line;
  const auto bound = [&](int member) {
    return std::min(tiles, static_cast<int>(int64_t{lines} * member / team.members) * per_line);
  };
  return {bound(team.self), bound(team.self + 1)};
}

}  // namespace

DirectionRun::DirectionRun(Pool& pool, const PackedStack& stack, int64_t& posted)
    : pool_(pool), stack_(stack), posted_(posted) {}

void DirectionRun::run() {
  prepare();
  const int steps = own_rows_ == 0 ? 0 : own_row(0).length;
  for (int begin = 0; begin < steps;) {
    const Chunk chunk = next_chunk(begin);
    project(chunk);
    step_all(chunk);
    begin = chunk.end;
  }
}

void DirectionRun::save_state() const {
  if (!states.h_out) return;
  const TileRange tiles = share_of(stack_.view(layer, direction).tiles, stack_.kernels().lanes, team);
  const int begin = tiles.begin * stack_.kernels().lanes;
  const int end = std::min(tiles.end * stack_.kernels().lanes, stack_.shape().hidden);
  if (begin >= end) return;
  const size_t bytes = (end - begin) * sizeof(float);
  for (size_t place = first_row; place < rows->size(); place += row_stride) {
    const SequenceRow& row = (*rows)[place];
    float* to = state_of(states.h_out, row) + begin;
    if (row.length > 0) {
      const int last = direction == 0 ? row.length - 1 : 0;
      const float* y = output.of(row, place) + last * output.step_stride;
      std::memcpy(to, y + direction * stack_.shape().hidden + begin, bytes);
    } else if (!states.h_in) {
      std::memset(to, 0, bytes);
    } else if (states.h_in != states.h_out) {
      std::memcpy(to, state_of(states.h_in, row) + begin, bytes);
    }
  }
}

void DirectionRun::prepare() {
  view_ = &stack_.view(layer, direction);
  const int lanes = stack_.kernels().lanes;
  tiles_ = share_of(view_->tiles, lanes, team);
  unit_begin_ = tiles_.begin * lanes;
  unit_end_ = std::min(tiles_.end * lanes, view_->hidden);
  own_rows_ = rows->size() > first_row ? (rows->size() - first_row + row_stride - 1) / row_stride : 0;

  int64_t row_steps = 0;
  for (size_t own = 0; own < own_rows_; ++own) row_steps += own_row(own).length;
  const int64_t chunks = std::max<int64_t>(1, (row_steps + plan.chunk_rows - 1) / plan.chunk_rows);
  chunk_rows_ = static_cast<int>((row_steps + chunks - 1) / chunks);  // of even sizes

  ThreadScratch& scratch = pool_.scratch(thread);
  const size_t floats = size_t(chunk_rows_ + own_rows_) * gates_of(view_->cell) * lanes *
                        (tiles_.end - tiles_.begin);
  projected_ = scratch.projected.array<float>(floats);
  auto** pointers = scratch.rows.array<float*>(own_rows_ * 5);
  x_ = const_cast<const float**>(pointers);
  h_before_ = const_cast<const float**>(pointers + own_rows_);
  h_after_ = pointers + own_rows_ * 2;
  c_ = pointers + own_rows_ * 3;
  reset_rows_ = pointers + own_rows_ * 4;
  for (size_t own = 0; own < own_rows_; ++own) start_row(own, first_row + own * row_stride);
}

void DirectionRun::start_row(size_t own, size_t place) {
  const SequenceRow& row = (*rows)[place];
  const ptrdiff_t first_step = direction == 0 ? 0 : std::max(0, row.length - 1);
  x_[own] = input.of(row, place) + first_step * input.step_stride;
  h_before_[own] = states.h_in ? state_of(states.h_in, row) : nullptr;
  h_after_[own] = output.of(row, place) + first_step * output.step_stride + direction * view_->hidden;
  reset_rows_[own] = reset_h + place * view_->hidden;
  if (view_->cell == Cell::kLstm) {
    c_[own] = states.c_out ? state_of(states.c_out, row) : cells + place * view_->hidden;
    start_cells(row, c_[own]);
  }
}

void DirectionRun::start_cells(const SequenceRow& row, float* c) const {
  if (unit_begin_ >= unit_end_) return;
  const size_t bytes = (unit_end_ - unit_begin_) * sizeof(float);
  if (!states.c_in) {
    std::memset(c + unit_begin_, 0, bytes);
  } else if (const float* from = state_of(states.c_in, row); from != c) {
    std::memcpy(c + unit_begin_, from + unit_begin_, bytes);
  }
}

DirectionRun::Chunk DirectionRun::next_chunk(int begin) const {
  Chunk chunk{begin, begin, 0};
  const int steps = own_row(0).length;
  while (chunk.end < steps && chunk.rows < chunk_rows_) chunk.rows += active_rows(chunk.end++);
  return chunk;
}

// Rows are sorted longest first: the active ones are a prefix.
int DirectionRun::active_rows(int step) const {
  if (own_row(own_rows_ - 1).length > step) return static_cast<int>(own_rows_);
  size_t count = 0;
  while (own_row(count).length > step) ++count;
  return static_cast<int>(count);
}

void DirectionRun::project(const Chunk& chunk) {
  const float** x = pool_.scratch(thread).inputs.array<const float*>(chunk.rows);
  int at = 0;
  for (int step = chunk.begin; step < chunk.end; ++step) {
    const int active = active_rows(step);
    for (int own = 0; own < active; ++own) {
      x[at++] = x_[own];
      x_[own] += sign() * input.step_stride;
    }
  }
  Projection job;
  job.tiles = tiles_;
  job.x = x;
  job.rows = chunk.rows;
  job.out = projected_;
  job.tile_stride = size_t(chunk.rows) * gates_of(view_->cell) * stack_.kernels().lanes;
  stack_.kernels().project(*view_, job);
}

void DirectionRun::step_all(const Chunk& chunk) {
  const size_t row_floats = size_t(gates_of(view_->cell)) * stack_.kernels().lanes;
  Step job;
  job.tiles = tiles_;
  job.rows_per_block = plan.rows_per_block;
  job.h_after = h_after_;
  job.c = c_;
  job.reset_h = reset_rows_;
  job.projected = projected_;
  job.tile_stride = chunk.rows * row_floats;
  for (int step = chunk.begin; step < chunk.end; ++step) {
    job.rows = active_rows(step);
    job.h_before = step == 0 && !states.h_in ? nullptr : h_before_;
    run_step(step, job);
    job.projected += job.rows * row_floats;
    for (int own = 0; own < job.rows; ++own) {
      h_before_[own] = h_after_[own];
      h_after_[own] += sign() * output.step_stride;
    }
  }
}

void DirectionRun::run_step(int step, Step& job) {
  const KernelTable& kernels = stack_.kernels();
  Exchange exchange{pool_.counters(), team.first, team.stride, team.members, team.self, posted_};
  const bool alone = team.members == 1;
  job.exchange = alone || step == 0 ? nullptr : &exchange;
  job.backwards = step % 2 != 0;
  if (view_->cell != Cell::kGruResetBefore) {
    kernels.step(*view_, job);
  } else {
    kernels.step_reset_before_gates(*view_, job);
    post();
    exchange.expected = posted_;
    job.exchange = alone ? nullptr : &exchange;
    kernels.step_reset_before_candidate(*view_, job);
  }
  post();
}

void DirectionRun::post() {
  __atomic_store_n(&pool_.counters()[thread].value, ++posted_, __ATOMIC_RELEASE);
}

float* DirectionRun::state_of(float* base, const SequenceRow& row) const {
  const size_t block = size_t(layer) * stack_.shape().directions + direction;
  return base + block * states.block + size_t(row.state) * stack_.shape().hidden;
}

const float* DirectionRun::state_of(const float* base, const SequenceRow& row) const {
  return state_of(const_cast<float*>(base), row);
}

}  // namespace nexus
