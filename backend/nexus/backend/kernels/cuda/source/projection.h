// W*x for all steps of the launch, before the first step. A block needs only its own rows of W*x,
// so it can make them by itself: no second kernel, no exchange, and the result stays in scratch
// that nobody else touches. Rows of x are taken many at a time, whatever step and slot they are of.
#pragma once
#include "exchange.h"

__device__ __forceinline__ float* projected_rows(const Arguments& arguments) {
  const size_t block = (size_t)(part_index() * tile_count() + tile_index()) * BLOCKS + blockIdx.x;
  return arguments.projected +
         block * arguments.launch_steps * BATCH_TILE * UNITS * GATES;
}

// Rows `first`.. of the flattened (step, slot) grid: features of one segment, zeros around them.
__device__ __forceinline__ void stage_rows(const Arguments& arguments, const Slot* slots, int first,
                                           int segment, Element* inputs) {
  constexpr int WIDTH = extent(GATES, SEGMENT);
  for (int i = threadIdx.x; i < PROJECT_ROWS * WIDTH; i += THREADS) {
    const int row = i / WIDTH, feature = segment * SEGMENT + i % WIDTH;
    const int step = (first + row) / BATCH_TILE;
    const Slot& slot = slots[(first + row) % BATCH_TILE];
    const bool real = step < slot.steps && i % WIDTH < SEGMENT && feature < INPUT;
    const float value =
        real ? arguments.x[(size_t)(slot.x_row + row_of_step(slot.steps, step)) * INPUT + feature]
             : 0.f;
    put(inputs, row * INPUT_STRIDE + i % WIDTH, value);
  }
}

__device__ __forceinline__ void keep_rows(const float* sums, const float* bias, int first,
                                          int total, bool first_segment, float* projected) {
  for (int i = threadIdx.x; i < PROJECT_ROWS * UNITS; i += THREADS) {
    const int row = i / UNITS, unit = i % UNITS;
    if (first + row >= total) continue;
    float* kept = projected + (size_t)((first + row) * UNITS + unit) * GATES;
    UNROLL for (int g = 0; g < GATES; g++) {
      const float before = first_segment ? bias[unit * 4 + g] : load_private(&kept[g]);
      store_private(&kept[g], before + sum_of<GATES, PROJECT_ROWS>(sums, unit * GATES + g, row));
    }
  }
}

__device__ __forceinline__ void project(const Arguments& arguments, const Slot* slots, int steps,
                                        const uint4* weights, const float* bias, char* memory) {
  Element* inputs = (Element*)(memory + INPUT_OFFSET);
  float* sums = (float*)(memory + SUMS_OFFSET);
  const int total = steps * BATCH_TILE;
  for (int segment = 0; segment < SEGMENTS; segment++) {
    ProjectionTile tile;
    tile.load(weights + (size_t)segment * ProjectionTile::PACKED, memory);
    for (int first = 0; first < total; first += PROJECT_ROWS) {
      stage_rows(arguments, slots, first, segment, inputs);
      barrier();
      Sums<GATES, PROJECT_ROWS> products;
      products.clear();
      products.add(tile, inputs, INPUT_STRIDE);
      products.finish(sums);
      barrier();
      keep_rows(sums, bias, first, total, segment == 0, projected_rows(arguments));
    }
  }
  // Scratch is read by other threads than wrote it: behind the barrier before the first step.
}
