// SPDX-License-Identifier: Apache-2.0
// What the kernels of `merge_tokens` are called with; the specification is in
// backend/fasthmr/encoder/merge_operator.py, the same in plain PyTorch in merge_reference.py.
#pragma once

#include <cstdint>

#include <math.h>

namespace fasthmr {

// Pairs are ranked by whole numbers: keys on a grid of 2048 steps, so that scores are exact.
constexpr float kGrid = 2048.0f;
constexpr int kFineBits = 14;
constexpr float kSmallest = 7.888609052210118e-31f;  // 2^-100: a key with nothing larger counts as zero
constexpr int kRankShift = 25;                       // |score| < 2^23, so that a rank outweighs it
constexpr int kIndexBits = 16;

#ifdef __CUDACC__
#define FASTHMR_EVERYWHERE __host__ __device__
#else
#define FASTHMR_EVERYWHERE
#endif

// What brings a key from fine whole numbers onto the grid, from the sum of their squares (below 2^40). The root is
// taken in whole numbers, so that no processor rounds it another way: sixteen times the length, rounded down.
FASTHMR_EVERYWHERE inline float fine_to_grid(std::int64_t squares) {
  const std::int64_t wide = 256 * squares;
  auto root = static_cast<std::int64_t>(sqrtf(static_cast<float>(wide)));  // near; below 2^24
  while (root * root > wide) --root;
  while ((root + 1) * (root + 1) <= wide) ++root;
  return 16.0f * kGrid / static_cast<float>(root);  // IEEE's division: the build must not use fast math
}

// Arrays of B images with N tokens of C channels, and keys of D channels; all contiguous. L = N - count.
template <typename Scalar>
struct MergeArrays {
  const Scalar* tokens;         // (B, N, C)
  const float* metric;          // (B, N, D)
  const float* sizes;           // (B, N)
  const std::uint8_t* levels;   // (B, N)
  Scalar* merged;               // (B, L, C)
  float* merged_sizes;          // (B, L)
  std::uint8_t* merged_levels;  // (B, L)
  std::int64_t* assignment;     // (B, N)
  std::int32_t* forced;         // (B,)
};

struct MergeShape {
  int batch;     // B
  int tokens;    // N, below 2^16
  int channels;  // C
  int width;     // D
  int count;     // pairs, at most N / 2
  bool weighted;
};

enum class Scalar { kFloat, kHalf, kBFloat16 };

// Shared memory that the CUDA kernel takes, bytes.
std::int64_t merge_tokens_shared_bytes(const MergeShape& shape);

// Launches the CUDA kernel on a stream (a cudaStream_t) of the current device and returns at once.
// Returns nullptr, or what CUDA complains about.
const char* launch_merge_tokens(
    Scalar scalar, const MergeArrays<void>& arrays, const MergeShape& shape, void* stream);

}  // namespace fasthmr
