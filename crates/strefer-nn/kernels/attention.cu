// Attention without its matrix of scores: keys go by in tiles, and what was summed is scaled down when a larger score comes
// (arXiv 2205.14135, 2307.08691). Keys may be split among blocks, whose parts are joined.
#include "attention.cuh"

template <int HD, typename T, bool SPLIT, typename O>
__device__ void attention(const T* q, const T* k, const T* v, O* out, float* lse, const int* plans,
                          const Shape& shape, Mask mask, const Places& q_places, const Places& k_places,
                          const Places& o_places, i64 plan_batch, i64 ids_batch, int tiles, int splits, i64 rows_of_all,
                          float scale) {
    DYNAMIC(T, ks, 0, TILE * PITCH<HD>);
    DYNAMIC(T, vs, TILE * PITCH<HD>, TILE * PITCH<HD>);
    const Part part = Part(tiles, splits, shape.key_heads).backwards(tiles);
    if (mask.ids) mask.ids += part.batch * ids_batch;
    Plan plan(plans + part.batch * plan_batch + 4 * part.tile);
    const int share = (plan.end - plan.first + splits - 1) / splits;
    plan.first += part.split * share;
    plan.end = min(plan.end, plan.first + share);

    const int lane = threadIdx.x % WARP;
    const int row = (part.tile * (blockDim.x / WARP) + threadIdx.x / WARP) * ROWS + lane / 4;
    const Seer seers[2] = {Seer(mask, shape, row), Seer(mask, shape, row + 8)};
    u32 qs[HD / 16][4];
    load_rows<HD>(qs, q, q_places, shape, part, row);

    float sums[HD / 8][4] = {}, top[2] = {-CUDART_INF_F, -CUDART_INF_F}, sum[2] = {};
    const float scale_2 = scale * LOG2_E;
    if (plan.first < plan.end) copy_keys<HD>(ks, 0, k, k_places, shape, part, plan.first);
    copies_grouped();
    for (int tile = plan.first; tile < plan.end; tile++) {
        copies_done<0>();
        __syncthreads(); // the keys have come, and nobody reads the last values any more
        copy_keys<HD>(vs, 0, v, k_places, shape, part, tile);
        copies_grouped();
        float s[TILE / 8][4];
        multiply_rows<HD, TILE, T>(s, ks, 0, [&](int at, u32(&a)[4]) {
#pragma unroll
            for (int which = 0; which < 4; which++) a[which] = qs[at][which];
        });
        if (!plan.whole(tile)) {
#pragma unroll
            for (int at = 0; at < TILE / 8; at++) {
#pragma unroll
                for (int which = 0; which < 4; which++) {
                    const int key = tile * TILE + at * 8 + 2 * (lane % 4) + which % 2;
                    if (!seers[which / 2].sees(mask, shape, key)) s[at][which] = -CUDART_INF_F;
                }
            }
        }
#pragma unroll
        for (int below = 0; below < 2; below++) {
            float most = top[below];
#pragma unroll
            for (int at = 0; at < TILE / 8; at++) most = fmaxf(most, fmaxf(s[at][2 * below], s[at][2 * below + 1]));
            most = over_row(most, [](float a, float b) { return fmaxf(a, b); });
            // Who has seen nothing yet has nothing to scale either.
            const float base = most == -CUDART_INF_F ? 0.0f : most * scale_2;
            const float keep = exp2f(top[below] * scale_2 - base);
            top[below] = most;
            sum[below] *= keep;
#pragma unroll
            for (int at = 0; at < TILE / 8; at++) {
#pragma unroll
                for (int which = 2 * below; which < 2 * below + 2; which++) {
                    s[at][which] = exp2f(s[at][which] * scale_2 - base);
                    sum[below] += s[at][which];
                }
            }
#pragma unroll
            for (int at = 0; at < HD / 8; at++) {
                sums[at][2 * below] *= keep;
                sums[at][2 * below + 1] *= keep;
            }
        }
        copies_done<0>();
        __syncthreads(); // the values have come, and nobody reads the keys any more
        if (tile + 1 < plan.end) copy_keys<HD>(ks, 0, k, k_places, shape, part, tile + 1);
        copies_grouped();
        u32 ps[TILE / 16][4];
        as_a<TILE, T>(ps, s);
        add_product<HD, TILE, T>(sums, ps, vs, 0);
    }
    copies_done<0>();

    float factors[2];
    const i64 first_row = (part.batch * shape.key_heads + part.head) * shape.rows();
#pragma unroll
    for (int below = 0; below < 2; below++) {
        const float total = over_row(sum[below], [](float a, float b) { return a + b; });
        const bool blind = total == 0.0f;
        factors[below] = blind ? 0.0f : 1.0f / total;
        // In parts, who sees nothing counts nothing; for the backward, nothing that it has a share in.
        const float nothing = SPLIT ? -CUDART_INF_F : CUDART_INF_F;
        if (lane % 4 == 0 && row + 8 * below < shape.rows()) {
            lse[part.split * rows_of_all + first_row + row + 8 * below] =
                blind ? nothing : (top[below] == -CUDART_INF_F ? 0.0f : top[below] * scale) + LN_2 * log2f(total);
        }
    }
    if constexpr (SPLIT) {
        // Rows of all heads, one after the other, for each split.
        O* start = out + (part.split * rows_of_all + first_row) * shape.hd;
#pragma unroll
        for (int below = 0; below < 2; below++) {
            if (row + 8 * below >= shape.rows()) continue;
#pragma unroll
            for (int at = 0; at < HD / 8; at++) {
                if (at * 8 >= shape.hd) continue;
                O* to = start + i64(row + 8 * below) * shape.hd + at * 8 + 2 * (lane % 4);
                to[0] = sums[at][2 * below] * factors[below];
                to[1] = sums[at][2 * below + 1] * factors[below];
            }
        }
    } else {
        store_rows<HD>(out, sums, factors, o_places, shape, part, row);
    }
}

