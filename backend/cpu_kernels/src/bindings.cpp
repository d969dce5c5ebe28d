// The Python face: checks arguments, lets go of the interpreter, calls.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <map>
#include <optional>

#include "array_checks.h"
#include "instruction_sets.h"
#include "packed_stack.h"
#include "pool.h"
#include "sequence.h"
#include "slots.h"

namespace nb = nanobind;

namespace nexus {
namespace {

constexpr int kHiddenMax = 16384;
constexpr int kLayersMax = 64;

template <class T>
T named(const std::map<std::string, T>& values, const char* what, const std::string& name) {
  const auto found = values.find(name);
  if (found != values.end()) return found->second;
  std::string names;
  for (const auto& value : values) names += (names.empty() ? "" : ", ") + value.first;
  throw std::invalid_argument(std::string(what) + ": got '" + name + "', expected one of " + names);
}

const std::map<std::string, Cell> kCells = {
    {"lstm", Cell::kLstm}, {"gru", Cell::kGru}, {"gru_reset_before", Cell::kGruResetBefore}};
const std::map<std::string, Precision> kPrecisions = {
    {"fp32", Precision::kFp32}, {"fp24", Precision::kFp24}, {"bf16", Precision::kBf16}};
const std::map<std::string, Split> kSplits = {{"auto", Split::kAuto},
                                              {"units", Split::kUnits},
                                              {"rows", Split::kRows},
                                              {"directions", Split::kDirections}};

Plan make_plan(int threads, const std::string& split, int rows_per_block, int chunk_rows) {
  if (threads < 0 || rows_per_block < 0 || chunk_rows < 0) {
    throw std::invalid_argument("plan: expected counts of 0 (chosen for you) or more");
  }
  return {threads, named(kSplits, "split", split), rows_per_block, chunk_rows};
}

std::string split_name(const Plan& plan) {
  for (const auto& [name, split] : kSplits) {
    if (split == plan.split) return name;
  }
  return "auto";
}

using LayerArrays = std::tuple<Array, Array, Array, Array>;

StackShape shape_of(const std::string& cell, const std::vector<LayerArrays>& layers, bool bidirectional,
                    const std::string& precision) {
  StackShape shape;
  shape.cell = named(kCells, "cell", cell);
  shape.precision = named(kPrecisions, "precision", precision);
  shape.directions = bidirectional ? 2 : 1;
  shape.layers = static_cast<int>(layers.size()) / shape.directions;
  if (layers.empty() || layers.size() % shape.directions != 0 || shape.layers > kLayersMax) {
    throw std::invalid_argument("layers: got " + std::to_string(layers.size()) + ", expected 1 to " +
                                std::to_string(kLayersMax) + " for each direction");
  }
  const Array& w_ih = std::get<0>(layers[0]);
  const Array& w_hh = std::get<1>(layers[0]);
  if (w_ih.ndim() != 2 || w_hh.ndim() != 2) {
    throw std::invalid_argument("layers: expected matrices w_ih [gates * hidden, input] and w_hh [gates * hidden, hidden]");
  }
  shape.input = static_cast<int>(w_ih.shape(1));
  shape.hidden = static_cast<int>(w_hh.shape(1));
  if (shape.hidden < 1 || shape.hidden > kHiddenMax || shape.input < 1) {
    throw std::invalid_argument("hidden size: got " + std::to_string(shape.hidden) + ", expected 1 to " +
                                std::to_string(kHiddenMax) + "; and an input size of 1 or more");
  }
  return shape;
}

PackedStack* make_stack(const std::string& cell, const std::vector<LayerArrays>& layers,
                        bool bidirectional, const std::string& precision, const std::string& isa) {
  const StackShape shape = shape_of(cell, layers, bidirectional, precision);
  const KernelTable& kernels = find_kernels(isa);
  const int64_t gate_rows = int64_t{gates_of(shape.cell)} * shape.hidden;
  std::vector<LayerWeights> weights;
  for (size_t i = 0; i < layers.size(); ++i) {
    const int layer = static_cast<int>(i) / shape.directions;
    const auto& [w_ih, w_hh, b_ih, b_hh] = layers[i];
    weights.push_back({floats(w_ih, {"w_ih", {gate_rows, shape.input_of(layer)}}),
                       floats(w_hh, {"w_hh", {gate_rows, shape.hidden}}),
                       floats(b_ih, {"b_ih", {gate_rows}}), floats(b_hh, {"b_hh", {gate_rows}})});
  }
  const nb::gil_scoped_release release;
  return new PackedStack(shape, kernels, weights);
}

// h and c of all layers for `rows` rows.
struct StateArrays {
  std::optional<Array> h0;
  std::optional<Array> c0;
  std::optional<OutArray> hT;
  std::optional<OutArray> cT;
};

States states_of(const StackShape& shape, const StateArrays& arrays, int64_t rows) {
  if (shape.cell != Cell::kLstm && (arrays.c0 || arrays.cT)) {
    throw std::invalid_argument("c0, cT: expected None for a GRU, which has no cell state");
  }
  const int64_t blocks = int64_t{shape.layers} * shape.directions;
  States states;
  states.block = size_t(rows) * shape.hidden;
  if (arrays.h0) states.h_in = floats(*arrays.h0, {"h0", {blocks, rows, shape.hidden}});
  if (arrays.c0) states.c_in = floats(*arrays.c0, {"c0", {blocks, rows, shape.hidden}});
  if (arrays.hT) states.h_out = floats(*arrays.hT, {"hT", {blocks, rows, shape.hidden}});
  if (arrays.cT) states.c_out = floats(*arrays.cT, {"cT", {blocks, rows, shape.hidden}});
  return states;
}

const int32_t* lengths_of(const std::optional<Array>& lengths, int64_t rows, int64_t steps) {
  if (!lengths) return nullptr;
  const int32_t* values = integers(*lengths, {"lengths", {rows}});
  for (int64_t i = 0; i < rows; ++i) {
    if (values[i] < 0 || values[i] > steps) {
      throw std::invalid_argument("lengths: got " + std::to_string(values[i]) + ", expected 0 to " +
                                  std::to_string(steps));
    }
  }
  return values;
}

void run(const PackedStack& stack, Pool& pool, const Array& x, const OutArray& y,
         const std::optional<Array>& lengths, const std::optional<Array>& h0,
         const std::optional<Array>& c0, const std::optional<OutArray>& hT,
         const std::optional<OutArray>& cT, const std::optional<Plan>& plan) {
  const StackShape& shape = stack.shape();
  const float* from = floats(x, {"x", {kAnyLength, kAnyLength, shape.input}, false});
  const auto steps = static_cast<int64_t>(x.shape(0));
  const auto rows = static_cast<int64_t>(x.shape(1));
  float* to = floats(y, {"y", {steps, rows, shape.output()}, false});
  SequenceCall call;
  call.stack = &stack;
  call.steps = static_cast<int>(steps);
  call.x_step = x.stride(0);
  call.y_step = y.stride(0);
  call.states = states_of(shape, {h0, c0, hT, cT}, rows);
  if (plan) call.plan = *plan;
  const int32_t* length = lengths_of(lengths, rows, steps);
  call.rows.reserve(rows);
  for (int64_t i = 0; i < rows; ++i) {
    call.rows.push_back({from + i * x.stride(1), to + i * y.stride(1),
                         length ? length[i] : call.steps, static_cast<int>(i)});
  }
  const nb::gil_scoped_release release;
  run_sequences(pool, call);
}

void step(const PackedStack& stack, Pool& pool, const Array& x, const OutArray& y, const OutArray& h,
          const std::optional<OutArray>& c, const std::optional<Plan>& plan) {
  const StackShape& shape = stack.shape();
  if (shape.directions != 1) {
    throw std::invalid_argument("step needs a stack of one direction: a backward layer begins at a sequence's end");
  }
  const float* from = floats(x, {"x", {kAnyLength, shape.input}, false});
  const auto rows = static_cast<int64_t>(x.shape(0));
  float* to = floats(y, {"y", {rows, shape.hidden}, false});
  if (shape.cell == Cell::kLstm && !c) throw std::invalid_argument("c: expected the LSTM's cell states, got None");
  if (shape.cell != Cell::kLstm && c) throw std::invalid_argument("c: expected None for a GRU, which has no cell state");
  SequenceCall call;
  call.stack = &stack;
  call.steps = 1;
  float* state = floats(h, {"h", {shape.layers, rows, shape.hidden}});
  float* cells = c ? floats(*c, {"c", {shape.layers, rows, shape.hidden}}) : nullptr;
  call.states = {state, state, cells, cells, size_t(rows) * shape.hidden};
  if (plan) call.plan = *plan;
  call.rows.reserve(rows);
  for (int64_t i = 0; i < rows; ++i) {
    call.rows.push_back({from + i * x.stride(0), to + i * y.stride(0), 1, static_cast<int>(i)});
  }
  const nb::gil_scoped_release release;
  run_sequences(pool, call);
}

void advance(Slots& slots, const StackShape& shape, Pool& pool, const Array& ids, const Array& x,
             const OutArray& y, const std::optional<Array>& lengths, const std::optional<Plan>& plan) {
  Advance job;
  job.slots = integers(ids, {"slots", {kAnyLength}});
  const auto rows = static_cast<int64_t>(ids.shape(0));
  job.x = floats(x, {"x", {kAnyLength, rows, shape.input}, false});
  const auto steps = static_cast<int64_t>(x.shape(0));
  job.y = floats(y, {"y", {steps, rows, shape.hidden}, false});
  job.lengths = lengths_of(lengths, rows, steps);
  job.count = static_cast<int>(rows);
  job.steps = static_cast<int>(steps);
  job.x_step = x.stride(0);
  job.x_row = x.stride(1);
  job.y_step = y.stride(0);
  job.y_row = y.stride(1);
  if (plan) job.plan = *plan;
  const nb::gil_scoped_release release;
  slots.advance(pool, job);
}

// Slots with the stack they belong to.
struct StackSlots {
  StackSlots(const PackedStack& stack, int count) : stack(stack), slots(stack, count) {}
  const PackedStack& stack;
  Slots slots;
};

const float* slot_state(const StackSlots& self, const std::optional<Array>& array, const char* name) {
  const StackShape& shape = self.stack.shape();
  return array ? floats(*array, {name, {shape.layers, shape.hidden}}) : nullptr;
}

void reset_slot(StackSlots& self, int slot, const std::optional<Array>& h0, const std::optional<Array>& c0) {
  if (c0 && self.stack.shape().cell != Cell::kLstm) {
    throw std::invalid_argument("c0: expected None for a GRU, which has no cell state");
  }
  self.slots.reset(slot, slot_state(self, h0, "h0"), slot_state(self, c0, "c0"));
}

void read_slot(StackSlots& self, int slot, const OutArray& h, const std::optional<OutArray>& c) {
  const StackShape& shape = self.stack.shape();
  if (c && shape.cell != Cell::kLstm) {
    throw std::invalid_argument("c: expected None for a GRU, which has no cell state");
  }
  float* to_h = floats(h, {"h", {shape.layers, shape.hidden}});
  float* to_c = c ? floats(*c, {"c", {shape.layers, shape.hidden}}) : nullptr;
  self.slots.read(slot, to_h, to_c);
}

nb::tuple features() {
  nb::list names;
  for (const KernelTable* kernels : usable_kernels()) names.append(kernels->name);
  return nb::tuple(names);
}

void bind_pool(nb::module_& module) {
  nb::class_<Pool>(module, "Pool")
      .def(nb::init<int, std::vector<int>>(), nb::arg("threads"), nb::arg("cores") = std::vector<int>{})
      .def_prop_ro("threads", &Pool::threads)
      .def_prop_ro("closed", &Pool::closed)
      .def("close", &Pool::close, nb::call_guard<nb::gil_scoped_release>())
      .def("__enter__", [](Pool& self) -> Pool& { return self; }, nb::rv_policy::reference)
      .def("__exit__", [](Pool& self, nb::args) {
        const nb::gil_scoped_release release;
        self.close();
      });
}

void bind_plan(nb::module_& module) {
  nb::class_<Plan>(module, "Plan")
      .def("__init__",
           [](Plan* self, int threads, const std::string& split, int rows_per_block, int chunk_rows) {
             new (self) Plan(make_plan(threads, split, rows_per_block, chunk_rows));
           },
           nb::kw_only(), nb::arg("threads") = 0, nb::arg("split") = "auto", nb::arg("rows_per_block") = 0,
           nb::arg("chunk_rows") = 0)
      .def_ro("threads", &Plan::threads)
      .def_prop_ro("split", &split_name)
      .def_ro("rows_per_block", &Plan::rows_per_block)
      .def_ro("chunk_rows", &Plan::chunk_rows);
}

void bind_stack(nb::module_& module) {
  const auto none = nb::none();
  nb::class_<PackedStack>(module, "Stack")
      .def(nb::new_(&make_stack), nb::arg("cell"), nb::arg("layers"), nb::arg("bidirectional") = false,
           nb::arg("precision") = "fp32", nb::arg("isa") = "best")
      .def_prop_ro("input_size", [](const PackedStack& self) { return self.shape().input; })
      .def_prop_ro("hidden_size", [](const PackedStack& self) { return self.shape().hidden; })
      .def_prop_ro("layers", [](const PackedStack& self) { return self.shape().layers; })
      .def_prop_ro("bidirectional", [](const PackedStack& self) { return self.shape().directions == 2; })
      .def_prop_ro("isa", [](const PackedStack& self) { return self.kernels().name; })
      .def_prop_ro("weight_bytes", &PackedStack::weight_bytes)
      .def("run", &run, nb::arg("pool"), nb::arg("x"), nb::arg("y"), nb::arg("lengths") = none,
           nb::arg("h0") = none, nb::arg("c0") = none, nb::arg("hT") = none, nb::arg("cT") = none,
           nb::arg("plan") = none)
      .def("step", &step, nb::arg("pool"), nb::arg("x"), nb::arg("y"), nb::arg("h"), nb::arg("c") = none,
           nb::arg("plan") = none)
      .def("plan_for",
           [](const PackedStack& self, int rows, int steps, int threads, const std::optional<Plan>& plan) {
             const Load load{rows, int64_t{rows} * steps, steps};
             return complete_plan(plan.value_or(Plan{}), self.shape(), load, threads);
           },
           nb::arg("rows"), nb::arg("steps"), nb::arg("threads"), nb::arg("plan") = none);
}

void bind_slots(nb::module_& module) {
  const auto none = nb::none();
  nb::class_<StackSlots>(module, "Slots")
      .def(nb::init<const PackedStack&, int>(), nb::arg("stack"), nb::arg("slots"), nb::keep_alive<1, 2>())
      .def("__len__", [](const StackSlots& self) { return self.slots.count(); })
      .def("reset", &reset_slot, nb::arg("slot"), nb::arg("h0") = none, nb::arg("c0") = none)
      .def("advance",
           [](StackSlots& self, Pool& pool, const Array& slots, const Array& x, const OutArray& y,
              const std::optional<Array>& lengths, const std::optional<Plan>& plan) {
             advance(self.slots, self.stack.shape(), pool, slots, x, y, lengths, plan);
           },
           nb::arg("pool"), nb::arg("slots"), nb::arg("x"), nb::arg("y"), nb::arg("lengths") = none,
           nb::arg("plan") = none)
      .def("read", &read_slot, nb::arg("slot"), nb::arg("h"), nb::arg("c") = none);
}

}  // namespace
}  // namespace nexus

NB_MODULE(_native, module) {
  module.def("features", &nexus::features);
  nexus::bind_pool(module);
  nexus::bind_plan(module);
  nexus::bind_stack(module);
  nexus::bind_slots(module);
}
