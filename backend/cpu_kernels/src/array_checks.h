// What arrays Python may pass, and messages that say what was expected.
#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <initializer_list>
#include <string>

namespace nexus {

using Array = nanobind::ndarray<nanobind::ro>;
using OutArray = nanobind::ndarray<>;

constexpr int64_t kAnyLength = -1;

// The shape's last dimension must be contiguous; with `whole`, the entire array. Throws ValueError.
struct Expected {
  const char* name;
  std::initializer_list<int64_t> shape;
  bool whole = true;
};

const float* floats(const Array& array, const Expected& expected);
float* floats(const OutArray& array, const Expected& expected);
const int32_t* integers(const Array& array, const Expected& expected);

}  // namespace nexus
