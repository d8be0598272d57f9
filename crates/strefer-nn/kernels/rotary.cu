// Rotation of heads by their positions' angles: entries `i` and `i + half` of a head are a pair. The backward is the
// rotation by the opposite angles.
#include "common.cuh"

// Where the rows of width `2 * half` lie.
struct RotaryShape {
    i64 rows;
    int heads, positions, half;
    // Whether heads come before positions, `(b, nh, s, hd)`; else `(b, s, nh, hd)`.
    int heads_first;
    // Entries of the tables from one position to the next, and from one row of the batch to the next (0: all share one).
    int stride;
    i64 batch;
};

template <int N, typename T, typename C>
__device__ void rotate(const T* x, const C* cos, const C* sin, T* y, const RotaryShape& shape, float sign) {
    const int of_row = shape.half / N;
    const i64 number = thread_number(), row = number / of_row;
    if (row >= shape.rows) return;
    const int at = int(number % of_row) * N;
    const i64 position = (shape.heads_first ? row : row / shape.heads) % shape.positions;
    const i64 table = row / (i64(shape.heads) * shape.positions) * shape.batch + position * shape.stride + at;
    const i64 start = row * 2 * shape.half + at;
    float first[N], second[N], cosines[N], sines[N];
    load(first, x + start);
    load(second, x + start + shape.half);
    load(cosines, cos + table);
    load(sines, sin + table);
#pragma unroll
    for (int i = 0; i < N; i++) {
        const float a = first[i], b = second[i], s = sign * sines[i];
        first[i] = a * cosines[i] - b * s;
        second[i] = b * cosines[i] + a * s;
    }
    store(y + start, first);
    store(y + start + shape.half, second);
}

template <typename T, typename C>
__device__ void rotary(const T* x, const C* cos, const C* sin, T* y, const RotaryShape& shape, float sign, int packed) {
    if (packed) {
        rotate<PACK<T>>(x, cos, sin, y, shape, sign);
    } else {
        rotate<1>(x, cos, sin, y, shape, sign);
    }
}

#define ROTARY(T, C, suffix)                                                                                           \
    EXPORT(rotary_##suffix, (const T* x, const C* cos, const C* sin, T* y, i64 rows, int heads, int positions,         \
                             int half, int heads_first, int stride, i64 batch, float sign, int packed),                \
           (rotary(x, cos, sin, y, RotaryShape{rows, heads, positions, half, heads_first, stride, batch}, sign,        \
                   packed)))

// Tables are f32, or of the values' type.
ROTARY(float, float, f32_f32)
ROTARY(bf16, bf16, bf16_bf16)
ROTARY(bf16, float, bf16_f32)
ROTARY(f16, f16, f16_f16)
ROTARY(f16, float, f16_f32)
