// y += s·B(A·x) for a batch whose tokens are sorted by adapter, in two steps through `low`, f32 [tokens, rank_max], zeroed.
//
// Decode (few tokens, each of its own adapter) is bound by reading A and B once: batched gather matrix-vector products
// (BGMV; Chen et al., "Punica", MLSys 2024). A·x is split along K over blocks, or 32 tokens would keep 32 of 132
// multiprocessors busy. Prefill (many tokens of few adapters) is a segmented gather matrix-matrix product (SGMV, same
// paper): a tile of 16 tokens of one segment shares what it reads.
//
// An adapter lies in memory as A [rank, inputs] and B [rank, outputs], in the base's type; sums are f32. A segment is
// {a, b, scale, rank, first token, tokens}; `token_segment[t]` is the segment of token t or −1 for the base.
#include "number.cuh"

struct Segment {
  uint64_t a, b;
  float scale;
  int32_t rank, start, len;
};

// Grid (splits, tokens), 128 threads: warp w takes ranks w, w + 4, … of its token's adapter, over this block's part of K.
template <typename T>
__device__ void bgmv_shrink(const T *x, float *low, const Segment *segments, const int32_t *token_segment, int inputs,
                            int rank_max) {
  const int token = blockIdx.y, segment_at = token_segment[token];
  if (segment_at < 0) return;
  const Segment segment = segments[segment_at];
  const int part = (inputs + gridDim.x - 1) / gridDim.x;
  const int from = blockIdx.x * part, to = min(inputs, from + part);
  const T *row = x + (int64_t)token * inputs;
  for (int rank = threadIdx.x / 32; rank < segment.rank; rank += blockDim.x / 32) {
    const T *a = (const T *)segment.a + (int64_t)rank * inputs;
    float sum = 0;
    for (int at = from + threadIdx.x % 32; at < to; at += 32) sum += widen(a[at]) * widen(row[at]);
    sum = warp_sum(sum);
    if (threadIdx.x % 32 == 0) atomicAdd(low + (int64_t)token * rank_max + rank, sum * segment.scale);
  }
}

// Grid (outputs / 128, tokens), 128 threads: a thread an output; a row of B is read by neighbouring threads.
template <typename T>
__device__ void bgmv_expand(const float *low, T *y, const Segment *segments, const int32_t *token_segment, int outputs,
                            int rank_max) {
  const int token = blockIdx.y, segment_at = token_segment[token];
  const int output = blockIdx.x * blockDim.x + threadIdx.x;
  if (segment_at < 0 || output >= outputs) return;
  const Segment segment = segments[segment_at];
  const T *b = (const T *)segment.b + output;
  float sum = 0;
  for (int rank = 0; rank < segment.rank; ++rank)
    sum += low[(int64_t)token * rank_max + rank] * widen(b[(int64_t)rank * outputs]);
  T *to = y + (int64_t)token * outputs + output;
  narrow(widen(*to) + sum, to);
}

constexpr int TILE = 16;   // tokens of a tile
constexpr int DEPTH = 64;  // of K, or outputs, at a time

