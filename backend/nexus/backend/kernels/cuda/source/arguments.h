// What one launch is given. Sequences are addressed through slots, so a launch needs no padding and
// no gathering: rows of x and y are packed, and the state of a sequence stays where it is.
//
// A launch runs `launch_steps` steps at most; a slot joins in for its own `steps`, then keeps its h
// and c. State is read from row `state_in` (-1: zeros) and written to row `state_out` (-1: nowhere)
// of [PARTS][state_rows][HIDDEN]. The two must differ: a block that is done writes its part of the
// new state while another may still be reading the old one.
#pragma once
#include "layout.h"

struct Slot {
  int x_row;      // first row of x
  int y_row;      // first row of y
  int steps;      // rows to go in this launch; 0: the slot is empty
  int state_in;   // row of h and c to begin with, or -1
  int state_out;  // row of h and c to leave behind, or -1
};

struct Arguments {
  const float* x;                  // [rows][INPUT]
  float* y;                        // [rows][DIRECTIONS * HIDDEN]
  const Slot* slots;               // [tiles * BATCH_TILE]
  const uint4* recurrent_weights;  // [PARTS][BLOCKS][RECURRENT_PACKED]
  const uint4* input_weights;      // [PARTS][BLOCKS][INPUT_PACKED]
  const float* bias;               // [PARTS][BLOCKS][UNITS][4]
  float* h_state;
  float* c_state;
  float* projected;  // scratch: [PARTS][tiles][BLOCKS][launch_steps * BATCH_TILE][UNITS][GATES]
  Word* words;       // the exchange's memory; epochs in it never repeat
  u32* counters;     // [2][PARTS * tiles]: arrivals of the counter barrier; credits of a wavefront
  u32* error;        // set to 1 by who waited longer than `patience`
  int state_rows;
  int launch_steps;
  u32 epoch;     // exchanges of all launches before this one
  u64 patience;  // clock ticks
};

// Which part of the grid this block is in.
__device__ __forceinline__ int part_index() { return blockIdx.y; }  // direction or layer
__device__ __forceinline__ int tile_index() { return blockIdx.z; }  // batch tile
__device__ __forceinline__ int tile_count() { return gridDim.z; }
__device__ __forceinline__ bool backwards() { return DIRECTIONS == 2 && part_index() == 1; }

// The row of x and y (relative to the slot's first) that a slot with `steps` rows is at.
__device__ __forceinline__ int row_of_step(int steps, int step) {
  return backwards() ? steps - 1 - step : step;
}
