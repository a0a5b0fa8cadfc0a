// SPDX-License-Identifier: Apache-2.0
// Runs the CUDA kernel's own source on the host: arguments from one file, results into another.
#include "cuda_on_threads.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>

namespace fasthmr {

// The upper half of a float32, rounded to the nearest, ties to even.
struct BFloat16 {
  std::uint16_t bits;
};

inline float to_float(float value) { return value; }
inline float to_float(BFloat16 value) {
  const std::uint32_t bits = static_cast<std::uint32_t>(value.bits) << 16;
  float result;
  std::memcpy(&result, &bits, sizeof result);
  return result;
}

template <typename Scalar>
Scalar from_float(float value);
template <>
inline float from_float<float>(float value) {
  return value;
}
template <>
inline BFloat16 from_float<BFloat16>(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  bits += 0x7fff + ((bits >> 16) & 1);
  return {static_cast<std::uint16_t>(bits >> 16)};
}

// The block's dynamic shared memory; what lies behind the part that a launch asks for must stay as it is.
constexpr long long kMostShared = 1 << 18;
alignas(16) unsigned char memory[kMostShared];

}  // namespace fasthmr

#include "../../cuda_ext/merge_tokens_kernel.cuh"

namespace {

constexpr unsigned char kUntouched = 0xA5;

template <typename Value>
std::vector<Value> read(std::ifstream& file, std::size_t count) {
  std::vector<Value> values(count);
  file.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(count * sizeof(Value)));
  if (!file) std::exit(2);
  return values;
}

template <typename Value>
void write(std::ofstream& file, const std::vector<Value>& values) {
  file.write(reinterpret_cast<const char*>(values.data()), static_cast<std::streamsize>(values.size() * sizeof(Value)));
}

template <typename Value>
void run(std::ifstream& in, std::ofstream& out, fasthmr::MergeShape shape, int slices, bool packed) {
  const std::size_t all = static_cast<std::size_t>(shape.batch) * shape.tokens;
  const std::size_t left = static_cast<std::size_t>(shape.batch) * (shape.tokens - shape.count);
  const auto tokens = read<Value>(in, all * shape.channels);
  const auto metric = read<float>(in, all * shape.width);
  const auto sizes = read<float>(in, all);
  const auto levels = read<std::uint8_t>(in, all);
  std::vector<Value> merged(left * shape.channels);
  std::vector<float> merged_sizes(left);
  std::vector<std::uint8_t> merged_levels(left);
  std::vector<std::int64_t> assignment(all);
  std::vector<std::int32_t> forced(shape.batch);
  const fasthmr::MergeArrays<Value> arrays{
      tokens.data(), metric.data(),       sizes.data(),         levels.data(),     merged.data(),
      merged_sizes.data(), merged_levels.data(), assignment.data(), forced.data()};

  const long long asked = fasthmr::SharedLayout::bytes(shape.tokens, shape.width);
  if (asked > fasthmr::kMostShared) std::exit(3);
  std::memset(fasthmr::memory, kUntouched, fasthmr::kMostShared);
  constexpr int kCount = 16 / sizeof(Value);
  cuda_on_threads::run({slices, shape.batch}, fasthmr::kThreads, [&] {
    packed ? fasthmr::merge_tokens_kernel<Value, kCount>(arrays, shape)
           : fasthmr::merge_tokens_kernel<Value, 1>(arrays, shape);
  });
  for (long long at = asked; at < fasthmr::kMostShared; ++at) {
    if (fasthmr::memory[at] != kUntouched) {
      std::fprintf(stderr, "shared memory written at %lld of %lld\n", at, asked);
      std::exit(4);
    }
  }
  write(out, merged);
  write(out, merged_sizes);
  write(out, merged_levels);
  write(out, assignment);
  write(out, forced);
}

}  // namespace

int main(int count, char** arguments) {
  if (count == 4) {  // N, D: only say how much shared memory they take
    std::printf("%lld\n", fasthmr::SharedLayout::bytes(std::atoi(arguments[1]), std::atoi(arguments[2])));
    return 0;
  }
  std::ifstream in(arguments[1], std::ios::binary);
  std::ofstream out(arguments[2], std::ios::binary);
  const auto head = read<std::int32_t>(in, 9);
  const fasthmr::MergeShape shape{head[0], head[1], head[2], head[3], head[4], head[5] != 0};
  const int slices = head[6];
  const bool packed = head[7] != 0, half = head[8] != 0;
  half ? run<fasthmr::BFloat16>(in, out, shape, slices, packed) : run<float>(in, out, shape, slices, packed);
  return 0;
}
