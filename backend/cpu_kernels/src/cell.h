// What a recurrent layer computes, and in which form its weights are kept.
#pragma once
#include <cstdint>

namespace nexus {

// PyTorch's gate orders: LSTM i,f,g,o; GRU r,z,n. `kGru` resets after the product (PyTorch, cuDNN),
// `kGruResetBefore` before it (the GRU's first paper, ONNX's default).
enum class Cell : int32_t { kLstm, kGru, kGruResetBefore };

// kFp24: float32 rounded to 16 mantissa bits, three bytes a weight. kBf16: two bytes a weight.
enum class Precision : int32_t { kFp32, kFp24, kBf16 };

constexpr int gates_of(Cell cell) { return cell == Cell::kLstm ? 4 : 3; }

// Weights are packed in groups of consecutive k, so that narrow ones fill whole 32-bit words.
constexpr int group_of(Precision precision) {
  return precision == Precision::kFp32 ? 1 : precision == Precision::kBf16 ? 2 : 4;
}
constexpr int words_per_group(Precision precision) {
  return precision == Precision::kFp24 ? 3 : 1;
}

}  // namespace nexus
