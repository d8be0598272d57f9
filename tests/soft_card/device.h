// What candle's kernels use of CUDA C++, for a C++ compiler. CUDA's own headers bring the float types, whose arithmetic they have for hosts, too.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#include <cuda_runtime.h>

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <math_constants.h>

#include "soft.h"

using std::isinf;
using std::isnan;
using std::signbit;

// Blocks run one after the other, all their threads in one.
#undef __shared__
#define __shared__ static
#define __CUDA_ARCH__ 900
#define warpSize 32

namespace soft {

template <typename T> static T shuffle_xor(unsigned mask, T value, int step, int line) {
    float words[(sizeof(T) + 3) / 4] = {};
    memcpy(words, &value, sizeof(T));
    for (float& word : words) word = exchange_xor(mask, word, step, line);
    memcpy(&value, words, sizeof(T));
    return value;
}

template <typename To, typename From> To bits(From x) {
    static_assert(sizeof(To) == sizeof(From), "as many bits");
    To y;
    memcpy(&y, &x, sizeof(To));
    return y;
}

template <auto kernel> struct Caller;
template <typename... Args, void (*kernel)(Args...)> struct Caller<kernel> {
    template <size_t... at> static void apply(void* const* args, std::index_sequence<at...>) {
        kernel(*static_cast<std::remove_const_t<Args>*>(args[at])...);
    }
    static void call(void* const* args) { apply(args, std::index_sequence_for<Args...>()); }
};

} // namespace soft

#define threadIdx soft::thread
#define blockIdx soft::block
#define blockDim soft::block_dim
#define gridDim soft::grid_dim
#define __syncthreads() soft::barrier(__LINE__)
#define __shfl_xor_sync(mask, value, step, ...) soft::shuffle_xor(mask, value, step, __LINE__)

template <typename T, typename U> T atomicAdd(T* to, U x) {
    const T old = *to;
    *to = old + T(x);
    return old;
}
template <typename T, typename U> T atomicMin(T* to, U x) {
    const T old = *to;
    if (T(x) < old) *to = T(x);
    return old;
}
template <typename T, typename U> T atomicMax(T* to, U x) {
    const T old = *to;
    if (T(x) > old) *to = T(x);
    return old;
}
template <typename T, typename U, typename V> T atomicCAS(T* to, U compared, V x) {
    const T old = *to;
    if (old == T(compared)) *to = T(x);
    return old;
}

inline float __int_as_float(int x) { return soft::bits<float>(x); }
inline int __float_as_int(float x) { return soft::bits<int>(x); }
inline float __uint_as_float(unsigned x) { return soft::bits<float>(x); }
inline unsigned __float_as_uint(float x) { return soft::bits<unsigned>(x); }
inline double __longlong_as_double(long long x) { return soft::bits<double>(x); }
inline long long __double_as_longlong(double x) { return soft::bits<long long>(x); }

template <typename A, typename B> std::common_type_t<A, B> min(A a, B b) { return a < b ? a : b; }
template <typename A, typename B> std::common_type_t<A, B> max(A a, B b) { return a > b ? a : b; }

// Four bytes a word: their products, summed, and their differences, kept in range.
inline int __dp4a(int a, int b, int sum) {
    for (int at = 0; at < 32; at += 8) sum += int8_t(a >> at) * int8_t(b >> at);
    return sum;
}
inline unsigned __vsubss4(unsigned a, unsigned b) {
    unsigned all = 0;
    for (int at = 0; at < 32; at += 8) {
        const int difference = int8_t(a >> at) - int8_t(b >> at);
        all |= unsigned(uint8_t(difference < -128 ? -128 : difference > 127 ? 127 : difference)) << at;
    }
    return all;
}

inline float normcdff(float x) { return 0.5f * erfcf(-x * 0.70710678f); }
inline double normcdf(double x) { return 0.5 * erfc(-x * 0.70710678118654752); }
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline double rsqrt(double x) { return 1.0 / sqrt(x); }
inline float reciprocalf(float x) { return 1.0f / x; }

#define HALVES(name, of)                                                                                               \
    inline __half h##name(__half x) { return __float2half(of(__half2float(x))); }                                      \
    inline __nv_bfloat16 h##name(__nv_bfloat16 x) { return __float2bfloat16(of(__bfloat162float(x))); }
HALVES(ceil, ceilf)
HALVES(floor, floorf)
HALVES(rint, rintf)
HALVES(exp, expf)
HALVES(log, logf)
HALVES(sin, sinf)
HALVES(cos, cosf)
HALVES(sqrt, sqrtf)
HALVES(rsqrt, rsqrtf)
HALVES(rcp, reciprocalf)
#undef HALVES
