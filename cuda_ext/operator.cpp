// SPDX-License-Identifier: Apache-2.0
// Registers `fasthmr::merge_tokens` with PyTorch: checks the arguments, makes the results, calls a kernel.
#include <tuple>

#include <ATen/ATen.h>
#include <torch/library.h>

#ifdef FASTHMR_WITH_CUDA
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#endif

#include "merge_tokens_cpu.h"

namespace fasthmr {
namespace {

using Merged = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

// Arguments made contiguous, and room for the results.
struct Call {
  at::Tensor tokens, metric, sizes, levels;
  at::Tensor merged, merged_sizes, merged_levels, assignment, forced;
  MergeShape shape;

  Call(const at::Tensor& tokens_in, const at::Tensor& metric_in, const at::Tensor& sizes_in,
       const at::Tensor& levels_in, std::int64_t count, bool weighted) {
    TORCH_CHECK(tokens_in.dim() == 3, "merge_tokens: tokens must be (B, N, C), not ", tokens_in.sizes());
    const auto batch = tokens_in.size(0), length = tokens_in.size(1), channels = tokens_in.size(2);
    TORCH_CHECK(metric_in.dim() == 3 && metric_in.size(0) == batch && metric_in.size(1) == length,
                "merge_tokens: metric must be (", batch, ", ", length, ", D), not ", metric_in.sizes());
    const at::IntArrayRef each = tokens_in.sizes().slice(0, 2);
    TORCH_CHECK(sizes_in.sizes() == each && sizes_in.scalar_type() == at::kFloat,
                "merge_tokens: sizes must be float32 ", each, ", not ", sizes_in.scalar_type(), " ", sizes_in.sizes());
    TORCH_CHECK(levels_in.sizes() == each && levels_in.scalar_type() == at::kByte,
                "merge_tokens: levels must be uint8 ", each, ", not ", levels_in.scalar_type(), " ", levels_in.sizes());
    TORCH_CHECK(metric_in.is_floating_point(), "merge_tokens: metric must be floating, not ", metric_in.scalar_type());
    TORCH_CHECK(0 <= count && count <= length / 2,
                "merge_tokens: ", count, " pairs of ", length, " tokens; possible are 0 to ", length / 2);
    TORCH_CHECK(length < (1 << kIndexBits) && metric_in.size(2) <= 4096 && channels < (1 << 24) && batch < (1 << 16),
                "merge_tokens: too large: ", tokens_in.sizes(), " tokens, keys of ", metric_in.size(2));
    for (const auto& other : {metric_in, sizes_in, levels_in}) {
      TORCH_CHECK(other.device() == tokens_in.device(), "merge_tokens: arguments lie on ", tokens_in.device(), " and ",
                  other.device());
    }
    tokens = tokens_in.contiguous();
    metric = metric_in.to(at::kFloat).contiguous();
    sizes = sizes_in.contiguous();
    levels = levels_in.contiguous();
    const auto left = length - count;
    merged = at::empty({batch, left, channels}, tokens.options());
    merged_sizes = at::empty({batch, left}, sizes.options());
    merged_levels = at::empty({batch, left}, levels.options());
    assignment = at::empty({batch, length}, tokens.options().dtype(at::kLong));
    forced = at::empty({batch}, tokens.options().dtype(at::kInt));
    shape = {static_cast<int>(batch), static_cast<int>(length), static_cast<int>(channels),
             static_cast<int>(metric.size(2)), static_cast<int>(count), weighted};
  }

  template <typename Value>
  MergeArrays<Value> arrays() const {
    return {static_cast<const Value*>(tokens.const_data_ptr()),
            metric.const_data_ptr<float>(),
            sizes.const_data_ptr<float>(),
            levels.const_data_ptr<std::uint8_t>(),
            static_cast<Value*>(merged.mutable_data_ptr()),
            merged_sizes.mutable_data_ptr<float>(),
            merged_levels.mutable_data_ptr<std::uint8_t>(),
            assignment.mutable_data_ptr<std::int64_t>(),
            forced.mutable_data_ptr<std::int32_t>()};
  }

  Merged result() const { return {merged, merged_sizes, merged_levels, assignment, forced}; }
};

Merged on_cpu(const at::Tensor& tokens, const at::Tensor& metric, const at::Tensor& sizes, const at::Tensor& levels,
              std::int64_t count, bool weighted) {
  const Call call(tokens, metric, sizes, levels, count, weighted);
  switch (tokens.scalar_type()) {
    case at::kFloat: merge_tokens_cpu(call.arrays<float>(), call.shape); break;
    case at::kDouble: merge_tokens_cpu(call.arrays<double>(), call.shape); break;
    case at::kHalf: merge_tokens_cpu(call.arrays<c10::Half>(), call.shape); break;
    case at::kBFloat16: merge_tokens_cpu(call.arrays<c10::BFloat16>(), call.shape); break;
    default: TORCH_CHECK(false, "merge_tokens: tokens of ", tokens.scalar_type(), " cannot be merged");
  }
  return call.result();
}

#ifdef FASTHMR_WITH_CUDA
Merged on_cuda(const at::Tensor& tokens, const at::Tensor& metric, const at::Tensor& sizes, const at::Tensor& levels,
               std::int64_t count, bool weighted) {
  const c10::cuda::CUDAGuard guard(tokens.device());
  const Call call(tokens, metric, sizes, levels, count, weighted);
  const auto kind = tokens.scalar_type();
  TORCH_CHECK(kind == at::kFloat || kind == at::kHalf || kind == at::kBFloat16,
              "merge_tokens: tokens of ", kind, " cannot be merged on a GPU");
  if (call.shape.batch == 0 || call.shape.tokens == 0) return call.result();
  const Scalar scalar = kind == at::kFloat ? Scalar::kFloat : kind == at::kHalf ? Scalar::kHalf : Scalar::kBFloat16;
  const char* complaint =
      launch_merge_tokens(scalar, call.arrays<void>(), call.shape, c10::cuda::getCurrentCUDAStream().stream());
  TORCH_CHECK(complaint == nullptr, "merge_tokens: ", complaint, " (", merge_tokens_shared_bytes(call.shape),
              " bytes of shared memory)");
  return call.result();
}
#endif

}  // namespace
}  // namespace fasthmr

TORCH_LIBRARY(fasthmr, library) {
  library.def(
      "merge_tokens(Tensor tokens, Tensor metric, Tensor sizes, Tensor levels, int count, bool weighted)"
      " -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
      {at::Tag::pt2_compliant_tag});
}

TORCH_LIBRARY_IMPL(fasthmr, CPU, library) { library.impl("merge_tokens", fasthmr::on_cpu); }

#ifdef FASTHMR_WITH_CUDA
TORCH_LIBRARY_IMPL(fasthmr, CUDA, library) { library.impl("merge_tokens", fasthmr::on_cuda); }
#endif

// Python's build tools on Windows want this name in the library. It is loaded as a library, never imported.
#ifdef _WIN32
extern "C" __declspec(dllexport) void* PyInit_fasthmr_operator() { return nullptr; }
#endif
