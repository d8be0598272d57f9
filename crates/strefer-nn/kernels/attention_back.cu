// Gradients of attention. Scores are made again from the rows' log-sum-exp, once for the queries' gradients and once for
// those of keys and values, so that every sum has one order and none is shared between blocks.
#include "attention.cuh"

// Of each row, the sum of its result times its result's gradient.
template <typename T>
__device__ void attention_delta(const T* out, const T* grad, float* delta, const Shape& shape, const Places& places,
                                i64 rows_of_all) {
    const Team team(WARP);
    if (team.row >= rows_of_all) return;
    const i64 start = row_start(places, shape, team.row);
    float sum = 0.0f;
    for (int column = team.lane; column < shape.hd; column += WARP) {
        sum += wide(out[start + column]) * wide(grad[start + column]);
    }
    sum = team.sum(sum);
    if (team.lane == 0) delta[team.row] = sum;
}

// A block has a tile of rows, keys and values go by.
template <int HD, typename T>
__device__ void attention_back_q(const T* q, const T* k, const T* v, const T* grad, const float* lse, const float* delta,
                                 T* dq, const int* plans, const Shape& shape, Mask mask, const Places& q_places,
                                 const Places& k_places, const Places& o_places, i64 plan_batch, i64 ids_batch, int tiles,
                                 float scale) {
    constexpr int OF_TILE = TILE * PITCH<HD>;
    DYNAMIC(T, ks, 0, 2 * OF_TILE);
    DYNAMIC(T, vs, 2 * OF_TILE, 2 * OF_TILE);
    const Part part = Part(tiles, 1, shape.key_heads).backwards(tiles);
    if (mask.ids) mask.ids += part.batch * ids_batch;
    const Plan plan(plans + part.batch * plan_batch + 4 * part.tile);

    const int lane = threadIdx.x % WARP;
    const int row = (part.tile * (blockDim.x / WARP) + threadIdx.x / WARP) * ROWS + lane / 4;
    const i64 first_row = (part.batch * shape.key_heads + part.head) * shape.rows();
    const Seer seers[2] = {Seer(mask, shape, row), Seer(mask, shape, row + 8)};
    u32 qs[HD / 16][4], grads[HD / 16][4];
    load_rows<HD>(qs, q, q_places, shape, part, row);
    load_rows<HD>(grads, grad, o_places, shape, part, row);
    float of_lse[2], of_delta[2];
#pragma unroll
    for (int below = 0; below < 2; below++) {
        const bool there = row + 8 * below < shape.rows();
        of_lse[below] = there ? lse[first_row + row + 8 * below] * LOG2_E : CUDART_INF_F;
        of_delta[below] = there ? delta[first_row + row + 8 * below] : 0.0f;
    }

    float sums[HD / 8][4] = {};
    const float scale_2 = scale * LOG2_E;
    const auto copy = [&](int tile) {
        if (tile < plan.end) {
            copy_keys<HD>(ks, (tile - plan.first) % 2 * OF_TILE, k, k_places, shape, part, tile);
            copy_keys<HD>(vs, (tile - plan.first) % 2 * OF_TILE, v, k_places, shape, part, tile);
        }
        copies_grouped();
    };
    copy(plan.first);
    for (int tile = plan.first; tile < plan.end; tile++) {
        copy(tile + 1);
        copies_done<1>();
        __syncthreads(); // this tile has come
        const int start = (tile - plan.first) % 2 * OF_TILE;
#pragma unroll
        for (int half = 0; half < TILE / STEP; half++) {
            const int from = start + half * STEP * PITCH<HD>;
            float s[STEP / 8][4], ds[STEP / 8][4];
            multiply_rows<HD, STEP, T>(s, ks, from, [&](int at, u32(&a)[4]) {
#pragma unroll
                for (int which = 0; which < 4; which++) a[which] = qs[at][which];
            });
            multiply_rows<HD, STEP, T>(ds, vs, from, [&](int at, u32(&a)[4]) {
#pragma unroll
                for (int which = 0; which < 4; which++) a[which] = grads[at][which];
            });
#pragma unroll
            for (int at = 0; at < STEP / 8; at++) {
#pragma unroll
                for (int which = 0; which < 4; which++) {
                    const int key = tile * TILE + half * STEP + at * 8 + 2 * (lane % 4) + which % 2;
                    const bool seen = plan.whole(tile) || seers[which / 2].sees(mask, shape, key);
                    const float p = seen ? exp2f(s[at][which] * scale_2 - of_lse[which / 2]) : 0.0f;
                    ds[at][which] = p * (ds[at][which] - of_delta[which / 2]);
                }
            }
            u32 a[STEP / 16][4];
            as_a<STEP, T>(a, ds);
            add_product<HD, STEP, T>(sums, a, ks, from);
        }
        __syncthreads(); // nobody reads this tile any more
    }
    copies_done<0>();
    const float factors[2] = {scale, scale};
    store_rows<HD>(dq, sums, factors, q_places, shape, part, row);
}

