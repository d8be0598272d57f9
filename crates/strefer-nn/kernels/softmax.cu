// Softmax over rows. A row of minus infinities becomes zeros; a row with something that is no number becomes that.
#include "common.cuh"

template <int N, typename T> __device__ void softmax_row(const Team& team, const T* x, T* y, int d) {
    float values[N], top = -CUDART_INF_F, strange = 0.0f;
    for (int at = team.lane * N; at < d; at += team.lanes * N) {
        load(values, x + at);
#pragma unroll
        for (int i = 0; i < N; i++) {
            top = fmaxf(top, values[i]);
            strange += values[i] != values[i] ? 1.0f : 0.0f;
        }
    }
    top = team.largest(top);
    const bool hidden = team.sum(strange) == 0.0f && top == -CUDART_INF_F;
    float sum = 0.0f;
    for (int at = team.lane * N; at < d; at += team.lanes * N) {
        load(values, x + at);
#pragma unroll
        for (int i = 0; i < N; i++) sum += hidden ? 0.0f : expf(values[i] - top);
    }
    sum = team.sum(sum);
    const float scale = hidden ? 0.0f : 1.0f / sum;
    for (int at = team.lane * N; at < d; at += team.lanes * N) {
        load(values, x + at);
#pragma unroll
        for (int i = 0; i < N; i++) values[i] = hidden ? 0.0f : expf(values[i] - top) * scale;
        store(y + at, values);
    }
}

// `y` is the forward's result.
template <int N, typename T>
__device__ void softmax_back_row(const Team& team, const T* y, const T* grad, T* dx, int d) {
    float ys[N], grads[N], mean = 0.0f;
    for (int at = team.lane * N; at < d; at += team.lanes * N) {
        load(ys, y + at);
        load(grads, grad + at);
#pragma unroll
        for (int i = 0; i < N; i++) mean += ys[i] * grads[i];
    }
    mean = team.sum(mean);
    for (int at = team.lane * N; at < d; at += team.lanes * N) {
        load(ys, y + at);
        load(grads, grad + at);
#pragma unroll
        for (int i = 0; i < N; i++) ys[i] *= grads[i] - mean;
        store(dx + at, ys);
    }
}

template <typename T> __device__ void softmax(const T* x, T* y, i64 rows, int d, int lanes, int packed) {
    const Team team(lanes);
    if (team.row >= rows) return;
    if (packed) {
        softmax_row<PACK<T>>(team, x + team.row * d, y + team.row * d, d);
    } else {
        softmax_row<1>(team, x + team.row * d, y + team.row * d, d);
    }
}

template <typename T>
__device__ void softmax_back(const T* y, const T* grad, T* dx, i64 rows, int d, int lanes, int packed) {
    const Team team(lanes);
    if (team.row >= rows) return;
    const i64 start = team.row * d;
    if (packed) {
        softmax_back_row<PACK<T>>(team, y + start, grad + start, dx + start, d);
    } else {
        softmax_back_row<1>(team, y + start, grad + start, dx + start, d);
    }
}

#define SOFTMAX(T, suffix)                                                                                             \
    EXPORT(softmax_##suffix, (const T* x, T* y, i64 rows, int d, int lanes, int packed),                               \
           softmax(x, y, rows, d, lanes, packed))                                                                      \
    EXPORT(softmax_back_##suffix, (const T* y, const T* grad, T* dx, i64 rows, int d, int lanes, int packed),          \
           softmax_back(y, grad, dx, rows, d, lanes, packed))

FOR_FLOATS(SOFTMAX)