// Grid (splits, tiles): `tiles[i]` = {segment, first token}. 256 threads: thread (r, t) sums rank r (and r + 16, …) of token t.
template <typename T>
__device__ void sgmv_shrink(const T *x, float *low, const Segment *segments, const int2 *tiles, int inputs, int rank_max) {
  __shared__ float xs[TILE][DEPTH + 1], as[TILE][DEPTH + 1];
  const int2 tile = tiles[blockIdx.y];
  const Segment segment = segments[tile.x];
  const int tokens = min(TILE, segment.start + segment.len - tile.y);
  const int part = ((inputs + gridDim.x - 1) / gridDim.x + DEPTH - 1) / DEPTH * DEPTH;
  const int from = blockIdx.x * part, to = min(inputs, from + part);
  const int own_token = threadIdx.x / TILE, own_rank = threadIdx.x % TILE;
  for (int rank = 0; rank < segment.rank; rank += TILE) {
    float sum = 0;
    for (int depth = from; depth < to; depth += DEPTH) {
      for (int at = threadIdx.x; at < TILE * DEPTH; at += blockDim.x) {
        const int row = at / DEPTH, column = depth + at % DEPTH;
        const bool inside = column < to;
        xs[row][at % DEPTH] = inside && row < tokens ? widen(x[(int64_t)(tile.y + row) * inputs + column]) : 0;
        as[row][at % DEPTH] = inside && rank + row < segment.rank
                                  ? widen(((const T *)segment.a)[(int64_t)(rank + row) * inputs + column])
                                  : 0;
      }
      __syncthreads();
#pragma unroll
      for (int at = 0; at < DEPTH; ++at) sum += xs[own_token][at] * as[own_rank][at];
      __syncthreads();
    }
    if (own_token < tokens && rank + own_rank < segment.rank)
      atomicAdd(low + (int64_t)(tile.y + own_token) * rank_max + rank + own_rank, sum * segment.scale);
  }
}

// Grid (outputs / DEPTH, tiles), 256 threads: a thread sums an output for four tokens.
template <typename T>
__device__ void sgmv_expand(const float *low, T *y, const Segment *segments, const int2 *tiles, int outputs, int rank_max) {
  __shared__ float lows[TILE][TILE], bs[TILE][DEPTH];
  const int2 tile = tiles[blockIdx.y];
  const Segment segment = segments[tile.x];
  const int tokens = min(TILE, segment.start + segment.len - tile.y);
  const int first = blockIdx.x * DEPTH, column = threadIdx.x % DEPTH, group = threadIdx.x / DEPTH;
  float sums[4] = {0, 0, 0, 0};
  for (int rank = 0; rank < segment.rank; rank += TILE) {
    const int row = threadIdx.x / TILE, at = threadIdx.x % TILE;
    lows[row][at] = row < tokens && rank + at < segment.rank ? low[(int64_t)(tile.y + row) * rank_max + rank + at] : 0;
    for (int at = threadIdx.x; at < TILE * DEPTH; at += blockDim.x) {
      const int b_row = rank + at / DEPTH, output = first + at % DEPTH;
      bs[at / DEPTH][at % DEPTH] = b_row < segment.rank && output < outputs
                                       ? widen(((const T *)segment.b)[(int64_t)b_row * outputs + output])
                                       : 0;
    }
    __syncthreads();
#pragma unroll
    for (int at = 0; at < TILE; ++at)
#pragma unroll
      for (int token = 0; token < 4; ++token) sums[token] += lows[group * 4 + token][at] * bs[at][column];
    __syncthreads();
  }
  if (first + column >= outputs) return;
  for (int token = 0; token < 4 && group * 4 + token < tokens; ++token) {
    T *to = y + (int64_t)(tile.y + group * 4 + token) * outputs + first + column;
    narrow(widen(*to) + sums[token], to);
  }
}

#define KERNELS(NAME, T)                                                                                                   \
  extern "C" __global__ void bgmv_shrink_##NAME(const T *x, float *low, const Segment *s, const int32_t *t, int i, int r) { \
    bgmv_shrink<T>(x, low, s, t, i, r);                                                                                    \
  }                                                                                                                        \
  extern "C" __global__ void bgmv_expand_##NAME(const float *low, T *y, const Segment *s, const int32_t *t, int o, int r) { \
    bgmv_expand<T>(low, y, s, t, o, r);                                                                                    \
  }                                                                                                                        \
  extern "C" __global__ void sgmv_shrink_##NAME(const T *x, float *low, const Segment *s, const int2 *t, int i, int r) {    \
    sgmv_shrink<T>(x, low, s, t, i, r);                                                                                    \
  }                                                                                                                        \
  extern "C" __global__ void sgmv_expand_##NAME(const float *low, T *y, const Segment *s, const int2 *t, int o, int r) {    \
    sgmv_expand<T>(low, y, s, t, o, r);                                                                                    \
  }
KERNELS(f32, float)
KERNELS(bf16, __nv_bfloat16)