// The splits' parts of a row, joined by a warp; `lse` becomes that of the whole row.
template <typename T>
__device__ void attention_join(const float* parts, const float* part_lse, T* out, float* lse, const Shape& shape,
                               const Places& places, i64 rows_of_all, int splits) {
    const Team team(WARP);
    if (team.row >= rows_of_all) return;
    float top = -CUDART_INF_F;
    for (int split = 0; split < splits; split++) top = fmaxf(top, part_lse[split * rows_of_all + team.row]);
    const float base = top == -CUDART_INF_F ? 0.0f : top;
    float sum = 0.0f;
    for (int split = 0; split < splits; split++) sum += expf(part_lse[split * rows_of_all + team.row] - base);
    const bool blind = sum == 0.0f;
    const float scale = blind ? 0.0f : 1.0f / sum;
    if (team.lane == 0) lse[team.row] = blind ? CUDART_INF_F : base + logf(sum);
    const i64 start = row_start(places, shape, team.row);
    for (int column = team.lane; column < shape.hd; column += WARP) {
        float value = 0.0f;
        for (int split = 0; split < splits; split++) {
            const i64 at = split * rows_of_all + team.row;
            const float share = expf(part_lse[at] - base) * scale;
            // A part that saw nothing holds zeros.
            value += share * parts[at * shape.hd + column];
        }
        out[start + column] = narrow<T>(value);
    }
}

#define ATTENTION_OF(HD, T, O, SPLIT, name)                                                                            \
    EXPORT(name, (const T* q, const T* k, const T* v, O* out, float* lse, const int* ids, const int* plans,            \
                  i64 q_batch, i64 q_position, i64 q_head, i64 k_batch, i64 k_position, i64 k_head, i64 o_batch,       \
                  i64 o_position, i64 o_head, i64 plan_batch, i64 ids_batch, i64 rows_of_all, int key_heads,           \
                  int group, int queries, int keys, int hd, int causal, int window, int sight, int tiles, int splits,  \
                  float scale),                                                                                        \
           (attention<HD, T, SPLIT>(q, k, v, out, lse, plans, Shape{key_heads, group, queries, keys, hd},              \
                                    Mask{causal, window, sight, ids}, Places{q_batch, q_position, q_head},             \
                                    Places{k_batch, k_position, k_head}, Places{o_batch, o_position, o_head},          \
                                    plan_batch, ids_batch, tiles, splits, rows_of_all, scale)))

#define ATTENTION(HD, T, suffix)                                                                                       \
    ATTENTION_OF(HD, T, T, false, attention_##HD##_##suffix)                                                           \
    ATTENTION_OF(HD, T, float, true, attention_split_##HD##_##suffix)

#define ATTENTION_JOIN(T, suffix)                                                                                      \
    EXPORT(attention_join_##suffix, (const float* parts, const float* part_lse, T* out, float* lse, i64 o_batch,       \
                                     i64 o_position, i64 o_head, i64 rows_of_all, int key_heads, int group,            \
                                     int queries, int hd, int splits),                                                 \
           (attention_join(parts, part_lse, out, lse, Shape{key_heads, group, queries, 0, hd},                         \
                           Places{o_batch, o_position, o_head}, rows_of_all, splits)))

FOR_WIDTHS(ATTENTION, bf16, bf16)
FOR_WIDTHS(ATTENTION, f16, f16)
ATTENTION_JOIN(bf16, bf16)
ATTENTION_JOIN(f16, f16)
