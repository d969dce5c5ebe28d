#include "slots.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

namespace nexus {
namespace {

size_t state_bytes(const PackedStack& stack, int slots) {
  return size_t(stack.shape().layers) * slots * stack.shape().hidden * sizeof(float);
}

}  // namespace

Slots::Slots(const PackedStack& stack, int slots) : stack_(stack), count_(slots) {
  if (slots < 1 || slots > kSlotsMax) {
    throw std::invalid_argument("slots: got " + std::to_string(slots) + ", expected 1 to " +
                                std::to_string(kSlotsMax));
  }
  if (stack.shape().directions != 1) {
    throw std::invalid_argument("slots need a stack of one direction: a backward layer begins at a sequence's end");
  }
  h_ = AlignedBuffer(state_bytes(stack, slots));
  if (stack.shape().cell == Cell::kLstm) c_ = AlignedBuffer(state_bytes(stack, slots));
  named_.resize(slots);
}

void Slots::check_slot(int slot) const {
  if (slot < 0 || slot >= count_) {
    throw std::invalid_argument("slot: got " + std::to_string(slot) + ", expected 0 to " +
                                std::to_string(count_ - 1));
  }
}

float* Slots::row(AlignedBuffer& states, int layer, int slot) {
  return states.as<float>() + (size_t(layer) * count_ + slot) * stack_.shape().hidden;
}

void Slots::reset(int slot, const float* h0, const float* c0) {
  check_slot(slot);
  const std::lock_guard<std::mutex> lock(turn_);
  const int hidden = stack_.shape().hidden;
  const auto fill = [&](float* to, const float* from) {
    if (from) {
      std::memcpy(to, from, hidden * sizeof(float));
    } else {
      std::memset(to, 0, hidden * sizeof(float));
    }
  };
  for (int layer = 0; layer < stack_.shape().layers; ++layer) {
    fill(row(h_, layer, slot), h0 ? h0 + size_t(layer) * hidden : nullptr);
    if (c_.bytes()) fill(row(c_, layer, slot), c0 ? c0 + size_t(layer) * hidden : nullptr);
  }
}

void Slots::read(int slot, float* h, float* c) {
  check_slot(slot);
  const std::lock_guard<std::mutex> lock(turn_);
  const int hidden = stack_.shape().hidden;
  for (int layer = 0; layer < stack_.shape().layers; ++layer) {
    if (h) std::memcpy(h + size_t(layer) * hidden, row(h_, layer, slot), hidden * sizeof(float));
    if (c) std::memcpy(c + size_t(layer) * hidden, row(c_, layer, slot), hidden * sizeof(float));
  }
}

void Slots::advance(Pool& pool, const Advance& advance) {
  const std::lock_guard<std::mutex> lock(turn_);
  SequenceCall call = call_for(advance);
  run_sequences(pool, call);
}

SequenceCall Slots::call_for(const Advance& advance) {
  SequenceCall call;
  call.stack = &stack_;
  call.steps = advance.steps;
  call.x_step = advance.x_step;
  call.y_step = advance.y_step;
  call.plan = advance.plan;
  const size_t block = size_t(count_) * stack_.shape().hidden;
  call.states = {h_.as<float>(), h_.as<float>(), c_.as<float>(), c_.as<float>(), block};
  std::fill(named_.begin(), named_.end(), 0);
  for (int i = 0; i < advance.count; ++i) {
    const int slot = advance.slots[i];
    const int length = advance.lengths ? advance.lengths[i] : advance.steps;
    check_slot(slot);
    if (named_[slot]) throw std::invalid_argument("slot " + std::to_string(slot) + " is named twice");
    if (length < 0 || length > advance.steps) {
      throw std::invalid_argument("lengths: got " + std::to_string(length) + ", expected 0 to " +
                                  std::to_string(advance.steps));
    }
    named_[slot] = 1;
    call.rows.push_back({advance.x + i * advance.x_row, advance.y + i * advance.y_row, length, slot});
  }
  return call;
}

}  // namespace nexus
