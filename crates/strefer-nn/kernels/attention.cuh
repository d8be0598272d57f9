// What both directions of attention share. Query heads that share a key head are rows of one product: row `r` is the query
// `r / group` of the head `r % group`, so that a key is read once for all of them.
#pragma once

#include "matrix.cuh"

// Keys of a tile, and rows of queries that keys are read with at a time.
constexpr int TILE = 64, STEP = 32;
// Rows that a warp has of a product.
constexpr int ROWS = 16;
// Values from one row of a tile to the next: 16 bytes more than it has, so that eight rows lie in different banks.
template <int HD> constexpr int PITCH = HD + 8;

constexpr float LOG2_E = 1.4426950408889634f, LN_2 = 0.6931471805599453f;

// Where heads of positions lie, in values.
struct Places {
    i64 batch, position, head;
};

struct Shape {
    int key_heads, group, queries, keys, hd;

    __device__ __forceinline__ int rows() const { return queries * group; }
};

// Which keys a query sees, as `ops::AttentionMask` has it.
struct Mask {
    int causal, window, sight;
    // Ids of the columns of this row of the batch, or nothing.
    const int* ids;
};

constexpr int HIDDEN = -1, BRANCH_BITS = 16;
enum Sight { SIGHT_ALL, SIGHT_OWN, SIGHT_OWN_AND_SHARED };

// One query.
struct Seer {
    int column, own;
    bool there;

    __device__ __forceinline__ Seer(const Mask& mask, const Shape& shape, int row) {
        const int query = row / shape.group;
        there = query < shape.queries;
        column = max(shape.keys - shape.queries + query, 0);
        own = there && mask.ids && mask.sight != SIGHT_ALL ? mask.ids[column] : 0;
    }

    __device__ __forceinline__ bool sees(const Mask& mask, const Shape& shape, int key) const {
        if (!there || key >= shape.keys) return false;
        if (mask.causal && key > column) return false;
        if (mask.window && column - key >= mask.window) return false;
        if (!mask.ids) return true;
        const int id = mask.ids[key];
        if (id == HIDDEN) return false;
        if (mask.sight == SIGHT_ALL || id == own) return true;
        if (mask.sight == SIGHT_OWN) return false;
        return own != HIDDEN && (id & ((1 << BRANCH_BITS) - 1)) == 0 && id >> BRANCH_BITS == own >> BRANCH_BITS;
    }
};

// Tiles that a tile has something to do with, and those of them where everybody sees everything: the first of each, and the
// first behind.
struct Plan {
    int first, end, whole_first, whole_end;

    __device__ __forceinline__ Plan(int first, int end, int whole_first, int whole_end)
        : first(first), end(end), whole_first(whole_first), whole_end(whole_end) {}
    __device__ __forceinline__ explicit Plan(const int* at) : Plan(at[0], at[1], at[2], at[3]) {}

    __device__ __forceinline__ bool whole(int tile) const { return tile >= whole_first && tile < whole_end; }
};

// Which part of the work a block has.
struct Part {
    int tile, split, head;
    i64 batch;

    __device__ __forceinline__ Part(int tiles, int splits, int heads) {
        i64 number = blockIdx.x;
        tile = int(number % tiles);
        number /= tiles;
        split = int(number % splits);
        number /= splits;
        head = int(number % heads);
        batch = number / heads;
    }

    // The last rows of a causal mask have the most to do, and begin first.
    __device__ __forceinline__ Part backwards(int tiles) const {
        Part other = *this;
        other.tile = tiles - 1 - tile;
        return other;
    }
};

// Where row `row` of the heads of a group begins.
__device__ __forceinline__ i64 row_start(const Places& places, const Shape& shape, i64 batch, i64 head, int row) {
    return batch * places.batch + row / shape.group * places.position
        + (head * shape.group + row % shape.group) * places.head;
}
__device__ __forceinline__ i64 row_start(const Places& places, const Shape& shape, const Part& part, int row) {
    return row_start(places, shape, part.batch, part.head, row);
}
// The same of the `number`th row of all heads.
__device__ __forceinline__ i64 row_start(const Places& places, const Shape& shape, i64 number) {
    const i64 head = number / shape.rows();
    return row_start(places, shape, head / shape.key_heads, head % shape.key_heads, int(number % shape.rows()));
}

// Rows `row` and 8 below as the A of products over the width of a head.
template <int HD, typename T>
__device__ __forceinline__ void load_rows(u32 (&to)[HD / 16][4], const T* from, const Places& places, const Shape& shape,
                                          const Part& part, int row) {
    const int column = 2 * (threadIdx.x % 4);
#pragma unroll
    for (int below = 0; below < 2; below++) {
        const bool there = row + 8 * below < shape.rows();
        const T* start = from + (there ? row_start(places, shape, part, row + 8 * below) : 0);
#pragma unroll
        for (int at = 0; at < HD / 8; at++) {
            to[at / 2][at % 2 * 2 + below] = there && at * 8 < shape.hd ? load_pair(start + at * 8 + column) : 0;
        }
    }
}

