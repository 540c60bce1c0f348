/* A worker's turn in one call: send what is queued, wait, receive, scan.
 *
 * Every call from Python gives the interpreter's lock away and takes it again, which with several
 * threads costs as much as the request; one call per turn does it once for up to MAX_EVENTS
 * requests. sockets.py documents what goes in and out. All functions return -errno for failures.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "scan.c"

enum mode { HEADS, RAW, WRITE, WAKE, PAUSED };
enum kind { KIND_HEAD, KIND_DATA, KIND_END, KIND_WRITABLE, KIND_SHORT, KIND_WAKE };
enum {
    MAX_EVENTS = 64,
    /* What is received of a socket at a time, if a head may not be larger: what most clients pipeline,
     * and enough of a body for one call. */
    RECEIVE_BYTES = 16384,
    KIND_SHIFT = 24,
    WITH_FILE = 1 << 30,
    LAST = 1 << 29,
    DESCRIPTOR_MASK = (1 << KIND_SHIFT) - 1,
};

/* How far behind its id the content of a bytes object lies. */
int64_t ashttpd_content;

int ashttpd_epoll(void)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    return epoll < 0 ? -errno : epoll;
}

int ashttpd_forget(int epoll, int fd)
{
    return epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL) < 0 ? -errno : 0;
}

/* Closing is not enough: while the acceptor is still within the call that added the socket, its file
 * lives on in the set, and would be reported under a number that may be another's by then. */
int ashttpd_drop(int epoll, int fd)
{
    ashttpd_forget(epoll, fd);
    return close(fd) < 0 ? -errno : 0;
}

static int watch(int epoll, int operation, int fd, int mode)
{
    struct epoll_event event = {
        .events = mode == PAUSED ? 0 : mode == WRITE ? EPOLLOUT : EPOLLIN,
        .data.u64 = (uint64_t)mode << 32 | (uint32_t)fd,
    };
    return epoll_ctl(epoll, operation, fd, &event) < 0 ? -errno : 0;
}

int ashttpd_watch(int epoll, int fd, int mode)
{
    return watch(epoll, EPOLL_CTL_MOD, fd, mode);
}

int ashttpd_add(int epoll, const int32_t *fds, int count, int mode)
{
    for (int i = 0; i < count; i++) {
        int failure = watch(epoll, EPOLL_CTL_ADD, fds[i], mode);
        if (failure)
            return i ? i : failure;
    }
    return count;
}

static int32_t *put_event(int32_t *event, int kind, int fd, int32_t start, int32_t length,
                          int32_t key_length)
{
    event[0] = kind << KIND_SHIFT | fd;
    event[1] = start;
    event[2] = length;
    event[3] = key_length;
    return event + 4;
}

/* Sends bytes, then perhaps a part of a file, until the socket takes no more. Returns how much left,
 * or -errno if nothing did. No MSG_MORE: a head of its own is cheaper than a body off its pages. */
static ssize_t send_one(int fd, const char *data, size_t length, int file, off_t offset,
                        size_t file_length)
{
    ssize_t n = send(fd, data, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0)
        return -errno;
    if ((size_t)n == length && file_length) {
        ssize_t m = sendfile(fd, file, &offset, file_length);
        if (m > 0)
            n += m;
    }
    return n;
}

/* Sends are triples: descriptor, id of a bytes object, length. WITH_FILE in the first says that
 * another follows: descriptor of a file, offset, length. LAST says to close the socket behind it. */
static int32_t *send_all(int epoll, const int64_t *sends, int count, int32_t *event)
{
    const int64_t *stop = sends + count;
    for (int i = 0; sends < stop; i++) {
        const int64_t *file = sends[0] & WITH_FILE ? sends + 3 : NULL;
        int fd = (int)(sends[0] & DESCRIPTOR_MASK);
        ssize_t all = sends[2] + (file ? file[2] : 0);
        ssize_t n = send_one(fd, (const char *)sends[1] + ashttpd_content, (size_t)sends[2],
                             file ? (int)file[0] : -1, file ? file[1] : 0,
                             file ? (size_t)file[2] : 0);
        if (n != all)
            event = put_event(event, KIND_SHORT, fd, i, (int32_t)n, 0);
        else if (sends[0] & LAST)
            ashttpd_drop(epoll, fd);
        sends += file ? 6 : 3;
    }
    return event;
}

