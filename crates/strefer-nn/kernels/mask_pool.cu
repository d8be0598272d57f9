// Features summed under masks whose values are shares already. Patches without a share are not read.
#include "common.cuh"

// A block has a mask and a tile of columns; its warps take turns at the patches.
template <int N, typename T>
__device__ void pool_tile(const T* feats, const unsigned* frames, const float* shares, T* pooled, int patches, int d) {
    const int warp = threadIdx.x / WARP, column = (blockIdx.x * WARP + threadIdx.x % WARP) * N;
    const i64 mask = blockIdx.y;
    feats += i64(frames[mask]) * patches * d;
    shares += mask * patches;
    float values[N], sums[N] = {};
    if (column < d) {
        for (int patch = warp; patch < patches; patch += TILE_WARPS) {
            const float share = shares[patch];
            if (share == 0.0f) continue;
            load(values, feats + i64(patch) * d + column);
#pragma unroll
            for (int i = 0; i < N; i++) sums[i] += share * values[i];
        }
    }
    tile_sum(sums);
    if (warp == 0 && column < d) store(pooled + mask * d + column, sums);
}

// One thread for N columns of one patch: the masks of its frame are `order[starts[frame]..starts[frame + 1]]`.
template <int N, typename T>
__device__ void pool_back(const T* grad, const unsigned* starts, const unsigned* order, const float* shares, T* dfeats,
                          i64 rows, int patches, int d) {
    const int of_row = d / N;
    const i64 number = thread_number(), row = number / of_row;
    if (row >= rows) return;
    const int column = int(number % of_row) * N, patch = int(row % patches);
    const i64 frame = row / patches;
    float values[N], sums[N] = {};
    for (unsigned at = starts[frame]; at < starts[frame + 1]; at++) {
        const i64 mask = order[at];
        const float share = shares[mask * patches + patch];
        if (share == 0.0f) continue;
        load(values, grad + mask * d + column);
#pragma unroll
        for (int i = 0; i < N; i++) sums[i] += share * values[i];
    }
    store(dfeats + row * d + column, sums);
}

#define MASK_POOL(T, suffix)                                                                                           \
    EXPORT(mask_pool_##suffix, (const T* feats, const unsigned* frames, const float* shares, T* pooled, int patches,   \
                                int d, int packed),                                                                    \
           if (packed) pool_tile<PACK<T>>(feats, frames, shares, pooled, patches, d);                                  \
           else pool_tile<1>(feats, frames, shares, pooled, patches, d))                                               \
    EXPORT(mask_pool_back_##suffix, (const T* grad, const unsigned* starts, const unsigned* order,                     \
                                     const float* shares, T* dfeats, i64 rows, int patches, int d, int packed),        \
           if (packed) pool_back<PACK<T>>(grad, starts, order, shares, dfeats, rows, patches, d);                      \
           else pool_back<1>(grad, starts, order, shares, dfeats, rows, patches, d))

FOR_FLOATS(MASK_POOL)
