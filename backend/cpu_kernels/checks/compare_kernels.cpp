// Compares one instruction set's kernels with the scalar ones over random stacks. For sets that the CPU at
// hand lacks: cross-compiled and emulated (see the README). Define NEXUS_CHECKED as the table's name.
#include <cmath>
#include <cstdio>
#include <random>
#include <vector>

#include "../src/pool.h"
#include "../src/sequence.h"

namespace {

using namespace nexus;
constexpr int kCases = 240;
// Instruction sets add in different orders; bf16 kernels may round h too.
constexpr float kTolerance[] = {2e-5f, 4e-5f, 4e-2f};

struct Case {
  StackShape shape;
  int rows, steps, threads;
  bool states;
  std::vector<std::vector<float>> weights;
  std::vector<float> x, h0, c0;
  std::vector<int> lengths;
};

class Chance {
 public:
  explicit Chance(unsigned seed) : engine_(seed) {}
  int integer(int low, int high) { return std::uniform_int_distribution<int>(low, high)(engine_); }
  std::vector<float> floats(size_t count, float bound) {
    std::uniform_real_distribution<float> between(-bound, bound);
    std::vector<float> values(count);
    for (float& value : values) value = between(engine_);
    return values;
  }

 private:
  std::mt19937 engine_;
};

Case random_case(Chance& chance) {
  Case c;
  c.shape.cell = static_cast<Cell>(chance.integer(0, 2));
  c.shape.precision = static_cast<Precision>(chance.integer(0, 2));
  c.shape.input = chance.integer(1, 40);
  c.shape.hidden = chance.integer(1, 70);
  c.shape.layers = chance.integer(1, 2);
  c.shape.directions = chance.integer(1, 2);
  c.rows = chance.integer(1, 17);
  c.steps = chance.integer(1, 6);
  c.threads = chance.integer(1, 2);
  c.states = chance.integer(0, 1) == 1;
  const float bound = 1.0f / std::sqrt(static_cast<float>(c.shape.hidden));
  const size_t gate_rows = size_t(gates_of(c.shape.cell)) * c.shape.hidden;
  for (int i = 0; i < c.shape.layers * c.shape.directions; ++i) {
    const int input = c.shape.input_of(i / c.shape.directions);
    for (const size_t width : {size_t(input), size_t(c.shape.hidden), size_t(1), size_t(1)}) {
      c.weights.push_back(chance.floats(gate_rows * width, bound));
    }
  }
  const size_t state = size_t(c.shape.layers) * c.shape.directions * c.rows * c.shape.hidden;
  c.x = chance.floats(size_t(c.steps) * c.rows * c.shape.input, 2.0f);
  c.h0 = chance.floats(state, 1.0f);
  c.c0 = chance.floats(state, 1.0f);
  for (int i = 0; i < c.rows; ++i) c.lengths.push_back(chance.integer(0, c.steps));
  return c;
}

std::vector<float> run(const Case& c, const KernelTable& kernels, Pool& pool) {
  std::vector<LayerWeights> weights;
  for (size_t i = 0; i < c.weights.size(); i += 4) {
    weights.push_back({c.weights[i].data(), c.weights[i + 1].data(), c.weights[i + 2].data(),
                       c.weights[i + 3].data()});
  }
  const PackedStack stack(c.shape, kernels, weights);
  const int width = c.shape.output();
  std::vector<float> y(size_t(c.steps) * c.rows * width, NAN);
  SequenceCall call;
  call.stack = &stack;
  call.steps = c.steps;
  call.x_step = ptrdiff_t(c.rows) * c.shape.input;
  call.y_step = ptrdiff_t(c.rows) * width;
  call.states.block = size_t(c.rows) * c.shape.hidden;
  if (c.states) call.states.h_in = c.h0.data();
  if (c.states) call.states.c_in = c.c0.data();
  call.plan.threads = c.threads;
  for (int i = 0; i < c.rows; ++i) {
    call.rows.push_back({c.x.data() + i * c.shape.input, y.data() + i * width, c.lengths[i], i});
  }
  run_sequences(pool, call);
  return y;
}

}  // namespace

int main() {
  Chance chance(7);
  Pool pool(2, {});
  float worst[3] = {};
  for (int i = 0; i < kCases; ++i) {
    const Case c = random_case(chance);
    const auto expected = run(c, kScalarKernels, pool);
    const auto found = run(c, NEXUS_CHECKED, pool);
    for (size_t j = 0; j < found.size(); ++j) {
      const float error = std::fabs(found[j] - expected[j]);
      const int precision = static_cast<int>(c.shape.precision);
      if (!(error <= kTolerance[precision])) {
        std::printf("case %d: %s differs by %g\n", i, NEXUS_CHECKED.name, error);
        return 1;
      }
      worst[precision] = std::fmax(worst[precision], error);
    }
  }
  std::printf("%s: %d stacks equal the scalar kernels within fp32 %.1e, fp24 %.1e, bf16 %.1e\n",
              NEXUS_CHECKED.name, kCases, worst[0], worst[1], worst[2]);
  return 0;
}
