// SPDX-License-Identifier: Apache-2.0
// Enough of CUDA's language to run a kernel's own source on the host: a block's threads are threads of the
// system, so that a sanitizer sees what a GPU would not tell: a missing barrier, a read past the end.
#pragma once

#include <pthread.h>

#include <algorithm>
#include <climits>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <thread>
#include <vector>

#define __host__
#define __device__
#define __global__
#define __shared__
#define __launch_bounds__(threads)
#define __align__(bytes) __attribute__((aligned(bytes)))

struct Index {
  int x = 0, y = 0;
};

inline thread_local Index threadIdx, blockIdx, gridDim;

template <typename Number>
Number min(Number a, Number b) {
  return std::min(a, b);
}

template <typename Number>
Number max(Number a, Number b) {
  return std::max(a, b);
}

inline int __ffs(unsigned bits) { return __builtin_ffs(static_cast<int>(bits)); }

namespace cuda_on_threads {

class Barrier {
 public:
  explicit Barrier(int threads) { pthread_barrier_init(&barrier_, nullptr, threads); }
  ~Barrier() { pthread_barrier_destroy(&barrier_); }
  Barrier(const Barrier&) = delete;
  void wait() { pthread_barrier_wait(&barrier_); }

 private:
  pthread_barrier_t barrier_;
};

// What the 32 threads of a warp show one another.
struct Warp {
  Barrier barrier{32};
  std::uint64_t shown[32] = {};
};

inline thread_local Barrier* block_barrier = nullptr;
inline thread_local Warp* warp = nullptr;

// Runs `kernel` as grid.x times grid.y blocks, one after the other.
inline void run(Index grid, int threads, const std::function<void()>& kernel) {
  for (int y = 0; y < grid.y; ++y) {
    for (int x = 0; x < grid.x; ++x) {
      Barrier barrier(threads);
      std::vector<Warp> warps(threads / 32);
      std::vector<std::thread> running;
      for (int number = 0; number < threads; ++number) {
        running.emplace_back([&, number] {
          threadIdx = {number, 0};
          blockIdx = {x, y};
          gridDim = grid;
          block_barrier = &barrier;
          warp = &warps[number / 32];
          kernel();
        });
      }
      for (auto& thread : running) thread.join();
    }
  }
}

}  // namespace cuda_on_threads

inline void __syncthreads() { cuda_on_threads::block_barrier->wait(); }

template <typename Value>
Value __shfl_xor_sync(unsigned, Value value, int step) {
  static_assert(sizeof(Value) <= 8);
  auto& warp = *cuda_on_threads::warp;
  const int lane = threadIdx.x % 32;
  std::memcpy(&warp.shown[lane], &value, sizeof value);
  warp.barrier.wait();
  Value other;
  std::memcpy(&other, &warp.shown[lane ^ step], sizeof other);
  warp.barrier.wait();
  return other;
}

inline unsigned __ballot_sync(unsigned, bool vote) {
  auto& warp = *cuda_on_threads::warp;
  warp.shown[threadIdx.x % 32] = vote;
  warp.barrier.wait();
  unsigned all = 0;
  for (int lane = 0; lane < 32; ++lane) all |= static_cast<unsigned>(warp.shown[lane] != 0) << lane;
  warp.barrier.wait();
  return all;
}
