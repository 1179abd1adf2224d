// A CUDA driver, a cuBLAS and a cuSOLVER made of the processor: what a program sees of a card, up to its arithmetic. Memory has
// guards on both sides, and is full of NaNs at first. Every thread has its queue of work: memory is to be touched by the thread that has
// asked for it, or by another after all that the first had begun has ended. A module must be PTX that has the kernels asked for; it is not
// this that runs, but the same text compiled for the processor. What it is asked to do is counted (`emulated_count`); with
// EMULATED_IDLE none of it is done, so that a large batch can be counted in no time.
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "on_processor.cpp"

namespace {
const int OUT_OF_MEMORY = 2, NOT_FOUND = 500, UNKNOWN = 999;
const size_t GUARD = 256;
std::atomic<size_t> held{0};

// What is counted: kernels begun, matrix products, memory filled, memory given out; the most memory held, MiB; cuBLAS opened.
enum Work { KERNELS, PRODUCTS, FILLS, ALLOCATIONS, MOST_MEMORY, HANDLES };
std::atomic<int> counts[6];

// A thread's queue, which outlives it: how many pieces of work it has been given, and how many are done for certain.
struct Queue {
    std::atomic<uint64_t> begun{0}, done{0};
};
Queue *queue() {
    static thread_local Queue *own = new Queue;
    return own;
}

// Memory that is given out: where it ends, and who had it last.
struct Given {
    uint64_t end;
    Queue *of;
};
std::map<uint64_t, Given> given;
std::mutex listing;

[[noreturn]] void defect(const char *what, uint64_t at) {
    std::fprintf(stderr, "%s: memory at %llx\n", what, static_cast<unsigned long long>(at));
    std::abort();
}

// This thread does something with the memory that `at` is in, and has it from now on. What a kernel touches is not known: it may be
// anything that its thread has.
void touch(uint64_t at) {
    std::lock_guard<std::mutex> lock(listing);
    auto next = given.upper_bound(at);
    if (next == given.begin() || at > std::prev(next)->second.end) defect("nobody's", at);
    Given &memory = std::prev(next)->second;
    if (memory.of != queue() && memory.of->begun > memory.of->done) defect("another thread may still be at work", at);
    memory.of = queue();
}

// Counts it; whether it shall be done.
bool begin(Work work) {
    static const bool idle = std::getenv("EMULATED_IDLE");
    counts[work]++;
    queue()->begun++;
    return !idle;
}

size_t limit() {
    const char *text = std::getenv("EMULATED_MEMORY");
    return text ? std::strtoull(text, nullptr, 10) : SIZE_MAX;
}

int allocate(uint64_t *to, size_t bytes) {
    bool fill = bytes && begin(ALLOCATIONS);
    if (held + bytes > limit()) return OUT_OF_MEMORY;
    char *all = static_cast<char *>(std::malloc(bytes + 2 * GUARD));
    if (!all) return OUT_OF_MEMORY;
    held += bytes;
    counts[MOST_MEMORY] = std::max(counts[MOST_MEMORY].load(), int(held >> 20));
    std::memset(all, 0xFF, GUARD);
    std::memset(all + GUARD + bytes, 0xFF, GUARD);
    if (fill) std::memset(all + GUARD, 0xFF, bytes);
    std::memcpy(all, &bytes, sizeof bytes);
    *to = reinterpret_cast<uint64_t>(all + GUARD);
    std::lock_guard<std::mutex> lock(listing);
    given[*to] = {*to + bytes, queue()};
    return 0;
}

int release(uint64_t at) {
    if (!at) return 0;
    touch(at);
    {
        std::lock_guard<std::mutex> lock(listing);
        given.erase(at);
    }
    char *all = reinterpret_cast<char *>(at) - GUARD;
    size_t bytes;
    std::memcpy(&bytes, all, sizeof bytes);
    for (size_t i = sizeof bytes; i < GUARD; i++)
        if (all[i] != '\xFF' || all[GUARD + bytes + i - sizeof bytes] != '\xFF') {
            std::fprintf(stderr, "a kernel wrote beside a buffer of %zu bytes\n", bytes);
            std::abort();
        }
    held -= bytes;
    std::free(all);
    return 0;
}

void *address(uint64_t at) { return reinterpret_cast<void *>(at); }
} // namespace

