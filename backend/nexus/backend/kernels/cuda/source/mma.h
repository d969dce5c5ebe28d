// Family `mma`: 16-bit weights and h on tensor cores, sums, gates and c in fp32, any batch size.
//
// The block's gate rows are the A operand, 16 rows to a tile, held in registers; the sequences are
// the N dimension, eight to a tile. A warp owns one tile of rows and one of SPLIT parts of the
// features; the parts are added up through shared memory. There is no shuffle, and up to eight
// sequences cost what one costs.
//
// Which feature stands at which k of an mma is free, as long as weights and vector agree. In each
// run of 32 features (two mma) thread q takes the eight features 8q .. 8q+7, so that one 16-byte
// read of the vector feeds both: packing.py orders the weights to match.
#pragma once
#include "shape.h"

typedef unsigned short Element;
constexpr int ELEMENT_BYTES = 2;
constexpr int VECTOR_ROWS = round_up(BATCH_TILE, 8);
constexpr int RUN = 32;  // features of two mma

// How the block's warps divide a product with `gate_rows` rows a unit: 16-row tiles, and warps that
// share one tile, each with its part of the features.
__host__ __device__ constexpr int tiles_of(int gate_rows) {
  return ceil_div(UNITS * gate_rows, 16);
}
__host__ __device__ constexpr int split_of(int gate_rows) {
  return larger(WARPS / tiles_of(gate_rows), 1);
}
__host__ __device__ constexpr bool enough_threads(int gate_rows) {
  return WARPS >= tiles_of(gate_rows);
}

// Elements that a tile reads of each vector, and the stride of vectors with `elements` each: 64
// bytes beyond a multiple of 128, so that eight threads that read 16 bytes each in two
// neighbouring rows touch all banks once.
__host__ __device__ constexpr int extent(int gate_rows, int features) {
  return round_up(features, RUN * split_of(gate_rows));
}
__host__ __device__ constexpr int stride_of(int elements) {
  return elements / 64 * 64 + (elements % 64 <= 32 ? 32 : 96);
}
__host__ __device__ constexpr int sum_floats(int gate_rows, int rows) {
  return split_of(gate_rows) * tiles_of(gate_rows) * 16 * (round_up(rows, 8) + 1);
}

__device__ __forceinline__ u32 pack_pair(float low, float high) {
  return FP16 ? pack_fp16(low, high) : pack_bf16(low, high);
}
__device__ __forceinline__ void put(Element* vectors, int index, float value) {
  vectors[index] = (Element)pack_pair(value, 0.f);
}

template <int GATE_ROWS, int FEATURES, int RESIDENT_STEPS>
struct Tile {
  static constexpr int SPLIT = split_of(GATE_ROWS);
  static constexpr int STEPS = ceil_div(FEATURES, RUN * SPLIT);  // runs of 32 for each warp
  static constexpr int HELD = smaller(STEPS, RESIDENT_STEPS);
  static constexpr int PACKED = STEPS * 2 * THREADS;
  static constexpr int SHARED = (STEPS - HELD) * 2 * THREADS;

  uint4 held[HELD > 0 ? HELD : 1][2];
  const uint4* shared;

  // `packed` holds A fragments in the order they are used: [STEPS][2 mma][THREADS].
  __device__ __forceinline__ void load(const uint4* packed, char* share) {
    const int thread = threadIdx.x;
    UNROLL for (int s = 0; s < HELD; s++) UNROLL for (int j = 0; j < 2; j++)
        held[s][j] = packed[(s * 2 + j) * THREADS + thread];
    shared = (const uint4*)share;
    for (int i = 0; i < (STEPS - HELD) * 2; i++)  // each thread reads back only what it wrote
      ((uint4*)share)[i * THREADS + thread] = packed[(HELD * 2 + i) * THREADS + thread];
  }
};

template <int GATE_ROWS, int N>
struct Sums {
  static constexpr int TILES = tiles_of(GATE_ROWS), SPLIT = split_of(GATE_ROWS);
  static constexpr int COLUMN_TILES = ceil_div(N, 8);
  // A lone column tile gets two chains of additions, so that one mma need not wait for the last.
  static constexpr int CHAINS = COLUMN_TILES == 1 ? 2 : 1;
  float partial[COLUMN_TILES][CHAINS][4];

  __device__ __forceinline__ void clear() {
    UNROLL for (int n = 0; n < COLUMN_TILES; n++) UNROLL for (int c = 0; c < CHAINS; c++)
        UNROLL for (int i = 0; i < 4; i++) partial[n][c][i] = 0.f;
  }

  template <int FEATURES, int RESIDENT_STEPS>
  __device__ __forceinline__ void add(const Tile<GATE_ROWS, FEATURES, RESIDENT_STEPS>& tile,
                                      const Element* vectors, int stride) {
    using T = Tile<GATE_ROWS, FEATURES, RESIDENT_STEPS>;
    const int lane = threadIdx.x % 32, part = threadIdx.x / 32 / TILES;
    if (part >= SPLIT) return;  // warps that divide into no whole part
    const Element* mine = vectors + lane / 4 * stride + part * T::STEPS * RUN + lane % 4 * 8;
    UNROLL for (int s = 0; s < T::STEPS; s++) {
      const uint4 a0 = s < T::HELD ? tile.held[s < T::HELD ? s : 0][0]
                                   : tile.shared[(s - T::HELD) * 2 * THREADS + threadIdx.x];
      const uint4 a1 = s < T::HELD ? tile.held[s < T::HELD ? s : 0][1]
                                   : tile.shared[((s - T::HELD) * 2 + 1) * THREADS + threadIdx.x];
      UNROLL for (int n = 0; n < COLUMN_TILES; n++) {
        const uint4 b = *(const uint4*)&mine[n * 8 * stride + s * RUN];
        multiply(partial[n][0], a0, b.x, b.y);
        multiply(partial[n][CHAINS - 1], a1, b.z, b.w);
      }
    }
  }

  __device__ __forceinline__ static void multiply(float (&d)[4], const uint4& a, u32 b0, u32 b1) {
    if (FP16) mma_fp16(d, a, b0, b1);
    else mma_bf16(d, a, b0, b1);
  }

  __device__ __forceinline__ void finish(float* sums) {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int part = warp / TILES, row = warp % TILES * 16 + lane / 4, column = lane % 4 * 2;
    if (part >= SPLIT) return;
    UNROLL for (int n = 0; n < COLUMN_TILES; n++) UNROLL for (int i = 0; i < 4; i++) {
      float sum = partial[n][0][i];
      if (CHAINS == 2) sum += partial[n][CHAINS - 1][i];
      const int of_row = part * TILES * 16 + row + i / 2 * 8, of_column = n * 8 + column + i % 2;
      sums[of_row * (COLUMN_TILES * 8 + 1) + of_column] = sum;
    }
  }
};

template <int GATE_ROWS, int N>
__device__ __forceinline__ float sum_of(const float* sums, int row, int n) {
  constexpr int STRIDE = round_up(N, 8) + 1;
  float sum = 0.f;
  UNROLL for (int part = 0; part < split_of(GATE_ROWS); part++)
      sum += sums[(part * tiles_of(GATE_ROWS) * 16 + row) * STRIDE + n];
  return sum;
}
