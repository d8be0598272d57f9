// RMS norm and layer norm of rows: forward, the gradient of the input with the rows' statistics, and the gradients of
// weight and bias in two steps, parts of some rows each and their sum.
#include "common.cuh"

// Mean (0 for RMS norm) and one over the root of the variance (or mean square).
template <bool CENTRED, int N, typename T>
__device__ __forceinline__ float2 norm_statistics(const Team& team, const T* x, int d, float eps) {
    float mean = 0.0f, values[N];
    if (CENTRED) {
        float sum = 0.0f;
        for (int at = team.lane * N; at < d; at += team.lanes * N) {
            load(values, x + at);
#pragma unroll
            for (int i = 0; i < N; i++) sum += values[i];
        }
        mean = team.sum(sum) / d;
    }
    float square = 0.0f;
    for (int at = team.lane * N; at < d; at += team.lanes * N) {
        load(values, x + at);
#pragma unroll
        for (int i = 0; i < N; i++) square += (values[i] - mean) * (values[i] - mean);
    }
    return make_float2(mean, 1.0f / sqrtf(team.sum(square) / d + eps));
}

template <bool CENTRED, int N, typename T>
__device__ void norm_row(const Team& team, const T* x, const T* weight, const T* bias, T* y, int d, float eps) {
    const float2 stats = norm_statistics<CENTRED, N>(team, x, d, eps);
    float values[N], weights[N], biases[N];
    for (int at = team.lane * N; at < d; at += team.lanes * N) {
        load(values, x + at);
        load(weights, weight + at);
        if (bias) load(biases, bias + at);
#pragma unroll
        for (int i = 0; i < N; i++) {
            values[i] = (values[i] - stats.x) * stats.y * weights[i] + (bias ? biases[i] : 0.0f);
        }
        store(y + at, values);
    }
}

// `dx` may be absent; `stats` gets mean and scale of every row.
template <bool CENTRED, int N, typename T>
__device__ void norm_back_row(const Team& team, const T* x, const T* weight, const T* grad, T* dx, float* stats, int d,
                              float eps) {
    const float2 own = norm_statistics<CENTRED, N>(team, x, d, eps);
    const float mean = own.x, scale = own.y;
    if (team.lane == 0) {
        stats[2 * team.row] = mean;
        stats[2 * team.row + 1] = scale;
    }
    if (!dx) return;
    float xs[N], weights[N], grads[N], level = 0.0f, along = 0.0f;
    for (int at = team.lane * N; at < d; at += team.lanes * N) {
        load(xs, x + at);
        load(weights, weight + at);
        load(grads, grad + at);
#pragma unroll
        for (int i = 0; i < N; i++) {
            const float slope = grads[i] * weights[i];
            level += slope;
            along += slope * (xs[i] - mean);
        }
    }
    level = CENTRED ? team.sum(level) / d : 0.0f;
    along = team.sum(along) * scale * scale / d;
    for (int at = team.lane * N; at < d; at += team.lanes * N) {
        load(xs, x + at);
        load(weights, weight + at);
        load(grads, grad + at);
#pragma unroll
        for (int i = 0; i < N; i++) xs[i] = scale * (grads[i] * weights[i] - level - (xs[i] - mean) * along);
        store(dx + at, xs);
    }
}

// Sums over `chunk` rows: `parts` has `(chunks, d)` for the weight, then as many for the bias where there is one.
template <int N, typename T>
__device__ void norm_parts_tile(const T* x, const T* grad, const float* stats, float* parts, i64 rows, int d, int chunk,
                                bool bias) {
    const int warp = threadIdx.x / WARP, column = (blockIdx.x * WARP + threadIdx.x % WARP) * N;
    const i64 first = i64(blockIdx.y) * chunk;
    const i64 end = first + chunk < rows ? first + chunk : rows;
    float values[N], grads[N], weights[N] = {}, biases[N] = {};
    if (column < d) {
        for (i64 row = first + warp; row < end; row += TILE_WARPS) {
            load(values, x + row * d + column);
            load(grads, grad + row * d + column);
            const float mean = stats[2 * row], scale = stats[2 * row + 1];
#pragma unroll
            for (int i = 0; i < N; i++) {
                weights[i] += grads[i] * ((values[i] - mean) * scale);
                biases[i] += grads[i];
            }
        }
    }
    tile_sum(weights);
    if (bias) tile_sum(biases);
    if (warp != 0 || column >= d) return;
    float* to = parts + i64(blockIdx.y) * d + column;
    for (int i = 0; i < N; i++) to[i] = weights[i];
    if (!bias) return;
    to += i64(gridDim.y) * d;
    for (int i = 0; i < N; i++) to[i] = biases[i];
}

