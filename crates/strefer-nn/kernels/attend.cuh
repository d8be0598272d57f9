// What a block of attention's forward does: keys go by in tiles, and what was summed is scaled down when a larger score
// comes (arXiv 2205.14135, 2307.08691). Keys may be split among blocks, whose parts are joined.
#pragma once

#include "attention.cuh"

template <int HD, typename T, bool SPLIT, typename O>
__device__ void attend(const T* q, const T* k, const T* v, O* out, float* lse, const Part& part, Plan plan,
                       const Shape& shape, const Mask& mask, const Places& q_places, const Places& k_places,
                       const Places& o_places, int splits, i64 rows_of_all, float scale) {
    DYNAMIC(T, ks, 0, TILE * PITCH<HD>);
    DYNAMIC(T, vs, TILE * PITCH<HD>, TILE * PITCH<HD>);
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
