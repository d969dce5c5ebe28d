// Eight lanes, sixteen registers: AVX2 with FMA.
#pragma once
#include <immintrin.h>

namespace {

using Vec = __m256;
constexpr int kLanes = 8;
constexpr int kLstmRows = 3;  // 3 rows x 4 gates = 12 accumulators, 3 broadcasts, 1 weight
constexpr int kGruRows = 4;   // 4 rows x 3 gates = 12 accumulators, 3 weights, 1 broadcast
constexpr int kLstmRowsNarrow = 2;  // bf16 and fp24 need registers to unpack weights
constexpr int kGruRowsNarrow = 3;

inline Vec set1(float x) { return _mm256_set1_ps(x); }
inline Vec load(const float* p) { return _mm256_loadu_ps(p); }
inline void store(float* p, Vec v) { _mm256_storeu_ps(p, v); }
inline Vec add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
inline Vec sub(Vec a, Vec b) { return _mm256_sub_ps(a, b); }
inline Vec mul(Vec a, Vec b) { return _mm256_mul_ps(a, b); }
inline Vec div(Vec a, Vec b) { return _mm256_div_ps(a, b); }
inline Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
// The inner loop's three instructions. Twelve sums, three broadcasts and a weight are all sixteen
// registers: a compiler that moves a load up, or folds it into each of its uses, spills sums to the stack
// or loads a weight three times; either costs a third of the speed. Volatile keeps them as written.
inline Vec broadcast(const float* p) {
  Vec v;
  asm volatile("vbroadcastss %1, %0" : "=x"(v) : "m"(*p));
  return v;
}
inline Vec load_weights(const uint32_t* p) {
  Vec v;
  asm volatile("vmovups %1, %0" : "=x"(v) : "m"(*reinterpret_cast<const __m256*>(p)));
  return v;
}
inline void accumulate(Vec& sum, Vec a, Vec b) {
  asm volatile("vfmadd231ps %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b));
}

// minps and maxps return their second operand for a NaN: x goes second, so that it survives.
inline Vec clamp(Vec x, float low, float high) {
  return _mm256_max_ps(set1(low), _mm256_min_ps(set1(high), x));
}
inline Vec round_to_integer(Vec x) {
  return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
inline Vec scale_by_power_of_two(Vec x, Vec n) {
  const __m256i exponent = _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23);
  return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(x), exponent));
}

inline __m256i first_lanes(int n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
inline Vec load_first(const float* p, int n) { return _mm256_maskload_ps(p, first_lanes(n)); }
inline void store_first(float* p, Vec v, int n) { _mm256_maskstore_ps(p, first_lanes(n), v); }

inline Vec load_word_shifted_up(const uint32_t* p) {
  const __m256i words = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(words, 16));
}
// The lowest bytes of three words a, b, c as one float: a.b.c.0 from its highest byte down.
inline Vec load_low_bytes(const uint32_t* p) {
  const auto* w = reinterpret_cast<const __m256i*>(p);
  const __m256i high = _mm256_slli_epi32(_mm256_loadu_si256(w), 24);
  const __m256i lowest_to_third = _mm256_setr_epi32(
      int(0x80008080), int(0x80048080), int(0x80088080), int(0x800c8080),  // one half's bytes
      int(0x80008080), int(0x80048080), int(0x80088080), int(0x800c8080));
  const __m256i lowest_to_second = _mm256_setr_epi32(
      int(0x80800080), int(0x80800480), int(0x80800880), int(0x80800c80),
      int(0x80800080), int(0x80800480), int(0x80800880), int(0x80800c80));
  const __m256i middle = _mm256_shuffle_epi8(_mm256_loadu_si256(w + 1), lowest_to_third);
  const __m256i low = _mm256_shuffle_epi8(_mm256_loadu_si256(w + 2), lowest_to_second);
  return _mm256_castsi256_ps(_mm256_or_si256(_mm256_or_si256(high, middle), low));
}

}  // namespace
