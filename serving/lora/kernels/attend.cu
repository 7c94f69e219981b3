// Attention over the paged cache: keys and values lie in blocks of `block_tokens` positions, `tables` names each row's.
//
// A block a token and query head. Its four warps take every fourth position with a running softmax (Milakov and
// Gimelshein, "Online normalizer calculation for softmax", 2018), and join their sums at the end (flash-decoding).
#include "number.cuh"

constexpr int WARPS = 4;
constexpr int LANES = 32;
constexpr int DIM_MAX = 256;

struct Seen {
  int32_t row, position;
};

template <typename T>
__device__ void attend(const T *queries, const T *keys, const T *values, T *out, const Seen *tokens, const int32_t *tables,
                       int table_blocks, int block_tokens, int kv_heads, int dim, int window, float scale) {
  __shared__ float maxima[WARPS], sums[WARPS], parts[WARPS][DIM_MAX];
  const int heads = gridDim.y, head = blockIdx.y, kv_head = head / (heads / kv_heads);
  const int warp = threadIdx.x / LANES, lane = threadIdx.x % LANES;
  const Seen seen = tokens[blockIdx.x];
  const int32_t *table = tables + (int64_t)seen.row * table_blocks;
  const int64_t own = ((int64_t)blockIdx.x * heads + head) * dim;
  float query[DIM_MAX / LANES], part[DIM_MAX / LANES];
#pragma unroll
  for (int at = 0; at < DIM_MAX / LANES; ++at) {
    const int column = at * LANES + lane;
    query[at] = column < dim ? widen(queries[own + column]) * scale : 0;
    part[at] = 0;
  }
  const int first = window > 0 ? max(0, seen.position + 1 - window) : 0;
  float maximum = -INFINITY, sum = 0;
  for (int position = first + warp; position <= seen.position; position += WARPS) {
    const int64_t slot = (int64_t)table[position / block_tokens] * block_tokens + position % block_tokens;
    const int64_t cell = (slot * kv_heads + kv_head) * dim;
    float score = 0;
#pragma unroll
    for (int at = 0; at < DIM_MAX / LANES; ++at) {
      const int column = at * LANES + lane;
      if (column < dim) score += query[at] * widen(keys[cell + column]);
    }
    score = warp_sum(score);
    const float higher = fmaxf(maximum, score), kept = __expf(maximum - higher), weight = __expf(score - higher);
    maximum = higher;
    sum = sum * kept + weight;
#pragma unroll
    for (int at = 0; at < DIM_MAX / LANES; ++at) {
      const int column = at * LANES + lane;
      if (column < dim) part[at] = part[at] * kept + weight * widen(values[cell + column]);
    }
  }
  if (lane == 0) {
    maxima[warp] = maximum;
    sums[warp] = sum;
  }
#pragma unroll
  for (int at = 0; at < DIM_MAX / LANES; ++at) parts[warp][at * LANES + lane] = part[at];
  __syncthreads();
  float highest = -INFINITY, total = 0;
  for (int at = 0; at < WARPS; ++at) highest = fmaxf(highest, maxima[at]);
  // A warp that saw nothing has a maximum of −∞ and weighs nothing.
  for (int at = 0; at < WARPS; ++at) total += sums[at] * __expf(maxima[at] - highest);
  for (int column = threadIdx.x; column < dim; column += blockDim.x) {
    float joined = 0;
    for (int at = 0; at < WARPS; ++at) joined += parts[at][column] * __expf(maxima[at] - highest);
    narrow(joined / total, out + own + column);
  }
}

#define KERNEL(NAME, T)                                                                                                  \
  extern "C" __global__ void attend_##NAME(const T *q, const T *k, const T *v, T *out, const Seen *tokens,               \
                                           const int32_t *tables, int table_blocks, int block_tokens, int kv_heads,      \
                                           int dim, int window, float scale) {                                           \
    attend<T>(q, k, v, out, tokens, tables, table_blocks, block_tokens, kv_heads, dim, window, scale);                   \
  }
KERNEL(f32, float)
KERNEL(bf16, __nv_bfloat16)
