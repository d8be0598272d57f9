// Values times a number, in the same type or another, rounded once.
#include "common.cuh"

template <int N, typename A, typename B> __device__ __forceinline__ void scale_at(i64 at, const A* x, B* y, float factor) {
    float values[N];
    load(values, x + at);
#pragma unroll
    for (int i = 0; i < N; i++) values[i] *= factor;
    store(y + at, values);
}

template <typename A, typename B> __device__ void scale(const A* x, B* y, i64 count, float factor, int packed) {
    constexpr int N = PACK<A> > PACK<B> ? PACK<A> : PACK<B>;
    const i64 start = thread_number() * N;
    if (packed && start + N <= count) {
        scale_at<N>(start, x, y, factor);
    } else {
        for (i64 at = start; at < start + N && at < count; at++) scale_at<1>(at, x, y, factor);
    }
}

#define SCALE(A, B, suffix)                                                                                            \
    EXPORT(scale_##suffix, (const A* x, B* y, i64 count, float factor, int packed), scale(x, y, count, factor, packed))

#define SCALE_TO(A, suffix)                                                                                            \
    SCALE(A, float, suffix##_f32)                                                                                      \
    SCALE(A, bf16, suffix##_bf16)                                                                                      \
    SCALE(A, f16, suffix##_f16)

FOR_FLOATS(SCALE_TO)
