// x86-64-v4: AVX-512 F, BW, DQ, VL.
#include <cstdint>

#include "simd_avx512.h"
//
#include "kernel_template.h"

namespace nexus {
const KernelTable kAvx512Kernels = table_named("avx512");
}
