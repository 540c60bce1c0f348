/* A worker's turn in one call: send what is queued, wait, receive, scan.
 *
 * Every call from Python gives the interpreter's lock away and takes it again, which with several
 * threads costs as much as the request; one call per turn does it once for up to MAX_EVENTS
 * requests. sockets.py documents what goes in and out. All functions return -errno for failures.
 */
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "hot.c"
#include "bodies.c"
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
    HOT = 1 << 28,
    DESCRIPTOR_MASK = (1 << KIND_SHIFT) - 1,
    /* How long what was found out about a part of a file is believed. */
    POUR_MICROSECONDS = 1000000,
};

/* A part of a file that is sent as the socket takes it. */
struct pour {
    int64_t offset, left; /* nothing left: there is none */
    int64_t sent;         /* since somebody asked for it */
    int64_t until;        /* what is sent later has to be looked at again */
    uint32_t generation;  /* the same of what is sent when hot answers were forgotten */
    int file;
};

/* How far behind its id the content of a bytes object lies. */
int64_t ashttpd_content;

typedef struct ashttpd_sockets {
    int epoll;
    uint32_t most; /* of sockets: what their numbers are below */
    int32_t owned; /* sockets; changed by several threads */
    uint64_t queue;   /* the number of the queue that is sent next */
    uint64_t *struck; /* by the number of a socket: the last queue that it went in the time of */
    struct ashttpd_limits limits;
    struct hot hot;
    struct pipe pipe;
    struct pour *pours; /* by the number of the socket; untouched memory costs nothing */
    int last_poured;      /* the socket that was sent a window last */
    char *came;
} ashttpd_sockets;

/* A whole head is received at once. */
static int32_t receive_bytes(const struct ashttpd_limits *limits)
{
    return limits->head_bytes > RECEIVE_BYTES ? limits->head_bytes : RECEIVE_BYTES;
}

/* Every socket of a turn has room to bring as much as it may, which hardly any does. */
int64_t ashttpd_came_bytes(const ashttpd_sockets *sockets)
{
    return (int64_t)MAX_EVENTS
         * (receive_bytes(&sockets->limits) + ashttpd_max_key(&sockets->limits));
}

char *ashttpd_came(ashttpd_sockets *sockets) { return sockets->came; }

/* Pairs, by the number of a socket: see struct activity. */
uint64_t *ashttpd_activities(ashttpd_sockets *sockets)
{
    return &sockets->hot.activities->answers;
}

int64_t ashttpd_last_answer(ashttpd_sockets *sockets) { return sockets->hot.last; }

void ashttpd_close(ashttpd_sockets *sockets)
{
    if (sockets->epoll >= 0)
        close(sockets->epoll);
    close_hot(&sockets->hot);
    close_pipe(&sockets->pipe);
    free(sockets->struck);
    free(sockets->pours);
    free(sockets->came);
    free(sockets);
}

int ashttpd_open(ashttpd_sockets **out, const struct ashttpd_limits *limits, uint32_t most,
                 int32_t *distrusted)
{
    ashttpd_sockets *sockets = calloc(1, sizeof *sockets);
    if (!sockets)
        return -ENOMEM;
    sockets->most = most;
    sockets->queue = 1; /* not 0, which is struck out for all */
    sockets->limits = *limits;
    int failed = open_hot(&sockets->hot, most, distrusted);
    sockets->came = calloc((size_t)ashttpd_came_bytes(sockets), 1);
    sockets->pours = calloc(most, sizeof *sockets->pours);
    sockets->struck = calloc(most, sizeof *sockets->struck);
    sockets->epoll = epoll_create1(EPOLL_CLOEXEC);
    open_pipe(&sockets->pipe);
    if (failed || !sockets->came || !sockets->pours || !sockets->struck || sockets->epoll < 0) {
        int result = sockets->epoll < 0 ? -errno : -ENOMEM;
        ashttpd_close(sockets);
        return result;
    }
    *out = sockets;
    return 0;
}

/* Owns a socket no more. Its number may be another socket's at once, here or with another worker, so
 * nothing that is known by the number outlives this: where something is queued, what is queued for
 * this number is struck out. */
