// Where things lie in shared memory, and how many sequences and items a thread has.
#pragma once
#include "shape.h"

#if FAMILY == FAMILY_DOT
#include "dot.h"
#else
#include "mma.h"
#endif

// The tiles of one block. First: all gates that need h (without the candidate, if reset comes
// before). Second: that candidate over r*h. Projection: all gates over a segment of x.
using FirstTile = Tile<FIRST_ROWS, HIDDEN, RESIDENT>;
using SecondTile = Tile<SECOND_ROWS, HIDDEN, RESIDENT>;
using FirstInputTile = Tile<FIRST_ROWS, INPUT_FEATURES, RESIDENT_INPUT>;
using SecondInputTile = Tile<SECOND_ROWS, INPUT_FEATURES, RESIDENT_INPUT>;
constexpr int SEGMENTS = ceil_div(INPUT, SEGMENT);
constexpr int ALL_RESIDENT = 1 << 20;
using ProjectionTile = Tile<GATES, SEGMENT, ALL_RESIDENT>;

static_assert(enough_threads(FIRST_ROWS) && (FUSED || enough_threads(GATES)),
              "a group or warp for every tile of gate rows");

// 16-byte pieces of packed weights of one block.
constexpr int RECURRENT_PACKED = FirstTile::PACKED + (TWO_PRODUCTS ? SecondTile::PACKED : 0);
constexpr int INPUT_PACKED =
    FUSED ? FirstInputTile::PACKED + (TWO_PRODUCTS ? SecondInputTile::PACKED : 0)
          : SEGMENTS * ProjectionTile::PACKED;

// Vectors of h, two copies where peers write the next one while this one is read.
constexpr int VECTOR_STRIDE = stride_of(
    larger(PADDED_HIDDEN, larger(extent(FIRST_ROWS, HIDDEN),
                                 TWO_PRODUCTS ? extent(SECOND_ROWS, HIDDEN) : 0)));
constexpr int VECTOR_COPIES = EXCHANGE == EXCHANGE_CLUSTER ? 2 : 1;
constexpr int VECTOR_ELEMENTS = VECTOR_ROWS * VECTOR_STRIDE;
constexpr int VECTOR_BYTES = VECTOR_COPIES * VECTOR_ELEMENTS * ELEMENT_BYTES;

// Vectors of x: beside h if fused; else they are gone before h comes, and lie in the same place.
constexpr int INPUT_STRIDE =
    FUSED ? stride_of(larger(larger(PADDED_HIDDEN, INPUT_FEATURES),
                             larger(extent(FIRST_ROWS, INPUT_FEATURES),
                                    TWO_PRODUCTS ? extent(SECOND_ROWS, INPUT_FEATURES) : 0)))
          : stride_of(extent(GATES, SEGMENT));
constexpr int INPUT_ROWS = FUSED ? VECTOR_ROWS : PROJECT_ROWS;
constexpr int INPUT_BYTES = INPUT_ROWS * INPUT_STRIDE * ELEMENT_BYTES;
constexpr int INPUT_OFFSET = FUSED ? VECTOR_BYTES : 0;

constexpr int SUMS_OFFSET =
    round_up(FUSED ? VECTOR_BYTES + INPUT_BYTES : larger(VECTOR_BYTES, INPUT_BYTES), 16);
constexpr int SUMS_BYTES =
    4 * larger(larger(sum_floats(FIRST_ROWS, BATCH_TILE),
                      TWO_PRODUCTS ? sum_floats(SECOND_ROWS, BATCH_TILE) : 0),
               FUSED ? 0 : sum_floats(GATES, PROJECT_ROWS));

// Weights that the registers cannot hold.
constexpr int SHARE_OFFSET = round_up(SUMS_OFFSET + SUMS_BYTES, 16);
constexpr int SECOND_SHARE_OFFSET = SHARE_OFFSET + FirstTile::SHARED * 16;
constexpr int INPUT_SHARE_OFFSET =
    SECOND_SHARE_OFFSET + (TWO_PRODUCTS ? SecondTile::SHARED * 16 : 0);
constexpr int SECOND_INPUT_SHARE_OFFSET =
    INPUT_SHARE_OFFSET + (FUSED ? FirstInputTile::SHARED * 16 : 0);
constexpr int MBARRIER_OFFSET =
    SECOND_INPUT_SHARE_OFFSET + (FUSED && TWO_PRODUCTS ? SecondInputTile::SHARED * 16 : 0);
constexpr int SLOTS_OFFSET = MBARRIER_OFFSET + 16;
constexpr int SHARED_BYTES = round_up(SLOTS_OFFSET + BATCH_TILE * 20, 16);

// ---- items: (sequence, unit) pairs, each of which one thread updates and keeps for all steps ----
// A word carries 12 bytes of h: three fp32 units or six 16-bit ones. Items are dealt so that the
// units of a word lie in neighbouring lanes of one warp, which takes 30 of its 32 lanes.
constexpr int WORD_UNITS = 12 / ELEMENT_BYTES;
constexpr int WORDS_PER_ROW = ceil_div(UNITS, WORD_UNITS);  // of one block and sequence
constexpr int ITEM_LANES = 30;
constexpr int ITEMS = ceil_div(BATCH_TILE * WORDS_PER_ROW * WORD_UNITS, ITEM_LANES * WARPS);

struct Place {
  int word;  // of the block's BATCH_TILE * WORDS_PER_ROW
  int row;   // sequence in the batch tile
  int unit;  // in the block
  bool real;
};
__device__ __forceinline__ Place place_of(int item) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int index = (item * WARPS + warp) * ITEM_LANES + lane;
  Place place;
  place.word = index / WORD_UNITS;
  place.row = place.word / WORDS_PER_ROW;
  place.unit = place.word % WORDS_PER_ROW * WORD_UNITS + index % WORD_UNITS;
  place.real = lane < ITEM_LANES && place.row < BATCH_TILE && place.unit < UNITS &&
               blockIdx.x * UNITS + place.unit < HIDDEN;
  return place;
}
