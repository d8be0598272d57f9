// Products of cuBLAS and cuBLASLt by their definition, and a cuRAND that only begins.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include <cublasLt.h>
#include <cublas_v2.h>
#include <curand.h>

namespace {

[[noreturn]] void die(const char* what, long number) {
    fprintf(stderr, "soft card: %s %ld\n", what, number);
    abort();
}

double get(const void* values, cudaDataType type, long at) {
    switch (type) {
    case CUDA_R_32F: return static_cast<const float*>(values)[at];
    case CUDA_R_64F: return static_cast<const double*>(values)[at];
    case CUDA_R_16F: return __half2float(static_cast<const __half*>(values)[at]);
    case CUDA_R_16BF: return __bfloat162float(static_cast<const __nv_bfloat16*>(values)[at]);
    default: die("products of type", type);
    }
}

void put(void* values, cudaDataType type, long at, double x) {
    switch (type) {
    case CUDA_R_32F: static_cast<float*>(values)[at] = float(x); break;
    case CUDA_R_64F: static_cast<double*>(values)[at] = x; break;
    case CUDA_R_16F: static_cast<__half*>(values)[at] = __float2half(float(x)); break;
    case CUDA_R_16BF: static_cast<__nv_bfloat16*>(values)[at] = __float2bfloat16(float(x)); break;
    default: die("products of type", type);
    }
}

// Columns lie in runs.
struct Matrix {
    const void* values;
    cudaDataType type;
    bool turned;
    long step, batch_step;

    double at(long batch, long row, long column) const {
        return get(values, type, batch * batch_step + (turned ? column + row * step : row + column * step));
    }

    // Rows behind each other, or columns.
    std::vector<float> all(long batch, long rows, long columns, bool by_columns) const {
        std::vector<float> found(size_t(rows * columns));
        for (long row = 0; row < rows; row++)
            for (long column = 0; column < columns; column++) {
                found[size_t(by_columns ? column * rows + row : row * columns + column)] = float(at(batch, row, column));
            }
        return found;
    }
};

float dot(const float* a, const float* b, long count) {
    float sums[16] = {};
    long at = 0;
    for (; at + 16 <= count; at += 16)
        for (int lane = 0; lane < 16; lane++) sums[lane] += a[at + lane] * b[at + lane];
    float sum = 0;
    for (; at < count; at++) sum += a[at] * b[at];
    for (float lane : sums) sum += lane;
    return sum;
}

struct Sums {
    long rows, columns, depth, batches;
    double alpha, beta;
};

template <typename Finish>
void multiply(const Sums& sums, const Matrix& a, const Matrix& b, const Matrix& c, void* to, cudaDataType type, long step, long batch_step,
              Finish finish) {
    for (long batch = 0; batch < sums.batches; batch++) {
        const auto rows = a.all(batch, sums.rows, sums.depth, false), columns = b.all(batch, sums.depth, sums.columns, true);
        for (long column = 0; column < sums.columns; column++)
            for (long row = 0; row < sums.rows; row++) {
                const double sum = dot(&rows[size_t(row * sums.depth)], &columns[size_t(column * sums.depth)], sums.depth);
                // What is times zero may be no number.
                const double there = sums.beta == 0 ? 0 : sums.beta * c.at(batch, row, column);
                put(to, type, batch * batch_step + row + column * step, finish(sums.alpha * sum + there, row));
            }
    }
}

double scalar(const void* value, cublasComputeType_t compute) {
    switch (compute) {
    case CUBLAS_COMPUTE_16F: return get(value, CUDA_R_16F, 0);
    case CUBLAS_COMPUTE_64F: return get(value, CUDA_R_64F, 0);
    default: return get(value, CUDA_R_32F, 0);
    }
}

struct Layout {
    cudaDataType type;
    long rows, columns, step, batches = 1, batch_step = 0;
};

struct Description {
    cublasComputeType_t compute;
    bool turned_a = false, turned_b = false;
    cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    const void* bias = nullptr;
};

template <typename T> T as(const void* value) {
    T found;
    memcpy(&found, value, sizeof(T));
    return found;
}

template <typename Handle, typename T> cublasStatus_t give(Handle* to, T* value) {
    *to = reinterpret_cast<Handle>(value);
    return CUBLAS_STATUS_SUCCESS;
}

template <typename T, typename Handle> cublasStatus_t take(Handle handle) {
    delete reinterpret_cast<T*>(const_cast<std::remove_const_t<std::remove_pointer_t<Handle>>*>(handle));
    return CUBLAS_STATUS_SUCCESS;
}

} // namespace

