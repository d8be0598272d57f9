// Rotation of heads by their positions' angles: entries `i` and `i + half` of a head are a pair. The backward is the
// rotation by the opposite angles. While an answer is written, keys and values go behind those seen before on the way.
#include "common.cuh"

template <int N>
__device__ __forceinline__ void turn(float (&first)[N], float (&second)[N], const float (&cosines)[N],
                                     const float (&sines)[N], float sign) {
#pragma unroll
    for (int i = 0; i < N; i++) {
        const float a = first[i], b = second[i], s = sign * sines[i];
        first[i] = a * cosines[i] - b * s;
        second[i] = b * cosines[i] + a * s;
    }
}

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
    turn(first, second, cosines, sines, sign);
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
                   packed)))                                                                                           \
    EXPORT(cached_##suffix, (const T* q, const T* k, const T* v, const C* cos, const C* sin, const i64* places,        \
                             const i64* held, T* turned, i64 q_batch, i64 q_position, i64 k_batch, i64 k_position,     \
                             i64 v_batch, i64 v_position, i64 tables, int batch, int heads, int key_heads,             \
                             int positions, int half, int stride, int packed),                                         \
           (cached_heads(Beside<T>{q, q_batch, q_position}, Beside<T>{k, k_batch, k_position},                         \
                         Beside<T>{v, v_batch, v_position}, cos, sin, places, held, turned,                            \
                         CachedShape{batch, heads, key_heads, positions, half, stride, tables}, packed)))

// Heads side by side, as products leave them.
template <typename T> struct Beside {
    const T* values;
    i64 batch, position;
};

struct CachedShape {
    int batch, heads, key_heads, positions, half, stride;
    // Entries of the tables from one row of the batch to the next.
    i64 tables;
};

// Queries are turned, keys are turned into their caches, values are copied into theirs. `places` has an address for the keys
// of each row of the batch, then one for the values of each; `held` says how many positions lie there already.
template <int N, typename T, typename C>
__device__ void cached(const Beside<T>& q, const Beside<T>& k, const Beside<T>& v, const C* cos, const C* sin,
                       const i64* places, const i64* held, T* turned, const CachedShape& shape) {
    const int of_head = shape.half / N, all = shape.heads + 2 * shape.key_heads;
    i64 number = thread_number();
    const int at = int(number % of_head) * N;
    number /= of_head;
    int head = int(number % all);
    number /= all;
    const int position = int(number % shape.positions);
    const i64 row = number / shape.positions;
    if (row >= shape.batch) return;
    const bool is_query = head < shape.heads, is_value = head >= shape.heads + shape.key_heads;
    const Beside<T>& from = is_query ? q : is_value ? v : k;
    if (!is_query) head -= is_value ? shape.heads + shape.key_heads : shape.heads;
    const T* start = from.values + row * from.batch + position * from.position + head * 2 * shape.half + at;
    float first[N], second[N];
    load(first, start);
    load(second, start + shape.half);
    if (!is_value) {
        const i64 table = row * shape.tables + i64(position) * shape.stride + at;
        float cosines[N], sines[N];
        load(cosines, cos + table);
        load(sines, sin + table);
        turn(first, second, cosines, sines, 1.0f);
    }
    T* to;
    if (is_query) {
        to = turned + ((row * shape.positions + position) * shape.heads + head) * 2 * shape.half;
    } else {
        T* buffer = reinterpret_cast<T*>(places[is_value ? shape.batch + row : row]);
        to = buffer + ((held[row] + position) * shape.key_heads + head) * 2 * shape.half;
    }
    store(to + at, first);
    store(to + at + shape.half, second);
}

template <typename T, typename C>
__device__ void cached_heads(const Beside<T>& q, const Beside<T>& k, const Beside<T>& v, const C* cos, const C* sin,
                             const i64* places, const i64* held, T* turned, const CachedShape& shape, int packed) {
    if (packed) {
        cached<PACK<T>>(q, k, v, cos, sin, places, held, turned, shape);
    } else {
        cached<1>(q, k, v, cos, sin, places, held, turned, shape);
    }
}

// Tables are f32, or of the values' type.
ROTARY(float, float, f32_f32)
ROTARY(bf16, bf16, bf16_bf16)
ROTARY(bf16, float, bf16_f32)
ROTARY(f16, f16, f16_f16)
ROTARY(f16, float, f16_f32)
