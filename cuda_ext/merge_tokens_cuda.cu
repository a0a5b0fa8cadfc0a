// SPDX-License-Identifier: Apache-2.0
// Launches the CUDA kernel of `merge_tokens`. Free of PyTorch, so that it compiles in seconds and alone.
#include <algorithm>
#include <climits>
#include <cmath>

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

namespace fasthmr {

__device__ inline float to_float(float value) { return value; }
__device__ inline float to_float(__half value) { return __half2float(value); }
__device__ inline float to_float(__nv_bfloat16 value) { return __bfloat162float(value); }

template <typename Scalar>
__device__ Scalar from_float(float value);
template <>
__device__ inline float from_float<float>(float value) {
  return value;
}
template <>
__device__ inline __half from_float<__half>(float value) {
  return __float2half_rn(value);
}
template <>
__device__ inline __nv_bfloat16 from_float<__nv_bfloat16>(float value) {
  return __float2bfloat16_rn(value);
}

}  // namespace fasthmr

#include "merge_tokens_kernel.cuh"

namespace fasthmr {
namespace {

constexpr int kDefaultSharedBytes = 48 * 1024;  // what a kernel may take without asking
constexpr int kMostSlices = 24;                 // 192 tokens, eight warps to a block

// How many blocks work on one image: as many as keep the GPU busy once.
int slices_for(int batch, int tokens) {
  int device = 0, processors = 0;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device);
  const int wanted = (processors + batch - 1) / batch;
  const int useful = (tokens + kWarps - 1) / kWarps;
  return std::max(1, std::min({wanted, useful, kMostSlices}));
}

template <typename Value, int kCount>
cudaError_t launch(const MergeArrays<void>& arrays, const MergeShape& shape, cudaStream_t stream) {
  const auto kernel = merge_tokens_kernel<Value, kCount>;
  const std::int64_t bytes = merge_tokens_shared_bytes(shape);
  if (bytes > kDefaultSharedBytes) {
    const cudaError_t refused = cudaFuncSetAttribute(
        kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));
    if (refused != cudaSuccess) return refused;
  }
  const MergeArrays<Value> typed{
      static_cast<const Value*>(arrays.tokens), arrays.metric,       arrays.sizes,      arrays.levels,
      static_cast<Value*>(arrays.merged),       arrays.merged_sizes, arrays.merged_levels,
      arrays.assignment,                        arrays.forced};
  const dim3 grid(slices_for(shape.batch, shape.tokens), shape.batch);
  kernel<<<grid, kThreads, bytes, stream>>>(typed, shape);
  return cudaGetLastError();
}

// Rows of whole 16-byte packs where the memory allows it.
template <typename Value>
cudaError_t launch(const MergeArrays<void>& arrays, const MergeShape& shape, cudaStream_t stream) {
  constexpr int kCount = 16 / sizeof(Value);
  const auto address =
      reinterpret_cast<std::uintptr_t>(arrays.tokens) | reinterpret_cast<std::uintptr_t>(arrays.merged);
  return shape.channels % kCount == 0 && address % 16 == 0
             ? launch<Value, kCount>(arrays, shape, stream)
             : launch<Value, 1>(arrays, shape, stream);
}

}  // namespace

std::int64_t merge_tokens_shared_bytes(const MergeShape& shape) {
  return SharedLayout::bytes(shape.tokens, shape.width);
}

const char* launch_merge_tokens(
    Scalar scalar, const MergeArrays<void>& arrays, const MergeShape& shape, void* stream) {
  const auto queue = static_cast<cudaStream_t>(stream);
  cudaError_t result = cudaErrorInvalidValue;
  switch (scalar) {
    case Scalar::kFloat: result = launch<float>(arrays, shape, queue); break;
    case Scalar::kHalf: result = launch<__half>(arrays, shape, queue); break;
    case Scalar::kBFloat16: result = launch<__nv_bfloat16>(arrays, shape, queue); break;
  }
  return result == cudaSuccess ? nullptr : cudaGetErrorString(result);
}

}  // namespace fasthmr
