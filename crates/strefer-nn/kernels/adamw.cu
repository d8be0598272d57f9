// AdamW (arXiv 1711.05101) of all parameters of a kind in one launch and one pass: f32 master weights, moments in f32 or in
// eight bits, weights in the model's type where that is another.
#include "listed.cuh"

// What the entry of a parameter goes on with: addresses, of which those that are not needed are 0.
enum AdamWord { MASTER = Listed::WORDS, WEIGHT, FIRST, SECOND, FIRST_SCALES, SECOND_SCALES, ADAM_WORDS };

// What numbers there are of every parameter: `1 - lr * weight_decay`, `lr / (1 - beta1^step)` and `1 / sqrt(1 - beta2^step)`.
enum AdamNumber { KEEP, RATE, SECOND_SCALE, ADAM_NUMBERS };

struct AdamUpdate {
    // What gradients are multiplied with.
    float factor;
    float beta1, beta2, eps;
    float keep, rate, second_scale;

    template <int N>
    __device__ __forceinline__ void apply(float (&masters)[N], const float (&grads)[N], float (&firsts)[N],
                                          float (&seconds)[N]) const {
#pragma unroll
        for (int i = 0; i < N; i++) {
            const float grad = grads[i] * factor;
            firsts[i] = beta1 * firsts[i] + (1.0f - beta1) * grad;
            seconds[i] = beta2 * seconds[i] + (1.0f - beta2) * grad * grad;
            const float scale = sqrtf(seconds[i]) * second_scale + eps;
            masters[i] = masters[i] * keep - rate * firsts[i] / scale;
        }
    }
};

template <int N, typename W, typename G>
__device__ __forceinline__ void adamw_at(const Listed& part, i64 at, const AdamUpdate& update) {
    float masters[N], grads[N], firsts[N], seconds[N];
    load(masters, part.values<float>(MASTER) + at);
    load(grads, part.values<G>(Listed::GRAD) + at);
    load(firsts, part.values<float>(FIRST) + at);
    load(seconds, part.values<float>(SECOND) + at);
    update.apply(masters, grads, firsts, seconds);
    store(part.values<float>(MASTER) + at, masters);
    store(part.values<float>(FIRST) + at, firsts);
    store(part.values<float>(SECOND) + at, seconds);
    W* weight = part.values<W>(WEIGHT);
    if (weight) store(weight + at, masters);
}

template <typename W, typename G> __device__ void adamw(const Listed& part, const AdamUpdate& update) {
    // 16 bytes of the narrowest type are 32 of f32.
    constexpr int N = PACK<W> > PACK<G> ? PACK<W> : PACK<G>;
    for (i64 start = part.start + i64(threadIdx.x) * N; start < part.end; start += i64(blockDim.x) * N) {
        if (part.entry[Listed::PACKED] && start + N <= part.end) {
            adamw_at<N, W, G>(part, start, update);
        } else {
            for (i64 at = start; at < start + N && at < part.end; at++) adamw_at<1, W, G>(part, at, update);
        }
    }
}

// Moments in eight bits (arXiv 2110.02861): names of ascending values, and what the values of a block are multiplied with. A warp
// has a block, and its lanes eight numbers each.
constexpr int NAMES = 256;
constexpr int EIGHT = 8;
constexpr int SCALED = EIGHT * WARP;

struct alignas(EIGHT) Codes {
    unsigned char names[EIGHT];
};

template <typename Table> struct Eight {
    const Table& table;
    // Where the values of one moment begin in the table.
    int from;

    // Numbers of a lane, 0 behind the last one.
    __device__ __forceinline__ void load(float (&to)[EIGHT], const unsigned char* names, float scale, int here,
                                         bool packed) const {
        Codes codes;
        if (packed && here == EIGHT) {
            codes = *reinterpret_cast<const Codes*>(names);
        } else {
            for (int i = 0; i < here; i++) codes.names[i] = names[i];
        }
#pragma unroll
        for (int i = 0; i < EIGHT; i++) to[i] = i < here ? table[from + codes.names[i]] * scale : 0.0f;
    }

    // The name of the value next to a number.
    __device__ __forceinline__ unsigned char name(float number) const {
        int above = 0;
#pragma unroll
        for (int step = NAMES / 2; step > 0; step /= 2) {
            if (table[from + above + step - 1] < number) above += step;
        }
        const int below = above > 0 ? above - 1 : 0;
        const bool nearer = number - table[from + below] < table[from + above] - number;
        return (unsigned char)(nearer ? below : above);
    }

    // Keeps the numbers of a warp, and what its values are multiplied with.
    __device__ __forceinline__ void store(unsigned char* names, float* scale, const float (&numbers)[EIGHT], int here,
                                          bool packed) const {
        float most = 0.0f;
#pragma unroll
        for (int i = 0; i < EIGHT; i++) most = fmaxf(most, fabsf(numbers[i]));
        most = Team(WARP).largest(most);
        const float fraction = most > 0.0f ? 1.0f / most : 0.0f;
        Codes codes;
        for (int i = 0; i < here; i++) codes.names[i] = name(numbers[i] * fraction);
        if (packed && here == EIGHT) {
            *reinterpret_cast<Codes*>(names) = codes;
        } else {
            for (int i = 0; i < here; i++) names[i] = codes.names[i];
        }
        if (threadIdx.x % WARP == 0) *scale = most;
    }
};

