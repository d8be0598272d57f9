// Attention of a few queries of each row of a batch over what the row has seen before, each with keys of its own, in number
// and place: a step of answers that are written side by side. The queries are the last positions. Keys are always split among
// blocks; `attention_join` joins their parts.
#include "attend.cuh"

// What the queries of a row see, which are few enough for one tile: all before them, or a window.
__device__ __forceinline__ Plan plan_of(const Shape& shape, int window) {
    const int column = shape.keys - shape.queries;
    const int from = window ? max(column - window + 1, 0) : 0;
    const int all_from = window ? max(shape.keys - window, 0) : 0;
    return Plan(from / TILE, (shape.keys + TILE - 1) / TILE, (all_from + TILE - 1) / TILE, (column + 1) / TILE);
}

template <int HD, typename T>
__device__ void attention_rows(const T* q, const i64* places, const i64* held, float* out, float* lse, int batch,
                               Shape shape, int window, int splits, i64 rows_of_all, float scale) {
    const Part part(1, splits, shape.key_heads);
    shape.keys = int(held[part.batch]) + shape.queries;
    const i64 heads = i64(shape.key_heads) * shape.group;
    const Places q_places{shape.queries * heads * shape.hd, heads * shape.hd, shape.hd};
    // Every row's keys begin at an address of their own.
    const Places k_places{0, i64(shape.key_heads) * shape.hd, shape.hd};
    const T* k = reinterpret_cast<const T*>(places[part.batch]);
    const T* v = reinterpret_cast<const T*>(places[batch + part.batch]);
    const Mask mask{true, window, SIGHT_ALL, nullptr};
    attend<HD, T, true>(q, k, v, out, lse, part, plan_of(shape, window), shape, mask, q_places, k_places, q_places, splits,
                        rows_of_all, scale);
}

#define ATTENTION_ROWS(HD, T, suffix)                                                                                  \
    EXPORT(attention_rows_##HD##_##suffix, (const T* q, const i64* places, const i64* held, float* out, float* lse,    \
                                            i64 rows_of_all, int batch, int key_heads, int group, int queries, int hd, \
                                            int window, int splits, float scale),                                      \
           (attention_rows<HD>(q, places, held, out, lse, batch, Shape{key_heads, group, queries, 0, hd}, window,      \
                               splits, rows_of_all, scale)))

FOR_WIDTHS(ATTENTION_ROWS, bf16, bf16)
FOR_WIDTHS(ATTENTION_ROWS, f16, f16)
