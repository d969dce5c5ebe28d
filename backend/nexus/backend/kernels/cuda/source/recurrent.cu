// A recurrent layer (or both directions, or a wavefront of layers) as one persistent kernel:
// weights are loaded once, into registers, and stay there for all steps; a block makes all gates of
// its UNITS hidden units, so the cell's update is its own affair; only h travels between blocks.
//
// Grid: x = blocks of units, y = direction or layer (a part), z = batch tile. All blocks of a part
// and tile must be resident at once: a cooperative launch, or a cluster. Parts of different
// directions, and tiles, never wait for each other.
//
// A step: product (all threads) | barrier | gates, c and h of its items (each thread) | send h |
// receive everyone's h | barrier.
#include "projection.h"
#include "cells.h"

// What one thread keeps for its (sequence, unit) pairs from step to step.
struct Items {
  float h[ITEMS];
  float c[ITEMS];
  float input[ITEMS][4];  // W*x and biases of this step
  float update[ITEMS];    // reset before: the update gate, while r*h travels
};

struct Block {
  const Arguments& arguments;
  const Slot* slots;
  const float* bias;  // of this block
  char* memory;

  __device__ __forceinline__ Block(const Arguments& arguments, char* memory)
      : arguments(arguments),
        slots((const Slot*)(memory + SLOTS_OFFSET)),
        bias(arguments.bias + (size_t)(part_index() * BLOCKS + blockIdx.x) * UNITS * 4),
        memory(memory) {}

  __device__ __forceinline__ const uint4* weights_of(const uint4* all, int pieces) const {
    return all + (size_t)(part_index() * BLOCKS + blockIdx.x) * pieces;
  }

  // Copies the tile's slots to shared memory and returns the steps that the tile runs.
  __device__ __forceinline__ int read_slots() const {
    const int* from = (const int*)(arguments.slots + tile_index() * BATCH_TILE);
    for (int i = threadIdx.x; i < BATCH_TILE * 5; i += THREADS)
      ((int*)(memory + SLOTS_OFFSET))[i] = from[i];
    barrier();
    int steps = 0;
    for (int b = 0; b < BATCH_TILE; b++) steps = larger(steps, slots[b].steps);
    return steps;
  }

  __device__ __forceinline__ size_t state_index(int state_row, int unit) const {
    return ((size_t)part_index() * arguments.state_rows + state_row) * HIDDEN + unit;
  }

  // h of the whole tile into vector copy 0; zeros wherever nothing will ever be written.
  __device__ __forceinline__ void load_vectors() const {
    Element* vectors = (Element*)memory;
    for (int i = threadIdx.x; i < VECTOR_COPIES * VECTOR_ELEMENTS; i += THREADS) {
      const int row = i / VECTOR_STRIDE, unit = i % VECTOR_STRIDE;
      const bool real = row < BATCH_TILE && unit < HIDDEN && slots[row].state_in >= 0;
      put(vectors, i, real ? arguments.h_state[state_index(slots[row].state_in, unit)] : 0.f);
    }
  }

  __device__ __forceinline__ void load_items(Items& items) const {
    UNROLL for (int i = 0; i < ITEMS; i++) {
      const Place place = place_of(i);
      items.h[i] = items.c[i] = items.update[i] = 0.f;
      if (!place.real) continue;
      const int state = slots[place.row].state_in, unit = blockIdx.x * UNITS + place.unit;
      if (state < 0) continue;
      items.h[i] = arguments.h_state[state_index(state, unit)];
      if (CELL == CELL_LSTM) items.c[i] = arguments.c_state[state_index(state, unit)];
    }
  }

  __device__ __forceinline__ void store_items(const Items& items) const {
    UNROLL for (int i = 0; i < ITEMS; i++) {
      const Place place = place_of(i);
      if (!place.real || slots[place.row].state_out < 0) continue;
      const size_t to = state_index(slots[place.row].state_out, blockIdx.x * UNITS + place.unit);
      arguments.h_state[to] = items.h[i];
      if (CELL == CELL_LSTM) arguments.c_state[to] = items.c[i];
    }
  }

