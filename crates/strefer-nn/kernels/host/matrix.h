// Products by a warp and copies that go on by themselves, on the processor: see `matrix.cuh`. What lanes hold of a matrix is
// exchanged as the instructions define it, so that a wrong place is a wrong number. A copy lands when it is waited for, and
// until then its place can be neither read nor written.
#pragma once

#include "cuda.h"

#define DYNAMIC(type, name, at, count)                                                                                 \
    static const char name##_site = 0;                                                                                 \
    host::dynamic(&name##_site, #name, (at) * sizeof(type), ((at) + (count)) * sizeof(type));                          \
    const host::Shared<type> name(&name##_site, count, #name)

template <typename T> unsigned pair(float a, float b) {
    const T both[2] = {narrow<T>(a), narrow<T>(b)};
    unsigned bits;
    memcpy(&bits, both, 4);
    return bits;
}

template <typename T> unsigned load_pair(const T* from) {
    if (reinterpret_cast<uintptr_t>(from) % 4 != 0) host::fault("a pair that does not lie on 4 bytes");
    unsigned bits;
    memcpy(&bits, from, 4);
    return bits;
}
template <typename T> void store_pair(T* to, unsigned bits) {
    if (reinterpret_cast<uintptr_t>(to) % 4 != 0) host::fault("a pair that does not lie on 4 bytes");
    memcpy(to, &bits, 4);
}

template <bool ONCE, typename T> void load_four_pairs(unsigned (&to)[4], const T* from, bool there) {
    memset(to, 0, 16);
    if (!there) return;
    CHECK_ALIGNED(from);
    memcpy(to, from, 16);
}

namespace host {

// One of the two values of a register.
template <typename T> float part(unsigned bits, int which) {
    const uint16_t half = uint16_t(bits >> 16 * which);
    T value;
    memcpy(&value, &half, 2);
    return wide(value);
}

template <typename T, bool TRANSPOSED> void load_four(unsigned (&to)[4], const Shared<T>& tile, int at, int line) {
    static_assert(sizeof(T) == 2, "values of 16 bits");
    if (at % 8 != 0) fault("a row of a matrix that does not lie on 16 bytes", tile.name, at);
    const Sent* all = gather({{unsigned(at)}}, line);
    const int lane = int(threadIdx.x) % 32;
    int rows[32];
    for (int other = 0; other < 32; other++) rows[other] = int(all[other].words[0]);
    for (int matrix = 0; matrix < 4; matrix++) {
        T both[2];
        for (int which = 0; which < 2; which++) {
            const int row = TRANSPOSED ? 2 * (lane % 4) + which : lane / 4;
            const int column = TRANSPOSED ? lane / 4 : 2 * (lane % 4) + which;
            both[which] = tile[rows[matrix * 8 + row] + column];
        }
        memcpy(&to[matrix], both, 4);
    }
}

} // namespace host

template <typename T> void multiply(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    const host::Sent* all = host::gather({{a[0], a[1], a[2], a[3], b0, b1}}, __LINE__);
    const int lane = int(threadIdx.x) % 32;
    for (int which = 0; which < 4; which++) {
        const int row = lane / 4 + which / 2 * 8, column = 2 * (lane % 4) + which % 2;
        for (int k = 0; k < 16; k++) {
            const unsigned of_a = all[row % 8 * 4 + k % 8 / 2].words[row / 8 + k / 8 * 2];
            const unsigned of_b = all[column * 4 + k % 8 / 2].words[4 + k / 8];
            c[which] += host::part<T>(of_a, k % 2) * host::part<T>(of_b, k % 2);
        }
    }
}

template <typename T> void load_matrices(unsigned (&to)[4], const host::Shared<T>& tile, int at) {
    host::load_four<T, false>(to, tile, at, __LINE__);
}
template <typename T> void load_transposed(unsigned (&to)[4], const host::Shared<T>& tile, int at) {
    host::load_four<T, true>(to, tile, at, __LINE__);
}

template <typename T> void copy_pack(const host::Shared<T>& to, int at, const T* from, bool there) {
    host::check_aligned(from);
    if (at % PACK<T> != 0) host::fault("a copy to a place that does not lie on 16 bytes", to.name, at);
    for (int part = 0; part < PACK<T>; part++) {
        to.leave(at + part);
        host::copy_later({&to.values[at + part], there ? from + part : nullptr, sizeof(T), &to.marks[at + part], to.name,
                          at + part});
    }
}
inline void copies_grouped() { host::copies_grouped(); }
template <int LEFT> void copies_done() { host::copies_done(LEFT); }