/* A whole head is received at once. */
static int32_t receive_bytes(const struct ashttpd_limits *limits)
{
    return limits->head_bytes > RECEIVE_BYTES ? limits->head_bytes : RECEIVE_BYTES;
}

int32_t ashttpd_buffer_bytes(const struct ashttpd_limits *limits)
{
    return MAX_EVENTS * (receive_bytes(limits) + ashttpd_max_key(limits));
}

int ashttpd_turn(int epoll, const struct ashttpd_limits *limits, const int64_t *sends,
                 int send_numbers, int timeout, char *buffer, int32_t *events)
{
    size_t most = (size_t)receive_bytes(limits);
    struct epoll_event ready[MAX_EVENTS];
    int32_t *event = send_all(epoll, sends, send_numbers, events);
    int32_t used = 0;

    /* What fell short is dealt with first: its peer's next bytes have to wait. */
    if (event != events)
        return (int)(event - events) / 4;
    int count = epoll_wait(epoll, ready, MAX_EVENTS, timeout);
    if (count < 0 && errno != EINTR)
        return -errno;
    for (int i = 0; i < count; i++) {
        int fd = (int)(uint32_t)ready[i].data.u64, mode = (int)(ready[i].data.u64 >> 32);
        if (mode == WRITE) {
            event = put_event(event, KIND_WRITABLE, fd, 0, 0, 0);
            continue;
        }
        if (mode == PAUSED) { /* nothing but EPOLLHUP and EPOLLERR, which nobody can turn off */
            event = put_event(event, KIND_END, fd, 0, 0, 0);
            continue;
        }
        if (mode == WAKE) {
            eventfd_t value;
            eventfd_read(fd, &value);
            event = put_event(event, KIND_WAKE, fd, 0, 0, 0);
            continue;
        }
        ssize_t n = recv(fd, buffer + used, most, MSG_DONTWAIT);
        if (n <= 0) {
            if (n == 0 || (errno != EAGAIN && errno != EINTR))
                event = put_event(event, KIND_END, fd, n ? errno : 0, 0, 0);
            continue;
        }
        int64_t scanned = mode == HEADS ? ashttpd_scan(limits, buffer + used, 0, (int32_t)n,
                                                       buffer + used + n) : 0;
        /* With a body behind it a head is not the whole request, wherever it ends. */
        int whole = scanned > 0 && (scanned & 0xffffffff) == n && buffer[used + n + 2] == '-';
        int32_t key_length = whole ? (int32_t)(scanned >> 32) : 0;
        event = put_event(event, whole ? KIND_HEAD : KIND_DATA, fd, used, (int32_t)n, key_length);
        used += (int32_t)n + key_length;
    }
    return (int)(event - events) / 4;
}

/* Accepts until nobody waits or `most` are there. A connection that failed while it waited is
 * passed over: accept(2) lists what Linux may report of it. */
int ashttpd_accept(int listener, int32_t *fds, int most)
{
    int count = 0;
    while (count < most) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0)
            fds[count++] = fd;
        else if (errno == EAGAIN || errno == EWOULDBLOCK)
            break;
        else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            return count ? count : -errno;
    }
    return count;
}

int ashttpd_send(int fd, const char *data, int64_t offset, int64_t length)
{
    ssize_t n = send(fd, data + offset, (size_t)(length - offset),
                     MSG_DONTWAIT | MSG_NOSIGNAL);
    return n < 0 ? -errno : (int)n;
}

int ashttpd_shutdown(int fd)
{
    return shutdown(fd, SHUT_WR) < 0 ? -errno : 0;
}
