// CUDA's driver, as far as candle asks it: a card whose memory is this process's and whose kernels run on its processor, in the order in which they
// are launched, whatever the stream. Memory that nobody wrote holds no number, and what was written beside it is found when it is given back.
#include "../../crates/strefer-nn/kernels/host/run.cpp"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "soft.h"
// Written by the script: `soft::tables`, candle's kernels.
#include "tables.h"

namespace soft {

thread_local Index thread, block, block_dim, grid_dim;

void barrier(int line) { host::barrier(line); }
float exchange_xor(unsigned mask, float word, int step, int line) { return host::exchange_xor(mask, word, step, line); }

namespace {

constexpr size_t GUARD = 256;
constexpr unsigned char UNTOUCHED = 0xff;
constexpr unsigned UNASKED_SHARED = 48 << 10;

std::mutex lock;
std::map<uintptr_t, size_t> memory;
size_t used, most_used;

// How many pieces of each size there were when most was used, or nearly so.
std::map<size_t, size_t> pieces;

void count_pieces() {
    static size_t before;
    if (most_used < before + before / 100) return;
    before = most_used;
    pieces.clear();
    for (const auto& [at, bytes] : memory) pieces[bytes]++;
}

// Whether the program is asked to say that at its end.
bool says(const char* what) {
    const char* asked = getenv("SOFT_CARD_COUNT");
    return asked && !strcmp(asked, what);
}

// What a program asked for; with SOFT_CARD_COUNT set, it says so at its end: how often each was launched where that is `kernels`, and what lay in the card's
// memory when that was fullest where it is `memory`.
struct Count {
    std::atomic<size_t> launches, calls, allocations, to_card, to_host, waits;
    std::map<std::string, size_t> kernels;
    ~Count() {
        if (getenv("SOFT_CARD_COUNT")) {
            if (says("kernels")) {
                for (const auto& [name, often] : kernels) fprintf(stderr, "soft card: %6zu %s\n", often, name.c_str());
            }
            for (const auto& [bytes, often] : pieces) fprintf(stderr, "soft card: %6zu pieces of %zu bytes\n", often, bytes);
            fprintf(stderr, "soft card: at most %zu bytes, %zu launches by %zu calls, %zu allocations, %zu copies to the card, %zu to the host, %zu waits\n", most_used,
                    launches.load(), calls.load(), allocations.load(), to_card.load(), to_host.load(), waits.load());
        }
    }
} count;

struct Function {
    std::string module, name;
    const Kernel* kernel = nullptr;
    unsigned most_shared = UNASKED_SHARED;
};

// Launches of this crate's kernels that are written down, with what they were given.
struct Graph {
    struct Launch {
        Function* function;
        Index grid, block;
        unsigned dynamic;
        std::vector<uint64_t> args;
    };
    std::vector<Launch> launches;
};

// What a stream is asked for while it has a graph is written down there.
struct Stream {
    Graph* graph = nullptr;
};

Graph* graph_of(void* stream) { return stream ? static_cast<Stream*>(stream)->graph : nullptr; }

[[noreturn]] void die(const std::string& what) {
    fprintf(stderr, "soft card: %s\n", what.c_str());
    abort();
}

// Candle's kernels lie in a folder of this name, ours in another.
const std::string CANDLES = "src/";

bool is_candles(const std::string& module) { return module.compare(0, CANDLES.size(), CANDLES) == 0; }

const Kernel* candles(const std::string& module, const char* name) {
    for (const Table& table : tables) {
        if (module != CANDLES + table.module) continue;
        for (const Kernel* kernel = table.kernels; kernel->name; kernel++) {
            if (strcmp(kernel->name, name) == 0) return kernel;
        }
    }
    return nullptr;
}

const host::Entry* own(const char* name) {
    const host::Entry* entry = host::Entry::first;
    while (entry && strcmp(entry->name, name) != 0) entry = entry->next;
    return entry;
}

// Where threads speak to each other they are fibres, else one after the other.
bool speaks(const std::string& module) { return module == "src/reduce" || module == "src/sort" || module == "src/quantized"; }

thread_local const Function* running;

void enter(void* const* args) {
    thread = {threadIdx.x, threadIdx.y, 0};
    running->kernel->call(args);
}

void run_plain(const Function& function, Index grid, Index of_block, void* const* args) {
    for (unsigned at = 0; at < grid.x * grid.y * grid.z; at++) {
        block = {at % grid.x, at / grid.x % grid.y, at / grid.x / grid.y};
        for (unsigned z = 0; z < of_block.z; z++)
            for (unsigned y = 0; y < of_block.y; y++)
                for (unsigned x = 0; x < of_block.x; x++) {
                    thread = {x, y, z};
                    function.kernel->call(args);
                }
    }
}

// Blocks one by one, so that each knows its number.
const char* run_fibres(Index grid, Index of_block, unsigned dynamic, void* const* args) {
    for (unsigned y = 0; y < grid.y; y++)
        for (unsigned x = 0; x < grid.x; x++) {
            block = {x, y, 0};
            const char* fault = host::run(enter, args, {1, 1}, {of_block.x, of_block.y}, dynamic, 0);
            if (fault) return fault;
        }
    return nullptr;
}

} // namespace
} // namespace soft