// Rows `row` and 8 below of a C over the width of a head, each times its factor.
template <int HD, typename T>
__device__ __forceinline__ void store_rows(T* to, const float (&from)[HD / 8][4], const float (&factors)[2],
                                           const Places& places, const Shape& shape, const Part& part, int row) {
    const int column = 2 * (threadIdx.x % 4);
#pragma unroll
    for (int below = 0; below < 2; below++) {
        if (row + 8 * below >= shape.rows()) continue;
        T* start = to + row_start(places, shape, part, row + 8 * below);
#pragma unroll
        for (int at = 0; at < HD / 8; at++) {
            if (at * 8 >= shape.hd) continue;
            const float* both = &from[at][2 * below];
            store_pair(start + at * 8 + column, pair<T>(both[0] * factors[below], both[1] * factors[below]));
        }
    }
}

// Begins to copy rows into a tile; `place` gives where a row of it begins, or -1 where there is none, which becomes zeros.
template <int HD, typename Tile, typename T, typename Place>
__device__ __forceinline__ void copy_rows(const Tile& to, int start, int rows, const T* from, int hd, Place place) {
    constexpr int PACKS = HD / PACK<T>;
    for (int at = threadIdx.x; at < rows * PACKS; at += blockDim.x) {
        const int row = at / PACKS, column = at % PACKS * PACK<T>;
        const i64 begin = place(row);
        const bool there = begin >= 0 && column < hd;
        copy_pack(to, start + row * PITCH<HD> + column, from + (there ? begin + column : 0), there);
    }
}

// Keys of a tile, or values.
template <int HD, typename Tile, typename T>
__device__ __forceinline__ void copy_keys(const Tile& to, int start, const T* from, const Places& places,
                                          const Shape& shape, const Part& part, int tile) {
    const i64 begin = part.batch * places.batch + part.head * places.head;
    copy_rows<HD>(to, start, TILE, from, shape.hd, [&](int row) -> i64 {
        const int key = tile * TILE + row;
        return key < shape.keys ? begin + key * places.position : -1;
    });
}

// C = A · tileᵀ over the width of a head, for N rows of the tile. `get` gives A from column 16 * k on.
template <int HD, int N, typename T, typename Tile, typename Get>
__device__ __forceinline__ void multiply_rows(float (&c)[N / 8][4], const Tile& tile, int start, Get get) {
    const int lane = threadIdx.x % WARP;
    const int from = start + (lane / 16 * 8 + lane % 8) * PITCH<HD> + lane / 8 % 2 * 8;
#pragma unroll
    for (int at = 0; at < N / 8; at++) {
#pragma unroll
        for (int which = 0; which < 4; which++) c[at][which] = 0.0f;
    }
#pragma unroll
    for (int k = 0; k < HD / 16; k++) {
        u32 a[4], b[4];
        get(k, a);
#pragma unroll
        for (int n = 0; n < N / 16; n++) {
            load_matrices(b, tile, from + n * 16 * PITCH<HD> + k * 16);
            multiply<T>(c[2 * n], a, b[0], b[1]);
            multiply<T>(c[2 * n + 1], a, b[2], b[3]);
        }
    }
}

// C += A · tile, where A has N columns and the tile a row for each.
template <int HD, int N, typename T, typename Tile>
__device__ __forceinline__ void add_product(float (&c)[HD / 8][4], const u32 (&a)[N / 16][4], const Tile& tile, int start) {
    const int lane = threadIdx.x % WARP;
    const int from = start + lane % 16 * PITCH<HD> + lane / 16 * 8;
#pragma unroll
    for (int k = 0; k < N / 16; k++) {
#pragma unroll
        for (int n = 0; n < HD / 16; n++) {
            u32 b[4];
            load_transposed(b, tile, from + k * 16 * PITCH<HD> + n * 16);
            multiply<T>(c[2 * n], a[k], b[0], b[1]);
            multiply<T>(c[2 * n + 1], a[k], b[2], b[3]);
        }
    }
}

// A C as the A of the next product.
template <int N, typename T> __device__ __forceinline__ void as_a(u32 (&to)[N / 16][4], const float (&from)[N / 8][4]) {
#pragma unroll
    for (int at = 0; at < N / 8; at++) {
        to[at / 2][at % 2 * 2] = pair<T>(from[at][0], from[at][1]);
        to[at / 2][at % 2 * 2 + 1] = pair<T>(from[at][2], from[at][3]);
    }
}

// Over the four lanes that share rows of a C.
template <typename Join> __device__ __forceinline__ float over_row(float x, Join join) {
    x = join(x, __shfl_xor_sync(ALL, x, 1));
    return join(x, __shfl_xor_sync(ALL, x, 2));
}

// Head widths that kernels are made for; narrower ones are filled up with zeros.
#define FOR_WIDTHS(with, T, suffix)                                                                                    \
    with(32, T, suffix) with(64, T, suffix) with(80, T, suffix) with(96, T, suffix) with(128, T, suffix)               \
    with(144, T, suffix)
