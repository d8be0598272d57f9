// Sums of the squares of several gradients, in two turns: blocks have a chunk each, then one has the sums of a gradient.
#include "listed.cuh"

template <int N, typename T>
__device__ __forceinline__ float squares_from(const T* values, i64 start, i64 end) {
    float found[N], sum = 0.0f;
    for (i64 at = start + i64(threadIdx.x) * N; at < end; at += i64(blockDim.x) * N) {
        if (at + N <= end) {
            load(found, values + at);
#pragma unroll
            for (int i = 0; i < N; i++) sum += found[i] * found[i];
        } else {
            for (i64 rest = at; rest < end; rest++) sum += wide(values[rest]) * wide(values[rest]);
        }
    }
    return sum;
}

template <typename T> __device__ void squares(const i64* list, int entries, float* sums) {
    const Listed part(list, Listed::WORDS, entries, blockIdx.x);
    const T* values = part.values<T>(Listed::GRAD);
    const float sum = part.entry[Listed::PACKED] ? squares_from<PACK<T>>(values, part.start, part.end)
                                         : squares_from<1>(values, part.start, part.end);
    const float all = Team(blockDim.x).sum(sum);
    if (threadIdx.x == 0) sums[blockIdx.x] = all;
}

__device__ void add_squares(const i64* list, const float* sums, i64 chunks, float* found, int entries) {
    const int own = blockIdx.x;
    const i64 start = list[i64(own) * Listed::WORDS + Listed::CHUNKS_BEFORE];
    const i64 end = own + 1 < entries ? list[i64(own + 1) * Listed::WORDS + Listed::CHUNKS_BEFORE] : chunks;
    float sum = 0.0f;
    for (i64 at = start + threadIdx.x; at < end; at += blockDim.x) sum += sums[at];
    const float all = Team(blockDim.x).sum(sum);
    if (threadIdx.x == 0) found[own] = all;
}

#define SQUARES(T, suffix)                                                                                             \
    EXPORT(squares_##suffix, (const i64* list, int entries, float* sums), squares<T>(list, entries, sums))

FOR_FLOATS(SQUARES)

EXPORT(sum_squares, (const i64* list, const float* sums, i64 chunks, float* found, int entries),
       add_squares(list, sums, chunks, found, entries))
