// Runs the kernels of this folder on the processor: blocks one after the other, the threads of a block as fibres that go on
// until they wait for others. The order in which they are taken is the caller's, since a result must not depend on it.
#include "cuda.h"

#include <algorithm>
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <ucontext.h>
#include <vector>

#include "../activation.cu"
#include "../adamw.cu"
#include "../attention.cu"
#include "../attention_back.cu"
#include "../attention_rows.cu"
#include "../cast.cu"
#include "../cross_entropy.cu"
#include "../deformable.cu"
#include "../depthwise.cu"
#include "../dropout.cu"
#include "../few_rows.cu"
#include "../mask_pool.cu"
#include "../norm.cu"
#include "../parts.cu"
#include "../rotary.cu"
#include "../softmax.cu"
#include "../squares.cu"

thread_local Index threadIdx, blockIdx, blockDim, gridDim;

namespace host {

const Entry* Entry::first = nullptr;

namespace {

constexpr size_t STACK = 64 << 10;
constexpr int LANES = 32;
// Shared memory that a block can ask for, of sm_80.
constexpr unsigned DYNAMIC_MOST = 163 << 10;

enum class State { Ready, Barrier, Exchange, WarpBarrier, Done };

// A context starts a fibre; jumps, which leave the signal mask to itself and so need no system call, do the rest.
struct Fibre {
    ucontext_t context;
    jmp_buf place;
    bool started;
    std::unique_ptr<char[]> stack;
    State state;
    int line, step;
    unsigned mask;
    Sent sent;
    // Copies on their way, by groups; those of the last group are not yet ended.
    std::vector<std::vector<Copy>> copies;
};

struct Region {
    std::vector<char> values;
    std::vector<Mark> marks;
};

struct Bytes {
    size_t start, end;
};

struct Machine {
    jmp_buf scheduler;
    std::vector<std::unique_ptr<Fibre>> fibres;
    std::map<const void*, Region> regions;
    // What was asked for at the launch, and whose it is.
    std::map<const void*, Bytes> parts;
    size_t dynamic = 0;
    std::vector<Sent> gathered;
    int current = 0, count = 0;
    unsigned epoch = 1;
    void (*call)(void* const*) = nullptr;
    void* const* args = nullptr;
    std::string fault;
};

thread_local Machine machine;

void wait(State state, int line) {
    Fibre& own = *machine.fibres[machine.current];
    own.state = state;
    own.line = line;
    if (_setjmp(own.place) == 0) _longjmp(machine.scheduler, 1);
}

// Returns once the fibre waits for others, or found a fault. In a function of its own, which has nothing to lose by a jump.
__attribute__((noinline)) void go_on(Fibre& fibre) {
    if (_setjmp(machine.scheduler) != 0) return;
    if (fibre.started) _longjmp(fibre.place, 1);
    fibre.started = true;
    setcontext(&fibre.context);
}

void enter() {
    machine.call(machine.args);
    for (const auto& group : machine.fibres[machine.current]->copies) {
        if (!group.empty()) fault("a thread left before its copy came", group[0].name, group[0].at);
    }
    wait(State::Done, 0);
}

// Lets the lanes of a warp go on whose whole mask has come to one place.
bool release_warp(int first) {
    bool moved = false;
    for (int lane = 0; lane < LANES && first + lane < machine.count; lane++) {
        Fibre& fibre = *machine.fibres[first + lane];
        if (fibre.state != State::Exchange && fibre.state != State::WarpBarrier) continue;
        bool all = true;
        for (int other = 0; other < LANES; other++) {
            if (!(fibre.mask >> other & 1)) continue;
            if (first + other >= machine.count) fault("a warp's mask names threads that the block does not have");
            const Fibre& partner = *machine.fibres[first + other];
            if (partner.state == State::Done) fault("a thread left before its warp's exchange", "line", fibre.line);
            all = all && partner.state == fibre.state && partner.line == fibre.line && partner.mask == fibre.mask
                && partner.step == fibre.step;
        }
        if (!(fibre.mask >> lane & 1)) fault("a thread outside of its own mask", "line", fibre.line);
        if (!all) continue;
        for (int other = 0; other < LANES; other++) {
            if (!(fibre.mask >> other & 1)) continue;
            Fibre& partner = *machine.fibres[first + other];
            machine.gathered[first + other] = partner.sent;
            partner.state = State::Ready;
        }
        moved = true;
    }
    return moved;
}

// Lets everybody go on once everybody waits at the barrier.
bool release_block() {
    int waiting = 0, done = 0, line = 0;
    for (int at = 0; at < machine.count; at++) {
        const Fibre& fibre = *machine.fibres[at];
        done += fibre.state == State::Done;
        if (fibre.state != State::Barrier) continue;
        if (waiting++ == 0) line = fibre.line;
        if (fibre.line != line) fault("threads wait at different barriers", "line", fibre.line);
    }
    if (waiting > 0 && waiting + done == machine.count && done > 0) {
        fault("a thread left before a barrier", "line", line);
    }
    if (waiting != machine.count) return false;
    machine.epoch++;
    for (int at = 0; at < machine.count; at++) machine.fibres[at]->state = State::Ready;
    return true;
}

void run_block(const std::vector<int>& order) {
    machine.regions.clear();
    machine.parts.clear();
    machine.epoch++;
    for (int at = 0; at < machine.count; at++) {
        Fibre& fibre = *machine.fibres[at];
        fibre.state = State::Ready;
        fibre.started = false;
        fibre.copies.assign(1, {});
        getcontext(&fibre.context);
        fibre.context.uc_stack.ss_sp = fibre.stack.get();
        fibre.context.uc_stack.ss_size = STACK;
        fibre.context.uc_link = nullptr;
        makecontext(&fibre.context, enter, 0);
    }
    while (true) {
        bool moved = false, finished = true;
        for (const int at : order) {
            Fibre& fibre = *machine.fibres[at];
            finished = finished && fibre.state == State::Done;
            if (fibre.state != State::Ready) continue;
            machine.current = at;
            threadIdx = {unsigned(at) % blockDim.x, unsigned(at) / blockDim.x};
            go_on(fibre);
            if (!machine.fault.empty()) return;
            moved = true;
        }
        if (finished) return;
        machine.current = -1;
        for (int first = 0; first < machine.count; first += LANES) moved = release_warp(first) || moved;
        moved = release_block() || moved;
        if (!machine.fault.empty()) return;
        if (!moved) {
            machine.fault = "threads wait for each other in different places";
            return;
        }
    }
}

} // namespace

void fault(const char* what, const char* where, long number) {
    if (machine.fault.empty()) {
        machine.fault = std::string(what) + " (" + where + " " + std::to_string(number) + ", block "
            + std::to_string(blockIdx.x) + ")";
    }
    if (machine.current >= 0) _longjmp(machine.scheduler, 1);
    throw 0;
}

void barrier(int line) { wait(State::Barrier, line); }

void warp_barrier(unsigned mask, int line) {
    machine.fibres[machine.current]->mask = mask;
    machine.fibres[machine.current]->step = 0;
    wait(State::WarpBarrier, line);
}

float exchange_xor(unsigned mask, float value, int step, int line) {
    const int lane = machine.current % LANES, first = machine.current - lane;
    Fibre& own = *machine.fibres[machine.current];
    if (!(mask >> (lane ^ step) & 1)) fault("an exchange with a thread outside of the mask", "line", line);
    own.mask = mask;
    own.step = step;
    memcpy(own.sent.words, &value, 4);
    wait(State::Exchange, line);
    memcpy(&value, machine.gathered[first + (lane ^ step)].words, 4);
    return value;
}

const Sent* gather(const Sent& sent, int line) {
    Fibre& own = *machine.fibres[machine.current];
    own.mask = 0xffffffffu;
    own.step = 0;
    own.sent = sent;
    wait(State::Exchange, line);
    return &machine.gathered[machine.current / LANES * LANES];
}

void dynamic(const void* site, const char* name, size_t start, size_t end) {
    if (end > machine.dynamic) fault("more shared memory than the launch asks for", name, long(end));
    for (const auto& [other, part] : machine.parts) {
        if (other != site && start < part.end && part.start < end) fault("shared memory that is another's", name, long(start));
    }
    machine.parts[site] = {start, end};
}

void copy_later(const Copy& copy) { machine.fibres[machine.current]->copies.back().push_back(copy); }

void copies_grouped() { machine.fibres[machine.current]->copies.push_back({}); }

void copies_done(int left) {
    auto& copies = machine.fibres[machine.current]->copies;
    // The last one is not a group yet.
    while (int(copies.size()) - 1 > left) {
        for (const Copy& copy : copies.front()) {
            copy.mark->awaited = false;
            on_write(*copy.mark, copy.name, copy.at);
            if (copy.from) memcpy(copy.to, copy.from, copy.bytes);
            else memset(copy.to, 0, copy.bytes);
        }
        copies.erase(copies.begin());
    }
}

// What nobody wrote yet holds no number.
void* shared(const void* site, size_t bytes, size_t count, Mark** marks) {
    Region& region = machine.regions[site];
    if (region.marks.empty()) {
        region.values.assign(bytes * count, char(0xff));
        region.marks.assign(count, Mark{-1, -1, 0, 0, false});
    }
    *marks = region.marks.data();
    return region.values.data();
}

void on_read(Mark& mark, const char* name, long at) {
    const int own = machine.current;
    if (mark.awaited) fault("shared memory is read before its copy came", name, at);
    if (mark.writer < 0) fault("shared memory is read before it is written", name, at);
    if (mark.written == machine.epoch && mark.writer != own) {
        fault("shared memory is read without a barrier after its write", name, at);
    }
    // Readers that are several count as somebody else.
    mark.reader = mark.read == machine.epoch && mark.reader != own ? -2 : own;
    mark.read = machine.epoch;
}

void on_write(Mark& mark, const char* name, long at) {
    const int own = machine.current;
    if (mark.awaited) fault("shared memory is written before its copy came", name, at);
    if (mark.written == machine.epoch && mark.writer >= 0 && mark.writer != own) {
        fault("two threads write one place of shared memory", name, at);
    }
    if (mark.read == machine.epoch && mark.reader != own) {
        fault("shared memory is written without a barrier after its reading", name, at);
    }
    mark.writer = own;
    mark.written = machine.epoch;
}

// Runs a kernel on a grid. Returns null, or what went wrong, until the next launch of this thread.
const char* run(void (*call)(void* const*), void* const* args, Index grid, Index block, unsigned dynamic, unsigned order) {
    const unsigned threads = block.x * block.y;
    machine.fault.clear();
    while (machine.fibres.size() < threads) {
        machine.fibres.push_back(std::make_unique<Fibre>());
        machine.fibres.back()->stack.reset(new char[STACK]);
    }
    machine.count = int(threads);
    machine.dynamic = dynamic;
    machine.gathered.resize(threads);
    machine.call = call;
    machine.args = args;
    blockDim = block;
    gridDim = grid;
    std::vector<int> places(threads);
    std::iota(places.begin(), places.end(), 0);
    if (order == 1) std::reverse(places.begin(), places.end());
    for (unsigned at = threads; order > 1 && at > 1; at--) {
        order = order * 1664525u + 1013904223u;
        std::swap(places[at - 1], places[(order >> 8) % at]);
        order |= 2;
    }
    try {
        for (unsigned y = 0; y < grid.y && machine.fault.empty(); y++) {
            for (unsigned x = 0; x < grid.x && machine.fault.empty(); x++) {
                blockIdx = {x, y};
                run_block(places);
            }
        }
    } catch (int) {
        // The scheduler found the fault, which is written down.
    }
    return machine.fault.empty() ? nullptr : machine.fault.c_str();
}

} // namespace host