void ashttpd_forget(ashttpd_sockets *sockets, int fd, int is_queued)
{
    if (is_queued)
        sockets->struck[fd] = sockets->queue;
    sockets->hot.activities[fd] = (struct activity){ 0 };
    sockets->pours[fd] = (struct pour){ 0 };
    __atomic_sub_fetch(&sockets->owned, 1, __ATOMIC_RELAXED);
    epoll_ctl(sockets->epoll, EPOLL_CTL_DEL, fd, NULL); /* fails where it is not watched any more */
}

/* How many sockets are owned; for any thread. */
int ashttpd_count(const ashttpd_sockets *sockets)
{
    return __atomic_load_n(&sockets->owned, __ATOMIC_RELAXED);
}

void ashttpd_forget_hot(ashttpd_sockets *sockets, int64_t epoch)
{
    forget_hot(&sockets->hot, epoch);
}

/* Closing is not enough: while the acceptor is still within the call that added the socket, its file
 * lives on in the set, and would be reported under a number that may be another's by then. */
void ashttpd_drop(ashttpd_sockets *sockets, int fd, int is_queued)
{
    ashttpd_forget(sockets, fd, is_queued);
    close(fd); /* releases the number, whatever it says */
}

static int watch(ashttpd_sockets *sockets, int operation, int fd, int mode)
{
    struct epoll_event event = {
        .events = mode == PAUSED ? 0 : mode == WRITE ? EPOLLOUT : EPOLLIN,
        .data.u64 = (uint64_t)mode << 32 | (uint32_t)fd,
    };
    return epoll_ctl(sockets->epoll, operation, fd, &event) < 0 ? -errno : 0;
}

int ashttpd_watch(ashttpd_sockets *sockets, int fd, int mode)
{
    return watch(sockets, EPOLL_CTL_MOD, fd, mode);
}

int ashttpd_add(ashttpd_sockets *sockets, const int32_t *fds, int count, int mode)
{
    for (int i = 0; i < count; i++) {
        int failure = (uint32_t)fds[i] < sockets->most ? 0 : -EMFILE;
        if (!failure) {
            /* Counted before its first event can come, which may end it. */
            __atomic_add_fetch(&sockets->owned, mode != WAKE, __ATOMIC_RELAXED);
            failure = watch(sockets, EPOLL_CTL_ADD, fds[i], mode);
            if (failure)
                __atomic_sub_fetch(&sockets->owned, mode != WAKE, __ATOMIC_RELAXED);
        }
        if (failure)
            return i ? i : failure;
    }
    return count;
}

/* Sends a part of a file as the socket takes it; for a socket that is watched for room. */
void ashttpd_pour(ashttpd_sockets *sockets, int fd, int file, int64_t offset, int64_t length)
{
    sockets->pours[fd] = (struct pour){ .file = file, .offset = offset, .left = length,
                                        .until = sockets->hot.now + POUR_MICROSECONDS,
                                        .generation = sockets->hot.generation };
}

/* Whether its file may still be sent. */
static int is_trusted(const ashttpd_sockets *sockets, const struct pour *pour)
{
    return sockets->hot.now < pour->until && holds(&sockets->hot, pour->generation);
}