#define CUDA extern "C" __attribute__((visibility("default"))) int

CUDA emulated_count(int work) { return counts[work]; }
CUDA cuInit(unsigned) { return std::getenv("EMULATED_NO_DEVICE") ? 100 : 0; }
CUDA cuDeviceGetCount(int *count) { return *count = 1, 0; }
CUDA cuDeviceGet(int *device, int) { return *device = 0, 0; }
CUDA cuDeviceGetName(char *name, int length, int) { return std::snprintf(name, length, "Emulated"), 0; }
CUDA cuDeviceGetAttribute(int *value, int attribute, int) {
    // Compute capability 9.0, with memory that is given out in the order of the work.
    *value = attribute == 75 ? 9 : attribute == 115 ? 1 : 0;
    return 0;
}
CUDA cuDevicePrimaryCtxRetain(void **context, int) { return *context = &held, 0; }
CUDA cuDevicePrimaryCtxRelease_v2(int) { return 0; }
CUDA cuCtxSetCurrent(void *) { return 0; }
CUDA cuCtxGetCurrent(void **context) { return *context = &held, 0; }
CUDA cuEventCreate(void **event, unsigned) { return *event = &held, 0; }
CUDA cuEventDestroy_v2(void *) { return 0; }
CUDA cuEventRecord_ptsz(void *, void *) { return 0; }
CUDA cuStreamCreate(void **stream, unsigned) { return *stream = &held, 0; }
CUDA cuStreamDestroy_v2(void *) { return 0; }
CUDA cuStreamSynchronize_ptsz(void *) { return queue()->done = queue()->begun.load(), 0; }
CUDA cuStreamWaitEvent_ptsz(void *, void *, unsigned) { return 0; }
CUDA cuMemAlloc_v2(uint64_t *to, size_t bytes) { return bytes ? allocate(to, bytes) : 1; }
CUDA cuMemAllocAsync_ptsz(uint64_t *to, size_t bytes, void *) { return allocate(to, bytes); }
CUDA cuMemFree_v2(uint64_t at) { return release(at); }
CUDA cuMemFreeAsync_ptsz(uint64_t at, void *) { return release(at); }
CUDA cuMemGetInfo_v2(size_t *free, size_t *total) { return *total = limit(), *free = limit() - held, 0; }
CUDA cuDeviceGetDefaultMemPool(void **pool, int) { return *pool = &held, 0; }
CUDA cuMemPoolSetAttribute(void *pool, int attribute, void *kept) {
    return pool != &held || attribute != 4 || *static_cast<uint64_t *>(kept) != UINT64_MAX;
}
CUDA cuMemPoolTrimTo(void *pool, size_t kept) { return pool != &held || kept; }
CUDA cuMemcpyHtoD_v2_ptds(uint64_t to, const void *from, size_t n) { return touch(to), std::memcpy(address(to), from, n), 0; }
CUDA cuMemcpyHtoDAsync_v2_ptsz(uint64_t to, const void *from, size_t n, void *) { return cuMemcpyHtoD_v2_ptds(to, from, n); }
CUDA cuMemcpyDtoH_v2_ptds(void *to, uint64_t from, size_t n) { return touch(from), std::memcpy(to, address(from), n), 0; }
CUDA cuMemcpyDtoHAsync_v2_ptsz(void *to, uint64_t from, size_t n, void *) { return cuMemcpyDtoH_v2_ptds(to, from, n); }
CUDA cuMemcpyDtoD_v2_ptds(uint64_t to, uint64_t from, size_t n) {
    if (n) touch(to), touch(from), std::memcpy(address(to), address(from), n);
    return 0;
}
CUDA cuMemcpyDtoDAsync_v2_ptsz(uint64_t to, uint64_t from, size_t n, void *) { return cuMemcpyDtoD_v2_ptds(to, from, n); }
CUDA cuMemsetD8_v2_ptds(uint64_t at, unsigned char value, size_t n) {
    if (n) touch(at);
    if (n && begin(FILLS)) std::memset(address(at), value, n);
    return 0;
}
CUDA cuMemsetD8Async_ptsz(uint64_t at, unsigned char value, size_t n, void *) { return cuMemsetD8_v2_ptds(at, value, n); }
CUDA cuModuleLoadData(void **module, const void *image) {
    // Kept for good: a program has one.
    *module = new std::string(static_cast<const char *>(image));
    return 0;
}
CUDA cuModuleUnload(void *) { return 0; }
CUDA cuModuleGetFunction(void **function, void *module, const char *name) {
    std::string entry = std::string(".entry ") + name + "(";
    if (static_cast<std::string *>(module)->find(entry) == std::string::npos) return NOT_FOUND;
    *function = new std::string(name);
    return 0;
}
CUDA cuLaunchKernel_ptsz(void *function, unsigned grid, unsigned, unsigned, unsigned block, unsigned, unsigned, unsigned,
                    void *, void **arguments, void **) {
    if (!begin(KERNELS)) return 0;
    return start(static_cast<std::string *>(function)->c_str(), grid * block, arguments) ? 0 : NOT_FOUND;
}
CUDA cuGetErrorName(int, const char **text) { return *text = "EMULATED", 0; }
CUDA cuGetErrorString(int error, const char **text) {
    *text = error == OUT_OF_MEMORY ? "out of memory" : error == 100 ? "no CUDA-capable device is detected" : "failed";
    return 0;
}

