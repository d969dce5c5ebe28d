// Four lanes in the compiler's portable vectors, for CPUs that have none of the others: right before fast.
#pragma once
#include <cmath>
#include <cstring>

namespace {

typedef float Vec __attribute__((vector_size(16)));
typedef uint32_t Words __attribute__((vector_size(16)));
constexpr int kLanes = 4;
constexpr int kLstmRows = 2;
constexpr int kGruRows = 2;
constexpr int kLstmRowsNarrow = kLstmRows;
constexpr int kGruRowsNarrow = kGruRows;

inline Vec set1(float x) { return Vec{x, x, x, x}; }
inline Vec load(const float* p) {
  Vec v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline void store(float* p, Vec v) { std::memcpy(p, &v, sizeof v); }
inline Vec add(Vec a, Vec b) { return a + b; }
inline Vec sub(Vec a, Vec b) { return a - b; }
inline Vec mul(Vec a, Vec b) { return a * b; }
inline Vec div(Vec a, Vec b) { return a / b; }
inline Vec fma(Vec a, Vec b, Vec c) { return a * b + c; }
inline Vec broadcast(const float* p) { return set1(*p); }
inline Vec load_weights(const uint32_t* p) { return load(reinterpret_cast<const float*>(p)); }
inline void accumulate(Vec& sum, Vec a, Vec b) { sum = fma(a, b, sum); }

// The comparisons are false for a NaN, which therefore survives.
inline Vec clamp(Vec x, float low, float high) {
  for (int i = 0; i < kLanes; ++i) x[i] = x[i] > high ? high : x[i] < low ? low : x[i];
  return x;
}
inline Vec round_to_integer(Vec x) {
  for (int i = 0; i < kLanes; ++i) x[i] = std::nearbyint(x[i]);
  return x;
}
inline Vec scale_by_power_of_two(Vec x, Vec n) {
  for (int i = 0; i < kLanes; ++i) {
    x[i] = n[i] == n[i] ? std::ldexp(x[i], static_cast<int>(n[i])) : n[i];
  }
  return x;
}

inline Vec load_first(const float* p, int n) {
  Vec v = {};
  for (int i = 0; i < n; ++i) v[i] = p[i];
  return v;
}
inline void store_first(float* p, Vec v, int n) {
  for (int i = 0; i < n; ++i) p[i] = v[i];
}

inline Words words_at(const uint32_t* p) {
  Words words;
  std::memcpy(&words, p, sizeof words);
  return words;
}
inline Vec load_word_shifted_up(const uint32_t* p) { return (Vec)(words_at(p) << 16); }
// The lowest bytes of three words a, b, c as one float: a.b.c.0 from its highest byte down.
inline Vec load_low_bytes(const uint32_t* p) {
  const Words high = words_at(p) << 24;
  const Words middle = (words_at(p + kLanes) & 0xffu) << 16;
  const Words low = (words_at(p + 2 * kLanes) & 0xffu) << 8;
  return (Vec)(high | middle | low);
}

}  // namespace
