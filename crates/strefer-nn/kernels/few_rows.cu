// Products of a few rows with a large matrix, as a token of each answer asks for. Every weight is read once, past the nearest
// cache, which keeps the rows; a block has some columns of the result, and its warps share the sums' length.
#include "matrix.cuh"

// Warps of a block, steps that are read before any is multiplied, and values of a row in a step.
constexpr int FEW_WARPS = 8, AHEAD = 4, DEPTH = 32;

// M times 16 columns of the result and N times 8 rows. Which values of a row a product calls its first is free as long as both
// factors agree: the 16 bytes that a lane has read are its pairs of two products.
template <int M, int N, typename T>
__device__ void few_rows(const T* x, const T* weight, const T* bias, T* y, int rows, int d, int o) {
    SHARED(float, parts, FEW_WARPS * M * N * 4 * WARP);
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const i64 first = i64(blockIdx.x) * 16 * M;
    float c[M][N][4] = {};
    for (int start = warp * AHEAD * DEPTH; start < d; start += FEW_WARPS * AHEAD * DEPTH) {
        u32 a[AHEAD][2 * M][4], b[AHEAD][N][4];
#pragma unroll
        for (int step = 0; step < AHEAD; step++) {
            const int column = start + step * DEPTH + lane % 4 * 8;
#pragma unroll
            for (int m = 0; m < 2 * M; m++) {
                const i64 of = first + m * 8 + lane / 4;
                load_four_pairs<true>(a[step][m], weight + of * d + column, column < d && of < o);
            }
#pragma unroll
            for (int n = 0; n < N; n++) {
                const int row = n * 8 + lane / 4;
                load_four_pairs<false>(b[step][n], x + i64(row) * d + column, column < d && row < rows);
            }
        }
#pragma unroll
        for (int step = 0; step < AHEAD; step++) {
#pragma unroll
            for (int half = 0; half < 4; half += 2) {
#pragma unroll
                for (int m = 0; m < M; m++) {
                    const u32(&above)[4] = a[step][2 * m], (&below)[4] = a[step][2 * m + 1];
                    const u32 both[4] = {above[half], below[half], above[half + 1], below[half + 1]};
#pragma unroll
                    for (int n = 0; n < N; n++) multiply<T>(c[m][n], both, b[step][n][half], b[step][n][half + 1]);
                }
            }
        }
    }
#pragma unroll
    for (int at = 0; at < M * N * 4; at++) {
        parts[(warp * M * N * 4 + at) * WARP + lane] = c[at / (N * 4)][at / 4 % N][at % 4];
    }
    __syncthreads();
    for (int place = threadIdx.x; place < M * N * 4 * WARP; place += blockDim.x) {
        const int at = place / WARP, owner = place % WARP;
        const i64 of = first + at / (N * 4) * 16 + owner / 4 + at % 4 / 2 * 8;
        const int row = at / 4 % N * 8 + owner % 4 * 2 + at % 2;
        if (of >= o || row >= rows) continue;
        float sum = bias ? wide(bias[of]) : 0.0f;
        for (int other = 0; other < FEW_WARPS; other++) sum += parts[other * M * N * 4 * WARP + place];
        y[i64(row) * o + of] = narrow<T>(sum);
    }
}

#define FEW_ROWS(M, N, T, name)                                                                                        \
    EXPORT(name, (const T* x, const T* weight, const T* bias, T* y, int rows, int d, int o),                           \
           (few_rows<M, N>(x, weight, bias, y, rows, d, o)))

FEW_ROWS(1, 1, bf16, few_rows_8_bf16)
FEW_ROWS(1, 1, f16, few_rows_8_f16)
FEW_ROWS(2, 2, bf16, few_rows_16_bf16)
FEW_ROWS(2, 2, f16, few_rows_16_f16)
