/* Stands between a process and the kernel: calls on files below one path fail on order, the wall clock is
 * moved. Orders stand in a file mapped into every process that was started with LD_PRELOAD and
 * SHIM_ORDERS; tests/faults/shim.py writes them. Only the calls are changed: the bytes are the kernel's. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

enum { SYNC = 1, WRITE = 2, OPEN = 4, NAMES = 8, SHORT = 16, SLOW = 32 };

struct orders {
    int64_t clock_offset_ns;
    int32_t calls;     /* which kinds fail, a sum of the above */
    int32_t error;     /* with this errno; SHORT writes half the bytes, SLOW syncs so many ms later */
    int64_t after;     /* so many calls still succeed */
    int64_t times;     /* so many then fail, all of them with 0 */
    int64_t failed;    /* so many failed already */
    int64_t failed_ns; /* when the first one did, by the monotonic clock */
    char path[208];    /* only on files whose path holds this */
};

static struct orders none, *orders = &none;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("SHIM_ORDERS");
    int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, "open64");
    int fd = path ? real(path, O_RDWR | O_CLOEXEC) : -1;
    void *mapped = fd < 0 ? MAP_FAILED : mmap(0, sizeof none, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED) {
        fprintf(stderr, "shim: no orders in %s\n", path ? path : "SHIM_ORDERS");
        abort();
    }
    orders = mapped;
    close(fd);
}

static int is_meant(int kind, const char *path) {
    if (!(orders->calls & kind) || !path || !strstr(path, orders->path)) return 0;
    int64_t left = __atomic_fetch_sub(&orders->after, 1, __ATOMIC_SEQ_CST);
    if (left > 0 || (orders->times && -left >= orders->times)) return 0;
    if (__atomic_fetch_add(&orders->failed, 1, __ATOMIC_SEQ_CST) == 0) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        orders->failed_ns = now.tv_sec * 1000000000LL + now.tv_nsec;
    }
    return 1;
}

static int is_meant_fd(int kind, int fd) {
    if (!(orders->calls & kind)) return 0;
    char link[32], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0) return 0;
    path[size] = 0;
    return is_meant(kind, path);
}

static int failing(void) {
    errno = orders->error;
    return -1;
}

#define REAL(name) static __typeof__(&name) real; if (!real) real = dlsym(RTLD_NEXT, #name)

static void dawdle(int fd) {
    struct timespec time = {orders->error / 1000, orders->error % 1000 * 1000000L};
    if (is_meant_fd(SLOW, fd)) nanosleep(&time, 0);
}

int fdatasync(int fd) {
    REAL(fdatasync);
    dawdle(fd);
    return is_meant_fd(SYNC, fd) ? failing() : real(fd);
}
int fsync(int fd) {
    REAL(fsync);
    dawdle(fd);
    return is_meant_fd(SYNC, fd) ? failing() : real(fd);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t position) {
    REAL(pwrite64);
    if (is_meant_fd(WRITE, fd)) return failing();
    if (size > 1 && is_meant_fd(SHORT, fd)) size /= 2;
    return real(fd, data, size, position);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t position) {
    return pwrite64(fd, data, size, position);
}

int posix_fallocate64(int fd, off64_t position, off64_t size) {
    REAL(posix_fallocate64);
    return is_meant_fd(WRITE, fd) ? orders->error : real(fd, position, size);
}

static int is_for_writing(int flags) { return (flags & O_ACCMODE) != O_RDONLY || flags & O_CREAT; }

int open64(const char *path, int flags, ...) {
    REAL(open64);
    mode_t mode = 0;
    if (flags & (O_CREAT | __O_TMPFILE)) {
        va_list more;
        va_start(more, flags);
        mode = va_arg(more, mode_t);
        va_end(more);
    }
    return is_for_writing(flags) && is_meant(OPEN, path) ? failing() : real(path, flags, mode);
}

int rename(const char *from, const char *to) {
    REAL(rename);
    return is_meant(NAMES, to) ? failing() : real(from, to);
}
int unlink(const char *path) { REAL(unlink); return is_meant(NAMES, path) ? failing() : real(path); }
int mkdir(const char *path, mode_t mode) {
    REAL(mkdir);
    struct stat found;
    if (!(orders->calls & NAMES) || !stat(path, &found)) return real(path, mode);
    return is_meant(NAMES, path) ? failing() : real(path, mode);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    REAL(clock_gettime);
    int result = real(clock, now);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        int64_t at = now->tv_sec * 1000000000LL + now->tv_nsec + orders->clock_offset_ns;
        now->tv_sec = at / 1000000000;
        now->tv_nsec = at % 1000000000;
    }
    return result;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec exact;
    int result = clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return result;
}
time_t time(time_t *now) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (now) *now = exact.tv_sec;
    return exact.tv_sec;
}
