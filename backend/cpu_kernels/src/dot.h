// The inner loop: rows of h (or x) times one or more tiles of packed weights, in registers. Included per
// instruction set, after its simd_*.h.
#pragma once

namespace {

#define NEXUS_INLINE inline __attribute__((always_inline))
#define NEXUS_UNROLL _Pragma("GCC unroll 32")

// Weight formats. `word<J>` is the vector of weights of the J-th k of a group; `p` points at the group's
// first word of one gate.
struct Fp32Weights {
  static constexpr int kGroup = 1, kWords = 1;
  template <int J>
  static NEXUS_INLINE Vec word(const uint32_t* p) {
    return load_weights(p);
  }
};
// Two k a word. The upper half is read with the lower one's bits still below it; packing has chosen it
// so that this is the nearest such number (pack.h), which saves an instruction and is no less exact.
struct Bf16Weights {
  static constexpr int kGroup = 2, kWords = 1;
  template <int J>
  static NEXUS_INLINE Vec word(const uint32_t* p) {
    if constexpr (J == 0) return load_word_shifted_up(p);
    return load_weights(p);
  }
};
// Four k in three words: three weights in the words' upper 24 bits, the fourth in their lowest bytes.
struct Fp24Weights {
  static constexpr int kGroup = 4, kWords = 3;
  template <int J>
  static NEXUS_INLINE Vec word(const uint32_t* p) {
    if constexpr (J == 3) return load_low_bytes(p);
    return load_weights(p + J * kLanes);
  }
};

template <int Gates, int Rows, int Tiles>
struct Accumulators {
  Vec at[Tiles][Rows][Gates];
};

// One k of a group. The smaller of the two operand sets is kept in registers.
template <class Format, int J, int Gates, int Rows, int Tiles>
NEXUS_INLINE void multiply_one_k(Accumulators<Gates, Rows, Tiles>& sum, const uint32_t* const* w,
                                 const float* const* h, ptrdiff_t k) {
  constexpr int kGateWords = Format::kWords * kLanes;
  if constexpr (Rows < Gates) {
    Vec h_k[Rows];
    NEXUS_UNROLL for (int r = 0; r < Rows; ++r) h_k[r] = broadcast(h[r] + k + J);
    NEXUS_UNROLL for (int t = 0; t < Tiles; ++t) {
      NEXUS_UNROLL for (int g = 0; g < Gates; ++g) {
        const Vec weight = Format::template word<J>(w[t] + g * kGateWords);
        NEXUS_UNROLL for (int r = 0; r < Rows; ++r) {
          accumulate(sum.at[t][r][g], h_k[r], weight);
        }
      }
    }
  } else {
    NEXUS_UNROLL for (int t = 0; t < Tiles; ++t) {
      Vec weight[Gates];
      NEXUS_UNROLL for (int g = 0; g < Gates; ++g) {
        weight[g] = Format::template word<J>(w[t] + g * kGateWords);
      }
      NEXUS_UNROLL for (int r = 0; r < Rows; ++r) {
        const Vec h_k = broadcast(h[r] + k + J);
        NEXUS_UNROLL for (int g = 0; g < Gates; ++g) {
          accumulate(sum.at[t][r][g], h_k, weight[g]);
        }
      }
    }
  }
}

template <class Format, int Gates, int Rows, int Tiles>
NEXUS_INLINE void multiply_group(Accumulators<Gates, Rows, Tiles>& sum, const uint32_t* const* w,
                                 const float* const* h, ptrdiff_t k) {
  multiply_one_k<Format, 0>(sum, w, h, k);
  if constexpr (Format::kGroup >= 2) multiply_one_k<Format, 1>(sum, w, h, k);
  if constexpr (Format::kGroup >= 4) {
    multiply_one_k<Format, 2>(sum, w, h, k);
    multiply_one_k<Format, 3>(sum, w, h, k);
  }
}

// Weights of a row block come from L2 or L3; asking early is worth it once each is used often enough.
constexpr int kPrefetchFromRows = 3;
constexpr int kPrefetchGroups = 4;

// sum += h[k_begin, k_end) times the tiles at `w`; k_begin is a multiple of the format's group, and
// k_end is one too or the end of the rows (then the packed weights continue with zeros).
template <class Format, int Gates, int Rows, int Tiles>
NEXUS_INLINE void multiply(Accumulators<Gates, Rows, Tiles>& sum, const uint32_t* first_tile,
                           size_t tile_words, const float* const* h, ptrdiff_t k_begin,
                           ptrdiff_t k_end) {
  constexpr int kGroup = Format::kGroup;
  constexpr int kGroupWords = Gates * Format::kWords * kLanes;
  const uint32_t* w[Tiles];
  NEXUS_UNROLL for (int t = 0; t < Tiles; ++t) {
    w[t] = first_tile + t * tile_words + k_begin / kGroup * kGroupWords;
  }
  const float* row[Rows];
  NEXUS_UNROLL for (int r = 0; r < Rows; ++r) row[r] = h[r];

  const auto step_group = [&](ptrdiff_t k) __attribute__((always_inline)) {
    if constexpr (Rows >= kPrefetchFromRows) {
      NEXUS_UNROLL for (int line = 0; line < kGroupWords / 16; ++line) {
        __builtin_prefetch(w[0] + kPrefetchGroups * kGroupWords + line * 16);
      }
    }
    multiply_group<Format>(sum, w, row, k);
    NEXUS_UNROLL for (int t = 0; t < Tiles; ++t) w[t] += kGroupWords;
  };
  ptrdiff_t k = k_begin;
  if constexpr (kGroup == 1 && Gates * Rows * Tiles < 12) {
    // Halves the loop's own share. With more sums it is small already, and GCC spills some of them.
    for (; k + 2 <= k_end; k += 2) {
      step_group(k);
      step_group(k + 1);
    }
  }
  for (; k + kGroup <= k_end; k += kGroup) step_group(k);
  if constexpr (kGroup > 1) {
    if (k < k_end) {  // the row ends within a group, and what lies behind it is not ours to read
      float rest[Rows][kGroup] = {};
      for (int r = 0; r < Rows; ++r) {
        for (ptrdiff_t j = k; j < k_end; ++j) rest[r][j - k] = row[r][j];
      }
      NEXUS_UNROLL for (int r = 0; r < Rows; ++r) row[r] = rest[r];
      multiply_group<Format>(sum, w, row, 0);
    }
  }
}

}  // namespace
