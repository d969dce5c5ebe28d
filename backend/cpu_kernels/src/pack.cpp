#include "pack.h"

#include <cmath>
#include <cstring>

namespace nexus {
namespace {

uint32_t bits_of(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

bool is_finite(uint32_t bits) { return (bits & 0x7f800000u) != 0x7f800000u; }

// The upper `kept` bits of x, rounded to nearest; never rounds a finite weight up to infinity.
uint32_t rounded(float x, int kept) {
  const uint32_t bits = bits_of(x);
  const uint32_t dropped = (1u << (32 - kept)) - 1u;
  const uint32_t up = bits + dropped / 2 + ((bits >> (32 - kept)) & 1u);
  return (is_finite(bits) && is_finite(up) ? up : bits) & ~dropped;
}

// The word nearest to x among those that end in `below`. Floats of one sign are ordered as their bits.
uint32_t rounded_above(float x, uint32_t below, int kept) {
  const uint32_t bits = bits_of(x);
  const uint32_t dropped = (1u << (32 - kept)) - 1u;
  if (!is_finite(bits)) return bits & ~dropped;
  const int64_t magnitude = bits & 0x7fffffffu;
  int64_t upper = (magnitude - static_cast<int64_t>(below) + dropped / 2 + 1) >> (32 - kept);
  if (upper < 0) upper = 0;
  while (!is_finite(static_cast<uint32_t>(upper << (32 - kept)))) --upper;
  return (bits & 0x80000000u) | static_cast<uint32_t>(upper << (32 - kept)) | below;
}

void pack_group(const float* w, const TileShape& shape, size_t word_stride, uint32_t* out) {
  switch (shape.precision) {
    case Precision::kFp32:
      out[0] = bits_of(w[0]);
      break;
    case Precision::kBf16: {
      const uint32_t low = rounded(w[0], 16) >> 16;
      out[0] = shape.rounded_in_place ? rounded_above(w[1], low, 16) : rounded(w[1], 16) | low;
      break;
    }
    case Precision::kFp24: {
      const uint32_t fourth = rounded(w[3], 24);
      for (int j = 0; j < 3; ++j) {
        out[j * word_stride] = rounded_above(w[j], (fourth >> (24 - 8 * j)) & 0xffu, 24);
      }
      break;
    }
  }
}

}  // namespace

size_t words_of_tile(const GateMatrix& matrix, const TileShape& shape) {
  const int group = group_of(shape.precision);
  const size_t groups = (matrix.k + group - 1) / group;
  return groups * matrix.gates * words_per_group(shape.precision) * shape.lanes;
}

void pack_tiles(const GateMatrix& matrix, const TileShape& shape, uint32_t* out) {
  const int group = group_of(shape.precision);
  const int words = words_per_group(shape.precision);
  const int tiles = (matrix.hidden + shape.lanes - 1) / shape.lanes;
  for (int tile = 0; tile < tiles; ++tile) {
    for (int k = 0; k < matrix.k; k += group) {
      for (int gate = 0; gate < matrix.gates; ++gate, out += words * shape.lanes) {
        for (int lane = 0; lane < shape.lanes; ++lane) {
          const int unit = tile * shape.lanes + lane;
          if (unit >= matrix.hidden) continue;
          const size_t row = static_cast<size_t>(matrix.first_gate + gate) * matrix.hidden + unit;
          float w[4] = {};
          for (int j = 0; j < group && k + j < matrix.k; ++j) w[j] = matrix.weights[row * matrix.k + k + j];
          pack_group(w, shape, shape.lanes, out + lane);
        }
      }
    }
  }
}

}  // namespace nexus
