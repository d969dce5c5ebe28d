// From PyTorch's matrices [gates * hidden, k] to tiles [tile][k group][gate][word][lane].
//
// A word of bf16 weights holds w[k] in its lower and w[k+1] in its upper half; a float24 group of four k
// is three words with a weight in their upper 24 bits, and the fourth weight's bytes below them. Kernels
// read an upper weight with the bits below still in place, so packing picks the upper bits for which the
// whole word is nearest to the weight: within half a unit of the last kept place, as by plain rounding.
#pragma once
#include <cstddef>

#include "cell.h"

namespace nexus {

struct GateMatrix {
  const float* weights = nullptr;  // row of (gate, unit): gate * hidden + unit
  int first_gate = 0;
  int gates = 0;
  int hidden = 0;
  int k = 0;
};

struct TileShape {
  int lanes = 0;
  Precision precision = Precision::kFp32;
  bool rounded_in_place = true;  // false: plain rounding, for kernels that split the halves themselves
};

size_t words_of_tile(const GateMatrix& matrix, const TileShape& shape);

// Writes all tiles; units beyond `hidden` and k beyond the matrix are zeros.
void pack_tiles(const GateMatrix& matrix, const TileShape& shape, uint32_t* out);

}  // namespace nexus