template <bool CENTRED, typename T>
__device__ void norm(const T* x, const T* weight, const T* bias, T* y, i64 rows, int d, float eps, int lanes,
                     int packed) {
    const Team team(lanes);
    if (team.row >= rows) return;
    x += team.row * d;
    y += team.row * d;
    if (packed) {
        norm_row<CENTRED, PACK<T>>(team, x, weight, bias, y, d, eps);
    } else {
        norm_row<CENTRED, 1>(team, x, weight, bias, y, d, eps);
    }
}

// RMS norm of a sum, which is kept too. A thread reads back what it wrote itself.
template <int N, typename T>
__device__ void sum_norm_row(const Team& team, const T* x, const T* added, const T* weight, T* sum, T* y, int d,
                             float eps) {
    float values[N], others[N];
    for (int at = team.lane * N; at < d; at += team.lanes * N) {
        load(values, x + at);
        load(others, added + at);
#pragma unroll
        for (int i = 0; i < N; i++) values[i] += others[i];
        store(sum + at, values);
    }
    norm_row<false, N, T>(team, sum, weight, nullptr, y, d, eps);
}

template <typename T>
__device__ void sum_norm(const T* x, const T* added, const T* weight, T* sum, T* y, i64 rows, int d, float eps, int lanes,
                         int packed) {
    const Team team(lanes);
    if (team.row >= rows) return;
    const i64 start = team.row * d;
    if (packed) {
        sum_norm_row<PACK<T>>(team, x + start, added + start, weight, sum + start, y + start, d, eps);
    } else {
        sum_norm_row<1>(team, x + start, added + start, weight, sum + start, y + start, d, eps);
    }
}

template <bool CENTRED, typename T>
__device__ void norm_back(const T* x, const T* weight, const T* grad, T* dx, float* stats, i64 rows, int d, float eps,
                          int lanes, int packed) {
    const Team team(lanes);
    if (team.row >= rows) return;
    x += team.row * d;
    grad += team.row * d;
    if (dx) dx += team.row * d;
    if (packed) {
        norm_back_row<CENTRED, PACK<T>>(team, x, weight, grad, dx, stats, d, eps);
    } else {
        norm_back_row<CENTRED, 1>(team, x, weight, grad, dx, stats, d, eps);
    }
}

#define NORMS(T, suffix)                                                                                               \
    EXPORT(rms_norm_##suffix, (const T* x, const T* weight, const T* bias, T* y, i64 rows, int d, float eps,           \
                               int lanes, int packed),                                                                 \
           norm<false>(x, weight, bias, y, rows, d, eps, lanes, packed))                                               \
    EXPORT(layer_norm_##suffix, (const T* x, const T* weight, const T* bias, T* y, i64 rows, int d, float eps,         \
                                 int lanes, int packed),                                                               \
           norm<true>(x, weight, bias, y, rows, d, eps, lanes, packed))                                                \
    EXPORT(sum_rms_norm_##suffix, (const T* x, const T* added, const T* weight, T* sum, T* y, i64 rows, int d,         \
                                   float eps, int lanes, int packed),                                                  \
           sum_norm(x, added, weight, sum, y, rows, d, eps, lanes, packed))                                            \
    EXPORT(rms_norm_back_##suffix, (const T* x, const T* weight, const T* grad, T* dx, float* stats, i64 rows, int d,  \
                                    float eps, int lanes, int packed),                                                 \
           norm_back<false>(x, weight, grad, dx, stats, rows, d, eps, lanes, packed))                                  \
    EXPORT(layer_norm_back_##suffix, (const T* x, const T* weight, const T* grad, T* dx, float* stats, i64 rows,       \
                                      int d, float eps, int lanes, int packed),                                        \
           norm_back<true>(x, weight, grad, dx, stats, rows, d, eps, lanes, packed))                                   \
    EXPORT(norm_parts_##suffix, (const T* x, const T* grad, const float* stats, float* parts, i64 rows, int d,         \
                                 int chunk, int bias, int packed),                                                     \
           if (packed) norm_parts_tile<PACK<T>>(x, grad, stats, parts, rows, d, chunk, bias);                          \
           else norm_parts_tile<1>(x, grad, stats, parts, rows, d, chunk, bias))

FOR_FLOATS(NORMS)
