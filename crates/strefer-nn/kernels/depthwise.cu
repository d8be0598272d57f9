// Each channel of a map under its own k x k filter, channels last, stride one, zeros around the map. Filters lie `(k*k, c)`. The
// gradient of the map is the same with the filters turned round.
#include "common.cuh"

struct MapShape {
    i64 pixels;
    int h, w, c, k;
};

// One thread for N channels of one pixel.
template <int N, typename T>
__device__ void depthwise_pixel(const T* x, const T* filters, T* y, const MapShape& shape, int turned) {
    const int of_pixel = shape.c / N, reach = shape.k / 2;
    const i64 number = thread_number(), pixel = number / of_pixel;
    if (pixel >= shape.pixels) return;
    const int channel = int(number % of_pixel) * N;
    const int column = int(pixel % shape.w), line = int(pixel / shape.w % shape.h);
    float values[N], weights[N], sums[N] = {};
    for (int tap = 0; tap < shape.k * shape.k; tap++) {
        const int down = tap / shape.k - reach, right = tap % shape.k - reach;
        if (line + down < 0 || line + down >= shape.h || column + right < 0 || column + right >= shape.w) continue;
        load(values, x + (pixel + i64(down) * shape.w + right) * shape.c + channel);
        load(weights, filters + i64(turned ? shape.k * shape.k - 1 - tap : tap) * shape.c + channel);
#pragma unroll
        for (int i = 0; i < N; i++) sums[i] += values[i] * weights[i];
    }
    store(y + pixel * shape.c + channel, sums);
}

// A block sums one tap's gradients over a chunk of pixels, for a tile of channels; its warps take turns at the pixels.
template <int N, typename T>
__device__ void depthwise_parts_tile(const T* x, const T* grad, float* parts, const MapShape& shape, int chunk) {
    const int warp = threadIdx.x / WARP, channel = (blockIdx.x * WARP + threadIdx.x % WARP) * N;
    const int taps = shape.k * shape.k, tap = blockIdx.y % taps, part = blockIdx.y / taps;
    const int down = tap / shape.k - shape.k / 2, right = tap % shape.k - shape.k / 2;
    const i64 end = i64(part + 1) * chunk < shape.pixels ? i64(part + 1) * chunk : shape.pixels;
    float values[N], grads[N], sums[N] = {};
    if (channel < shape.c) {
        for (i64 pixel = i64(part) * chunk + warp; pixel < end; pixel += TILE_WARPS) {
            const int column = int(pixel % shape.w), line = int(pixel / shape.w % shape.h);
            if (line + down < 0 || line + down >= shape.h || column + right < 0 || column + right >= shape.w) continue;
            load(values, x + (pixel + i64(down) * shape.w + right) * shape.c + channel);
            load(grads, grad + pixel * shape.c + channel);
#pragma unroll
            for (int i = 0; i < N; i++) sums[i] += values[i] * grads[i];
        }
    }
    tile_sum(sums);
    if (warp != 0 || channel >= shape.c) return;
    float* to = parts + i64(blockIdx.y) * shape.c + channel;
    for (int i = 0; i < N; i++) to[i] = sums[i];
}

#define DEPTHWISE(T, suffix)                                                                                           \
    EXPORT(depthwise_##suffix, (const T* x, const T* filters, T* y, i64 pixels, int h, int w, int c, int k,            \
                                int turned, int packed),                                                               \
           if (packed) depthwise_pixel<PACK<T>>(x, filters, y, MapShape{pixels, h, w, c, k}, turned);                  \
           else depthwise_pixel<1>(x, filters, y, MapShape{pixels, h, w, c, k}, turned))                               \
    EXPORT(depthwise_parts_##suffix, (const T* x, const T* grad, float* parts, i64 pixels, int h, int w, int c, int k, \
                                      int chunk, int packed),                                                          \
           if (packed) depthwise_parts_tile<PACK<T>>(x, grad, parts, MapShape{pixels, h, w, c, k}, chunk);             \
           else depthwise_parts_tile<1>(x, grad, parts, MapShape{pixels, h, w, c, k}, chunk))

FOR_FLOATS(DEPTHWISE)
