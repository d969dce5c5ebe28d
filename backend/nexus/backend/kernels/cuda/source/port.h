// The only file in which the GPU build and the emulator's build differ: what a kernel may ask of
// its machine. Everything else in this folder is plain C++17 over these names, so the very source
// that NVRTC compiles for the GPU runs under tests/kernels/emulator with g++ and no GPU.
//
// No header is included here (NVRTC then needs no include path, and compiles in a tenth of the
// time): barriers, exchange and tensor cores are inline PTX.
#pragma once

typedef unsigned int u32;
typedef unsigned long long u64;

// 16 bytes that travel between blocks in ONE memory access: 12 of payload, and the epoch that says
// to which exchange they belong. A reader that sees the epoch has the payload: no fence, no flag.
struct alignas(16) Word {
  u32 payload[3];
  u32 epoch;
};

#ifdef GRNN_EMULATOR
#include "emulator_port.h"
#else

#define UNROLL _Pragma("unroll")
#define SHARED_MEMORY(name) extern __shared__ __align__(16) char name[]

// ---- threads of a block -----------------------------------------------------------------------
__device__ __forceinline__ void barrier() { __syncthreads(); }
__device__ __forceinline__ bool barrier_or(bool predicate) { return __syncthreads_or(predicate); }
__device__ __forceinline__ u32 shuffle(u32 value, int lane) {
  return __shfl_sync(0xffffffffu, value, lane);
}
__device__ __forceinline__ float shuffle(float value, int lane) {
  return __shfl_sync(0xffffffffu, value, lane);
}
__device__ __forceinline__ float shuffle_xor(float value, int mask) {
  return __shfl_xor_sync(0xffffffffu, value, mask);
}

// ---- arithmetic -------------------------------------------------------------------------------
__device__ __forceinline__ u32 bits_of(float value) { return __float_as_uint(value); }
__device__ __forceinline__ float float_of(u32 bits) { return __uint_as_float(bits); }
__device__ __forceinline__ float fused_multiply_add(float a, float b, float c) {
  return fmaf(a, b, c);
}
__device__ __forceinline__ float sigmoid(float x) { return __fdividef(1.f, 1.f + __expf(-x)); }
__device__ __forceinline__ float hyperbolic_tangent(float x) {
  return 1.f - __fdividef(2.f, 1.f + __expf(2.f * x));  // exp overflows to inf: the quotient is 0
}

// Two floats, rounded to nearest even, as two 16-bit numbers in one register; `low` in bits 0-15.
__device__ __forceinline__ u32 pack_bf16(float low, float high) {
#if __CUDA_ARCH__ >= 800
  u32 packed;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  return packed;
#else
  return 0;  // the configuration refuses bf16 below sm_80
#endif
}
__device__ __forceinline__ u32 pack_fp16(float low, float high) {
  u32 packed;
  asm("{ .reg .b16 lo, hi;\n cvt.rn.f16.f32 lo, %1;\n cvt.rn.f16.f32 hi, %2;\n"
      " mov.b32 %0, {lo, hi}; }"
      : "=r"(packed) : "f"(low), "f"(high));
  return packed;
}

// d (16 x 8, fp32) += a (16 x 16) * b (16 x 8); fragment layouts of PTX mma.m16n8k16. With
// lane = 4*g + q: a[0], a[1] are rows g, g+8 of columns 2q, 2q+1; a[2], a[3] the same rows of
// columns 2q+8, 2q+9; b0, b1 are column g of rows 2q, 2q+1 and 2q+8, 2q+9; d[0], d[1] are row g of
// columns 2q, 2q+1, and d[2], d[3] row g+8.
__device__ __forceinline__ void mma_bf16(float (&d)[4], const uint4& a, u32 b0, u32 b1) {
#if __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9},"
      " {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b0), "r"(b1));
#endif
}
__device__ __forceinline__ void mma_fp16(float (&d)[4], const uint4& a, u32 b0, u32 b1) {
#if __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9},"
      " {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b0), "r"(b1));
#else  // Turing has half of it: columns 0-7, then columns 8-15
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32"
      " {%0,%1,%2,%3}, {%4,%5}, {%8}, {%0,%1,%2,%3};\n"
      "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32"
      " {%0,%1,%2,%3}, {%6,%7}, {%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b0), "r"(b1));
#endif
}

// ---- global memory ----------------------------------------------------------------------------
// Scratch that only this block touches: ordered by the block's own barriers.
__device__ __forceinline__ float load_private(const float* address) { return *address; }
__device__ __forceinline__ void store_private(float* address, float value) { *address = value; }

