// f32 and bf16 as one; sums are f32.
#pragma once
#include <cuda_bf16.h>
#include <stdint.h>

__device__ __forceinline__ float widen(float x) { return x; }
__device__ __forceinline__ float widen(__nv_bfloat16 x) { return __bfloat162float(x); }
__device__ __forceinline__ void narrow(float x, float *to) { *to = x; }
__device__ __forceinline__ void narrow(float x, __nv_bfloat16 *to) { *to = __float2bfloat16(x); }

__device__ __forceinline__ float warp_sum(float x) {
  for (int at = 16; at > 0; at >>= 1) x += __shfl_xor_sync(0xffffffff, x, at);
  return x;
}