/* How much of that has left since this was asked last. */
int64_t ashttpd_poured(ashttpd_sockets *sockets, int fd)
{
    int64_t sent = sockets->pours[fd].sent;
    sockets->pours[fd].sent = 0;
    return sent;
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
 * or -errno if nothing did. */
static ssize_t send_one(ashttpd_sockets *sockets, int fd, const char *data, size_t length, int file,
                        off_t offset, size_t file_length)
{
    ssize_t n = send(fd, data, length, MSG_DONTWAIT | MSG_NOSIGNAL | flag_of_head(file_length));
    if (n < 0)
        return -errno;
    if ((size_t)n == length && file_length) {
        ssize_t m = send_part(&sockets->pipe, fd, file, offset, file_length);
        if (m > 0)
            n += m;
    }
    return n;
}

/* Sends what was remembered, if anything was, to who has asked for it. Returns NULL where somebody
 * has to think about it; what falls short is told. */
static int32_t *answer_hot(ashttpd_sockets *sockets, int fd, const char *key,
                           int32_t key_length, int32_t *event)
{
    struct hot_answer *answer = recall(&sockets->hot, key, key_length);
    if (!answer)
        return NULL;
    ssize_t n = send_one(sockets, fd, answer->head, (size_t)answer->head_length, answer->file,
                         answer->offset, (size_t)answer->length);
    if (n < 0)
        return NULL;
    note_answer(&sockets->hot, fd);
    if (n == answer->head_length + answer->length)
        return event;
    return put_event(event, KIND_SHORT, fd, answer->number, (int32_t)n, 1);
}

/* Sends are triples: descriptor, id of a bytes object, length. WITH_FILE in the first says that
 * another follows: descriptor of a file, offset, length. LAST says to close the socket behind it, HOT
 * to send it to all clients that ask the same. A socket that went since they were queued is passed over,
 * whatever has its number now. */
static int32_t *send_all(ashttpd_sockets *sockets, const int64_t *sends, int count,
                         int32_t *event)
{
    const int64_t *stop = sends + count;
    int32_t queued = 0;
    if (count)
        sockets->hot.last = sockets->hot.now;
    while (sends < stop) {
        const int64_t *file = sends[0] & WITH_FILE ? sends + 3 : NULL;
        int fd = (int)(sends[0] & DESCRIPTOR_MASK), hot = (sends[0] & HOT) != 0;
        int is_last = (sends[0] & LAST) != 0;
        struct hot_answer answer = {
            .head = (const char *)sends[1] + ashttpd_content,
            .head_length = sends[2],
            .file = file ? (int32_t)file[0] : -1,
            .offset = file ? file[1] : 0,
            .length = file ? file[2] : 0,
            .number = hot ? sockets->hot.sent++ : queued++,
        };
        sends += file ? 6 : 3;
        if (sockets->struck[fd] == sockets->queue)
            continue;
        if (hot)
            remember(&sockets->hot, sockets->came, fd, &answer);
        ssize_t n = send_one(sockets, fd, answer.head, (size_t)answer.head_length, answer.file,
                             answer.offset, (size_t)answer.length);
        if (n != answer.head_length + answer.length)
            event = put_event(event, KIND_SHORT, fd, answer.number, (int32_t)n, hot);
        else if (is_last)
            ashttpd_drop(sockets, fd, 0);
    }
    sockets->queue++;
    return event;
}

/* Receives from a socket at `start` of what came; adds to it how much that was. */
static int32_t *receive(ashttpd_sockets *sockets, int fd, int mode, int32_t *start,
                        int32_t *event)
{
    char *data = sockets->came + *start;
    ssize_t n = recv(fd, data, (size_t)receive_bytes(&sockets->limits), MSG_DONTWAIT);
    if (n <= 0) {
        int is_end = n == 0 || (errno != EAGAIN && errno != EINTR);
        return is_end ? put_event(event, KIND_END, fd, n ? errno : 0, 0, 0) : event;
    }
    int64_t scanned = mode == HEADS
        ? ashttpd_scan(&sockets->limits, data, 0, (int32_t)n, data + n) : 0;
    /* With a body behind it a head is not the whole request, wherever it ends. */
    int whole = scanned > 0 && (scanned & 0xffffffff) == n && data[n + 2] == '-';
    int32_t key_length = whole ? (int32_t)(scanned >> 32) : 0;
    if (whole) {
        int32_t *answered = answer_hot(sockets, fd, data + n, key_length, event);
        if (answered)
            return answered;
        sockets->hot.keys[fd] = (struct place){ *start + (int32_t)n, key_length };
    }
    event = put_event(event, whole ? KIND_HEAD : KIND_DATA, fd, *start, (int32_t)n, key_length);
    *start += (int32_t)n + key_length;
    return event;
}

/* Sends of a part of a file what the socket takes, and at most `most`. Tells of room where there is
 * no such part, it is through or no more to be trusted, or there is a failure to be found out about.
 * Returns how much it was. */
static int64_t send_window(ashttpd_sockets *sockets, int fd, int64_t most, int32_t **event)
{
    struct pour *pour = &sockets->pours[fd];
    ssize_t n = 0;
    int failed = 0;
    if (pour->left && is_trusted(sockets, pour)) {
        most = most < WINDOW_BYTES ? most : WINDOW_BYTES;
        n = send_part(NULL, fd, pour->file, pour->offset,
                      (size_t)(pour->left < most ? pour->left : most));
        failed = n == 0 || (n < 0 && errno != EAGAIN);
        n = n < 0 ? 0 : n;
        pour->offset += n;
        pour->left -= n;
        pour->sent += n;
    } else {
        pour->left = 0;
    }
    if (failed || !pour->left) {
        pour->left = 0;
        *event = put_event(*event, KIND_WRITABLE, fd, 0, 0, 0);
    }
    return n;
}

/* Sends to those who have room as much as a turn has room for. The others are reported again, in the
 * same order: so whoever came behind the last one is the first of the next turn. */
static int32_t *send_windows(ashttpd_sockets *sockets, const struct epoll_event *ready, int count,
                             int32_t *event)
{
    int64_t room = room_of_turn(&sockets->hot);
    int first = 0;
    for (int i = 0; i < count; i++)
        if ((int)(uint32_t)ready[i].data.u64 == sockets->last_poured)
            first = i + 1;
    for (int i = first; i < first + count && room > 0; i++) {
        const struct epoll_event *one = &ready[i % count];
        if (one->data.u64 >> 32 != WRITE)
            continue;
        sockets->last_poured = (int)(uint32_t)one->data.u64;
        room -= send_window(sockets, sockets->last_poured, room, &event);
    }
    return event;
}

/* Waits for at most so many milliseconds, and receives. */
static int32_t *receive_all(ashttpd_sockets *sockets, int timeout, int32_t *event)
{
    struct epoll_event ready[MAX_EVENTS];
    int32_t used = 0;
    int count = epoll_wait(sockets->epoll, ready, MAX_EVENTS, timeout);
    if (count < 0 && errno != EINTR)
        return NULL;
    read_clocks(&sockets->hot);
    for (int i = 0; i < count; i++) {
        int fd = (int)(uint32_t)ready[i].data.u64, mode = (int)(ready[i].data.u64 >> 32);
        if (mode == WRITE) {
            continue;
        } else if (mode == PAUSED) { /* EPOLLHUP and EPOLLERR, which nobody can turn off */
            event = put_event(event, KIND_END, fd, 0, 0, 0);
        } else if (mode == WAKE) {
            eventfd_t value;
            eventfd_read(fd, &value);
            event = put_event(event, KIND_WAKE, fd, 0, 0, 0);
        } else {
            event = receive(sockets, fd, mode, &used, event);
        }
    }
    return send_windows(sockets, ready, count, event);
}

int ashttpd_turn(ashttpd_sockets *sockets, const int64_t *sends, int send_numbers,
                 int timeout, int32_t *events)
{
    read_clocks(&sockets->hot);
    int64_t now = sockets->hot.now, deadline = now + timeout * 1000LL;
    int32_t *event = send_all(sockets, sends, send_numbers, events);
    /* What fell short is dealt with first: its peer's next bytes have to wait. */
    if (event != events)
        return (int)(event - events) / 4;
    /* That hot answers have left is not worth a trip to Python. */
    do {
        event = receive_all(sockets, (int)((deadline - now + 999) / 1000), events);
        if (!event)
            return -errno;
        now = sockets->hot.now;
    } while (event == events && now < deadline);
    return (int)(event - events) / 4;
}

/* What accept(2) reports of one connection, which failed while it waited and is gone from the queue. */
static int is_of_connection(int number)
{
    return number == ECONNABORTED || number == EPROTO || number == ENOPROTOOPT || number == ENETDOWN
        || number == EHOSTDOWN || number == ENONET || number == EHOSTUNREACH
        || number == ENETUNREACH || number == EOPNOTSUPP || number == EPERM || number == EINTR;
}

/* Accepts until none waits or `most` are there. A connection that failed while it waited is passed
 * over. Any other failure ends the loop, and so does the number of tries: a failure that takes nothing
 * out of the queue would come for ever. */
int ashttpd_accept(int listener, int32_t *fds, int most)
{
    int count = 0, failure = 0;
    for (int tries = 0; count < most && tries < MAX_EVENTS; tries++) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            fds[count++] = fd;
            continue;
        }
        if (errno == EAGAIN)
            return count;
        failure = -errno;
        if (!is_of_connection(errno))
            break;
    }
    return count ? count : failure;
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