// So many values from `from` on; the others of eight are 0.
template <typename T> __device__ __forceinline__ void load_some(float (&to)[EIGHT], const T* from, int here, bool packed) {
    if (packed && here == EIGHT) return load(to, from);
#pragma unroll
    for (int i = 0; i < EIGHT; i++) to[i] = i < here ? wide(from[i]) : 0.0f;
}

template <typename T> __device__ __forceinline__ void store_some(T* to, const float (&from)[EIGHT], int here, bool packed) {
    if (packed && here == EIGHT) return store(to, from);
    for (int i = 0; i < here; i++) to[i] = narrow<T>(from[i]);
}

// `values` are those that names stand for: of first moments, then of second ones.
template <typename W, typename G>
__device__ void adamw_eight(const Listed& part, const float* values, const AdamUpdate& update) {
    SHARED(float, table, 2 * NAMES);
    for (int at = threadIdx.x; at < 2 * NAMES; at += blockDim.x) table[at] = values[at];
    __syncthreads();
    const Eight<decltype(table)> first{table, 0}, second{table, NAMES};
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, warps = blockDim.x / WARP;
    const bool packed = part.entry[Listed::PACKED];
    for (i64 block = part.start + i64(warp) * SCALED; block < part.end; block += i64(warps) * SCALED) {
        const i64 at = block + lane * EIGHT, left = part.end - at;
        const int here = left < 0 ? 0 : left < EIGHT ? int(left) : EIGHT;
        float* first_scale = part.values<float>(FIRST_SCALES) + block / SCALED;
        float* second_scale = part.values<float>(SECOND_SCALES) + block / SCALED;
        unsigned char* first_names = part.values<unsigned char>(FIRST) + at;
        unsigned char* second_names = part.values<unsigned char>(SECOND) + at;
        float masters[EIGHT], grads[EIGHT], firsts[EIGHT], seconds[EIGHT];
        load_some(masters, part.values<float>(MASTER) + at, here, packed);
        load_some(grads, part.values<G>(Listed::GRAD) + at, here, packed);
        first.load(firsts, first_names, *first_scale, here, packed);
        second.load(seconds, second_names, *second_scale, here, packed);
        update.apply(masters, grads, firsts, seconds);
        store_some(part.values<float>(MASTER) + at, masters, here, packed);
        W* weight = part.values<W>(WEIGHT);
        if (weight) store_some(weight + at, masters, here, packed);
        first.store(first_names, first_scale, firsts, here, packed);
        second.store(second_names, second_scale, seconds, here, packed);
    }
}

// `numbers`: of names first where moments are in eight bits, then of the parameters.
template <bool IN_EIGHT, typename W, typename G>
__device__ void adamw_listed(const i64* list, const float* numbers, int entries, float factor, float beta1, float beta2,
                             float eps) {
    const Listed part(list, ADAM_WORDS, entries, blockIdx.x);
    const float* own = numbers + (IN_EIGHT ? 2 * NAMES : 0) + (part.entry - list) / ADAM_WORDS * ADAM_NUMBERS;
    const AdamUpdate update{factor, beta1, beta2, eps, own[KEEP], own[RATE], own[SECOND_SCALE]};
    if constexpr (IN_EIGHT) adamw_eight<W, G>(part, numbers, update);
    else adamw<W, G>(part, update);
}

#define ADAMW_AS(IN_EIGHT, W, G, name)                                                                                 \
    EXPORT(name, (const i64* list, const float* numbers, int entries, float factor, float beta1, float beta2,          \
                  float eps),                                                                                          \
           (adamw_listed<IN_EIGHT, W, G>(list, numbers, entries, factor, beta1, beta2, eps)))

#define ADAMW(W, G, suffix)                                                                                            \
    ADAMW_AS(false, W, G, adamw_##suffix)                                                                              \
    ADAMW_AS(true, W, G, adamw_eight_##suffix)

// Weights, then gradients. Weights in f32 are their own master, and `WEIGHT` is absent.
ADAMW(float, float, f32_f32)
ADAMW(bf16, bf16, bf16_bf16)
ADAMW(bf16, float, bf16_f32)
ADAMW(f16, f16, f16_f16)
ADAMW(f16, float, f16_f32)
