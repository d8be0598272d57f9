// Kernels with a mistake each, which the rendering on the processor has to find.
#include "../../crates/strefer-nn/kernels/matrix.cuh"

extern "C" __global__ void fault_no_barrier(const float* x, float* y) {
    SHARED(float, shared, 64);
    shared[threadIdx.x] = x[threadIdx.x];
    y[threadIdx.x] = shared[63 - threadIdx.x];
}
REGISTER(fault_no_barrier)

extern "C" __global__ void fault_one_barrier_less(const float* x, float* y) {
    SHARED(float, shared, 64);
    for (int round = 0; round < 2; round++) {
        shared[threadIdx.x] = x[threadIdx.x] + round;
        __syncthreads();
        y[threadIdx.x] = shared[63 - threadIdx.x];
    }
}
REGISTER(fault_one_barrier_less)

extern "C" __global__ void fault_early_leave(const float* x, float* y) {
    if (threadIdx.x == 40) return;
    __syncthreads();
    y[threadIdx.x] = x[threadIdx.x];
}
REGISTER(fault_early_leave)

extern "C" __global__ void fault_half_a_warp(const float* x, float* y) {
    float value = x[threadIdx.x];
    if (threadIdx.x % 32 < 16) value += __shfl_xor_sync(ALL, value, 1);
    y[threadIdx.x] = value;
}
REGISTER(fault_half_a_warp)

extern "C" __global__ void fault_outside_of_mask(const float* x, float* y) {
    float value = x[threadIdx.x];
    if (threadIdx.x % 32 < 16) value += __shfl_xor_sync(0x0000ffffu, value, 16);
    y[threadIdx.x] = value;
}
REGISTER(fault_outside_of_mask)

extern "C" __global__ void fault_two_writers(const float* x, float* y) {
    SHARED(float, shared, 1);
    shared[0] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = shared[0];
}
REGISTER(fault_two_writers)

extern "C" __global__ void fault_never_written(const float* x, float* y) {
    SHARED(float, shared, 64);
    if (threadIdx.x < 32) shared[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = shared[threadIdx.x];
}
REGISTER(fault_never_written)

extern "C" __global__ void fault_past_the_end(const float* x, float* y) {
    SHARED(float, shared, 32);
    shared[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = shared[threadIdx.x % 32];
}
REGISTER(fault_past_the_end)

extern "C" __global__ void fault_crooked_pack(const float* x, float* y) {
    float values[4];
    load(values, x + threadIdx.x);
    y[threadIdx.x] = values[3];
}
REGISTER(fault_crooked_pack)

extern "C" __global__ void fault_copy_not_awaited(const float* x, float* y) {
    DYNAMIC(float, shared, 0, 256);
    copy_pack(shared, threadIdx.x * 4, x, true);
    copies_grouped();
    copies_done<1>();
    __syncthreads();
    y[threadIdx.x] = shared[threadIdx.x];
}
REGISTER(fault_copy_not_awaited)

extern "C" __global__ void fault_copy_left_behind(const float* x, float* y) {
    DYNAMIC(float, shared, 0, 256);
    copy_pack(shared, threadIdx.x * 4, x, true);
    copies_grouped();
    y[threadIdx.x] = x[threadIdx.x];
}
REGISTER(fault_copy_left_behind)

extern "C" __global__ void fault_copy_without_barrier(const float* x, float* y) {
    DYNAMIC(float, shared, 0, 256);
    copy_pack(shared, threadIdx.x * 4, x, true);
    copies_grouped();
    copies_done<0>();
    y[threadIdx.x] = shared[255 - threadIdx.x];
}
REGISTER(fault_copy_without_barrier)

extern "C" __global__ void fault_copy_over_readers(const float* x, float* y) {
    DYNAMIC(float, shared, 0, 256);
    for (int round = 0; round < 2; round++) {
        copy_pack(shared, threadIdx.x * 4, x, true);
        copies_grouped();
        copies_done<0>();
        __syncthreads();
        y[threadIdx.x] = shared[(threadIdx.x * 4 + 4) % 256];
    }
}
REGISTER(fault_copy_over_readers)

extern "C" __global__ void fault_more_than_asked_for(const float* x, float* y) {
    DYNAMIC(float, shared, 0, 257);
    shared[threadIdx.x] = x[threadIdx.x];
    y[threadIdx.x] = shared[threadIdx.x];
}
REGISTER(fault_more_than_asked_for)

extern "C" __global__ void fault_of_two_owners(const float* x, float* y) {
    DYNAMIC(float, shared, 0, 128);
    DYNAMIC(float, others, 127, 64);
    shared[threadIdx.x] = x[threadIdx.x];
    others[threadIdx.x] = x[threadIdx.x];
    y[threadIdx.x] = others[threadIdx.x];
}
REGISTER(fault_of_two_owners)
