// x86-64-v3: AVX2 and FMA.
#include <cstdint>

#include "simd_avx2.h"
//
#include "kernel_template.h"

namespace nexus {
const KernelTable kAvx2Kernels = table_named("avx2");
}
