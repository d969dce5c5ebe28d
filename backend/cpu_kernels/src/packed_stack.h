// A stack of recurrent layers, packed once for one instruction set.
#pragma once
#include <cstddef>
#include <vector>

#include "aligned_buffer.h"
#include "kernel.h"

namespace nexus {

struct StackShape {
  Cell cell = Cell::kLstm;
  Precision precision = Precision::kFp32;
  int input = 0;
  int hidden = 0;
  int layers = 0;
  int directions = 1;

  int input_of(int layer) const { return layer == 0 ? input : hidden * directions; }
  int output() const { return hidden * directions; }
};

// PyTorch's parameters of one direction of one layer, contiguous.
struct LayerWeights {
  const float* input = nullptr;       // [gates * hidden, input]
  const float* state = nullptr;       // [gates * hidden, hidden]
  const float* input_bias = nullptr;  // [gates * hidden]
  const float* state_bias = nullptr;  // [gates * hidden]
};

class PackedStack {
 public:
  // `weights` is layer-major, direction-minor.
  PackedStack(const StackShape& shape, const KernelTable& kernels,
              const std::vector<LayerWeights>& weights);
  PackedStack(const PackedStack&) = delete;
  PackedStack& operator=(const PackedStack&) = delete;

  const StackShape& shape() const { return shape_; }
  const KernelTable& kernels() const { return *kernels_; }
  const LayerView& view(int layer, int direction) const {
    return views_[layer * shape_.directions + direction];
  }
  size_t weight_bytes() const;

 private:
  LayerView pack_layer(int layer, const LayerWeights& weights);
  MatrixView pack_matrix(const float* weights, int first_gate, int gates, int k);
  void pack_biases(const LayerWeights& weights, LayerView* view);

  StackShape shape_;
  const KernelTable* kernels_;
  std::vector<AlignedBuffer> buffers_;
  std::vector<LayerView> views_;
};

}  // namespace nexus
