// States of many sequences that join, leave and advance in any company.
#pragma once
#include <cstddef>
#include <mutex>
#include <vector>

#include "aligned_buffer.h"
#include "sequence.h"

namespace nexus {

constexpr int kSlotsMax = 1 << 16;

// Which slots to advance, and where their inputs and outputs lie.
struct Advance {
  const int32_t* slots = nullptr;
  const int32_t* lengths = nullptr;  // null: all of `steps`
  int count = 0;
  int steps = 0;
  const float* x = nullptr;
  float* y = nullptr;
  ptrdiff_t x_row = 0;  // floats between rows, and between steps
  ptrdiff_t x_step = 0;
  ptrdiff_t y_row = 0;
  ptrdiff_t y_step = 0;
  Plan plan;
};

// One state per slot. Rows are pointers into it, so a change of company moves no data.
class Slots {
 public:
  // Throws std::invalid_argument for a bidirectional stack: its backward half needs the whole sequence.
  Slots(const PackedStack& stack, int slots);

  int count() const { return count_; }
  // h0 and c0 are [layers, hidden]; null is zero.
  void reset(int slot, const float* h0, const float* c0);
  // Throws std::invalid_argument for a slot out of range or named twice, or a length beyond the steps.
  void advance(Pool& pool, const Advance& advance);
  // Copies the slot's state to [layers, hidden] arrays; null is skipped.
  void read(int slot, float* h, float* c);

 private:
  void check_slot(int slot) const;
  SequenceCall call_for(const Advance& advance);
  float* row(AlignedBuffer& states, int layer, int slot);

  const PackedStack& stack_;
  const int count_;
  std::mutex turn_;
  AlignedBuffer h_;
  AlignedBuffer c_;
  std::vector<char> named_;
};

}  // namespace nexus
