// GELU, SiLU and SwiGLU, forward and backward, one thread for 16 bytes.
#include "common.cuh"

__device__ __forceinline__ float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

struct GeluErf {
    // By the complement, which keeps its digits where the distribution is small.
    static __device__ __forceinline__ float below(float x) { return 0.5f * erfcf(-0.70710678f * x); }
    static __device__ __forceinline__ float value(float x) { return x * below(x); }
    static __device__ __forceinline__ float slope(float x) {
        return x * 0.3989423f * expf(-0.5f * x * x) + below(x);
    }
};

// Half of one plus the hyperbolic tangent of u is the sigmoid of 2 u, so the constant is 2 sqrt(2 / pi).
struct GeluTanh {
    static constexpr float STRETCH = 1.5957691f, CUBIC = 0.044715f;
    static __device__ __forceinline__ float value(float x) {
        return x * sigmoid(STRETCH * x * (1.0f + CUBIC * x * x));
    }
    static __device__ __forceinline__ float slope(float x) {
        const float share = sigmoid(STRETCH * x * (1.0f + CUBIC * x * x));
        return share + x * share * (1.0f - share) * STRETCH * (1.0f + 3.0f * CUBIC * x * x);
    }
};

struct Silu {
    static __device__ __forceinline__ float value(float x) { return x * sigmoid(x); }
    static __device__ __forceinline__ float slope(float x) {
        const float share = sigmoid(x);
        return share + x * share * (1.0f - share);
    }
};

// Hands out the values of one thread, whole packs or single ones: `work` gets the first and a number for how many.
template <int N> struct Count {};
template <typename T, typename Work> __device__ __forceinline__ void spread(i64 count, int packed, Work work) {
    constexpr int WIDTH = PACK<T>;
    const i64 first = thread_number() * WIDTH;
    if (packed && first + WIDTH <= count) {
        work(first, Count<WIDTH>());
    } else if (packed) {
#pragma unroll 1
        for (i64 at = first; at < count; at++) work(at, Count<1>());
    } else {
        // Neighbouring threads take neighbouring values.
        const i64 start = i64(blockIdx.x) * blockDim.x * WIDTH + threadIdx.x;
#pragma unroll 1
        for (int at = 0; at < WIDTH; at++) {
            const i64 own = start + i64(at) * blockDim.x;
            if (own < count) work(own, Count<1>());
        }
    }
}

template <typename F, typename T> struct Forward {
    const T* x;
    T* y;
    template <int N> __device__ __forceinline__ void operator()(i64 at, Count<N>) const {
        float values[N];
        load(values, x + at);
#pragma unroll
        for (int i = 0; i < N; i++) values[i] = F::value(values[i]);
        store(y + at, values);
    }
};

template <typename F, typename T> struct Backward {
    const T *x, *grad;
    T* dx;
    template <int N> __device__ __forceinline__ void operator()(i64 at, Count<N>) const {
        float values[N], grads[N];
        load(values, x + at);
        load(grads, grad + at);
#pragma unroll
        for (int i = 0; i < N; i++) values[i] = grads[i] * F::slope(values[i]);
        store(dx + at, values);
    }
};

// Gates and what they let through, in rows that may be halves of longer ones.
struct Halves {
    i64 width, step;

    // Where the value at `at` of all rows lies.
    __device__ __forceinline__ i64 place(i64 at) const { return at < width ? at : at / width * step + at % width; }
};

template <typename T> struct Swiglu {
    const T *gate, *up;
    T* y;
    Halves halves;
    template <int N> __device__ __forceinline__ void operator()(i64 at, Count<N>) const {
        float gates[N], ups[N];
        const i64 from = halves.place(at);
        load(gates, gate + from);
        load(ups, up + from);
#pragma unroll
        for (int i = 0; i < N; i++) gates[i] = Silu::value(gates[i]) * ups[i];
        store(y + at, gates);
    }
};

// Gradients lie as their values do.
template <typename T> struct SwigluBack {
    const T *gate, *up, *grad;
    T *dgate, *dup;
    Halves halves;
    template <int N> __device__ __forceinline__ void operator()(i64 at, Count<N>) const {
        float gates[N], ups[N], grads[N], dups[N];
        const i64 from = halves.place(at);
        load(gates, gate + from);
        load(ups, up + from);
        load(grads, grad + at);
#pragma unroll
        for (int i = 0; i < N; i++) {
            dups[i] = grads[i] * Silu::value(gates[i]);
            gates[i] = grads[i] * ups[i] * Silu::slope(gates[i]);
        }
        store(dgate + from, gates);
        store(dup + from, dups);
    }
};

#define FUNCTION(T, suffix, name, F)                                                                                   \
    EXPORT(name##_##suffix, (const T* x, T* y, i64 count, int packed),                                                 \
           (spread<T>(count, packed, Forward<F, T>{x, y})))                                                            \
    EXPORT(name##_back_##suffix, (const T* x, const T* grad, T* dx, i64 count, int packed),                            \
           (spread<T>(count, packed, Backward<F, T>{x, grad, dx})))

#define ACTIVATIONS(T, suffix)                                                                                         \
    FUNCTION(T, suffix, gelu_erf, GeluErf)                                                                             \
    FUNCTION(T, suffix, gelu_tanh, GeluTanh)                                                                           \
    FUNCTION(T, suffix, silu, Silu)                                                                                    \
    EXPORT(swiglu_##suffix, (const T* gate, const T* up, T* y, i64 count, i64 width, i64 step, int packed),            \
           (spread<T>(count, packed, Swiglu<T>{gate, up, y, Halves{width, step}})))                                    \
    EXPORT(swiglu_back_##suffix, (const T* gate, const T* up, const T* grad, T* dgate, T* dup, i64 count, i64 width,   \
                                  i64 step, int packed),                                                               \
           (spread<T>(count, packed, SwigluBack<T>{gate, up, grad, dgate, dup, Halves{width, step}})))

FOR_FLOATS(ACTIVATIONS)
