// Threads do not survive fork(): a pool remembers the generation of the process that made it.
#pragma once
#include <cstdint>

namespace nexus {

// Grows by one in every forked child.
int64_t process_generation();

}  // namespace nexus
