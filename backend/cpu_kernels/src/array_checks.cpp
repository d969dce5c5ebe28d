#include "array_checks.h"

namespace nexus {
namespace nb = nanobind;
namespace {

std::string text_of(nb::dlpack::dtype type) {
  static const char* const kinds[] = {"int", "uint", "float", "opaque", "bfloat", "complex", "bool"};
  const char* kind = type.code < 7 ? kinds[type.code] : "other";
  return std::string(kind) + std::to_string(type.bits);
}

template <class A>
std::string text_of_shape(const A& array) {
  std::string text = "[";
  for (size_t i = 0; i < array.ndim(); ++i) text += (i ? ", " : "") + std::to_string(array.shape(i));
  return text + "]";
}

std::string text_of_shape(const Expected& expected) {
  std::string text = "[";
  for (const int64_t length : expected.shape) {
    if (text.size() > 1) text += ", ";
    text += length == kAnyLength ? "any" : std::to_string(length);
  }
  return text + "]";
}

template <class A>
[[noreturn]] void refuse(const A& array, const Expected& expected, const std::string& type) {
  const std::string layout = expected.whole ? ", contiguous" : ", its last axis contiguous";
  const std::string text = std::string(expected.name) + ": expected " + type + " " +
                           text_of_shape(expected) + " on the CPU" + layout + "; got " +
                           text_of(array.dtype()) + " " + text_of_shape(array);
  throw nb::value_error(text.c_str());
}

template <class A>
bool has_shape(const A& array, const Expected& expected) {
  if (array.ndim() != expected.shape.size()) return false;
  size_t i = 0;
  for (const int64_t length : expected.shape) {
    if (length != kAnyLength && static_cast<int64_t>(array.shape(i)) != length) return false;
    ++i;
  }
  return true;
}

template <class A>
bool has_layout(const A& array, bool whole) {
  if (array.size() == 0) return true;  // strides of nothing are arbitrary
  int64_t stride = 1;
  for (size_t i = array.ndim(); i-- > 0;) {
    const bool checked = whole || i + 1 == array.ndim();
    if (checked && array.shape(i) > 1 && array.stride(i) != stride) return false;
    stride *= static_cast<int64_t>(array.shape(i));
  }
  return true;
}

template <class T, class A>
void check(const A& array, const Expected& expected, const char* type) {
  if (array.dtype() != nb::dtype<T>() || array.device_type() != nb::device::cpu::value ||
      !has_shape(array, expected) || !has_layout(array, expected.whole)) {
    refuse(array, expected, type);
  }
}

}  // namespace

const float* floats(const Array& array, const Expected& expected) {
  check<float>(array, expected, "float32");
  return static_cast<const float*>(array.data());
}

float* floats(const OutArray& array, const Expected& expected) {
  check<float>(array, expected, "float32");
  return static_cast<float*>(array.data());
}

const int32_t* integers(const Array& array, const Expected& expected) {
  check<int32_t>(array, expected, "int32");
  return static_cast<const int32_t*>(array.data());
}

}  // namespace nexus
