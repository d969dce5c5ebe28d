// Which kernels this CPU runs, asked once at run time.
#pragma once
#include <string>
#include <vector>

#include "kernel.h"

namespace nexus {

// Kernels this binary holds and this CPU runs, best first; the last is "scalar".
std::vector<const KernelTable*> usable_kernels();

// "best" or a name of `usable_kernels`; throws std::invalid_argument that lists them otherwise.
const KernelTable& find_kernels(const std::string& name);

}  // namespace nexus
