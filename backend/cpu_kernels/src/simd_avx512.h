// Sixteen lanes, thirty-two registers: AVX-512 F, BW, DQ, VL.
#pragma once
#include <immintrin.h>

namespace {

using Vec = __m512;
constexpr int kLanes = 16;
constexpr int kLstmRows = 6;  // 6 rows x 4 gates = 24 accumulators
constexpr int kGruRows = 8;   // 8 rows x 3 gates = 24 accumulators
constexpr int kLstmRowsNarrow = kLstmRows;
constexpr int kGruRowsNarrow = kGruRows;

inline Vec set1(float x) { return _mm512_set1_ps(x); }
inline Vec load(const float* p) { return _mm512_loadu_ps(p); }
inline void store(float* p, Vec v) { _mm512_storeu_ps(p, v); }
inline Vec add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
inline Vec sub(Vec a, Vec b) { return _mm512_sub_ps(a, b); }
inline Vec mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
inline Vec div(Vec a, Vec b) { return _mm512_div_ps(a, b); }
inline Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
inline Vec broadcast(const float* p) { return set1(*p); }
inline Vec load_weights(const uint32_t* p) { return load(reinterpret_cast<const float*>(p)); }
inline void accumulate(Vec& sum, Vec a, Vec b) { sum = fma(a, b, sum); }

// minps and maxps return their second operand for a NaN: x goes second, so that it survives.
inline Vec clamp(Vec x, float low, float high) {
  return _mm512_max_ps(set1(low), _mm512_min_ps(set1(high), x));
}
inline Vec round_to_integer(Vec x) {
  return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
inline Vec scale_by_power_of_two(Vec x, Vec n) { return _mm512_scalef_ps(x, n); }

inline __mmask16 first_lanes(int n) { return static_cast<__mmask16>((1u << n) - 1u); }
inline Vec load_first(const float* p, int n) { return _mm512_maskz_loadu_ps(first_lanes(n), p); }
inline void store_first(float* p, Vec v, int n) { _mm512_mask_storeu_ps(p, first_lanes(n), v); }

inline Vec load_word_shifted_up(const uint32_t* p) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_loadu_si512(p), 16));
}
// The lowest bytes of three words a, b, c as one float: a.b.c.0 from its highest byte down.
inline Vec load_low_bytes(const uint32_t* p) {
  const __m512i high = _mm512_slli_epi32(_mm512_loadu_si512(p), 24);
  const __m512i lowest_to_third = _mm512_set4_epi32(
      int(0x800c8080), int(0x80088080), int(0x80048080), int(0x80008080));
  const __m512i lowest_to_second = _mm512_set4_epi32(
      int(0x80800c80), int(0x80800880), int(0x80800480), int(0x80800080));
  const __m512i middle = _mm512_shuffle_epi8(_mm512_loadu_si512(p + 16), lowest_to_third);
  const __m512i low = _mm512_shuffle_epi8(_mm512_loadu_si512(p + 32), lowest_to_second);
  return _mm512_castsi512_ps(_mm512_or_si512(_mm512_or_si512(high, middle), low));
}

}  // namespace