// A block has a tile of keys and their values, rows of queries go by.
template <int HD, typename T>
__device__ void attention_back_kv(const T* q, const T* k, const T* v, const T* grad, const float* lse, const float* delta,
                                  T* dk, T* dv, const int* plans, const Shape& shape, Mask mask, const Places& q_places,
                                  const Places& k_places, const Places& o_places, i64 plan_batch, i64 ids_batch, int tiles,
                                  float scale) {
    constexpr int OF_TILE = TILE * PITCH<HD>, OF_STEP = STEP * PITCH<HD>;
    DYNAMIC(T, ks, 0, OF_TILE);
    DYNAMIC(T, vs, OF_TILE, OF_TILE);
    DYNAMIC(T, qs, 2 * OF_TILE, 2 * OF_STEP);
    DYNAMIC(T, grads, 2 * OF_TILE + 2 * OF_STEP, 2 * OF_STEP);
    const Part part(tiles, 1, shape.key_heads);
    if (mask.ids) mask.ids += part.batch * ids_batch;
    const Plan plan(plans + part.batch * plan_batch + 4 * part.tile);
    const i64 first_row = (part.batch * shape.key_heads + part.head) * shape.rows();

    copy_keys<HD>(ks, 0, k, k_places, shape, part, part.tile);
    copy_keys<HD>(vs, 0, v, k_places, shape, part, part.tile);
    const auto copy = [&](int step) {
        if (step < plan.end) {
            const int start = (step - plan.first) % 2 * OF_STEP;
            const auto place = [&](const Places& places) {
                return [&, step](int at) -> i64 {
                    const int row = step * STEP + at;
                    return row < shape.rows() ? row_start(places, shape, part, row) : -1;
                };
            };
            copy_rows<HD>(qs, start, STEP, q, shape.hd, place(q_places));
            copy_rows<HD>(grads, start, STEP, grad, shape.hd, place(o_places));
        }
        copies_grouped();
    };
    copy(plan.first);

    const int lane = threadIdx.x % WARP, own = threadIdx.x / WARP * ROWS;
    const int key = part.tile * TILE + own + lane / 4;
    // Where this warp's keys and values are the A of a product.
    const int from = (own + lane % 16) * PITCH<HD> + lane / 16 * 8;
    float k_sums[HD / 8][4] = {}, v_sums[HD / 8][4] = {};
    const float scale_2 = scale * LOG2_E;
    for (int step = plan.first; step < plan.end; step++) {
        copy(step + 1);
        copies_done<1>();
        __syncthreads(); // these rows have come
        const int start = (step - plan.first) % 2 * OF_STEP;
        float p[STEP / 8][4], ds[STEP / 8][4];
        multiply_rows<HD, STEP, T>(p, qs, start, [&](int at, u32(&a)[4]) { load_matrices(a, ks, from + at * 16); });
        multiply_rows<HD, STEP, T>(ds, grads, start, [&](int at, u32(&a)[4]) { load_matrices(a, vs, from + at * 16); });
#pragma unroll
        for (int at = 0; at < STEP / 8; at++) {
#pragma unroll
            for (int side = 0; side < 2; side++) {
                const int row = step * STEP + at * 8 + 2 * (lane % 4) + side;
                const bool there = row < shape.rows();
                const float of_lse = there ? lse[first_row + row] * LOG2_E : CUDART_INF_F;
                const float of_delta = there ? delta[first_row + row] : 0.0f;
                bool seen[2] = {true, true};
                if (!plan.whole(step)) {
                    const Seer seer(mask, shape, row);
#pragma unroll
                    for (int below = 0; below < 2; below++) seen[below] = seer.sees(mask, shape, key + 8 * below);
                }
#pragma unroll
                for (int below = 0; below < 2; below++) {
                    float& of_p = p[at][2 * below + side];
                    float& of_ds = ds[at][2 * below + side];
                    of_p = seen[below] ? exp2f(of_p * scale_2 - of_lse) : 0.0f;
                    of_ds = of_p * (of_ds - of_delta);
                }
            }
        }
        u32 a[STEP / 16][4];
        as_a<STEP, T>(a, p);
        add_product<HD, STEP, T>(v_sums, a, grads, start);
        as_a<STEP, T>(a, ds);
        add_product<HD, STEP, T>(k_sums, a, qs, start);
        __syncthreads(); // nobody reads these rows any more
    }
    copies_done<0>();
#pragma unroll
    for (int below = 0; below < 2; below++) {
        if (key + 8 * below >= shape.keys) continue;
        const i64 to = part.batch * k_places.batch + part.head * k_places.head + (key + 8 * below) * k_places.position
            + 2 * (lane % 4);
#pragma unroll
        for (int at = 0; at < HD / 8; at++) {
            if (at * 8 >= shape.hd) continue;
            const float* of_k = &k_sums[at][2 * below];
            const float* of_v = &v_sums[at][2 * below];
            store_pair(dk + to + at * 8, pair<T>(of_k[0] * scale, of_k[1] * scale));
            store_pair(dv + to + at * 8, pair<T>(of_v[0], of_v[1]));
        }
    }
}