  // Not fused: what projection.h made, in flight during the product. Fused: only the biases.
  __device__ __forceinline__ void load_inputs(int step, const float* projected,
                                              Items& items) const {
    UNROLL for (int i = 0; i < ITEMS; i++) {
      const Place place = place_of(i);
      UNROLL for (int g = 0; g < 4; g++) {
        items.input[i][g] = 0.f;
        if (!place.real) continue;
        if (FUSED || g >= GATES) {
          items.input[i][g] = bias[place.unit * 4 + g];
        } else {
          const size_t row = (size_t)step * BATCH_TILE + place.row;
          items.input[i][g] = load_private(&projected[(row * UNITS + place.unit) * GATES + g]);
        }
      }
    }
  }

  // Fused: the features of x for the next step; layers above the first receive theirs.
  __device__ __forceinline__ void stage_inputs(int step) const {
    Element* inputs = (Element*)(memory + INPUT_OFFSET);
    for (int i = threadIdx.x; i < BATCH_TILE * INPUT; i += THREADS) {
      const int row = i / INPUT, feature = i % INPUT;
      const Slot& slot = slots[row];
      const size_t x_row = slot.x_row + row_of_step(slot.steps, step);
      put(inputs, row * INPUT_STRIDE + feature,
          step < slot.steps ? arguments.x[x_row * INPUT + feature] : 0.f);
    }
  }
  __device__ __forceinline__ void clear_inputs() const {
    Element* inputs = (Element*)(memory + INPUT_OFFSET);
    for (int i = threadIdx.x; i < INPUT_ROWS * INPUT_STRIDE; i += THREADS) put(inputs, i, 0.f);
    barrier();
  }

  // New h (and c) of the items whose slot is at work; reset before: after the second product.
  __device__ __forceinline__ void update(int step, const float* sums, Items& items) const {
    UNROLL for (int i = 0; i < ITEMS; i++) {
      const Place place = place_of(i);
      if (!place.real || step >= slots[place.row].steps) continue;
      if constexpr (TWO_PRODUCTS) {
        const float sum = sum_of<SECOND_ROWS, BATCH_TILE>(sums, place.unit, place.row);
        const float n = hyperbolic_tangent(sum + items.input[i][2]);
        items.h[i] = n + items.update[i] * (items.h[i] - n);
      } else {
        float sum[4] = {0.f, 0.f, 0.f, 0.f};
        UNROLL for (int g = 0; g < FIRST_ROWS; g++)
            sum[g] = sum_of<FIRST_ROWS, BATCH_TILE>(sums, place.unit * FIRST_ROWS + g, place.row);
        if (CELL == CELL_LSTM) items.h[i] = lstm_update(sum, items.input[i], items.c[i]);
        else items.h[i] = gru_update(sum, items.input[i], items.h[i]);
      }
      if (part_index() + 1 == LAYERS || DIRECTIONS == 2) store_output(step, place, items.h[i]);
    }
  }

  // Reset before: both gates from the first product; what travels is r*h.
  __device__ __forceinline__ void reset(const float* sums, Items& items,
                                        float (&reset_h)[ITEMS]) const {
    UNROLL for (int i = 0; i < ITEMS; i++) {
      const Place place = place_of(i);
      reset_h[i] = 0.f;
      if (!place.real) continue;
      const float r = sum_of<FIRST_ROWS, BATCH_TILE>(sums, place.unit * FIRST_ROWS, place.row);
      const float z = sum_of<FIRST_ROWS, BATCH_TILE>(sums, place.unit * FIRST_ROWS + 1, place.row);
      reset_h[i] = sigmoid(r + items.input[i][0]) * items.h[i];
      items.update[i] = sigmoid(z + items.input[i][1]);
    }
  }

  __device__ __forceinline__ void store_output(int step, const Place& place, float h) const {
    const Slot& slot = slots[place.row];
    const size_t row = slot.y_row + row_of_step(slot.steps, step);
    const int column = (DIRECTIONS == 2 ? part_index() * HIDDEN : 0) + blockIdx.x * UNITS;
    arguments.y[row * (DIRECTIONS * HIDDEN) + column + place.unit] = h;
  }
};

// Weights of the products in a step. What a configuration does not use is never loaded, and the
// compiler drops it.
struct Weights {
  FirstTile first;
  SecondTile second;
  FirstInputTile first_input;
  SecondInputTile second_input;

