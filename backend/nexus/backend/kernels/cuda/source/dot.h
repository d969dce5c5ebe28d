// Family `dot`: fp32 products on CUDA cores, for one to eight sequences at once.
//
// GRNN's tiling: a group of LANES lanes makes ROWS consecutive gate rows for every sequence; lane l
// holds of each row the features 4*(s*LANES + l) .. +3 for every step s, in registers. A feature
// of the vector is read once from shared memory (float4: lanes side by side, groups by broadcast)
// and used ROWS times.
//
// The lanes' partial sums are reduced by a transposed tree: at each halving a lane gives away half
// of its sums and adds up the other half, so n sums cost n-1+log2(LANES/n) shuffles where a
// butterfly for each would cost n*log2(LANES).
#pragma once
#include "shape.h"

typedef float Element;
constexpr int ELEMENT_BYTES = 4;
constexpr int VECTOR_ROWS = BATCH_TILE;
constexpr int GROUPS = THREADS / LANES;

// Elements that a tile reads of each vector, and the stride of vectors with `elements` each.
__host__ __device__ constexpr int extent(int, int features) {
  return round_up(features, 4 * LANES);
}
__host__ __device__ constexpr int stride_of(int elements) { return round_up(elements, 4); }
__host__ __device__ constexpr bool enough_threads(int) { return THREADS >= LANES; }
__host__ __device__ constexpr int sum_floats(int gate_rows, int rows) {
  return round_up(UNITS * gate_rows, 4) * rows;
}

__device__ __forceinline__ void put(Element* vectors, int index, float value) {
  vectors[index] = value;
}

// The block's share of a weight matrix with `GATE_ROWS` rows a unit: this thread's part of it.
template <int GATE_ROWS, int FEATURES, int RESIDENT_STEPS>
struct Tile {
  static constexpr int ROWS = power_of_two_at_least(ceil_div(UNITS * GATE_ROWS, GROUPS));
  static constexpr int STEPS = ceil_div(FEATURES, 4 * LANES);
  static constexpr int HELD = smaller(STEPS, RESIDENT_STEPS);
  static constexpr int PACKED = STEPS * ROWS * THREADS;            // 16-byte pieces of a block
  static constexpr int SHARED = (STEPS - HELD) * ROWS * THREADS;   // of them, in shared memory

  float4 held[HELD > 0 ? HELD : 1][ROWS];
  const float4* shared;

  // `packed` is ordered so that each piece is one coalesced load: [STEPS][ROWS][THREADS].
  __device__ __forceinline__ void load(const uint4* packed, char* share) {
    const float4* pieces = (const float4*)packed;
    const int thread = threadIdx.x;
    UNROLL for (int s = 0; s < HELD; s++) UNROLL for (int r = 0; r < ROWS; r++)
        held[s][r] = pieces[(s * ROWS + r) * THREADS + thread];
    shared = (const float4*)share;
    for (int i = 0; i < (STEPS - HELD) * ROWS; i++)  // each thread reads back only what it wrote
      ((float4*)share)[i * THREADS + thread] = pieces[(HELD * ROWS + i) * THREADS + thread];
  }
};

// This thread's partial sums for N vectors.
template <int GATE_ROWS, int N>
struct Sums {
  static constexpr int ROWS = Tile<GATE_ROWS, 1, 1>::ROWS;
  float partial[N * ROWS];

  __device__ __forceinline__ void clear() {
    UNROLL for (int i = 0; i < N * ROWS; i++) partial[i] = 0.f;
  }

  template <int FEATURES, int RESIDENT_STEPS>
  __device__ __forceinline__ void add(const Tile<GATE_ROWS, FEATURES, RESIDENT_STEPS>& tile,
                                      const Element* vectors, int stride) {
    using T = Tile<GATE_ROWS, FEATURES, RESIDENT_STEPS>;
    const int lane = threadIdx.x % LANES;
    UNROLL for (int s = 0; s < T::STEPS; s++) {
      float4 vector[N];
      UNROLL for (int n = 0; n < N; n++)
          vector[n] = *(const float4*)&vectors[n * stride + (s * LANES + lane) * 4];
      UNROLL for (int r = 0; r < ROWS; r++) {
        const float4 w = s < T::HELD
                             ? tile.held[s < T::HELD ? s : 0][r]
                             : tile.shared[((s - T::HELD) * ROWS + r) * THREADS + threadIdx.x];
        UNROLL for (int n = 0; n < N; n++) {
          float& sum = partial[n * ROWS + r];
          sum = fused_multiply_add(w.x, vector[n].x, sum);
          sum = fused_multiply_add(w.y, vector[n].y, sum);
          sum = fused_multiply_add(w.z, vector[n].z, sum);
          sum = fused_multiply_add(w.w, vector[n].w, sum);
        }
      }
    }
  }

  // Halves the sums of a lane (`COUNT` left, from `first` on) until its group has added them up.
  template <int COUNT, int MASK>
  __device__ __forceinline__ void reduce(int lane, int& first) {
    if constexpr (MASK < LANES) {
      if constexpr (COUNT > 1) {
        constexpr int HALF = COUNT / 2;
        const bool upper = lane & MASK;
        UNROLL for (int i = 0; i < HALF; i++) {
          const float given = upper ? partial[i] : partial[i + HALF];
          const float kept = upper ? partial[i + HALF] : partial[i];
          partial[i] = kept + shuffle_xor(given, MASK);
        }
        first += upper ? HALF : 0;
        reduce<HALF, MASK * 2>(lane, first);
      } else {
        partial[0] += shuffle_xor(partial[0], MASK);
        reduce<1, MASK * 2>(lane, first);
      }
    }
  }

  // Leaves the whole sums in shared memory; a barrier must follow before they are read.
  __device__ __forceinline__ void finish(float* sums) {
    constexpr int TOTAL = N * ROWS, MINE = TOTAL > LANES ? TOTAL / LANES : 1;
    const int lane = threadIdx.x % LANES, group = threadIdx.x / LANES;
    int first = 0;
    reduce<TOTAL, 1>(lane, first);
    if (lane < TOTAL) {  // with fewer sums than lanes, the lanes behind hold copies
      UNROLL for (int i = 0; i < MINE; i++) {
        const int n = (first + i) / ROWS, row = group * ROWS + (first + i) % ROWS;
        if (row < UNITS * GATE_ROWS) sums[n * round_up(UNITS * GATE_ROWS, 4) + row] = partial[i];
      }
    }
  }
};

// The finished sum of gate row `row` of the block and vector `n`.
template <int GATE_ROWS, int N>
__device__ __forceinline__ float sum_of(const float* sums, int row, int n) {
  return sums[n * round_up(UNITS * GATE_ROWS, 4) + row];
}