// Between blocks. A relaxed access is coherent and single-copy atomic, and orders nothing else.
__device__ __forceinline__ void store_word(Word* address, const Word& word) {
  asm volatile(
      "{ .reg .b64 lo, hi;\n .reg .b128 all;\n mov.b64 lo, {%1, %2};\n mov.b64 hi, {%3, %4};\n"
      " mov.b128 all, {lo, hi};\n st.relaxed.gpu.global.b128 [%0], all; }" ::"l"(address),
      "r"(word.payload[0]), "r"(word.payload[1]), "r"(word.payload[2]), "r"(word.epoch)
      : "memory");
}
__device__ __forceinline__ Word load_word(const Word* address) {
  Word word;
  asm volatile(
      "{ .reg .b64 lo, hi;\n .reg .b128 all;\n ld.relaxed.gpu.global.b128 all, [%4];\n"
      " mov.b128 {lo, hi}, all;\n mov.b64 {%0, %1}, lo;\n mov.b64 {%2, %3}, hi; }"
      : "=r"(word.payload[0]), "=r"(word.payload[1]), "=r"(word.payload[2]), "=r"(word.epoch)
      : "l"(address)
      : "memory");
  return word;
}
__device__ __forceinline__ void store_relaxed(u32* address, u32 value) {
  asm volatile("st.relaxed.gpu.global.u32 [%0], %1;" ::"l"(address), "r"(value) : "memory");
}
__device__ __forceinline__ u32 load_relaxed(const u32* address) {
  u32 value;
  asm volatile("ld.relaxed.gpu.global.u32 %0, [%1];" : "=r"(value) : "l"(address) : "memory");
  return value;
}
// A weak load of what another block wrote: right only behind an acquire (which drops the L1 lines).
__device__ __forceinline__ u32 load_weak(const u32* address) {
  u32 value;
  asm volatile("ld.weak.global.u32 %0, [%1];" : "=r"(value) : "l"(address) : "memory");
  return value;
}
__device__ __forceinline__ void add_release(u32* address, u32 value) {
  asm volatile("red.release.gpu.global.add.u32 [%0], %1;" ::"l"(address), "r"(value) : "memory");
}
__device__ __forceinline__ void add_relaxed(u32* address, u32 value) {
  asm volatile("red.relaxed.gpu.global.add.u32 [%0], %1;" ::"l"(address), "r"(value) : "memory");
}
__device__ __forceinline__ u32 load_acquire(const u32* address) {
  u32 value;
  asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(value) : "l"(address) : "memory");
  return value;
}

// ---- waiting ----------------------------------------------------------------------------------
__device__ __forceinline__ u64 clock_ticks() { return clock64(); }
__device__ __forceinline__ void spin_pause() {}

// ---- clusters (sm_90): blocks that are scheduled together and write each other's shared memory --
#if __CUDA_ARCH__ >= 900
__device__ __forceinline__ u32 shared_address(const void* pointer) {
  return (u32)__cvta_generic_to_shared(pointer);
}
__device__ __forceinline__ void cluster_barrier() {
  asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::
                   : "memory");
}
__device__ __forceinline__ void mbarrier_init(u64* mbarrier, u32 arrivals) {
  asm volatile(
      "mbarrier.init.shared::cta.b64 [%0], %1;\n"
      "fence.mbarrier_init.release.cluster;" ::"r"(shared_address(mbarrier)),
      "r"(arrivals)
      : "memory");
}
__device__ __forceinline__ void mbarrier_expect(u64* mbarrier, u32 bytes) {
  asm volatile(
      "{ .reg .b64 state;\n"
      " mbarrier.arrive.expect_tx.shared::cta.b64 state, [%0], %1; }" ::"r"(
          shared_address(mbarrier)),
      "r"(bytes)
      : "memory");
}
// Whether the phase of `parity` has completed. Acquires what the cluster sent in it.
__device__ __forceinline__ bool mbarrier_completed(u64* mbarrier, u32 parity) {
  u32 completed;
  asm volatile(
      "{ .reg .pred p;\n"
      " mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 p, [%1], %2;\n"
      " selp.u32 %0, 1, 0, p; }"
      : "=r"(completed)
      : "r"(shared_address(mbarrier)), "r"(parity)
      : "memory");
  return completed;
}
// Writes 4 bytes to the same place in the shared memory of the cluster's block `rank`, and counts
// them at its mbarrier when they have arrived.
__device__ __forceinline__ void send_async(void* destination, u64* mbarrier, u32 rank, u32 value) {
  asm volatile(
      "{ .reg .u32 there, counter;\n"
      " mapa.shared::cluster.u32 there, %0, %2;\n"
      " mapa.shared::cluster.u32 counter, %1, %2;\n"
      " st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.u32"
      " [there], %3, [counter]; }" ::"r"(shared_address(destination)),
      "r"(shared_address(mbarrier)), "r"(rank), "r"(value)
      : "memory");
}
#endif  // __CUDA_ARCH__ >= 900
#endif  // GRNN_EMULATOR
