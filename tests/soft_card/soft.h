// What the card that is none shares with kernels that run on it.
#pragma once

namespace soft {

struct Index {
    unsigned x, y, z;
};
extern thread_local Index thread, block, block_dim, grid_dim;

void barrier(int line);
float exchange_xor(unsigned mask, float word, int step, int line);

// A kernel by name, and how it is called with pointers to its arguments.
struct Kernel {
    const char* name;
    void (*call)(void* const* args);
};

// Those of one file, until one without a name.
struct Table {
    const char* module;
    const Kernel* kernels;
};

} // namespace soft
