// The contract between the drivers (compiled once) and the kernels (compiled once per instruction set).
// Plain data and function pointers only: an inline function or a template shared by both sides could be
// linked in its AVX-512 form and then run on a CPU without it.
#pragma once
#include <cstddef>
#include <cstdint>

#include "cell.h"

namespace nexus {

// A matrix [gates * units, k] in output tiles: [tile][k group][gate][word][lane], 32-bit words.
struct MatrixView {
  const uint32_t* words = nullptr;
  size_t tile_words = 0;
  int k = 0;
};

// One direction of one layer. A tile holds every gate of `lanes` units, so that the gates of a unit end
// in registers side by side and the cell needs no exchange.
struct LayerView {
  Cell cell = Cell::kLstm;
  Precision precision = Precision::kFp32;
  int input = 0;
  int hidden = 0;
  int tiles = 0;
  MatrixView from_input;       // all gates, times x
  MatrixView from_state;       // all gates, times h; reset-before GRU: r and z only
  MatrixView candidate;        // reset-before GRU: n, times r*h
  const float* bias = nullptr;        // [tile][gate][lane]; holds the state's bias too where it adds up
  const float* state_bias = nullptr;  // [tile][lane]; GRU: the bias inside r*(W h + b)
};

// How a thread learns that the others have finished a step: each posts a counter of its own.
struct alignas(128) Counter {
  int64_t value = 0;
};
struct Exchange {
  Counter* counters = nullptr;
  int first = 0;   // the team is first, first + stride, ...
  int stride = 1;
  int members = 1;
  int self = 0;
  int64_t expected = 0;
};
void wait_for_team(const Exchange& exchange);  // pool.cpp: spins, then yields the core

struct TileRange {
  int begin = 0;
  int end = 0;
};

// Rows of x times `from_input`, plus bias: out[tile - begin][row][gate][lane].
struct Projection {
  TileRange tiles;
  const float* const* x = nullptr;
  int rows = 0;
  int rows_per_block = 0;  // 0: the most that registers hold
  float* out = nullptr;
  size_t tile_stride = 0;  // floats between tiles of `out`
};

// One time step of all `rows` for the tiles of one thread.
struct Step {
  TileRange tiles;
  int rows = 0;
  int rows_per_block = 0;
  const float* const* h_before = nullptr;  // null: the state is zero
  float* const* h_after = nullptr;
  float* const* c = nullptr;               // LSTM, in place
  float* const* reset_h = nullptr;         // reset-before GRU: r*h, exchanged between its two phases
  float* projected = nullptr;              // the step's rows of a projection; reset-before keeps z there
  size_t tile_stride = 0;
  const Exchange* exchange = nullptr;      // null: h_before is complete
  bool backwards = false;                  // tiles last to first: the last are still in the L1 cache
};

struct KernelTable {
  const char* name;
  int lanes;
  bool weights_rounded_in_place;  // narrow weights are read with a neighbour's bits below (see pack.h)
  void (*project)(const LayerView&, const Projection&);
  void (*step)(const LayerView&, const Step&);
  void (*step_reset_before_gates)(const LayerView&, const Step&);
  void (*step_reset_before_candidate)(const LayerView&, const Step&);
};

extern const KernelTable kScalarKernels;
extern const KernelTable kAvx2Kernels;
extern const KernelTable kAvx512Kernels;
extern const KernelTable kNeonKernels;

}  // namespace nexus
