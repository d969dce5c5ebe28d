#include "packed_stack.h"

#include "pack.h"

namespace nexus {

PackedStack::PackedStack(const StackShape& shape, const KernelTable& kernels,
                         const std::vector<LayerWeights>& weights)
    : shape_(shape), kernels_(&kernels) {
  for (size_t i = 0; i < weights.size(); ++i) {
    views_.push_back(pack_layer(static_cast<int>(i) / shape.directions, weights[i]));
  }
}

size_t PackedStack::weight_bytes() const {
  size_t bytes = 0;
  for (const AlignedBuffer& buffer : buffers_) bytes += buffer.bytes();
  return bytes;
}

LayerView PackedStack::pack_layer(int layer, const LayerWeights& weights) {
  const int gates = gates_of(shape_.cell);
  const bool reset_before = shape_.cell == Cell::kGruResetBefore;
  LayerView view;
  view.cell = shape_.cell;
  view.precision = shape_.precision;
  view.input = shape_.input_of(layer);
  view.hidden = shape_.hidden;
  view.tiles = (shape_.hidden + kernels_->lanes - 1) / kernels_->lanes;
  view.from_input = pack_matrix(weights.input, 0, gates, view.input);
  view.from_state = pack_matrix(weights.state, 0, reset_before ? 2 : gates, shape_.hidden);
  if (reset_before) view.candidate = pack_matrix(weights.state, 2, 1, shape_.hidden);
  pack_biases(weights, &view);
  return view;
}

MatrixView PackedStack::pack_matrix(const float* weights, int first_gate, int gates, int k) {
  const GateMatrix matrix{weights, first_gate, gates, shape_.hidden, k};
  const TileShape tile{kernels_->lanes, shape_.precision, kernels_->weights_rounded_in_place};
  const size_t tile_words = words_of_tile(matrix, tile);
  const int tiles = (shape_.hidden + kernels_->lanes - 1) / kernels_->lanes;
  buffers_.emplace_back(tile_words * tiles * sizeof(uint32_t));
  auto* words = buffers_.back().as<uint32_t>();
  pack_tiles(matrix, tile, words);
  return {words, tile_words, k};
}

void PackedStack::pack_biases(const LayerWeights& weights, LayerView* view) {
  const int gates = gates_of(shape_.cell);
  const int lanes = kernels_->lanes;
  buffers_.emplace_back(static_cast<size_t>(view->tiles) * (gates + 1) * lanes * sizeof(float));
  auto* bias = buffers_.back().as<float>();
  float* state_bias = bias + static_cast<size_t>(view->tiles) * gates * lanes;
  for (int unit = 0; unit < shape_.hidden; ++unit) {
    const int tile = unit / lanes;
    const int lane = unit % lanes;
    for (int gate = 0; gate < gates; ++gate) {
      const int row = gate * shape_.hidden + unit;
      const bool apart = shape_.cell == Cell::kGru && gate == 2;
      const float from_state = apart ? 0.0f : weights.state_bias[row];
      bias[(tile * gates + gate) * lanes + lane] = weights.input_bias[row] + from_state;
      if (apart) state_bias[unit] = weights.state_bias[row];
    }
  }
  view->bias = bias;
  view->state_bias = state_bias;
}

}  // namespace nexus