// Runs a kernel of the file `module`.cu by name. `order` is 0 for threads in their order, 1 for the reverse, else the seed of a shuffle. Returns null,
// or what went wrong, until the next launch of this thread.
extern "C" const char* strefer_launch(const char* module, const char* name, unsigned grid_x, unsigned grid_y, unsigned block,
                                      unsigned dynamic, const char* kinds, void* const* args, unsigned order) {
    using namespace host;
    const Entry* entry = Entry::first;
    while (entry && strcmp(entry->name, name) != 0) entry = entry->next;
    machine.fault.clear();
    const std::string file = entry ? entry->file : "", ending = std::string(module) + ".cu";
    if (!entry) {
        machine.fault = std::string("no kernel is named ") + name;
    } else if (file.size() < ending.size() || file.substr(file.size() - ending.size()) != ending) {
        machine.fault = std::string(name) + " is in " + file + ", not in " + ending;
    } else if (strcmp(entry->kinds, kinds) != 0) {
        machine.fault = std::string(name) + " takes " + entry->kinds + ", not " + kinds;
    } else if (block == 0 || block > 1024 || block % LANES != 0 || grid_x == 0 || grid_y == 0 || grid_y > 65535) {
        machine.fault = std::string(name) + ": a grid that no card takes";
    } else if (dynamic > DYNAMIC_MOST) {
        machine.fault = std::string(name) + ": more shared memory than a block can have";
    }
    if (!machine.fault.empty()) return machine.fault.c_str();
    return run(entry->call, args, {grid_x, grid_y}, {block, 1}, dynamic, order);
}