#define ATTENTION_BACK(HD, T, suffix)                                                                                  \
    EXPORT(attention_back_q_##HD##_##suffix,                                                                           \
           (const T* q, const T* k, const T* v, const T* grad, const float* lse, const float* delta, T* dq,            \
            const int* ids, const int* plans, i64 q_batch, i64 q_position, i64 q_head, i64 k_batch, i64 k_position,    \
            i64 k_head, i64 o_batch, i64 o_position, i64 o_head, i64 plan_batch, i64 ids_batch, int key_heads,         \
            int group, int queries, int keys, int hd, int causal, int window, int sight, int tiles, float scale),      \
           (attention_back_q<HD>(q, k, v, grad, lse, delta, dq, plans, Shape{key_heads, group, queries, keys, hd},     \
                                 Mask{causal, window, sight, ids}, Places{q_batch, q_position, q_head},                \
                                 Places{k_batch, k_position, k_head}, Places{o_batch, o_position, o_head}, plan_batch, \
                                 ids_batch, tiles, scale)))                                                            \
    EXPORT(attention_back_kv_##HD##_##suffix,                                                                          \
           (const T* q, const T* k, const T* v, const T* grad, const float* lse, const float* delta, T* dk, T* dv,     \
            const int* ids, const int* plans, i64 q_batch, i64 q_position, i64 q_head, i64 k_batch, i64 k_position,    \
            i64 k_head, i64 o_batch, i64 o_position, i64 o_head, i64 plan_batch, i64 ids_batch, int key_heads,         \
            int group, int queries, int keys, int hd, int causal, int window, int sight, int tiles, float scale),      \
           (attention_back_kv<HD>(q, k, v, grad, lse, delta, dk, dv, plans, Shape{key_heads, group, queries, keys, hd},\
                                  Mask{causal, window, sight, ids}, Places{q_batch, q_position, q_head},               \
                                  Places{k_batch, k_position, k_head}, Places{o_batch, o_position, o_head},            \
                                  plan_batch, ids_batch, tiles, scale)))

#define ATTENTION_DELTA(T, suffix)                                                                                     \
    EXPORT(attention_delta_##suffix, (const T* out, const T* grad, float* delta, i64 o_batch, i64 o_position,          \
                                      i64 o_head, i64 rows_of_all, int key_heads, int group, int queries, int hd),     \
           (attention_delta(out, grad, delta, Shape{key_heads, group, queries, 0, hd},                                 \
                            Places{o_batch, o_position, o_head}, rows_of_all)))

FOR_WIDTHS(ATTENTION_BACK, bf16, bf16)
FOR_WIDTHS(ATTENTION_BACK, f16, f16)
ATTENTION_DELTA(bf16, bf16)
ATTENTION_DELTA(f16, f16)
