// The cells' equations for one unit of one sequence. `sum` is R*h, `input` W*x and the biases;
// gates in PyTorch's order: LSTM i, f, g, o; GRU r, z, n.
#pragma once
#include "arguments.h"

__device__ __forceinline__ float lstm_update(const float (&sum)[4], const float (&input)[4],
                                             float& c) {
  const float i = sigmoid(sum[0] + input[0]), f = sigmoid(sum[1] + input[1]);
  const float g = hyperbolic_tangent(sum[2] + input[2]), o = sigmoid(sum[3] + input[3]);
  c = f * c + i * g;
  return o * hyperbolic_tangent(c);
}

// Reset after the product: n = tanh(W_n x + b_in + r * (R_n h + b_hn)). If fused, sum[3] is W_n x.
__device__ __forceinline__ float gru_update(const float (&sum)[4], const float (&input)[4],
                                            float h) {
  const float r = sigmoid(sum[0] + input[0]), z = sigmoid(sum[1] + input[1]);
  const float x_n = input[2] + (FUSED ? sum[3] : 0.f);
  const float n = hyperbolic_tangent(x_n + r * (sum[2] + input[3]));
  return n + z * (h - n);
}
