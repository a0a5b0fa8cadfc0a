// SPDX-License-Identifier: Apache-2.0
// The CUDA kernel of `merge_tokens`: matching and merging in one launch.
//
// The grid has `slices` blocks for each image. Each of them finds the pairs of its image for itself (a small
// product of matrices in shared memory, cheaper than a second launch or a barrier across blocks) and then
// writes its slice of the tokens that are left, so that a single image keeps many multiprocessors busy.
//
// Nothing here depends on CUDA's headers beyond the language itself, so that the tests can compile the kernel
// for the host and run it on threads.
#pragma once

#include "merge_tokens.h"

namespace fasthmr {

constexpr int kThreads = 256;
constexpr int kWarp = 32;
constexpr int kWarps = kThreads / kWarp;
constexpr int kLanes = 16;  // threads along the odd tokens in the product; as many along the even ones
constexpr int kTile = 6;    // even and odd tokens of one thread: 96 x 96 of a block, all of 192 tokens
constexpr unsigned kAll = 0xffffffffu;

// A row of a key in shared memory: an odd stride, so that neighbouring tokens lie in different banks.
__host__ __device__ inline int key_stride(int width) { return width | 1; }

// The block's shared memory, in this order; 8-byte values first.
struct SharedLayout {
  long long* worth;     // (evens) best pair of each even token: rank, score and partner in one number
  float* keys;          // (N, stride) keys on the grid
  int* merges_before;   // (evens) even tokens before this one that merge
  int* partner;         // (evens) odd token that it merges into (its number among the odd), -1: it stays
  unsigned char* level; // (N)

  __host__ __device__ static long long bytes(int tokens, int width) {
    const long long evens = (tokens + 1) / 2;
    return evens * 8 + 4LL * tokens * key_stride(width) + evens * 8 + tokens;
  }

