// The emulator's half of port.h: the same names, over fibers.
#pragma once
#include "emulator.h"

#define __global__
#define __host__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define UNROLL
#define SHARED_MEMORY(name) char* name = emulator::current->block->shared

struct alignas(16) float4 { float x, y, z, w; };
struct alignas(16) uint4 { u32 x, y, z, w; };
struct ThreadIndex { unsigned x; };
#define threadIdx (ThreadIndex{emulator::current->index})
#define blockIdx (emulator::current->block->index)
#define gridDim (emulator::grid)

static void barrier() { emulator::meet_block(false); }
static bool barrier_or(bool predicate) { return emulator::meet_block(predicate); }

static u32 bits_of(float value) { u32 bits; memcpy(&bits, &value, 4); return bits; }
static float float_of(u32 bits) { float value; memcpy(&value, &bits, 4); return value; }
static float fused_multiply_add(float a, float b, float c) { return a * b + c; }
static float sigmoid(float x) { return 1.f / (1.f + __builtin_expf(-x)); }
static float hyperbolic_tangent(float x) { return __builtin_tanhf(x); }

static u32 shuffle(u32 value, int lane) { return emulator::collect(&value, 1)[lane & 31][0]; }
static float shuffle(float value, int lane) { return float_of(shuffle(bits_of(value), lane)); }
static float shuffle_xor(float value, int mask) {
  return shuffle(value, (int)emulator::current->lane ^ mask);
}

// ---- 16-bit numbers -----------------------------------------------------------------------------
static u32 bf16_of(float value) {
  const u32 bits = bits_of(value);
  if (value != value) return 0x7fff;
  return (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
}
static float float_of_bf16(u32 half) { return float_of(half << 16); }
static float float_of_fp16(u32 half) {
  const int exponent = half >> 10 & 31, fraction = half & 1023;
  const float sign = half >> 15 ? -1.f : 1.f;
  if (exponent == 31) return fraction ? __builtin_nanf("") : sign * __builtin_inff();
  if (exponent == 0) return sign * __builtin_ldexpf((float)fraction, -24);
  return sign * __builtin_ldexpf((float)(fraction + 1024), exponent - 25);
}
static u32 fp16_of(float value) {
  if (value != value) return 0x7fff;
  const u32 sign = __builtin_signbit(value) ? 0x8000 : 0;
  const float size = __builtin_fabsf(value);
  if (size >= 65520.f) return sign | 0x7c00;
  int exponent = size >= __builtin_ldexpf(1, -14) ? __builtin_ilogbf(size) : -14;
  // A fraction that rounds up to 2048 carries into the exponent by plain addition.
  const u32 fraction = (u32)__builtin_nearbyintf(__builtin_ldexpf(size, 10 - exponent));
  return sign | (fraction < 1024 ? fraction : ((u32)(exponent + 14) << 10) + fraction);
}
static u32 pack_bf16(float low, float high) { return bf16_of(low) | bf16_of(high) << 16; }
static u32 pack_fp16(float low, float high) { return fp16_of(low) | fp16_of(high) << 16; }

template <float (*DECODE)(u32)>
static void mma(float (&d)[4], const uint4& a, u32 b0, u32 b1) {
  const u32 mine[6] = {a.x, a.y, a.z, a.w, b0, b1};
  const auto& all = emulator::collect(mine, 6);
  const int g = emulator::current->lane / 4, q = emulator::current->lane % 4;
  for (int i = 0; i < 4; i++) {
    const int row = g + i / 2 * 8, column = q * 2 + i % 2;
    float sum = 0;
    for (int k = 0; k < 16; k++) {
      const u32 left = all[row % 8 * 4 + k % 8 / 2][row / 8 + k / 8 * 2];
      const u32 right = all[column * 4 + k % 8 / 2][4 + k / 8];
      sum += DECODE(left >> k % 2 * 16 & 0xffff) * DECODE(right >> k % 2 * 16 & 0xffff);
    }
    d[i] += sum;
  }
}
static void mma_bf16(float (&d)[4], const uint4& a, u32 b0, u32 b1) {
  mma<float_of_bf16>(d, a, b0, b1);
}
static void mma_fp16(float (&d)[4], const uint4& a, u32 b0, u32 b1) {
  mma<float_of_fp16>(d, a, b0, b1);
}

// ---- global memory ------------------------------------------------------------------------------
static float load_private(const float* address) { return emulator::load_global(address, true); }
static void store_private(float* address, float value) { emulator::store_global(address, value); }
static void store_word(Word* address, const Word& word) { emulator::store_global(address, word); }
static Word load_word(const Word* address) { return emulator::load_global(address, false); }
static void store_relaxed(u32* address, u32 value) { emulator::store_global(address, value); }
static u32 load_relaxed(const u32* address) { return emulator::load_global(address, false); }
static u32 load_weak(const u32* address) { return emulator::load_global(address, true); }
static void add_relaxed(u32* address, u32 value) {
  emulator::maybe_preempt();
  *address += value;
  emulator::maybe_preempt();
}
static void add_release(u32* address, u32 value) {
  emulator::maybe_preempt();
  emulator::release_stores();
  *address += value;
  emulator::maybe_preempt();
}
static u32 load_acquire(const u32* address) {
  const u32 value = emulator::load_global(address, false);
  emulator::acquire_stores();
  return value;
}

// ---- waiting: time passes with the scheduler's rounds ------------------------------------------
static u64 clock_ticks() { return emulator::rounds; }
static void spin_pause() { emulator::yield(); }

// ---- clusters -----------------------------------------------------------------------------------
static void cluster_barrier() { emulator::meet_cluster(); }
static void mbarrier_init(u64* mbarrier, u32 arrivals) {
  *(emulator::Mbarrier*)mbarrier = {0, (uint8_t)arrivals, (uint8_t)arrivals, 0, 0};
}
static void mbarrier_expect(u64* mbarrier, u32 bytes) {
  emulator::Mbarrier& barrier = *(emulator::Mbarrier*)mbarrier;
  barrier.bytes_due += (int32_t)bytes;
  barrier.pending--;
  emulator::settle(barrier);
}
static bool mbarrier_completed(u64* mbarrier, u32 parity) {
  return ((emulator::Mbarrier*)mbarrier)->phase != parity;
}
static void send_async(void* destination, u64* mbarrier, u32 rank, u32 value) {
  emulator::send_bytes(destination, mbarrier, rank, value);
}
