// 64-bit ARM.
#include <cstdint>

#include "simd_neon.h"
//
#include "kernel_template.h"

namespace nexus {
const KernelTable kNeonKernels = table_named("neon");
}