using soft::Function;

extern "C" {

// What is not here says its name.
void soft_missing(const char* name) { soft::die(std::string(name) + " is asked for, which this card does not have"); }

int cuInit(unsigned) { return 0; }
int cuDriverGetVersion(int* version) { return *version = 13000, 0; }
int cuGetErrorName(int error, const char** text) { return *text = error ? "an error" : "no error", 0; }
int cuGetErrorString(int error, const char** text) { return *text = error ? "an error" : "no error", 0; }
int cuDeviceGetCount(int* count) { return *count = 2, 0; }
int cuDeviceGet(int* device, int ordinal) { return *device = ordinal, ordinal < 2 ? 0 : 101; }
int cuDeviceGetName(char* name, int room, int) { return snprintf(name, size_t(room), "no card"), 0; }
int cuDeviceTotalMem_v2(size_t* bytes, int) { return *bytes = size_t(64) << 30, 0; }
int cuDeviceGetAttribute(int* value, int attribute, int) {
    enum { SHARED = 8, PROCESSORS = 16, MAJOR = 75, MINOR = 76, POOLS = 115 };
    *value = attribute == MAJOR ? 9 : attribute == MINOR ? 0 : attribute == PROCESSORS ? 132 : attribute == SHARED ? 48 << 10 : 1;
    return 0;
}
static char contexts[2], events[1];
int cuDevicePrimaryCtxRetain(void** context, int device) { return *context = &contexts[device], 0; }
int cuDevicePrimaryCtxRelease_v2(int) { return 0; }
static thread_local void* current;
int cuCtxSetCurrent(void* context) { return current = context, 0; }
int cuCtxGetCurrent(void** context) { return *context = current, 0; }
int cuCtxSynchronize() { return 0; }
int cuCtxSetFlags(unsigned) { return 0; }
static int in_context() { return current ? 0 : 201; }

int cuStreamCreate(void** stream, unsigned) { return *stream = new soft::Stream, in_context(); }
int cuStreamDestroy_v2(void* stream) { return delete static_cast<soft::Stream*>(stream), 0; }
int cuStreamSynchronize(void* stream) { return soft::count.waits++, soft::graph_of(stream) ? 900 : in_context(); }
int cuStreamWaitEvent(void*, void*, unsigned) { return 0; }
int cuEventCreate(void** event, unsigned) { return *event = &events[0], in_context(); }
int cuEventRecord(void*, void*) { return 0; }
int cuEventQuery(void*) { return 0; }
int cuEventSynchronize(void*) { return 0; }
int cuEventDestroy_v2(void*) { return 0; }

int cuMemGetInfo_v2(size_t* free, size_t* total) { return *free = size_t(32) << 30, *total = size_t(64) << 30, 0; }
int cuMemAlloc_v2(uintptr_t* to, size_t bytes) {
    if (bytes == 0) return 1;
    if (int error = in_context()) return error;
    char* all = static_cast<char*>(aligned_alloc(256, (bytes + 2 * soft::GUARD + 255) / 256 * 256));
    if (!all) return 2;
    memset(all, soft::UNTOUCHED, bytes + 2 * soft::GUARD);
    *to = uintptr_t(all) + soft::GUARD;
    std::lock_guard<std::mutex> held(soft::lock);
    soft::memory[*to] = bytes;
    soft::count.allocations++;
    soft::used += bytes;
    if (soft::used > soft::most_used) {
        soft::most_used = soft::used;
        static const bool asked = soft::says("memory");
        if (asked) soft::count_pieces();
    }
    return 0;
}
int cuMemAllocAsync(uintptr_t* to, size_t bytes, void*) { return cuMemAlloc_v2(to, bytes); }
int cuMemFree_v2(uintptr_t at) {
    size_t bytes;
    {
        std::lock_guard<std::mutex> held(soft::lock);
        auto found = soft::memory.find(at);
        if (found == soft::memory.end()) soft::die("memory is given back that was not given out");
        bytes = found->second;
        soft::memory.erase(found);
        soft::used -= bytes;
    }
    const unsigned char* all = reinterpret_cast<unsigned char*>(at) - soft::GUARD;
    for (size_t guard = 0; guard < soft::GUARD; guard++) {
        if (all[guard] != soft::UNTOUCHED || all[soft::GUARD + bytes + guard] != soft::UNTOUCHED) {
            soft::die("something was written beside " + std::to_string(bytes) + " bytes");
        }
    }
    memset(reinterpret_cast<void*>(at), soft::UNTOUCHED, bytes);
    free(const_cast<unsigned char*>(all));
    return 0;
}
int cuMemFreeAsync(uintptr_t at, void*) { return cuMemFree_v2(at); }

// Memory of the host that copies need not wait for; here they are done when they are asked for.
int cuMemHostAlloc(void** to, size_t bytes, unsigned) { return *to = malloc(bytes), in_context(); }
int cuMemFreeHost(void* at) { return free(at), 0; }

// The pool that memory comes from: as much as is used.
int cuDeviceGetDefaultMemPool(void** pool, int) { return *pool = &contexts[0], 0; }
int cuMemPoolGetAttribute(void*, int attribute, void* value) {
    enum { RESERVED = 5, USED = 7, MOST = 8 };
    std::lock_guard<std::mutex> held(soft::lock);
    *static_cast<uint64_t*>(value) = attribute == MOST ? soft::most_used : soft::used;
    return attribute == RESERVED || attribute == USED || attribute == MOST ? in_context() : 1;
}

int cuMemPoolSetAttribute(void*, int attribute, void*) {
    enum { RELEASE_THRESHOLD = 4 };
    return attribute == RELEASE_THRESHOLD ? in_context() : 1;
}

// Fails unless so many bytes lie in one piece of the card's memory.
static int copied(uintptr_t at, size_t bytes) {
    std::lock_guard<std::mutex> held(soft::lock);
    auto after = soft::memory.upper_bound(at);
    if (after == soft::memory.begin()) soft::die("a copy of memory that is not the card's");
    --after;
    if (at + bytes > after->first + after->second) soft::die("a copy reaches out of the card's memory");
    return in_context();
}
int cuMemcpyHtoDAsync_v2(uintptr_t to, const void* from, size_t bytes, void*) {
    if (int error = copied(to, bytes)) return error;
    soft::count.to_card++;
    return memcpy(reinterpret_cast<void*>(to), from, bytes), 0;
}
int cuMemcpyDtoHAsync_v2(void* to, uintptr_t from, size_t bytes, void*) {
    if (int error = copied(from, bytes)) return error;
    soft::count.to_host++;
    return memcpy(to, reinterpret_cast<void*>(from), bytes), 0;
}
int cuMemcpyDtoDAsync_v2(uintptr_t to, uintptr_t from, size_t bytes, void*) {
    if (int error = copied(from, bytes) + copied(to, bytes)) return error;
    return memmove(reinterpret_cast<void*>(to), reinterpret_cast<void*>(from), bytes), 0;
}
int cuMemcpyHtoD_v2(uintptr_t to, const void* from, size_t bytes) { return cuMemcpyHtoDAsync_v2(to, from, bytes, nullptr); }
int cuMemcpyDtoH_v2(void* to, uintptr_t from, size_t bytes) { return cuMemcpyDtoHAsync_v2(to, from, bytes, nullptr); }
int cuMemcpyDtoD_v2(uintptr_t to, uintptr_t from, size_t bytes) { return cuMemcpyDtoDAsync_v2(to, from, bytes, nullptr); }
int cuMemcpyPeerAsync(uintptr_t to, void*, uintptr_t from, void*, size_t bytes, void*) { return cuMemcpyDtoDAsync_v2(to, from, bytes, nullptr); }
int cuMemsetD8Async(uintptr_t at, unsigned char value, size_t bytes, void*) {
    if (int error = copied(at, bytes)) return error;
    return memset(reinterpret_cast<void*>(at), value, bytes), 0;
}
int cuMemsetD8_v2(uintptr_t at, unsigned char value, size_t bytes) { return cuMemsetD8Async(at, value, bytes, nullptr); }

// A program is the name of its source, which the pretended compiler wrote.
int cuModuleLoadData(void** module, const void* image) {
    const char* name = strstr(static_cast<const char*>(image), "soft module ");
    if (!name) return 200;
    name += strlen("soft module ");
    *module = strndup(name, strcspn(name, "\n"));
    return in_context();
}
int cuModuleUnload(void*) { return 0; }
int cuModuleGetFunction(void** to, void* module, const char* name) {
    auto* function = new Function{static_cast<const char*>(module), name};
    function->kernel = soft::candles(function->module, name);
    if (!function->kernel && (soft::is_candles(function->module) || !soft::own(name))) {
        fprintf(stderr, "soft card: no kernel %s in %s\n", name, function->module.c_str());
        return 500;
    }
    return *to = function, 0;
}
int cuFuncSetAttribute(void* function, int attribute, int value) {
    enum { DYNAMIC_SHARED = 8 };
    if (attribute == DYNAMIC_SHARED) static_cast<Function*>(function)->most_shared = unsigned(value);
    return 0;
}
int cuFuncGetAttribute(int* value, int, void*) { return *value = 1024, 0; }

static int run(void* of, soft::Index grid, soft::Index of_block, unsigned dynamic, void** args) {
    auto& function = *static_cast<Function*>(of);
    const std::string name = function.module + "::" + function.name;
    if (int error = in_context()) return error;
    soft::count.launches++;
    const unsigned threads = of_block.x * of_block.y * of_block.z;
    if (grid.x * grid.y * grid.z == 0 || threads == 0 || threads > 1024 || grid.y > 65535 || grid.z > 65535 || dynamic > function.most_shared) {
        fprintf(stderr, "soft card: %s on a grid that no card takes\n", name.c_str());
        return 1;
    }
    // What a program asks from several threads runs one after the other, as in one stream.
    static std::mutex launches;
    std::lock_guard<std::mutex> held(launches);
    soft::count.kernels[name]++;
    const char* fault = nullptr;
    if (!function.kernel) {
        const host::Entry* entry = soft::own(function.name.c_str());
        fault = strefer_launch(function.module.c_str() + function.module.find('/') + 1, entry->name, grid.x, grid.y, of_block.x, dynamic, entry->kinds, args, 0);
    } else {
        soft::block_dim = of_block;
        soft::grid_dim = grid;
        soft::running = &function;
        if (soft::speaks(function.module)) {
            fault = soft::run_fibres(grid, of_block, dynamic, args);
        } else {
            soft::run_plain(function, grid, of_block, args);
        }
    }
    if (fault) soft::die(name + ": " + fault);
    return 0;
}

int cuLaunchKernel(void* of, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y, unsigned block_z,
                   unsigned dynamic, void* stream, void** args, void**) {
    const soft::Index grid{grid_x, grid_y, grid_z}, of_block{block_x, block_y, block_z};
    soft::Graph* graph = soft::graph_of(stream);
    soft::count.calls++;
    if (!graph) return run(of, grid, of_block, dynamic, args);
    auto* function = static_cast<Function*>(of);
    const host::Entry* entry = function->kernel ? nullptr : soft::own(function->name.c_str());
    if (!entry) soft::die(function->name + " cannot be written down");
    std::vector<uint64_t> words;
    for (const char* kind = entry->kinds; *kind; kind++, args++) {
        words.push_back(0);
        memcpy(&words.back(), *args, *kind == 'p' || *kind == 'l' ? 8 : 4);
    }
    graph->launches.push_back({function, grid, of_block, dynamic, words});
    return in_context();
}

// A stream writes down, in any of the modes.
int cuStreamBeginCapture_v2(void* stream, int) {
    auto& own = *static_cast<soft::Stream*>(stream);
    if (own.graph) return 901;
    own.graph = new soft::Graph;
    return in_context();
}
int cuStreamEndCapture(void* stream, void** graph) {
    auto& own = *static_cast<soft::Stream*>(stream);
    if (!own.graph) return 901;
    *graph = own.graph;
    own.graph = nullptr;
    return in_context();
}
int cuGraphInstantiateWithFlags(void** of, void* graph, unsigned long long) {
    return *of = new soft::Graph(*static_cast<soft::Graph*>(graph)), in_context();
}
int cuGraphLaunch(void* of, void*) {
    soft::count.calls++;
    for (auto& launch : static_cast<soft::Graph*>(of)->launches) {
        std::vector<void*> args;
        for (uint64_t& word : launch.args) args.push_back(&word);
        if (int error = run(launch.function, launch.grid, launch.block, launch.dynamic, args.data())) return error;
    }
    return in_context();
}
int cuGraphExecDestroy(void* of) { return delete static_cast<soft::Graph*>(of), 0; }
int cuGraphDestroy(void* graph) { return delete static_cast<soft::Graph*>(graph), 0; }

} // extern "C"