  __device__ __forceinline__ void load(const Block& block) {
    char* memory = block.memory;
    const uint4* packed = block.weights_of(block.arguments.recurrent_weights, RECURRENT_PACKED);
    first.load(packed, memory + SHARE_OFFSET);
    if (TWO_PRODUCTS) second.load(packed + FirstTile::PACKED, memory + SECOND_SHARE_OFFSET);
    if (!FUSED) return;
    packed = block.weights_of(block.arguments.input_weights, INPUT_PACKED);
    first_input.load(packed, memory + INPUT_SHARE_OFFSET);
    if (TWO_PRODUCTS)
      second_input.load(packed + FirstInputTile::PACKED, memory + SECOND_INPUT_SHARE_OFFSET);
  }
};

template <int GATE_ROWS, class HiddenTile, class InputTile>
__device__ __forceinline__ void multiply(const HiddenTile& hidden, const InputTile& input,
                                         const Block& block, int copy) {
  Sums<GATE_ROWS, BATCH_TILE> products;
  products.clear();
  products.add(hidden, (const Element*)block.memory + copy * VECTOR_ELEMENTS, VECTOR_STRIDE);
  if (FUSED) products.add(input, (const Element*)(block.memory + INPUT_OFFSET), INPUT_STRIDE);
  products.finish((float*)(block.memory + SUMS_OFFSET));
}

// Waits for exchange `number` (and in a fused launch for the inputs of `step`); false: give up.
__device__ __forceinline__ bool receive(const Block& block, Exchange& exchange, Watch& watch,
                                        int number) {
  if (number > 0) exchange.receive(number, (Element*)block.memory);
  if (barrier_or(watch.failed)) return false;
#if EXCHANGE == EXCHANGE_CLUSTER
  if (number > 0) exchange.rearm(number);
#endif
  return true;
}
__device__ __forceinline__ void take_inputs(const Block& block, Exchange& exchange, int step) {
  if (!FUSED) return;
  if (LAYERS > 1 && part_index() > 0)
    exchange.receive_from_below(step + 1, (Element*)(block.memory + INPUT_OFFSET));
  else
    block.stage_inputs(step);
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
recurrent(const float* x, float* y, const Slot* slot_table, const uint4* recurrent_weights,
          const uint4* input_weights, const float* bias, float* h_state, float* c_state,
          float* projected, Word* words, u32* counters, u32* error, int state_rows,
          int launch_steps, u32 epoch, u64 patience) {
  SHARED_MEMORY(memory);
  const Arguments arguments = {x,       y,         slot_table, recurrent_weights, input_weights,
                               bias,    h_state,   c_state,    projected,         words,
                               counters, error,    state_rows, launch_steps,      epoch,
                               patience};
  const Block block(arguments, memory);
  const int steps = block.read_slots();
  const float* sums = (const float*)(memory + SUMS_OFFSET);
  Watch watch(arguments);
  Exchange exchange(arguments, watch, memory, steps);

  if (FUSED) block.clear_inputs();
  else project(arguments, block.slots, steps,
               block.weights_of(input_weights, INPUT_PACKED), block.bias, memory);
  const float* inputs = projected_rows(arguments);

  Weights weights;
  weights.load(block);
  Items items;
  block.load_items(items);
  block.load_vectors();
  exchange.open();
  if (steps > 0) take_inputs(block, exchange, 0);
  int number = 0;  // of the exchange whose vectors are multiplied next
  if (!receive(block, exchange, watch, number)) return;

  for (int step = 0; step < steps; step++) {
    const bool last = step + 1 == steps;
    if (FUSED && threadIdx.x == 0) exchange.give_credit();
    block.load_inputs(step, inputs, items);
    multiply<FIRST_ROWS>(weights.first, weights.first_input, block, exchange.copy_of(number));
    if (threadIdx.x == 0) exchange.wait_for_credit(number + 1);
    barrier();
    if constexpr (TWO_PRODUCTS) {
      float reset_h[ITEMS];
      block.reset(sums, items, reset_h);
      exchange.send(++number, reset_h);
      if (!receive(block, exchange, watch, number)) return;
      multiply<SECOND_ROWS>(weights.second, weights.second_input, block, exchange.copy_of(number));
      barrier();
    }
    block.update(step, sums, items);
    if (!last || part_index() + 1 < LAYERS) exchange.send(number + 1, items.h);
    if (last) break;
    number++;
    take_inputs(block, exchange, step + 1);
    if (!receive(block, exchange, watch, number)) return;
  }
  block.store_items(items);
  exchange.close();
}