  __device__ SharedLayout(unsigned char* memory, int tokens, int width) {
    const int evens = (tokens + 1) / 2;
    worth = reinterpret_cast<long long*>(memory);
    keys = reinterpret_cast<float*>(worth + evens);
    merges_before = reinterpret_cast<int*>(keys + tokens * key_stride(width));
    partner = merges_before + evens;
    level = reinterpret_cast<unsigned char*>(partner + evens);
  }
};

// Brings one key onto the grid; a warp works on it, each lane on the components lane, lane + 32, ...
__device__ inline void key_to_grid(const float* __restrict__ key, float* on_grid, int width, int lane) {
  float largest = 0.0f;
  bool sound = true;
  for (int d = lane; d < width; d += kWarp) {
    const float size = fabsf(key[d]);
    sound = sound && size < INFINITY;  // also false for NaN
    largest = fmaxf(largest, size);
  }
  for (int step = kWarp / 2; step > 0; step /= 2) {
    largest = fmaxf(largest, __shfl_xor_sync(kAll, largest, step));
    sound = __shfl_xor_sync(kAll, static_cast<int>(sound), step) && sound;
  }
  if (!sound || largest < kSmallest) {
    for (int d = lane; d < width; d += kWarp) on_grid[d] = 0.0f;
    return;
  }
  int exponent;
  frexpf(largest, &exponent);
  const float scale = ldexpf(1.0f, kFineBits - exponent);
  long long squares = 0;
  for (int d = lane; d < width; d += kWarp) {
    const float fine = rintf(key[d] * scale);
    const long long whole = static_cast<long long>(fine);
    squares += whole * whole;
    on_grid[d] = fine;
  }
  for (int step = kWarp / 2; step > 0; step /= 2) squares += __shfl_xor_sync(kAll, squares, step);
  const float to_grid = fine_to_grid(squares);
  for (int d = lane; d < width; d += kWarp) on_grid[d] = rintf(on_grid[d] * to_grid);
}

// The best partner of each even token. A thread computes kTile x kTile scores at a time.
__device__ inline void best_partners(const SharedLayout& shared, int tokens, int width) {
  const int evens = (tokens + 1) / 2, odds = tokens / 2, stride = key_stride(width);
  const int row = threadIdx.x / kLanes, column = threadIdx.x % kLanes;
  for (int first = 0; first < evens; first += kLanes * kTile) {
    long long best[kTile];
    for (int i = 0; i < kTile; ++i) best[i] = LLONG_MIN;
    for (int from = 0; from < odds; from += kLanes * kTile) {
      float score[kTile][kTile] = {};
      const float* even_key[kTile];
      const float* odd_key[kTile];
      for (int i = 0; i < kTile; ++i) {  // beyond the end: the last token once more, thrown away below
        const int even = min(first + row + kLanes * i, evens - 1);
        const int odd = min(from + column + kLanes * i, odds - 1);
        even_key[i] = shared.keys + 2 * even * stride;
        odd_key[i] = shared.keys + (2 * odd + 1) * stride;
      }
      for (int d = 0; d < width; ++d) {
        float odd_value[kTile];
        for (int j = 0; j < kTile; ++j) odd_value[j] = odd_key[j][d];
        for (int i = 0; i < kTile; ++i) {
          const float even_value = even_key[i][d];
          for (int j = 0; j < kTile; ++j) score[i][j] += even_value * odd_value[j];
        }
      }
      for (int i = 0; i < kTile; ++i) {
        const int even = first + row + kLanes * i;
        if (even >= evens) break;
        const int level = shared.level[2 * even];
        for (int j = 0; j < kTile; ++j) {
          const int odd = from + column + kLanes * j;
          if (odd >= odds) break;
          const long long rank = max(level, static_cast<int>(shared.level[2 * odd + 1]));
          const long long worth = static_cast<long long>(score[i][j]) - rank * (1LL << kRankShift);
          // The lower index wins a tie.
          best[i] = max(best[i], worth * (1LL << kIndexBits) + ((1 << kIndexBits) - 1 - odd));
        }
      }
    }
    for (int i = 0; i < kTile; ++i) {
      for (int step = kLanes / 2; step > 0; step /= 2) {
        const long long other = __shfl_xor_sync(kAll, best[i], step);
        best[i] = max(best[i], other);
      }
      const int even = first + row + kLanes * i;
      if (column == 0 && even < evens) shared.worth[even] = best[i];
    }
  }
}

// Which even tokens merge: those with the best pairs, the lower index first where pairs are equal.
__device__ inline void choose_merging(const SharedLayout& shared, int tokens, int count) {
  const int evens = (tokens + 1) / 2;
  for (int even = threadIdx.x; even < evens; even += kThreads) {
    const long long mine = shared.worth[even] >> kIndexBits;
    int better = 0;
    for (int other = 0; other < evens; ++other) {
      const long long theirs = shared.worth[other] >> kIndexBits;
      better += theirs > mine || (theirs == mine && other < even);
    }
    const int index = static_cast<int>(shared.worth[even] & ((1 << kIndexBits) - 1));
    shared.partner[even] = better < count ? (1 << kIndexBits) - 1 - index : -1;
  }
}

__device__ inline void count_merges_before(const SharedLayout& shared, int tokens) {
  const int evens = (tokens + 1) / 2;
  for (int even = threadIdx.x; even < evens; even += kThreads) {
    int before = 0;
    for (int other = 0; other < even; ++other) before += shared.partner[other] >= 0;
    shared.merges_before[even] = before;
  }
}

// Where a token stands afterwards, if it stays.
__device__ inline int place_of(const SharedLayout& shared, int token) {
  const int even = token / 2;
  const bool behind_a_merge = token % 2 == 1 && shared.partner[even] >= 0;
  return token - shared.merges_before[even] - (behind_a_merge ? 1 : 0);
}

// Sixteen bytes of a row, or a single number where rows are not aligned to that.
template <typename Scalar, int kCount>
struct alignas(sizeof(Scalar) * kCount) Pack {
  Scalar value[kCount];
};

// Writes the row of one token that stays; a warp works on it.
template <typename Scalar, int kCount>
__device__ inline void write_row(
    const MergeArrays<Scalar>& arrays, const MergeShape& shape, const SharedLayout& shared, int image,
    int token, int lane) {
  using Row = Pack<Scalar, kCount>;
  const long long first = static_cast<long long>(image) * shape.tokens;
  const int left = shape.tokens - shape.count, packs = shape.channels / kCount;
  const int place = place_of(shared, token);
  const long long goal = static_cast<long long>(image) * left + place;
  const Row* source = reinterpret_cast<const Row*>(arrays.tokens + first * shape.channels);
  Row* row = reinterpret_cast<Row*>(arrays.merged + goal * shape.channels);

  const int evens = (shape.tokens + 1) / 2;
  float size = arrays.sizes[first + token];
  int level = shared.level[token];
  const float weight = shape.weighted ? size : 1.0f;
  float total = weight;
  bool grouped = false;
  if (token % 2 == 1) {
    for (int from = 0; from < evens; from += kWarp) {
      const int even = from + lane;
      const bool joins = even < evens && shared.partner[even] == token / 2;
      for (unsigned joining = __ballot_sync(kAll, joins); joining; joining &= joining - 1) {
        const int other = 2 * (from + __ffs(joining) - 1);
        const float added = arrays.sizes[first + other];
        size += added;
        total += shape.weighted ? added : 1.0f;
        level = max(level, static_cast<int>(shared.level[other]));
        grouped = true;
      }
    }
  }
  if (lane == 0) {
    arrays.merged_sizes[goal] = size;
    arrays.merged_levels[goal] = static_cast<std::uint8_t>(level);
  }
  if (!grouped) {  // bit for bit
    for (int c = lane; c < packs; c += kWarp) row[c] = source[static_cast<long long>(token) * packs + c];
    return;
  }
  for (int start = 0; start < packs; start += kWarp) {  // the whole warp stays together for the ballots
    const int c = start + lane;
    const bool inside = c < packs;
    float sum[kCount] = {};
    if (inside) {
      const Row own = source[static_cast<long long>(token) * packs + c];
      for (int k = 0; k < kCount; ++k) sum[k] = weight * to_float(own.value[k]);
    }
    for (int from = 0; from < evens; from += kWarp) {
      const int even = from + lane;
      const bool joins = even < evens && shared.partner[even] == token / 2;
      for (unsigned joining = __ballot_sync(kAll, joins); joining; joining &= joining - 1) {
        const int other = 2 * (from + __ffs(joining) - 1);
        if (!inside) continue;
        const float added = shape.weighted ? arrays.sizes[first + other] : 1.0f;
        const Row theirs = source[static_cast<long long>(other) * packs + c];
        for (int k = 0; k < kCount; ++k) sum[k] += added * to_float(theirs.value[k]);
      }
    }
    if (inside) {
      Row mean;
      for (int k = 0; k < kCount; ++k) mean.value[k] = from_float<Scalar>(sum[k] / total);
      row[c] = mean;
    }
  }
}

// Grid: (slices, images). Dynamic shared memory: SharedLayout::bytes.
template <typename Scalar, int kCount>
__global__ void __launch_bounds__(kThreads)
    merge_tokens_kernel(MergeArrays<Scalar> arrays, MergeShape shape) {
  extern __shared__ __align__(16) unsigned char memory[];
  const SharedLayout shared(memory, shape.tokens, shape.width);
  const int image = blockIdx.y, lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int tokens = shape.tokens, evens = (tokens + 1) / 2, stride = key_stride(shape.width);
  const long long first = static_cast<long long>(image) * tokens;

  for (int token = threadIdx.x; token < tokens; token += kThreads) {
    shared.level[token] = arrays.levels[first + token];
  }
  if (shape.count > 0) {
    for (int token = warp; token < tokens; token += kWarps) {
      key_to_grid(
          arrays.metric + (first + token) * shape.width, shared.keys + token * stride, shape.width, lane);
    }
    __syncthreads();
    best_partners(shared, tokens, shape.width);
    __syncthreads();
    choose_merging(shared, tokens, shape.count);
  } else {
    for (int even = threadIdx.x; even < evens; even += kThreads) shared.partner[even] = -1;
  }
  __syncthreads();
  count_merges_before(shared, tokens);
  __syncthreads();

  for (int token = blockIdx.x * kWarps + warp; token < tokens; token += gridDim.x * kWarps) {
    const bool stays = token % 2 == 1 || shared.partner[token / 2] < 0;  // the same for the whole warp
    if (stays) write_row<Scalar, kCount>(arrays, shape, shared, image, token, lane);
  }
  if (blockIdx.x != 0) return;
  for (int token = threadIdx.x; token < tokens; token += kThreads) {
    const int joins = token % 2 == 0 ? shared.partner[token / 2] : -1;
    arrays.assignment[first + token] = place_of(shared, joins < 0 ? token : 2 * joins + 1);
  }
  if (warp != 0) return;
  int forced = 0;
  for (int even = lane; even < evens; even += kWarp) {
    const int odd = shared.partner[even];
    forced += odd >= 0 && (shared.level[2 * even] > 0 || shared.level[2 * odd + 1] > 0);
  }
  for (int step = kWarp / 2; step > 0; step /= 2) forced += __shfl_xor_sync(kAll, forced, step);
  if (lane == 0) arrays.forced[image] = forced;
}

}  // namespace fasthmr
