// Four lanes, thirty-two registers: 64-bit ARM.
#pragma once
#include <arm_neon.h>

namespace {

using Vec = float32x4_t;
constexpr int kLanes = 4;
constexpr int kLstmRows = 6;  // 6 rows x 4 gates = 24 accumulators
constexpr int kGruRows = 8;   // 8 rows x 3 gates = 24 accumulators
constexpr int kLstmRowsNarrow = kLstmRows;
constexpr int kGruRowsNarrow = kGruRows;

inline Vec set1(float x) { return vdupq_n_f32(x); }
inline Vec load(const float* p) { return vld1q_f32(p); }
inline void store(float* p, Vec v) { vst1q_f32(p, v); }
inline Vec add(Vec a, Vec b) { return vaddq_f32(a, b); }
inline Vec sub(Vec a, Vec b) { return vsubq_f32(a, b); }
inline Vec mul(Vec a, Vec b) { return vmulq_f32(a, b); }
inline Vec div(Vec a, Vec b) { return vdivq_f32(a, b); }
inline Vec fma(Vec a, Vec b, Vec c) { return vfmaq_f32(c, a, b); }
inline Vec broadcast(const float* p) { return set1(*p); }
inline Vec load_weights(const uint32_t* p) { return load(reinterpret_cast<const float*>(p)); }
inline void accumulate(Vec& sum, Vec a, Vec b) { sum = fma(a, b, sum); }

// fmin and fmax return NaN where an operand is one.
inline Vec clamp(Vec x, float low, float high) {
  return vmaxq_f32(set1(low), vminq_f32(set1(high), x));
}
inline Vec round_to_integer(Vec x) { return vrndnq_f32(x); }
inline Vec scale_by_power_of_two(Vec x, Vec n) {
  const int32x4_t exponent = vshlq_n_s32(vcvtq_s32_f32(n), 23);
  return vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(x), exponent));
}

inline Vec load_first(const float* p, int n) {
  float lanes[kLanes] = {};
  for (int i = 0; i < n; ++i) lanes[i] = p[i];
  return load(lanes);
}
inline void store_first(float* p, Vec v, int n) {
  float lanes[kLanes];
  store(lanes, v);
  for (int i = 0; i < n; ++i) p[i] = lanes[i];
}

inline Vec load_word_shifted_up(const uint32_t* p) {
  return vreinterpretq_f32_u32(vshlq_n_u32(vld1q_u32(p), 16));
}
// The lowest bytes of three words a, b, c as one float: a.b.c.0 from its highest byte down.
inline Vec load_low_bytes(const uint32_t* p) {
  const uint32x4_t byte = vdupq_n_u32(0xff);
  const uint32x4_t high = vshlq_n_u32(vld1q_u32(p), 24);
  const uint32x4_t middle = vshlq_n_u32(vandq_u32(vld1q_u32(p + 4), byte), 16);
  const uint32x4_t low = vshlq_n_u32(vandq_u32(vld1q_u32(p + 8), byte), 8);
  return vreinterpretq_f32_u32(vorrq_u32(vorrq_u32(high, middle), low));
}

}  // namespace
