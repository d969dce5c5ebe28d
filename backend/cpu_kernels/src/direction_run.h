// One thread's part of one direction of one layer: its units (or rows) through all steps.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "sequence.h"

namespace nexus {

// The threads that exchange h with each other: first, first + stride, ...
struct Team {
  int first = 0;
  int stride = 1;
  int members = 1;
  int self = 0;
};

// Where a row's values at a step lie: its own base (the caller's arrays) or a shared one plus its place.
struct RowsOverTime {
  float* base = nullptr;  // null: the caller's x or y of each row
  ptrdiff_t row_stride = 0;
  ptrdiff_t step_stride = 0;
  bool caller_input = false;

  float* of(const SequenceRow& row, size_t place) const {
    if (base) return base + static_cast<ptrdiff_t>(place) * row_stride;
    return caller_input ? const_cast<float*>(row.x) : row.y;
  }
};

class DirectionRun {
 public:
  // `posted` counts the steps this thread has told the others about; it grows here.
  DirectionRun(Pool& pool, const PackedStack& stack, int64_t& posted);

  void run();
  void save_state() const;  // once the whole team has run

  int thread = 0;
  int layer = 0;
  int direction = 0;
  Team team;
  size_t first_row = 0;
  size_t row_stride = 1;
  RowsOverTime input;
  RowsOverTime output;
  const std::vector<SequenceRow>* rows = nullptr;
  States states;
  Plan plan;
  float* cells = nullptr;    // [row][hidden], where the caller wants none back
  float* reset_h = nullptr;  // [row][hidden]

 private:
  struct Chunk {
    int begin = 0;
    int end = 0;
    int rows = 0;
  };

  void prepare();
  void start_row(size_t own, size_t place);
  void start_cells(const SequenceRow& row, float* c) const;
  Chunk next_chunk(int begin) const;
  int active_rows(int step) const;
  void project(const Chunk& chunk);
  void step_all(const Chunk& chunk);
  void run_step(int step, Step& job);
  void post();
  float* state_of(float* base, const SequenceRow& row) const;
  const float* state_of(const float* base, const SequenceRow& row) const;
  const SequenceRow& own_row(size_t own) const { return (*rows)[first_row + own * row_stride]; }
  ptrdiff_t sign() const { return direction == 0 ? 1 : -1; }

  Pool& pool_;
  const PackedStack& stack_;
  const LayerView* view_ = nullptr;
  int64_t& posted_;
  TileRange tiles_;
  int unit_begin_ = 0;
  int unit_end_ = 0;
  size_t own_rows_ = 0;
  int chunk_rows_ = 0;
  float* projected_ = nullptr;
  const float** x_ = nullptr;  // x of each own row at the next step to project
  const float** h_before_ = nullptr;
  float** h_after_ = nullptr;
  float** c_ = nullptr;
  float** reset_rows_ = nullptr;
};

}  // namespace nexus