// cuBLAS's or cuSOLVER's: for the queue of the thread that calls (2), and one thread at a time.
struct Handle {
    std::atomic<bool> busy{false};
    void *queue = nullptr;
};
class Use {
    Handle &handle;

  public:
    explicit Use(void *handle) : handle(*static_cast<Handle *>(handle)) {
        if (this->handle.busy.exchange(true)) defect("two threads at once with a handle", 0);
        if (this->handle.queue != reinterpret_cast<void *>(2)) defect("a handle for another queue than the thread's own", 0);
    }
    ~Use() { handle.busy = false; }
};
static int create(void **handle) { return *handle = new Handle, 0; }
static int set_queue(void *handle, void *queue) { return static_cast<Handle *>(handle)->queue = queue, 0; }

static float number(float value) { return value; }
// A bfloat16.
static float number(uint16_t half) {
    uint32_t bits = uint32_t(half) << 16;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

// Column-major, by its definition.
template <class T>
static void gemm(int transpose_a, int transpose_b, int m, int n, int k, float alpha, const T *a, int lda, const T *b, int ldb,
                 float beta, float *c, int ldc) {
    std::vector<float> columns(size_t(m) * k);
    for (int p = 0; p < k; p++)
        for (int i = 0; i < m; i++)
            columns[size_t(p) * m + i] = number(transpose_a ? a[size_t(i) * lda + p] : a[size_t(p) * lda + i]);
    for (int j = 0; j < n; j++) {
        float *to = c + size_t(j) * ldc;
        for (int i = 0; i < m; i++) to[i] = beta == 0.0f ? 0.0f : beta * to[i];
        for (int p = 0; p < k; p++) {
            float factor = alpha * number(transpose_b ? b[size_t(p) * ldb + j] : b[size_t(j) * ldb + p]);
            for (int i = 0; i < m; i++) to[i] += columns[size_t(p) * m + i] * factor;
        }
    }
}
CUDA cublasSgemm_v2(void *handle, int transpose_a, int transpose_b, int m, int n, int k, const float *alpha, const float *a,
                    int lda, const float *b, int ldb, const float *beta, float *c, int ldc) {
    Use use(handle);
    if (begin(PRODUCTS)) gemm(transpose_a, transpose_b, m, n, k, *alpha, a, lda, b, ldb, *beta, c, ldc);
    return 0;
}
CUDA cublasSgemmStridedBatched(void *handle, int transpose_a, int transpose_b, int m, int n, int k, const float *alpha,
                               const float *a, int lda, long long next_a, const float *b, int ldb, long long next_b,
                               const float *beta, float *c, int ldc, long long next_c, int batch) {
    Use use(handle);
    if (!begin(PRODUCTS)) return 0;
    for (; batch > 0; batch--, a += next_a, b += next_b, c += next_c)
        gemm(transpose_a, transpose_b, m, n, k, *alpha, a, lda, b, ldb, *beta, c, ldc);
    return 0;
}
// Of bfloat16 (14), to single precision (0), summed in that (68).
CUDA cublasGemmStridedBatchedEx(void *handle, int transpose_a, int transpose_b, int m, int n, int k, const float *alpha,
                                const uint16_t *a, int type_a, int lda, long long next_a, const uint16_t *b, int type_b, int ldb,
                                long long next_b, const float *beta, float *c, int type_c, int ldc, long long next_c, int batch,
                                int compute, int algorithm) {
    if (type_a != 14 || type_b != 14 || type_c != 0 || compute != 68 || algorithm != -1) return 7;
    Use use(handle);
    if (!begin(PRODUCTS)) return 0;
    for (; batch > 0; batch--, a += next_a, b += next_b, c += next_c)
        gemm(transpose_a, transpose_b, m, n, k, *alpha, a, lda, b, ldb, *beta, c, ldc);
    return 0;
}
CUDA cublasCreate_v2(void **handle) { return counts[HANDLES]++, create(handle); }
CUDA cublasDestroy_v2(void *handle) { return delete static_cast<Handle *>(handle), 0; }
CUDA cublasSetStream_v2(void *handle, void *queue) { return set_queue(handle, queue); }
CUDA cublasSetMathMode(void *, int) { return 0; }

// cuSOLVER, of single precision (0), by the lower triangle (0).
CUDA cusolverDnCreate(void **handle) { return create(handle); }
CUDA cusolverDnCreateParams(void **params) { return *params = &held, 0; }
CUDA cusolverDnSetStream(void *handle, void *queue) { return set_queue(handle, queue); }
CUDA cusolverDnXpotrf_bufferSize(void *, void *, int uplo, int64_t, int type, const void *, int64_t, int compute,
                                 size_t *on_device, size_t *on_host) {
    return *on_device = 1000, *on_host = 10, uplo || type || compute;
}
CUDA cusolverDnXpotrf(void *handle, void *params, int uplo, int64_t n, int type, void *a, int64_t lda, int compute,
                      void *on_device, size_t bytes, void *on_host, size_t bytes_on_host, int *info) {
    Use use(handle);
    if (params != &held || uplo || type || compute || lda != n) return 3;
    std::memset(on_device, 1, bytes);
    std::memset(on_host, 1, bytes_on_host);
    return *info = cholesky(n, static_cast<float *>(a)), 0;
}
CUDA cusolverDnXpotrs(void *handle, void *params, int uplo, int64_t n, int64_t columns, int type, const void *a,
                      int64_t lda, int type_b, void *b, int64_t ldb, int *info) {
    Use use(handle);
    if (params != &held || uplo || type || type_b || lda != n || ldb != n) return 3;
    cholesky_solve(n, static_cast<const float *>(a), columns, static_cast<float *>(b));
    return *info = 0, 0;
}

// Never called.
#define ABSENT(name) \
    CUDA name() { return UNKNOWN; }
ABSENT(cuDestroyExternalMemory)
ABSENT(cuDeviceTotalMem_v2)
ABSENT(cuEventElapsedTime)
ABSENT(cuExternalMemoryGetMappedBuffer)
ABSENT(cuImportExternalMemory)
ABSENT(cuModuleLoad)
ABSENT(cuOccupancyAvailableDynamicSMemPerBlock)
ABSENT(cuOccupancyMaxActiveBlocksPerMultiprocessor)
ABSENT(cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags)
ABSENT(cuOccupancyMaxActiveClusters)
ABSENT(cuOccupancyMaxPotentialBlockSize)
ABSENT(cuOccupancyMaxPotentialBlockSizeWithFlags)
ABSENT(cuOccupancyMaxPotentialClusterSize)
ABSENT(cuProfilerStart)
ABSENT(cuProfilerStop)
ABSENT(cublasDgemmStridedBatched)
ABSENT(cublasDgemm_v2)
ABSENT(cublasDgemv_v2)
ABSENT(cublasGemmEx)
ABSENT(cublasSgemv_v2)
