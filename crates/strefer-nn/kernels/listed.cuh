// Values of several parameters that one launch takes: a list names them, and a block of threads has a chunk of one.
#pragma once
#include "common.cuh"

// The chunk of one parameter that a block has.
struct Listed {
    // What every entry begins with: how many chunks there are before it, how many values, whether they lie in packs, and where
    // the gradient is.
    enum { CHUNKS_BEFORE, COUNT, PACKED, GRAD, WORDS };
    static constexpr i64 CHUNK = 1 << 14;

    const i64* entry;
    i64 start, end;

    __device__ __forceinline__ Listed(const i64* list, int words, int entries, i64 chunk) {
        int first = 0, behind = entries;
        while (behind - first > 1) {
            const int middle = first + (behind - first) / 2;
            if (list[i64(middle) * words + CHUNKS_BEFORE] <= chunk) first = middle;
            else behind = middle;
        }
        entry = list + i64(first) * words;
        start = (chunk - entry[CHUNKS_BEFORE]) * CHUNK;
        end = start + CHUNK < entry[COUNT] ? start + CHUNK : entry[COUNT];
    }

    template <typename T> __device__ __forceinline__ T* values(int word) const {
        return reinterpret_cast<T*>(entry[word]);
    }
};
