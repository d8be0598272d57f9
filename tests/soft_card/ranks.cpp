// NCCL between cards that are none: ranks are processes of one machine that meet in a file of shared memory, named by the address that all are told.
// An exchange is done when its call returns, whatever the stream. Ranks that ask for different exchanges at one time are told so.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>

#include <cuda_bf16.h>
#include <cuda_fp16.h>

namespace {

constexpr size_t ROOM = 16 << 20;
constexpr int MOST = 64;

struct Id {
    char text[128];
};

struct Asked {
    int what, type, root;
    size_t count;
    bool operator!=(const Asked& other) const { return what != other.what || type != other.type || root != other.root || count != other.count; }
};

// Lies at the beginning of the file; a room for each rank follows.
struct Meeting {
    std::atomic<unsigned> came, turn;
    Asked asked[MOST];
};

struct Comm {
    Meeting* meeting;
    char* rooms;
    int rank, size;

    void wait() const {
        const unsigned turn = meeting->turn;
        if (meeting->came.fetch_add(1) + 1 == unsigned(size)) {
            meeting->came = 0;
            meeting->turn = turn + 1;
        }
        while (meeting->turn == turn) usleep(50);
    }

    // Every rank shows a piece of what it has; then all are looked at.
    void exchange(Asked asked, const void* own, size_t bytes, const std::function<void(size_t, size_t)>& look) const {
        for (size_t at = 0; at < bytes; at += ROOM) {
            const size_t piece = std::min(ROOM, bytes - at);
            meeting->asked[rank] = asked;
            if (own) memcpy(rooms + rank * ROOM, static_cast<const char*>(own) + at, piece);
            wait();
            for (int other = 0; other < size; other++) {
                const Asked& theirs = meeting->asked[other];
                if (theirs != asked) {
                    fprintf(stderr, "soft card: rank %d exchanges %zu values by %d, rank %d %zu by %d\n", rank, asked.count, asked.what, other, theirs.count, theirs.what);
                    abort();
                }
            }
            look(at, piece);
            wait();
        }
    }
};

enum Type { U8 = 1, F16 = 6, F32 = 7, F64 = 8, BF16 = 9 };
enum What { SUM, SUM_AT, GATHER, FROM };

size_t width(int type) {
    switch (type) {
        case U8: return 1;
        case F16: case BF16: return 2;
        case F32: return 4;
        case F64: return 8;
        default: fprintf(stderr, "soft card: ranks exchange values of type %d\n", type), abort();
    }
}

template <typename T> void sum(const Comm& comm, void* to, size_t bytes) {
    for (size_t at = 0; at < bytes / sizeof(T); at++) {
        double all = 0.0;
        for (int rank = 0; rank < comm.size; rank++) all += double(float(reinterpret_cast<const T*>(comm.rooms + rank * ROOM)[at]));
        static_cast<T*>(to)[at] = T(float(all));
    }
}
template <> void sum<double>(const Comm& comm, void* to, size_t bytes) {
    for (size_t at = 0; at < bytes / sizeof(double); at++) {
        double all = 0.0;
        for (int rank = 0; rank < comm.size; rank++) all += reinterpret_cast<const double*>(comm.rooms + rank * ROOM)[at];
        static_cast<double*>(to)[at] = all;
    }
}

void sums(const Comm& comm, int type, void* to, size_t bytes) {
    switch (type) {
        case F32: return sum<float>(comm, to, bytes);
        case F64: return sum<double>(comm, to, bytes);
        case BF16: return sum<__nv_bfloat16>(comm, to, bytes);
        case F16: return sum<__half>(comm, to, bytes);
        default: fprintf(stderr, "soft card: ranks sum values of type %d\n", type), abort();
    }
}

char* place(void* all, size_t at) { return static_cast<char*>(all) + at; }

} // namespace

extern "C" {

int ncclGetVersion(int* version) { return *version = 22800, 0; }
const char* ncclGetErrorString(int) { return "an error"; }
const char* ncclGetLastError(void*) { return "none"; }

int ncclGetUniqueId(Id* id) {
    const char* address = getenv("NCCL_COMM_ID");
    snprintf(id->text, sizeof(id->text), "%s", address ? address : std::to_string(getpid()).c_str());
    return 0;
}

int ncclCommInitRank(Comm** to, int size, Id id, int rank) {
    if (size > MOST || rank >= size) return 4;
    std::string name = "/soft-card-" + std::string(id.text);
    for (char& letter : name) {
        if (letter == ':' || letter == '.') letter = '-';
    }
    const size_t header = (sizeof(Meeting) + 4095) / 4096 * 4096, bytes = header + size * ROOM;
    int file = -1;
    if (rank == 0) {
        shm_unlink(name.c_str());
        file = shm_open(name.c_str(), O_CREAT | O_EXCL | O_RDWR, 0600);
        if (file < 0 || ftruncate(file, off_t(bytes)) != 0) return 2;
    } else {
        struct stat is {};
        while (file < 0 || fstat(file, &is) != 0 || size_t(is.st_size) != bytes) {
            if (file >= 0) close(file);
            usleep(2000);
            file = shm_open(name.c_str(), O_RDWR, 0600);
        }
    }
    void* all = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (all == MAP_FAILED) return 2;
    *to = new Comm{static_cast<Meeting*>(all), place(all, header), rank, size};
    (*to)->wait();
    if (rank == 0) shm_unlink(name.c_str());
    return 0;
}
int ncclCommAbort(Comm* comm) { return delete comm, 0; }
int ncclCommDestroy(Comm* comm) { return delete comm, 0; }
int ncclCommFinalize(Comm*) { return 0; }

int ncclAllReduce(const void* own, void* to, size_t count, int type, int, const Comm* comm, void*) {
    comm->exchange({SUM, type, 0, count}, own, count * width(type), [&](size_t at, size_t piece) { sums(*comm, type, place(to, at), piece); });
    return 0;
}
int ncclReduce(const void* own, void* to, size_t count, int type, int, int root, const Comm* comm, void*) {
    comm->exchange({SUM_AT, type, root, count}, own, count * width(type), [&](size_t at, size_t piece) {
        if (comm->rank == root) sums(*comm, type, place(to, at), piece);
    });
    return 0;
}
int ncclAllGather(const void* own, void* to, size_t count, int type, const Comm* comm, void*) {
    const size_t each = count * width(type);
    comm->exchange({GATHER, type, 0, count}, own, each, [&](size_t at, size_t piece) {
        for (int rank = 0; rank < comm->size; rank++) memcpy(place(to, rank * each + at), comm->rooms + rank * ROOM, piece);
    });
    return 0;
}
int ncclBroadcast(const void* own, void* to, size_t count, int type, int root, const Comm* comm, void*) {
    comm->exchange({FROM, type, root, count}, comm->rank == root ? own : nullptr, count * width(type),
                   [&](size_t at, size_t piece) { memcpy(place(to, at), comm->rooms + root * ROOM, piece); });
    return 0;
}

} // extern "C"
