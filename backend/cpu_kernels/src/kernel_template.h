// The kernels themselves: projection of inputs, and one step of each cell. An isa_*.cpp includes a
// simd_*.h, then this file, then names its table; everything here has internal linkage (see kernel.h).
#pragma once
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "cell_math.h"
#include "dot.h"
#include "kernel.h"

namespace {

using nexus::Cell;
using nexus::Exchange;
using nexus::LayerView;
using nexus::MatrixView;
using nexus::Precision;
using nexus::Projection;
using nexus::Step;

// What one pass over the recurrent weights computes.
enum class Pass { kLstm, kGru, kResetBeforeGates, kResetBeforeCandidate };

constexpr int gates_of_pass(Pass pass) {
  return pass == Pass::kLstm ? 4 : pass == Pass::kGru ? 3 : pass == Pass::kResetBeforeGates ? 2 : 1;
}
template <class Format>
constexpr int rows_that_fit(int gates) {
  if (Format::kGroup == 1) return gates == 4 ? kLstmRows : kGruRows;
  return gates == 4 ? kLstmRowsNarrow : kGruRowsNarrow;
}

// A fused multiply-add takes 4 cycles and two start in each: below 8 sums in flight the units idle, so
// few rows take several tiles at once.
constexpr int kSumsInFlight = 8;
constexpr int tiles_at_once(int rows, int gates) {
  int tiles = 1;
  while (rows * gates * tiles < kSumsInFlight && tiles < 4) tiles *= 2;
  return tiles;
}

template <int N>
using Constant = std::integral_constant<int, N>;

// Calls `call(Constant<rows>)`, so that `rows` becomes a template argument.
template <int Max, class Call>
NEXUS_INLINE void with_rows(int rows, const Call& call) {
  static_assert(Max <= 8);
  switch (rows) {
    case 1: call(Constant<1>{}); break;
    case 2: call(Constant<2>{}); break;
    case 3: if constexpr (Max >= 3) call(Constant<3>{}); break;
    case 4: if constexpr (Max >= 4) call(Constant<4>{}); break;
    case 5: if constexpr (Max >= 5) call(Constant<5>{}); break;
    case 6: if constexpr (Max >= 6) call(Constant<6>{}); break;
    case 7: if constexpr (Max >= 7) call(Constant<7>{}); break;
    case 8: if constexpr (Max >= 8) call(Constant<8>{}); break;
    default: break;
  }
}

// Splits `rows` into the fewest blocks of at most `Max` (or `wanted`) rows, as even as can be.
template <int Max, class Call>
NEXUS_INLINE void for_row_blocks(int rows, int wanted, const Call& call) {
  const int most = wanted > 0 && wanted < Max ? wanted : Max;
  int blocks = (rows + most - 1) / most;
  for (int row = 0; row < rows; --blocks) {
    const int count = (rows - row + blocks - 1) / blocks;
    with_rows<Max>(count, [&](auto n) { call(row, n); });
    row += count;
  }
}

NEXUS_INLINE int units_of_tile(const LayerView& layer, int tile) {
  const int left = layer.hidden - tile * kLanes;
  return left < kLanes ? left : kLanes;
}
NEXUS_INLINE Vec load_units(const float* p, int units) {
  return units == kLanes ? load(p) : load_first(p, units);
}
NEXUS_INLINE void store_units(float* p, Vec v, int units) {
  if (units == kLanes) {
    store(p, v);
  } else {
    store_first(p, v, units);
  }
}

// ---- projection of inputs ----

template <class Format, int Gates, int Rows>
__attribute__((noinline)) void project_block(const LayerView& layer, const Projection& job, int tile,
                                             int row) {
  Accumulators<Gates, Rows, 1> sum;
  const float* bias = layer.bias + static_cast<size_t>(tile) * Gates * kLanes;
  NEXUS_UNROLL for (int r = 0; r < Rows; ++r) {
    NEXUS_UNROLL for (int g = 0; g < Gates; ++g) sum.at[0][r][g] = load(bias + g * kLanes);
  }
  const MatrixView& w = layer.from_input;
  multiply<Format>(sum, w.words + tile * w.tile_words, 0, job.x + row, 0, w.k);
  float* out = job.out + (tile - job.tiles.begin) * job.tile_stride +
               static_cast<size_t>(row) * Gates * kLanes;
  NEXUS_UNROLL for (int r = 0; r < Rows; ++r) {
    NEXUS_UNROLL for (int g = 0; g < Gates; ++g) {
      store(out + (r * Gates + g) * kLanes, sum.at[0][r][g]);
    }
  }
}

template <class Format, int Gates>
void project_tiles(const LayerView& layer, const Projection& job) {
  for (int tile = job.tiles.begin; tile < job.tiles.end; ++tile) {
    for_row_blocks<rows_that_fit<Format>(Gates)>(job.rows, job.rows_per_block, [&](int row, auto rows) {
      project_block<Format, Gates, rows()>(layer, job, tile, row);
    });
  }
}

// ---- one step ----

template <Pass pass>
NEXUS_INLINE const float* projected_row(const Step& step, int tile, int row) {
  constexpr int kGates = pass == Pass::kLstm ? 4 : 3;
  return step.projected + (tile - step.tiles.begin) * step.tile_stride +
         static_cast<size_t>(row) * kGates * kLanes;
}

// What the sums start from: the projected inputs, which hold the biases.
template <Pass pass>
NEXUS_INLINE Vec start_of(const LayerView& layer, const Step& step, int tile, int row, int gate) {
  if constexpr (pass == Pass::kGru) {
    if (gate == 2) return load(layer.state_bias + static_cast<size_t>(tile) * kLanes);
  }
  if constexpr (pass == Pass::kResetBeforeCandidate) gate = 2;
  return load(projected_row<pass>(step, tile, row) + gate * kLanes);
}

// From the finished sums of one row of one tile to its new state.
template <Pass pass, int Gates>
NEXUS_INLINE void finish_cell(const LayerView& layer, const Step& step, int tile, int row,
                              const Vec (&sum)[Gates]) {
  const int unit = tile * kLanes;
  const int units = units_of_tile(layer, tile);
  if constexpr (pass == Pass::kLstm) {
    Vec c = load_units(step.c[row] + unit, units);
    const Vec h = lstm_cell(sum[0], sum[1], sum[2], sum[3], &c);
    store_units(step.c[row] + unit, c, units);
    store_units(step.h_after[row] + unit, h, units);
  } else {
    float* inputs = const_cast<float*>(projected_row<pass>(step, tile, row));
    const Vec h = step.h_before ? load_units(step.h_before[row] + unit, units) : set1(0.0f);
    if constexpr (pass == Pass::kGru) {
      const Vec n = fma(sigmoid(sum[0]), sum[2], load(inputs + 2 * kLanes));
      store_units(step.h_after[row] + unit, gru_mix(sum[1], n, h), units);
    } else if constexpr (pass == Pass::kResetBeforeGates) {
      store(inputs + kLanes, sum[1]);
      store_units(step.reset_h[row] + unit, mul(sigmoid(sum[0]), h), units);
    } else {
      store_units(step.h_after[row] + unit, gru_mix(load(inputs + kLanes), sum[0], h), units);
    }
  }
}

// The lines that another core has just written: asked for at once instead of one miss after another.
constexpr int kLinesAskedFor = 8;
template <int Rows>
NEXUS_INLINE void prefetch_rows(const float* const* rows, ptrdiff_t begin, ptrdiff_t end) {
  const ptrdiff_t stop = end - begin > kLinesAskedFor * 16 ? begin + kLinesAskedFor * 16 : end;
  for (int r = 0; r < Rows; ++r) {
    for (ptrdiff_t k = begin; k < stop; k += 16) __builtin_prefetch(rows[r] + k);
  }
}

template <class Format, Pass pass, int Rows, int Tiles>
__attribute__((noinline)) void step_block(const LayerView& layer, const Step& step, int tile, int row,
                                          const Exchange* exchange) {
  constexpr int kGates = gates_of_pass(pass);
  constexpr bool kCandidate = pass == Pass::kResetBeforeCandidate;
  Accumulators<kGates, Rows, Tiles> sum;
  NEXUS_UNROLL for (int t = 0; t < Tiles; ++t) {
    NEXUS_UNROLL for (int r = 0; r < Rows; ++r) {
      NEXUS_UNROLL for (int g = 0; g < kGates; ++g) {
        sum.at[t][r][g] = start_of<pass>(layer, step, tile + t, row + r, g);
      }
    }
  }
  if (step.h_before) {
    const MatrixView& w = kCandidate ? layer.candidate : layer.from_state;
    const float* const* h = (kCandidate ? step.reset_h : step.h_before) + row;
    const uint32_t* words = w.words + tile * w.tile_words;
    // This thread's own units need no waiting: they hide the others' last step.
    const ptrdiff_t own_begin = exchange ? step.tiles.begin * kLanes : 0;
    const ptrdiff_t own_stop = exchange ? step.tiles.end * kLanes : w.k;
    const ptrdiff_t own_end = own_stop < w.k ? own_stop : w.k;
    const ptrdiff_t bounds[3][2] = {{own_begin, own_end}, {0, own_begin}, {own_end, w.k}};
    for (int part = 0; part < (exchange ? 3 : 1); ++part) {
      if (part == 1) {
        nexus::wait_for_team(*exchange);
        prefetch_rows<Rows>(h, 0, own_begin);
        prefetch_rows<Rows>(h, own_end, w.k);
      }
      multiply<Format>(sum, words, w.tile_words, h, bounds[part][0], bounds[part][1]);
    }
  }
  // Through memory, so that the cell's code exists once: it is long, and cores overlap the rounds anyway.
  Vec sums[Tiles * Rows][kGates];
  NEXUS_UNROLL for (int i = 0; i < Tiles * Rows; ++i) {
    NEXUS_UNROLL for (int g = 0; g < kGates; ++g) sums[i][g] = sum.at[i / Rows][i % Rows][g];
  }
  for (int t = 0; t < Tiles; ++t) {
    for (int r = 0; r < Rows; ++r) {
      finish_cell<pass, kGates>(layer, step, tile + t, row + r, sums[t * Rows + r]);
    }
  }
}

// All rows for `Tiles` tiles from `tile`. Only the first block waits: after it every h is there.
template <class Format, Pass pass, int Tiles, int MaxRows>
NEXUS_INLINE void step_rows(const LayerView& layer, const Step& step, int tile,
                            const Exchange*& exchange) {
  for_row_blocks<MaxRows>(step.rows, step.rows_per_block, [&](int row, auto rows) {
    step_block<Format, pass, rows(), Tiles>(layer, step, tile, row, exchange);
    exchange = nullptr;
  });
}

template <class Format, Pass pass, int Tiles, int MaxRows>
void step_in_groups(const LayerView& layer, const Step& step) {
  const Exchange* exchange = step.h_before ? step.exchange : nullptr;
  const int count = step.tiles.end - step.tiles.begin;
  for (int done = 0; done < count;) {
    const int tiles = count - done >= Tiles ? Tiles : 1;
    const int tile = step.backwards ? step.tiles.end - done - tiles : step.tiles.begin + done;
    if (tiles == Tiles) {
      step_rows<Format, pass, Tiles, MaxRows>(layer, step, tile, exchange);
    } else {
      step_rows<Format, pass, 1, MaxRows>(layer, step, tile, exchange);
    }
    done += tiles;
  }
}

template <class Format, Pass pass>
void step_tiles(const LayerView& layer, const Step& step) {
  constexpr int kGates = gates_of_pass(pass);
  if (step.rows == 1) {
    step_in_groups<Format, pass, tiles_at_once(1, kGates), 1>(layer, step);
  } else if (step.rows == 2) {
    step_in_groups<Format, pass, tiles_at_once(2, kGates), 2>(layer, step);
  } else {
    step_in_groups<Format, pass, 1, rows_that_fit<Format>(kGates)>(layer, step);
  }
}

// ---- the table: precision becomes a template argument ----

template <class Call>
NEXUS_INLINE void with_format(Precision precision, const Call& call) {
  switch (precision) {
    case Precision::kFp32: call(Fp32Weights{}); break;
    case Precision::kFp24: call(Fp24Weights{}); break;
    case Precision::kBf16: call(Bf16Weights{}); break;
  }
}

void project(const LayerView& layer, const Projection& job) {
  with_format(layer.precision, [&](auto format) {
    using Format = decltype(format);
    if (layer.cell == Cell::kLstm) {
      project_tiles<Format, 4>(layer, job);
    } else {
      project_tiles<Format, 3>(layer, job);
    }
  });
}

void step(const LayerView& layer, const Step& step) {
  with_format(layer.precision, [&](auto format) {
    using Format = decltype(format);
    if (layer.cell == Cell::kLstm) {
      step_tiles<Format, Pass::kLstm>(layer, step);
    } else {
      step_tiles<Format, Pass::kGru>(layer, step);
    }
  });
}

void step_reset_before_gates(const LayerView& layer, const Step& step) {
  with_format(layer.precision, [&](auto format) {
    step_tiles<decltype(format), Pass::kResetBeforeGates>(layer, step);
  });
}

void step_reset_before_candidate(const LayerView& layer, const Step& step) {
  with_format(layer.precision, [&](auto format) {
    step_tiles<decltype(format), Pass::kResetBeforeCandidate>(layer, step);
  });
}

constexpr nexus::KernelTable table_named(const char* name) {
  return {name, kLanes, true, project, step, step_reset_before_gates, step_reset_before_candidate};
}

}  // namespace
