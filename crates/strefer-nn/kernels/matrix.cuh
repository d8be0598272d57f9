// Products of small matrices that a warp makes together, on tensor cores from sm_80 on, and copies into shared memory that go
// on by themselves. A lane holds, two neighbouring values in a register:
// - of A, 16 x 16: rows lane/4 and 8 below, columns 2*(lane%4) and 8 behind, in the order of `A[column / 8][row / 8]`
// - of B, 16 x 8: rows 2*(lane%4) and 8 below, column lane/4
// - of C, 16 x 8: rows lane/4 and 8 below, columns 2*(lane%4) and the next, f32
#pragma once

#include "common.cuh"

typedef unsigned u32;

#ifdef __CUDACC__

extern __shared__ uint4 dynamic_memory[];

// `count` values of the memory that a launch asks for, from the `at`th on.
#define DYNAMIC(type, name, at, count) type* const name = reinterpret_cast<type*>(dynamic_memory) + (at)

template <typename T> __device__ __forceinline__ u32 pair(float a, float b);
template <> __device__ __forceinline__ u32 pair<bf16>(float a, float b) {
    const __nv_bfloat162 both = __floats2bfloat162_rn(a, b);
    return reinterpret_cast<const u32&>(both);
}
template <> __device__ __forceinline__ u32 pair<f16>(float a, float b) {
    const __half2 both = __floats2half2_rn(a, b);
    return reinterpret_cast<const u32&>(both);
}

template <typename T> __device__ __forceinline__ u32 load_pair(const T* from) {
    return *reinterpret_cast<const u32*>(from);
}
template <typename T> __device__ __forceinline__ void store_pair(T* to, u32 both) {
    *reinterpret_cast<u32*>(to) = both;
}

// Eight values from 16 bytes, or zeros; those that are read ONCE go past the nearest cache.
template <bool ONCE, typename T> __device__ __forceinline__ void load_four_pairs(u32 (&to)[4], const T* from, bool there) {
    const uint4* pack = reinterpret_cast<const uint4*>(from);
    const uint4 found = !there ? make_uint4(0, 0, 0, 0) : ONCE ? __ldcs(pack) : *pack;
    to[0] = found.x, to[1] = found.y, to[2] = found.z, to[3] = found.w;
}

// C += A · B
#define MULTIPLY(T, name)                                                                                              \
    template <> __device__ __forceinline__ void multiply<T>(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {        \
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f32." name "." name ".f32 "                                    \
                     "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"                                 \
                     : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])                                                  \
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));                                  \
    }
template <typename T> __device__ void multiply(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1);
MULTIPLY(bf16, "bf16")
MULTIPLY(f16, "f16")

// Four matrices of 8 x 8 in shared memory; lane `l` names the row `l % 8` of the matrix `l / 8`. Each lane gets two values a
// matrix: of the row lane/4, or, transposed, of the column lane/4.
template <typename Tile> __device__ __forceinline__ void load_matrices(u32 (&to)[4], const Tile& tile, int at) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(u32(__cvta_generic_to_shared(tile + at)))
                 : "memory");
}
template <typename Tile> __device__ __forceinline__ void load_transposed(u32 (&to)[4], const Tile& tile, int at) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(u32(__cvta_generic_to_shared(tile + at)))
                 : "memory");
}

// 16 bytes from global to shared memory, or zeros. They have come when `copies_done` returned, for others after a barrier.
template <typename Tile, typename T>
__device__ __forceinline__ void copy_pack(const Tile& to, int at, const T* from, bool there) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :
                 : "r"(u32(__cvta_generic_to_shared(to + at))), "l"(from), "r"(there ? 16 : 0)
                 : "memory");
}
// Ends a group of copies.
__device__ __forceinline__ void copies_grouped() { asm volatile("cp.async.commit_group;" : : : "memory"); }
// Waits for all groups but the last `LEFT`.
template <int LEFT> __device__ __forceinline__ void copies_done() {
    asm volatile("cp.async.wait_group %0;" : : "n"(LEFT) : "memory");
}

#else
#include "host/matrix.h"
#endif
