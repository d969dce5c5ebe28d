// Plain C++, for CPUs without the others.
#include <cstdint>

#include "simd_scalar.h"
//
#include "kernel_template.h"

namespace nexus {
const KernelTable kScalarKernels = table_named("scalar");
}
