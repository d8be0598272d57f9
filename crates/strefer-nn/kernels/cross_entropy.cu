// Cross-entropy of rows of scores against a label each. Two readings of a row: the largest score and the sum of exponentials
// together, then, where gradients are wanted, the probabilities less the label's one in place of the scores.
#include "common.cuh"

template <int N, typename T>
__device__ void cross_entropy_row(const Team& team, T* scores, unsigned label, float* loss, int v, int gradient) {
    float values[N], top = -CUDART_INF_F, sum = 0.0f;
    for (int at = team.lane * N; at < v; at += team.lanes * N) {
        load(values, scores + at);
        float above = top;
#pragma unroll
        for (int i = 0; i < N; i++) above = fmaxf(above, values[i]);
        if (above > top) {
            sum *= expf(top - above);
            top = above;
        }
        // Scores of minus infinity have no height to be measured from.
        const float height = top == -CUDART_INF_F ? 0.0f : top;
#pragma unroll
        for (int i = 0; i < N; i++) sum += expf(values[i] - height);
    }
    const float highest = team.largest(top);
    // A thread without scores has nothing to bring to the others' height.
    sum = team.sum(sum == 0.0f ? 0.0f : sum * expf(top - highest));
    // Before the barrier, behind which the score is gone.
    if (team.lane == 0) loss[team.row] = highest + logf(sum) - wide(scores[label]);
    if (!gradient) return;
    if (team.lanes == WARP) {
        __syncwarp();
    } else {
        __syncthreads();
    }
    const float scale = 1.0f / sum;
    for (int at = team.lane * N; at < v; at += team.lanes * N) {
        load(values, scores + at);
#pragma unroll
        for (int i = 0; i < N; i++) {
            values[i] = expf(values[i] - highest) * scale - (at + i == int(label) ? 1.0f : 0.0f);
        }
        store(scores + at, values);
    }
}

template <typename T>
__device__ void cross_entropy(T* scores, const unsigned* labels, float* losses, i64 rows, int v, int gradient, int lanes,
                              int packed) {
    const Team team(lanes);
    if (team.row >= rows) return;
    T* row = scores + team.row * v;
    const unsigned label = labels[team.row];
    if (packed) {
        cross_entropy_row<PACK<T>>(team, row, label, losses, v, gradient);
    } else {
        cross_entropy_row<1>(team, row, label, losses, v, gradient);
    }
}

#define CROSS_ENTROPY(T, suffix)                                                                                       \
    EXPORT(cross_entropy_##suffix, (T* scores, const unsigned* labels, float* losses, i64 rows, int v, int gradient,   \
                                    int lanes, int packed),                                                            \
           cross_entropy(scores, labels, losses, rows, v, gradient, lanes, packed))

FOR_FLOATS(CROSS_ENTROPY)
