// Sums that blocks left in parts, added up in their order, one thread a column.
#include "common.cuh"

template <typename T> __device__ void sum_parts(const float* parts, T* sums, int count, int d) {
    const i64 column = thread_number();
    if (column >= d) return;
    float sum = 0.0f;
    for (int part = 0; part < count; part++) sum += parts[i64(part) * d + column];
    sums[column] = narrow<T>(sum);
}

#define SUM_PARTS(T, suffix)                                                                                           \
    EXPORT(sum_parts_##suffix, (const float* parts, T* sums, int count, int d), sum_parts(parts, sums, count, d))

FOR_FLOATS(SUM_PARTS)
