// The cells on vectors: one polynomial for e^x, and gates that share divisions. Included per instruction
// set, after its simd_*.h.
#pragma once

namespace {

// Beyond +-20 a sigmoid differs from 0 or 1 by 2e-9 and tanh(10) rounds to 1. Products of two clamped
// exponentials and a state stay finite for states up to 1e20.
constexpr float kExponentBound = 20.0f;

// e^x for x clamped to +-20; relative error 1e-7. 2^f on [-1/2, 1/2] is a minimax polynomial through
// (0, 1), so that e^0 is exactly 1.
inline Vec exp_clamped(Vec x) {
  const Vec y = mul(clamp(x, -kExponentBound, kExponentBound), set1(1.44269504088896341f));
  const Vec n = round_to_integer(y);
  const Vec f = sub(y, n);
  Vec p = set1(1.326472730e-3f);
  p = fma(p, f, set1(9.671512991e-3f));
  p = fma(p, f, set1(5.550733581e-2f));
  p = fma(p, f, set1(2.402224242e-1f));
  p = fma(p, f, set1(6.931470036e-1f));
  p = fma(p, f, set1(1.0f));
  return scale_by_power_of_two(p, n);
}

inline Vec exp_of_negative(Vec x) { return exp_clamped(mul(x, set1(-1.0f))); }
inline Vec exp_of_minus_twice(Vec x) { return exp_clamped(mul(x, set1(-2.0f))); }

inline Vec sigmoid(Vec x) { return div(set1(1.0f), add(set1(1.0f), exp_of_negative(x))); }
inline Vec tanh_of(Vec x) {
  const Vec e = exp_of_minus_twice(x);
  return div(sub(set1(1.0f), e), add(set1(1.0f), e));
}

// c' = sigmoid(f) c + sigmoid(i) tanh(g); h = sigmoid(o) tanh(c'). With s(x) = 1/(1+e^-x) and tanh as a
// quotient, the sum over one common denominator takes two divisions instead of five.
inline Vec lstm_cell(Vec i, Vec f, Vec g, Vec o, Vec* c) {
  const Vec one = set1(1.0f);
  const Vec under_i = add(one, exp_of_negative(i));
  const Vec under_f = add(one, exp_of_negative(f));
  const Vec e_g = exp_of_minus_twice(g);
  const Vec under_o = add(one, exp_of_negative(o));
  const Vec under_ig = mul(under_i, add(one, e_g));
  const Vec above = fma(*c, under_ig, mul(sub(one, e_g), under_f));
  *c = div(above, mul(under_ig, under_f));
  const Vec e_c = exp_of_minus_twice(*c);
  return div(sub(one, e_c), mul(under_o, add(one, e_c)));
}

// h' = (1 - z) n + z h with n = tanh(n_input), z = sigmoid(z_input): one division.
inline Vec gru_mix(Vec z_input, Vec n_input, Vec h) {
  const Vec one = set1(1.0f);
  const Vec e_z = exp_of_negative(z_input);
  const Vec e_n = exp_of_minus_twice(n_input);
  const Vec under_n = add(one, e_n);
  const Vec above = fma(h, under_n, mul(e_z, sub(one, e_n)));
  return div(above, mul(under_n, add(one, e_z)));
}

}  // namespace
