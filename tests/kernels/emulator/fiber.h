// Stacks that one OS thread switches between: what a switch must keep is what a call must keep.
#pragma once
#include <sys/mman.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace emulator {

constexpr size_t STACK_BYTES = 64 << 10;  // of address space; pages come when they are touched

struct Fiber {
  void* stack_pointer = nullptr;
  char* stack = nullptr;
};

extern "C" void emulator_switch(void** save, void* load) __attribute__((visibility("hidden")));
#if defined(__x86_64__)
asm(R"(
.text
.globl emulator_switch
.hidden emulator_switch
emulator_switch:
  push %rbp
  push %rbx
  push %r12
  push %r13
  push %r14
  push %r15
  mov %rsp, (%rdi)
  mov %rsi, %rsp
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbx
  pop %rbp
  ret
)");
static void* first_frame(char* top, void (*entry)()) {
  void** sp = (void**)top - 2;  // so that `entry` finds its stack aligned as after a call
  *--sp = nullptr;
  *--sp = (void*)entry;
  for (int i = 0; i < 6; i++) *--sp = nullptr;
  return sp;
}
#elif defined(__aarch64__)
asm(R"(
.text
.globl emulator_switch
.hidden emulator_switch
emulator_switch:
  sub sp, sp, #160
  stp x19, x20, [sp]
  stp x21, x22, [sp, 16]
  stp x23, x24, [sp, 32]
  stp x25, x26, [sp, 48]
  stp x27, x28, [sp, 64]
  stp x29, x30, [sp, 80]
  stp d8, d9, [sp, 96]
  stp d10, d11, [sp, 112]
  stp d12, d13, [sp, 128]
  stp d14, d15, [sp, 144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp]
  ldp x21, x22, [sp, 16]
  ldp x23, x24, [sp, 32]
  ldp x25, x26, [sp, 48]
  ldp x27, x28, [sp, 64]
  ldp x29, x30, [sp, 80]
  ldp d8, d9, [sp, 96]
  ldp d10, d11, [sp, 112]
  ldp d12, d13, [sp, 128]
  ldp d14, d15, [sp, 144]
  add sp, sp, #160
  ret
)");
static void* first_frame(char* top, void (*entry)()) {
  void** sp = (void**)(top - 160);
  memset(sp, 0, 160);
  sp[11] = (void*)entry;  // x30
  return sp;
}
#else
#error "the emulator switches stacks on x86-64 and aarch64 only"
#endif

// Stacks are kept for the next launch: most of a short launch would be spent on making them.
static std::vector<char*> free_stacks;

static void create_fiber(Fiber& fiber, void (*entry)()) {
  if (free_stacks.empty()) {
    void* stack = mmap(nullptr, STACK_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stack == MAP_FAILED) abort();
    free_stacks.push_back((char*)stack);
  }
  fiber.stack = free_stacks.back();
  free_stacks.pop_back();
  fiber.stack_pointer = first_frame(fiber.stack + STACK_BYTES, entry);
}
static void destroy_fiber(Fiber& fiber) { free_stacks.push_back(fiber.stack); }
static void switch_fiber(Fiber& from, Fiber& to) {
  emulator_switch(&from.stack_pointer, to.stack_pointer);
}

}  // namespace emulator
