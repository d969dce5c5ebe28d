// The sizes of one configuration. Python (configuration.py) gives the macros; everything else
// follows from them here, at compile time, so that every loop below unrolls.
//
//   CELL             0 LSTM, 1 GRU (reset after the product), 2 GRU (reset before it)
//   HIDDEN, INPUT    features of h and of x
//   UNITS            hidden units of one block: its output tile, all gates of each
//   THREADS          threads of one block, a multiple of 32
//   BATCH_TILE       sequences (slots) of one launch that share the weights of one block
//   FAMILY           0 dot: fp32 on CUDA cores; 1 mma: 16-bit on tensor cores
//   LANES            dot: lanes that share one dot product
//   FP16             mma: 1 fp16, 0 bf16
//   EXCHANGE         0 counter barrier, 1 value+epoch words, 2 thread-block cluster
//   FUSED            0: W*x of all steps before the loop; 1: W beside R, x as more features
//   SEGMENT          not fused: input features whose weights are held at once
//   PROJECT_ROWS     not fused: rows of x multiplied at once
//   RESIDENT, RESIDENT_INPUT   steps of the tile of R (of W) in registers; others in shared
//   DIRECTIONS       1 or 2, a grid row each
//   LAYERS           1, or the layers of a wavefront, a grid row each
//   RING             exchanges of h that are kept: 2, more in a wavefront
#pragma once
#include "port.h"

#define CELL_LSTM 0
#define CELL_GRU 1
#define CELL_GRU_RESET_BEFORE 2
#define FAMILY_DOT 0
#define FAMILY_MMA 1
#define EXCHANGE_COUNTER 0
#define EXCHANGE_WORDS 1
#define EXCHANGE_CLUSTER 2

__host__ __device__ constexpr int ceil_div(int a, int b) { return (a + b - 1) / b; }
__host__ __device__ constexpr int round_up(int a, int b) { return ceil_div(a, b) * b; }
__host__ __device__ constexpr int larger(int a, int b) { return a > b ? a : b; }
__host__ __device__ constexpr int smaller(int a, int b) { return a < b ? a : b; }
__host__ __device__ constexpr int power_of_two_at_least(int n) {
  int power = 1;
  while (power < n) power *= 2;
  return power;
}

constexpr int GATES = CELL == CELL_LSTM ? 4 : 3;
// The gate rows of one unit in the product with h. A fused GRU keeps the candidate's two products
// apart (its reset gate scales only that with h), so it has a fourth row.
constexpr int FIRST_ROWS = CELL == CELL_LSTM               ? 4
                           : CELL == CELL_GRU_RESET_BEFORE ? 2
                           : FUSED                         ? 4
                                                           : 3;
constexpr int SECOND_ROWS = 1;  // reset before: the candidate, over r*h, after a second exchange
constexpr bool TWO_PRODUCTS = CELL == CELL_GRU_RESET_BEFORE;
constexpr int EXCHANGES_PER_STEP = TWO_PRODUCTS ? 2 : 1;

constexpr int BLOCKS = ceil_div(HIDDEN, UNITS);
constexpr int PADDED_HIDDEN = BLOCKS * UNITS;
constexpr int WARPS = THREADS / 32;
constexpr int PARTS = DIRECTIONS * LAYERS;
// What is multiplied by W: in a wavefront the layers above the first take h of the one below.
constexpr int INPUT_FEATURES = LAYERS > 1 ? larger(INPUT, HIDDEN) : INPUT;

static_assert(THREADS % 32 == 0 && THREADS <= 1024, "whole warps");
static_assert(LAYERS == 1 || (FUSED && EXCHANGE == EXCHANGE_WORDS), "a wavefront sends words");
static_assert(LAYERS == 1 || DIRECTIONS == 1, "a layer above needs both directions complete");
static_assert(LAYERS == 1 || !TWO_PRODUCTS, "the layer above would read r*h as its input");
static_assert(FAMILY == FAMILY_DOT || UNITS % 2 == 0, "two 16-bit values travel together");
