// SPDX-License-Identifier: Apache-2.0
// The CPU kernel of `merge_tokens`: matching is parallel over the images, merging over all rows of the batch,
// so that a single image uses all cores as well. Every number of the tokens is read and written once.
#include "merge_tokens_cpu.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <vector>

#include <ATen/Parallel.h>
#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

// Compiled twice, for any x86-64 processor and for those that have the feature; chosen when it is loaded.
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#define FASTHMR_ALSO_WITH(feature) __attribute__((target_clones(feature, "default")))
#else
#define FASTHMR_ALSO_WITH(feature)
#endif

namespace fasthmr {
namespace {

constexpr int kRows = 4;      // scores of so many even tokens at once: each odd key is loaded once for them
constexpr int kColumns = 16;  // odd tokens are padded to a multiple of it
constexpr float kLargest = 3.4028234663852886e38f;

// The pairs of one image.
struct Pairs {
  std::vector<int> partner;      // (evens) number of the odd token that it merges into, -1: it stays
  std::vector<int> place;        // (N) where each token stands afterwards
  std::vector<int> joining;      // even tokens that merge, by the odd token that they merge into, ascending
  std::vector<int> first_joins;  // (odds + 1) where those of an odd token begin in `joining`
};

// Brings a key onto the grid and writes it with a stride, so that odd keys can lie beside one another.
// Sums and maxima are taken over whole numbers: those a compiler may reorder, and so vectorise.
FASTHMR_ALSO_WITH("avx2") void key_to_grid(const float* key, int width, float* on_grid, int stride, float* fine) {
  std::int32_t largest_bits = 0;  // of absolute values, whose bits are in the order of their size
  for (int d = 0; d < width; ++d) {
    std::int32_t bits;
    std::memcpy(&bits, key + d, sizeof bits);
    largest_bits = std::max(largest_bits, bits & 0x7fffffff);
  }
  float largest;
  std::memcpy(&largest, &largest_bits, sizeof largest);
  if (!(largest >= kSmallest && largest <= kLargest)) {  // also where it is infinite or not a number
    for (int d = 0; d < width; ++d) on_grid[d * stride] = 0.0f;
    return;
  }
  int exponent;
  std::frexp(largest, &exponent);
  const float scale = std::ldexp(1.0f, kFineBits - exponent);
  std::int64_t squares = 0;
  for (int d = 0; d < width; ++d) {
    fine[d] = rintf(key[d] * scale);
    const auto whole = static_cast<std::int32_t>(fine[d]);
    squares += static_cast<std::int64_t>(whole) * whole;
  }
  const float to_grid = fine_to_grid(squares);
  for (int d = 0; d < width; ++d) fine[d] = rintf(fine[d] * to_grid);
  for (int d = 0; d < width; ++d) on_grid[d * stride] = fine[d];
}

// Eight numbers at once, where the compiler knows how to say that.
#if defined(__GNUC__)
typedef float Eight __attribute__((vector_size(32), aligned(4), may_alias));
#else
struct Eight {
  float number[8];
  Eight& operator+=(const Eight& other) {
    for (int i = 0; i < 8; ++i) number[i] += other.number[i];
    return *this;
  }
  friend Eight operator*(float factor, const Eight& eight) {
    Eight product;
    for (int i = 0; i < 8; ++i) product.number[i] = factor * eight.number[i];
    return product;
  }
};
#endif

// Scores of kRows even tokens with all odd ones. `even_keys` is (kRows, width), `odd_keys` (width, columns).
FASTHMR_ALSO_WITH("fma") void scores_of(
    const float* even_keys, const float* odd_keys, int width, int columns, float* score) {
  static_assert(kRows == 4 && kColumns == 16);
  const float *key0 = even_keys, *key1 = key0 + width, *key2 = key1 + width, *key3 = key2 + width;
  for (int from = 0; from < columns; from += kColumns) {
    Eight sum[8] = {};  // named one by one below, so that they stay in registers
    const float* odd = odd_keys + from;
    for (int d = 0; d < width; ++d, odd += columns) {
      Eight low, high;
      std::memcpy(&low, odd, sizeof low);
      std::memcpy(&high, odd + 8, sizeof high);
      sum[0] += key0[d] * low;
      sum[1] += key0[d] * high;
      sum[2] += key1[d] * low;
      sum[3] += key1[d] * high;
      sum[4] += key2[d] * low;
      sum[5] += key2[d] * high;
      sum[6] += key3[d] * low;
      sum[7] += key3[d] * high;
    }
    for (int row = 0; row < kRows; ++row) {
      std::memcpy(score + static_cast<std::int64_t>(row) * columns + from, &sum[2 * row], 2 * sizeof(Eight));
    }
  }
}

// The best partner of each even token: rank, score and partner in one number, the largest is the best.
std::vector<std::int64_t> best_partners(const float* metric, const std::uint8_t* levels, int tokens, int width) {
  const int evens = (tokens + 1) / 2, odds = tokens / 2;
  const int rows = (evens + kRows - 1) / kRows * kRows;
  const int columns = (odds + kColumns - 1) / kColumns * kColumns;
  std::vector<float> even_keys(static_cast<std::size_t>(rows) * width, 0.0f);
  std::vector<float> odd_keys(static_cast<std::size_t>(columns) * width, 0.0f);
  std::vector<float> score(static_cast<std::size_t>(kRows) * columns), fine(width);
  for (int token = 0; token < tokens; ++token) {
    const float* key = metric + static_cast<std::int64_t>(token) * width;
    const int number = token / 2;
    if (token % 2 == 0) {
      key_to_grid(key, width, even_keys.data() + static_cast<std::int64_t>(number) * width, 1, fine.data());
    } else {
      key_to_grid(key, width, odd_keys.data() + number, columns, fine.data());
    }
  }
  std::vector<std::int64_t> best(evens, INT64_MIN);
  for (int first = 0; first < evens; first += kRows) {
    scores_of(even_keys.data() + static_cast<std::int64_t>(first) * width, odd_keys.data(), width, columns,
              score.data());
    for (int even = first; even < std::min(first + kRows, evens); ++even) {
      const float* row = score.data() + static_cast<std::int64_t>(even - first) * columns;
      for (int odd = 0; odd < odds; ++odd) {
        const std::int64_t rank = std::max(levels[2 * even], levels[2 * odd + 1]);
        const std::int64_t worth = static_cast<std::int64_t>(row[odd]) - rank * (std::int64_t{1} << kRankShift);
        // The lower index wins a tie.
        const std::int64_t candidate = worth * (1 << kIndexBits) + ((1 << kIndexBits) - 1 - odd);
        best[even] = std::max(best[even], candidate);
      }
    }
  }
  return best;
}

Pairs find_pairs(const float* metric, const std::uint8_t* levels, const MergeShape& shape) {
  const int tokens = shape.tokens, evens = (tokens + 1) / 2, odds = tokens / 2;
  Pairs pairs;
  pairs.partner.assign(evens, -1);
  pairs.place.resize(tokens);
  pairs.first_joins.assign(odds + 1, 0);
  if (shape.count > 0) {
    const auto best = best_partners(metric, levels, tokens, shape.width);
    std::vector<int> order(evens);
    std::iota(order.begin(), order.end(), 0);
    const auto better = [&](int a, int b) {  // the lower index first where pairs are equal
      const std::int64_t worth_a = best[a] >> kIndexBits, worth_b = best[b] >> kIndexBits;
      return worth_a != worth_b ? worth_a > worth_b : a < b;
    };
    std::nth_element(order.begin(), order.begin() + (shape.count - 1), order.end(), better);
    for (int i = 0; i < shape.count; ++i) {
      const int index = static_cast<int>(best[order[i]] & ((1 << kIndexBits) - 1));
      pairs.partner[order[i]] = (1 << kIndexBits) - 1 - index;
    }
  }
  int merged = 0;
  for (int token = 0; token < tokens; ++token) {
    const bool merges = token % 2 == 0 && pairs.partner[token / 2] >= 0;
    pairs.place[token] = token - merged;  // of no meaning where it merges; put right below
    merged += merges;
    if (merges) ++pairs.first_joins[pairs.partner[token / 2] + 1];
  }
  std::partial_sum(pairs.first_joins.begin(), pairs.first_joins.end(), pairs.first_joins.begin());
  pairs.joining.resize(merged);
  std::vector<int> next(pairs.first_joins.begin(), pairs.first_joins.end() - (odds > 0 ? 1 : 0));
  for (int even = 0; even < evens; ++even) {
    const int odd = pairs.partner[even];
    if (odd < 0) continue;
    pairs.place[2 * even] = pairs.place[2 * odd + 1];
    pairs.joining[next[odd]++] = 2 * even;
  }
  return pairs;
}

// The numbers of one image that are no tokens.
template <typename Value>
void write_state(const MergeArrays<Value>& arrays, const MergeShape& shape, int image, const Pairs& pairs) {
  const std::int64_t first = static_cast<std::int64_t>(image) * shape.tokens;
  const std::int64_t goal = static_cast<std::int64_t>(image) * (shape.tokens - shape.count);
  std::int32_t forced = 0;
  for (int token = 0; token < shape.tokens; ++token) {
    arrays.assignment[first + token] = pairs.place[token];
    if (token % 2 == 0 && pairs.partner[token / 2] >= 0) continue;
    float size = arrays.sizes[first + token];
    std::uint8_t level = arrays.levels[first + token];
    if (token % 2 == 1) {
      for (int i = pairs.first_joins[token / 2]; i < pairs.first_joins[token / 2 + 1]; ++i) {
        const std::int64_t other = first + pairs.joining[i];
        forced += arrays.levels[first + token] > 0 || arrays.levels[other] > 0;
        size += arrays.sizes[other];
        level = std::max(level, arrays.levels[other]);
      }
    }
    arrays.merged_sizes[goal + pairs.place[token]] = size;
    arrays.merged_levels[goal + pairs.place[token]] = level;
  }
  arrays.forced[image] = forced;
}

// The row of one token that stays.
template <typename Value, typename Sum>
void write_row(
    const MergeArrays<Value>& arrays, const MergeShape& shape, int image, int token, const Pairs& pairs,
    std::vector<Sum>& sum) {
  const std::int64_t first = static_cast<std::int64_t>(image) * shape.tokens;
  const std::int64_t left = shape.tokens - shape.count, channels = shape.channels;
  const Value* own = arrays.tokens + (first + token) * channels;
  Value* row = arrays.merged + (image * left + pairs.place[token]) * channels;
  const int from = token % 2 == 1 ? pairs.first_joins[token / 2] : 0;
  const int to = token % 2 == 1 ? pairs.first_joins[token / 2 + 1] : 0;
  if (from == to) {  // bit for bit
    std::memcpy(row, own, channels * sizeof(Value));
    return;
  }
  const auto weight_of = [&](int one) {
    return shape.weighted ? static_cast<Sum>(arrays.sizes[first + one]) : Sum{1};
  };
  Sum total = weight_of(token);
  for (std::int64_t c = 0; c < channels; ++c) sum[c] = total * static_cast<Sum>(own[c]);
  for (int i = from; i < to; ++i) {
    const Sum weight = weight_of(pairs.joining[i]);
    const Value* theirs = arrays.tokens + (first + pairs.joining[i]) * channels;
    total += weight;
    for (std::int64_t c = 0; c < channels; ++c) sum[c] += weight * static_cast<Sum>(theirs[c]);
  }
  for (std::int64_t c = 0; c < channels; ++c) row[c] = static_cast<Value>(sum[c] / total);
}

}  // namespace

template <typename Value>
void merge_tokens_cpu(const MergeArrays<Value>& arrays, const MergeShape& shape) {
  using Sum = std::conditional_t<std::is_same_v<Value, double>, double, float>;
  std::vector<Pairs> pairs(shape.batch);
  at::parallel_for(0, shape.batch, 1, [&](std::int64_t begin, std::int64_t end) {
    for (auto image = static_cast<int>(begin); image < end; ++image) {
      const std::int64_t first = static_cast<std::int64_t>(image) * shape.tokens;
      pairs[image] = find_pairs(arrays.metric + first * shape.width, arrays.levels + first, shape);
      write_state(arrays, shape, image, pairs[image]);
    }
  });
  const std::int64_t rows = static_cast<std::int64_t>(shape.batch) * shape.tokens;
  constexpr std::int64_t kGrain = 32;  // rows: a few microseconds' work
  at::parallel_for(0, rows, kGrain, [&](std::int64_t begin, std::int64_t end) {
    std::vector<Sum> sum(shape.channels);
    for (std::int64_t at = begin; at < end; ++at) {
      const int image = static_cast<int>(at / shape.tokens), token = static_cast<int>(at % shape.tokens);
      if (token % 2 == 0 && pairs[image].partner[token / 2] >= 0) continue;
      write_row<Value, Sum>(arrays, shape, image, token, pairs[image], sum);
    }
  });
}

template void merge_tokens_cpu<float>(const MergeArrays<float>&, const MergeShape&);
template void merge_tokens_cpu<double>(const MergeArrays<double>&, const MergeShape&);
template void merge_tokens_cpu<c10::Half>(const MergeArrays<c10::Half>&, const MergeShape&);
template void merge_tokens_cpu<c10::BFloat16>(const MergeArrays<c10::BFloat16>&, const MergeShape&);

}  // namespace fasthmr