extern "C" {

cublasStatus_t cublasCreate_v2(cublasHandle_t* handle) { return give(handle, new int); }
cublasStatus_t cublasDestroy_v2(cublasHandle_t) { return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasSetStream_v2(cublasHandle_t, cudaStream_t) { return CUBLAS_STATUS_SUCCESS; }

cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t, cublasOperation_t of_a, cublasOperation_t of_b, int m, int n, int k, const void* alpha,
                                          const void* a, cudaDataType a_type, int a_step, long long a_batch, const void* b, cudaDataType b_type,
                                          int b_step, long long b_batch, const void* beta, void* c, cudaDataType c_type, int c_step,
                                          long long c_batch, int batches, cublasComputeType_t compute, cublasGemmAlgo_t) {
    const Sums sums{m, n, k, batches, scalar(alpha, compute), scalar(beta, compute)};
    multiply(sums, {a, a_type, of_a != CUBLAS_OP_N, a_step, a_batch}, {b, b_type, of_b != CUBLAS_OP_N, b_step, b_batch},
             {c, c_type, false, c_step, c_batch}, c, c_type, c_step, c_batch, [](double sum, long) { return sum; });
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSgemmStridedBatched(cublasHandle_t handle, cublasOperation_t of_a, cublasOperation_t of_b, int m, int n, int k,
                                         const float* alpha, const float* a, int a_step, long long a_batch, const float* b, int b_step,
                                         long long b_batch, const float* beta, float* c, int c_step, long long c_batch, int batches) {
    return cublasGemmStridedBatchedEx(handle, of_a, of_b, m, n, k, alpha, a, CUDA_R_32F, a_step, a_batch, b, CUDA_R_32F, b_step, b_batch, beta, c,
                                      CUDA_R_32F, c_step, c_batch, batches, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);
}

cublasStatus_t cublasDgemmStridedBatched(cublasHandle_t handle, cublasOperation_t of_a, cublasOperation_t of_b, int m, int n, int k,
                                         const double* alpha, const double* a, int a_step, long long a_batch, const double* b, int b_step,
                                         long long b_batch, const double* beta, double* c, int c_step, long long c_batch, int batches) {
    return cublasGemmStridedBatchedEx(handle, of_a, of_b, m, n, k, alpha, a, CUDA_R_64F, a_step, a_batch, b, CUDA_R_64F, b_step, b_batch, beta, c,
                                      CUDA_R_64F, c_step, c_batch, batches, CUBLAS_COMPUTE_64F, CUBLAS_GEMM_DEFAULT);
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) { return give(handle, new int); }
cublasStatus_t cublasLtDestroy(cublasLtHandle_t) { return CUBLAS_STATUS_SUCCESS; }

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type, uint64_t rows, uint64_t columns, int64_t step) {
    return give(layout, new Layout{type, long(rows), long(columns), long(step)});
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) { return delete reinterpret_cast<Layout*>(layout), CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t of, cublasLtMatrixLayoutAttribute_t attribute, const void* value, size_t) {
    auto& layout = *reinterpret_cast<Layout*>(of);
    switch (attribute) {
    case CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT: layout.batches = as<int32_t>(value); break;
    case CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET: layout.batch_step = as<int64_t>(value); break;
    default: die("an unknown attribute of a layout", attribute);
    }
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* description, cublasComputeType_t compute, cudaDataType) {
    return give(description, new Description{compute});
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t of) { return delete reinterpret_cast<Description*>(of), CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t of, cublasLtMatmulDescAttributes_t attribute, const void* value, size_t) {
    auto& description = *reinterpret_cast<Description*>(of);
    switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA: description.turned_a = as<int32_t>(value) != CUBLAS_OP_N; break;
    case CUBLASLT_MATMUL_DESC_TRANSB: description.turned_b = as<int32_t>(value) != CUBLAS_OP_N; break;
    case CUBLASLT_MATMUL_DESC_TRANSC:
        if (as<int32_t>(value) != CUBLAS_OP_N) die("a result is turned", 0);
        break;
    case CUBLASLT_MATMUL_DESC_EPILOGUE: description.epilogue = as<cublasLtEpilogue_t>(value); break;
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER: description.bias = as<void*>(value); break;
    case CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE: break;
    default: die("an unknown attribute of a product", attribute);
    }
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) { return give(preference, new int); }
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t of) { return delete reinterpret_cast<int*>(of), CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t, cublasLtMatmulPreferenceAttributes_t, const void*, size_t) {
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                              cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, cublasLtMatmulPreference_t, int,
                                              cublasLtMatmulHeuristicResult_t results[], int* found) {
    memset(&results[0], 0, sizeof(results[0]));
    *found = 1;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t of, const void* alpha, const void* a, cublasLtMatrixLayout_t of_a,
                              const void* b, cublasLtMatrixLayout_t of_b, const void* beta, const void* c, cublasLtMatrixLayout_t of_c, void* d,
                              cublasLtMatrixLayout_t of_d, const cublasLtMatmulAlgo_t*, void*, size_t, cudaStream_t) {
    const auto& description = *reinterpret_cast<const Description*>(of);
    const auto &la = *reinterpret_cast<const Layout*>(of_a), &lb = *reinterpret_cast<const Layout*>(of_b),
               &lc = *reinterpret_cast<const Layout*>(of_c), &ld = *reinterpret_cast<const Layout*>(of_d);
    const long depth = description.turned_a ? la.rows : la.columns;
    if ((description.turned_b ? lb.columns : lb.rows) != depth) die("a product of matrices that do not fit", depth);
    const auto epilogue = description.epilogue;
    const bool biased = epilogue == CUBLASLT_EPILOGUE_BIAS || epilogue == CUBLASLT_EPILOGUE_GELU_BIAS;
    const bool gelu = epilogue == CUBLASLT_EPILOGUE_GELU || epilogue == CUBLASLT_EPILOGUE_GELU_BIAS;
    if (!biased && !gelu && epilogue != CUBLASLT_EPILOGUE_DEFAULT) die("an unknown epilogue", epilogue);
    const Sums sums{ld.rows, ld.columns, depth, ld.batches, scalar(alpha, description.compute), scalar(beta, description.compute)};
    multiply(sums, {a, la.type, description.turned_a, la.step, la.batch_step}, {b, lb.type, description.turned_b, lb.step, lb.batch_step},
             {c, lc.type, false, lc.step, lc.batch_step}, d, ld.type, ld.step, ld.batch_step, [&](double sum, long row) {
                 if (biased) sum += get(description.bias, ld.type, row);
                 return gelu ? 0.5 * sum * (1 + tanh(0.7978845608 * (sum + 0.044715 * sum * sum * sum))) : sum;
             });
    return CUBLAS_STATUS_SUCCESS;
}

curandStatus_t curandCreateGenerator(curandGenerator_t* to, curandRngType_t) { return *to = reinterpret_cast<curandGenerator_t>(new int), CURAND_STATUS_SUCCESS; }
curandStatus_t curandDestroyGenerator(curandGenerator_t) { return CURAND_STATUS_SUCCESS; }
curandStatus_t curandSetPseudoRandomGeneratorSeed(curandGenerator_t, unsigned long long) { return CURAND_STATUS_SUCCESS; }
curandStatus_t curandSetStream(curandGenerator_t, cudaStream_t) { return CURAND_STATUS_SUCCESS; }
curandStatus_t curandSetGeneratorOffset(curandGenerator_t, unsigned long long) { return CURAND_STATUS_SUCCESS; }

} // extern "C"
