// AdamW (arXiv 1711.05101) over flat buffers, one pass: f32 master weights and moments, weights in the model's type where
// that is another.
#include "common.cuh"

struct AdamUpdate {
    float beta1, beta2, eps;
    // `1 - lr * weight_decay`, `lr / (1 - beta1^step)` and `1 / sqrt(1 - beta2^step)`.
    float keep, rate, second_scale;
};

template <int N, typename W, typename G>
__device__ __forceinline__ void adamw_at(i64 at, float* master, W* weight, const G* grad, float* first, float* second,
                                         const AdamUpdate& update) {
    float masters[N], grads[N], firsts[N], seconds[N];
    load(masters, master + at);
    load(grads, grad + at);
    load(firsts, first + at);
    load(seconds, second + at);
#pragma unroll
    for (int i = 0; i < N; i++) {
        firsts[i] = update.beta1 * firsts[i] + (1.0f - update.beta1) * grads[i];
        seconds[i] = update.beta2 * seconds[i] + (1.0f - update.beta2) * grads[i] * grads[i];
        const float scale = sqrtf(seconds[i]) * update.second_scale + update.eps;
        masters[i] = masters[i] * update.keep - update.rate * firsts[i] / scale;
    }
    store(master + at, masters);
    store(first + at, firsts);
    store(second + at, seconds);
    if (weight) store(weight + at, masters);
}

template <typename W, typename G>
__device__ void adamw(float* master, W* weight, const G* grad, float* first, float* second, i64 count,
                      const AdamUpdate& update, int packed) {
    // 16 bytes of the narrowest type are 32 of f32.
    constexpr int N = PACK<W> > PACK<G> ? PACK<W> : PACK<G>;
    const i64 start = thread_number() * N;
    if (packed && start + N <= count) {
        adamw_at<N>(start, master, weight, grad, first, second, update);
    } else {
        for (i64 at = start; at < start + N && at < count; at++) {
            adamw_at<1>(at, master, weight, grad, first, second, update);
        }
    }
}

#define ADAMW(W, G, suffix)                                                                                            \
    EXPORT(adamw_##suffix, (float* master, W* weight, const G* grad, float* first, float* second, i64 count,           \
                            float beta1, float beta2, float eps, float keep, float rate, float second_scale,           \
                            int packed),                                                                               \
           (adamw(master, weight, grad, first, second, count,                                                          \
                  AdamUpdate{beta1, beta2, eps, keep, rate, second_scale}, packed)))

// Weights, then gradients. Weights in f32 are their own master, and `weight` is absent.
ADAMW(float, float, f32_f32)
ADAMW(bf16, bf16, bf16_bf16)
ADAMW(bf16, float, bf16_f32)
ADAMW(f16, f16, f16_f16)
ADAMW(f16, float, f16_f32)
