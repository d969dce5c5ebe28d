#include "instruction_sets.h"

#include <stdexcept>

namespace nexus {
namespace {

// __builtin_cpu_supports asks the operating system too: it saves the wide registers or it does not.
#if defined(NEXUS_HAVE_AVX2)
bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
#endif
#if defined(NEXUS_HAVE_AVX512)
bool has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#endif

}  // namespace

std::vector<const KernelTable*> usable_kernels() {
  std::vector<const KernelTable*> usable;
#if defined(NEXUS_HAVE_AVX512)
  if (has_avx512()) usable.push_back(&kAvx512Kernels);
#endif
#if defined(NEXUS_HAVE_AVX2)
  if (has_avx2()) usable.push_back(&kAvx2Kernels);
#endif
#if defined(NEXUS_HAVE_NEON)
  usable.push_back(&kNeonKernels);
#endif
  usable.push_back(&kScalarKernels);
  return usable;
}

const KernelTable& find_kernels(const std::string& name) {
  const auto usable = usable_kernels();
  if (name == "best") return *usable.front();
  std::string names = "best";
  for (const KernelTable* kernels : usable) {
    if (name == kernels->name) return *kernels;
    names += std::string(", ") + kernels->name;
  }
  throw std::invalid_argument("isa: got '" + name + "', this machine runs: " + names);
}

}  // namespace nexus
