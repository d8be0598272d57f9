// What kernels share: float types, loads of 16 bytes, sums over the threads that work on one row. No fast-math, no atomics:
// every sum is f32 and has one order. A row belongs to a team, a warp or a whole block, so that short rows share a block.
#pragma once

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <math_constants.h>
#define SHARED(type, name, count) __shared__ type name[count]
#define REGISTER(name)
#define CHECK_ALIGNED(pointer)
#else
#include "host/cuda.h"
#endif

typedef long long i64;
typedef __nv_bfloat16 bf16;
typedef __half f16;

constexpr int WARP = 32;
constexpr unsigned ALL = 0xffffffffu;

// A kernel under a name that programs find it by.
#define EXPORT(name, params, body)                                                                                     \
    extern "C" __global__ void name params { body; }                                                                   \
    REGISTER(name)

__device__ __forceinline__ float wide(float x) { return x; }
__device__ __forceinline__ float wide(bf16 x) { return __bfloat162float(x); }
__device__ __forceinline__ float wide(f16 x) { return __half2float(x); }

template <typename T> __device__ __forceinline__ T narrow(float x);
template <> __device__ __forceinline__ float narrow<float>(float x) { return x; }
template <> __device__ __forceinline__ bf16 narrow<bf16>(float x) { return __float2bfloat16(x); }
template <> __device__ __forceinline__ f16 narrow<f16>(float x) { return __float2half(x); }

// Values of 16 bytes.
template <typename T> constexpr int PACK = 16 / int(sizeof(T));
template <typename T> struct alignas(16) Pack {
    T values[PACK<T>];
};

// N values as f32. N is 1, or fills registers of 16 bytes; then `from` lies on 16 bytes.
template <int N, typename T> __device__ __forceinline__ void load(float (&to)[N], const T* from) {
    if constexpr (N == 1) {
        to[0] = wide(from[0]);
    } else {
        static_assert(N % PACK<T> == 0, "whole packs");
        CHECK_ALIGNED(from);
#pragma unroll
        for (int part = 0; part < N / PACK<T>; part++) {
            const Pack<T> pack = reinterpret_cast<const Pack<T>*>(from)[part];
#pragma unroll
            for (int at = 0; at < PACK<T>; at++) to[part * PACK<T> + at] = wide(pack.values[at]);
        }
    }
}

template <int N, typename T> __device__ __forceinline__ void store(T* to, const float (&from)[N]) {
    if constexpr (N == 1) {
        to[0] = narrow<T>(from[0]);
    } else {
        static_assert(N % PACK<T> == 0, "whole packs");
        CHECK_ALIGNED(to);
#pragma unroll
        for (int part = 0; part < N / PACK<T>; part++) {
            Pack<T> pack;
#pragma unroll
            for (int at = 0; at < PACK<T>; at++) pack.values[at] = narrow<T>(from[part * PACK<T> + at]);
            reinterpret_cast<Pack<T>*>(to)[part] = pack;
        }
    }
}

// Number of this thread in a grid of one dimension.
__device__ __forceinline__ i64 thread_number() { return i64(blockIdx.x) * blockDim.x + threadIdx.x; }

// The threads of one row: a warp, or the block.
struct Team {
    int lane, lanes;
    i64 row;

    __device__ __forceinline__ explicit Team(int lanes)
        : lane(threadIdx.x % lanes), lanes(lanes),
          row(i64(blockIdx.x) * (blockDim.x / lanes) + threadIdx.x / lanes) {}

    // Adding and taking the larger are the same for both partners, so every thread ends with the same bits.
    template <typename Join> __device__ __forceinline__ float join(float x, float nothing, Join joined) const {
#pragma unroll
        for (int step = WARP / 2; step > 0; step /= 2) x = joined(x, __shfl_xor_sync(ALL, x, step));
        if (lanes == WARP) return x;
        SHARED(float, parts, WARP);
        const int warp = threadIdx.x / WARP, at = threadIdx.x % WARP;
        __syncthreads(); // those who read the last parts are done
        if (at == 0) parts[warp] = x;
        __syncthreads();
        x = at < int(blockDim.x) / WARP ? float(parts[at]) : nothing;
#pragma unroll
        for (int step = WARP / 2; step > 0; step /= 2) x = joined(x, __shfl_xor_sync(ALL, x, step));
        return x;
    }

    __device__ __forceinline__ float sum(float x) const {
        return join(x, 0.0f, [](float a, float b) { return a + b; });
    }

    __device__ __forceinline__ float largest(float x) const {
        return join(x, -CUDART_INF_F, [](float a, float b) { return fmaxf(a, b); });
    }
};

// Blocks that sum over rows of a matrix: a warp's lanes stand for N columns each, its warps for rows.
constexpr int TILE_WARPS = 8;

// Adds up the warps' sums in their order; the first warp gets them.
template <int N> __device__ __forceinline__ void tile_sum(float (&sums)[N]) {
    SHARED(float, parts, TILE_WARPS * WARP * N);
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    __syncthreads(); // those who read the last parts are done
#pragma unroll
    for (int at = 0; at < N; at++) parts[(warp * N + at) * WARP + lane] = sums[at];
    __syncthreads();
    if (warp != 0) return;
    for (int other = 1; other < TILE_WARPS; other++) {
#pragma unroll
        for (int at = 0; at < N; at++) sums[at] += parts[(other * N + at) * WARP + lane];
    }
}

// Instances for the three float types.
#define FOR_FLOATS(with) with(float, f32) with(bf16, bf16) with(f16, f16)
