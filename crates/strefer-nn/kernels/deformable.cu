// Deformable attention (arXiv 2010.04159): each query reads a few places between the cells of several maps. Places outside
// a map are zero. One thread for N channels of one head of one query, so that neighbours read neighbouring channels.
#include "common.cuh"

struct DeformableShape {
    // Rows of queries over the whole batch, queries of one row of the batch, cells of all maps.
    i64 rows;
    int queries, cells;
    int heads, hd, levels, points;
};

// `sizes` holds height and width of each map; `places` are columns and rows of which 0 to 1 spans a map.
template <int N, typename T>
__device__ void deformable(const T* values, const int* sizes, const float* places, const float* weights, T* out,
                           const DeformableShape& shape) {
    const int of_head = shape.hd / N, width = shape.heads * shape.hd;
    const i64 number = thread_number(), place = number / of_head; // query and head
    const i64 row = place / shape.heads;
    if (row >= shape.rows) return;
    const int head = int(place % shape.heads), channel = int(number % of_head) * N;
    const T* map = values + row / shape.queries * shape.cells * width + head * shape.hd + channel;
    i64 point = place * shape.levels * shape.points;
    float read[N], sums[N] = {};
    for (int level = 0; level < shape.levels; level++) {
        const int h = sizes[2 * level], w = sizes[2 * level + 1];
        for (int end = 0; end < shape.points; end++, point++) {
            const float x = places[2 * point] * w - 0.5f, y = places[2 * point + 1] * h - 0.5f;
            const float left = floorf(x), top = floorf(y), weight = weights[point];
            for (int corner = 0; corner < 4; corner++) {
                const int dx = corner % 2, dy = corner / 2;
                const float column = left + dx, line = top + dy;
                // Compared before they become integers, which cannot hold every float.
                if (!(column >= 0.0f && line >= 0.0f && column < w && line < h)) continue;
                const float share = (dx ? x - left : 1.0f - (x - left)) * (dy ? y - top : 1.0f - (y - top)) * weight;
                if (share == 0.0f) continue;
                load(read, map + (i64(line) * w + i64(column)) * width);
#pragma unroll
                for (int i = 0; i < N; i++) sums[i] += share * read[i];
            }
        }
        map += i64(h) * w * width;
    }
    store(out + row * width + head * shape.hd + channel, sums);
}

template <typename T>
__device__ void deformable_any(const T* values, const int* sizes, const float* places, const float* weights, T* out,
                               const DeformableShape& shape, int packed) {
    if (packed) {
        deformable<PACK<T>>(values, sizes, places, weights, out, shape);
    } else {
        deformable<1>(values, sizes, places, weights, out, shape);
    }
}

#define DEFORMABLE(T, suffix)                                                                                          \
    EXPORT(deformable_##suffix, (const T* values, const int* sizes, const float* places, const float* weights, T* out, \
                                 i64 rows, int queries, int cells, int heads, int hd, int levels, int points,          \
                                 int packed),                                                                          \
           (deformable_any(values, sizes, places, weights, out,                                                        \
                           DeformableShape{rows, queries, cells, heads, hd, levels, points}, packed)))

FOR_FLOATS(DEFORMABLE)
