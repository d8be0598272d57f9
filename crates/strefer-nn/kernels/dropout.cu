// Values of which some are dropped: a draw for each, a pure function of a key and its place (SplitMix64), as `strefer_core::Rng` has
// it, so that a layer that runs again, and the way back, drop the same without keeping what they dropped.
#include "common.cuh"

typedef unsigned long long u64;

__device__ __forceinline__ u64 mixed(u64 word) {
    word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9ull;
    word = (word ^ (word >> 27)) * 0x94d049bb133111ebull;
    return word ^ (word >> 31);
}

template <int N, typename T>
__device__ __forceinline__ void dropout_at(i64 at, const T* x, T* y, u64 key, u64 least, float factor) {
    float values[N];
    load(values, x + at);
#pragma unroll
    for (int i = 0; i < N; i++) {
        const u64 draw = mixed(key + u64(at + i + 1) * 0x9e3779b97f4a7c15ull) >> 11;
        values[i] = draw < least ? 0.0f : values[i] * factor;
    }
    store(y + at, values);
}

template <typename T>
__device__ void dropout(const T* x, T* y, i64 count, i64 key, i64 least, float factor, int packed) {
    const i64 start = thread_number() * PACK<T>;
    if (packed && start + PACK<T> <= count) {
        dropout_at<PACK<T>>(start, x, y, u64(key), u64(least), factor);
    } else {
        for (i64 at = start; at < start + PACK<T> && at < count; at++) {
            dropout_at<1>(at, x, y, u64(key), u64(least), factor);
        }
    }
}

#define DROPOUT(T, suffix)                                                                                             \
    EXPORT(dropout_##suffix, (const T* x, T* y, i64 count, i64 key, i64 least, float factor, int packed),              \
           dropout(x, y, count, key, least, factor, packed))

FOR_FLOATS(DROPOUT)
