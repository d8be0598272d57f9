// Attention without its matrix of scores, over keys of one length for all rows of a batch.
#include "attend.cuh"

template <int HD, typename T, bool SPLIT, typename O>
__device__ void attention(const T* q, const T* k, const T* v, O* out, float* lse, const int* plans,
                          const Shape& shape, Mask mask, const Places& q_places, const Places& k_places,
                          const Places& o_places, i64 plan_batch, i64 ids_batch, int tiles, int splits, i64 rows_of_all,
                          float scale) {
    const Part part = Part(tiles, splits, shape.key_heads).backwards(tiles);
    if (mask.ids) mask.ids += part.batch * ids_batch;
    const Plan plan(plans + part.batch * plan_batch + 4 * part.tile);
    attend<HD, T, SPLIT>(q, k, v, out, lse, part, plan, shape, mask, q_places, k_places, o_places, splits,
                         rows_of_all, scale);
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
