// The part of CUDA C++ that the kernels use, for a C++ compiler: the same sources run on the processor, as exactly as a card
// would run them and very slowly. Threads of a block are fibres of one thread; shared memory knows who wrote it, so that a
// missing barrier, a warp's exchange with a thread that is not there, or a thread that left before a barrier is a fault.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#define __global__
#define __device__
#define __forceinline__ inline
#define CUDART_INF_F std::numeric_limits<float>::infinity()

struct Index {
    unsigned x, y;
};
struct float2 {
    float x, y;
};
inline float2 make_float2(float x, float y) { return {x, y}; }

inline int min(int a, int b) { return a < b ? a : b; }
inline int max(int a, int b) { return a > b ? a : b; }

extern thread_local Index threadIdx, blockIdx, blockDim, gridDim;

struct __nv_bfloat16 {
    uint16_t bits;
};
struct __half {
    _Float16 value;
};
inline float __bfloat162float(__nv_bfloat16 x) {
    const uint32_t bits = uint32_t(x.bits) << 16;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}
inline __nv_bfloat16 __float2bfloat16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    if (x != x) return {uint16_t(bits >> 16 | 0x40)};
    // Half of the last digit, less a little where the digit before is even.
    return {uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}
inline float __half2float(__half x) { return float(x.value); }
inline __half __float2half(float x) { return {_Float16(x)}; }

namespace host {

// Stops the launch with a reason; does not return.
[[noreturn]] void fault(const char* what, const char* where = "", long number = 0);

void barrier(int line);
float exchange_xor(unsigned mask, float value, int step, int line);
void warp_barrier(unsigned mask, int line);

// What a lane gives to its warp, and what all lanes gave, until the next exchange.
struct Sent {
    unsigned words[6];
};
const Sent* gather(const Sent& own, int line);

// Who touched a value of shared memory last, and between which barriers; whether a copy to it is on its way.
struct Mark {
    int writer, reader;
    unsigned written, read;
    bool awaited;
};
void* shared(const void* site, size_t bytes, size_t count, Mark** marks);
void on_read(Mark& mark, const char* name, long at);
void on_write(Mark& mark, const char* name, long at);

// These bytes of the memory that the launch asked for belong to `site`.
void dynamic(const void* site, const char* name, size_t start, size_t end);

// A value that lands in shared memory later; zero where it comes from nowhere.
struct Copy {
    void* to;
    const void* from;
    size_t bytes;
    Mark* mark;
    const char* name;
    long at;
};
void copy_later(const Copy& copy);
void copies_grouped();
void copies_done(int left);

template <typename T> struct Shared {
    T* values;
    Mark* marks;
    const char* name;
    long count;

    Shared(const void* site, long count, const char* name) : name(name), count(count) {
        values = static_cast<T*>(shared(site, sizeof(T), size_t(count), &marks));
    }

    struct Place {
        const Shared& owner;
        long at;
        operator T() const {
            on_read(owner.marks[at], owner.name, at);
            return owner.values[at];
        }
        void operator=(T value) const {
            on_write(owner.marks[at], owner.name, at);
            owner.values[at] = value;
        }
    };

    Place operator[](long at) const {
        if (at < 0 || at >= count) fault("a place outside of shared memory", name, at);
        return {*this, at};
    }

    // The value is another's to write from here on.
    void leave(long at) const {
        if (at < 0 || at >= count) fault("a place outside of shared memory", name, at);
        on_write(marks[at], name, at);
        memset(&values[at], 0xff, sizeof(T));
        marks[at].awaited = true;
    }
};

inline void check_aligned(const void* pointer) {
    if (reinterpret_cast<uintptr_t>(pointer) % 16 != 0) fault("a pack that does not lie on 16 bytes");
}

// What an argument is, as the caller has to name it.
template <typename T> constexpr char kind() {
    if constexpr (std::is_pointer_v<T>) return 'p';
    else if constexpr (std::is_same_v<T, long long>) return 'l';
    else if constexpr (std::is_same_v<T, int>) return 'i';
    else {
        static_assert(std::is_same_v<T, float>, "kernels take pointers, i64, int and float");
        return 'f';
    }
}

struct Entry {
    const char* file;
    const char* name;
    const char* kinds;
    void (*call)(void* const* args);
    const Entry* next;
    static const Entry* first;

    Entry(const char* file, const char* name, const char* kinds, void (*call)(void* const*))
        : file(file), name(name), kinds(kinds), call(call), next(first) {
        first = this;
    }
};

template <auto kernel> struct Caller;
template <typename... Args, void (*kernel)(Args...)> struct Caller<kernel> {
    static constexpr char kinds[] = {kind<Args>()..., '\0'};
    template <size_t... at> static void apply(void* const* args, std::index_sequence<at...>) {
        kernel(*static_cast<Args*>(args[at])...);
    }
    static void call(void* const* args) { apply(args, std::index_sequence_for<Args...>()); }
};

} // namespace host

#define __syncthreads() host::barrier(__LINE__)
#define __syncwarp() host::warp_barrier(0xffffffffu, __LINE__)
#define __shfl_xor_sync(mask, value, step) host::exchange_xor(mask, value, step, __LINE__)
#define SHARED(type, name, count)                                                                                      \
    static const char name##_site = 0;                                                                                 \
    const host::Shared<type> name(&name##_site, count, #name)
#define REGISTER(name)                                                                                                 \
    static const host::Entry entry_##name(__FILE__, #name, host::Caller<name>::kinds, host::Caller<name>::call);
#define CHECK_ALIGNED(pointer) host::check_aligned(pointer)
