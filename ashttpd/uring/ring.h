/* What the parts of the shim share: the ring, its slots and maps, how operations are prepared. */
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "scan.c"
#include "hot.c"
#include "bodies.c"

enum mode { HEADS, RAW };
enum kind { KIND_HEAD, KIND_DATA, KIND_END, KIND_SENT, KIND_PENDING, KIND_ACCEPTED, KIND_REFUSED,
            KIND_WAKE, KIND_FETCHED, KIND_GONE, KIND_WAITING };
enum operation { OP_ACCEPT, OP_RECEIVE, OP_SEND, OP_POPULATE, OP_FETCH, OP_RELEASE, OP_WAKE,
                 OP_CANCEL, OP_ADVICE, OP_ROOM };
enum {
    /* Completions that a turn hands out. */
    MAX_EVENTS = 256,
    /* Windows that a turn begins. */
    MAX_WINDOWS = 64,
    /* Each may need two events, and the last finds room still; a send of the turn needs three. */
    EVENT_ROOM = 2 * MAX_EVENTS + 2 * MAX_WINDOWS + 3,
    EVENT_ROOM_OF_SEND = 3,
    /* Most requests fit several times; larger ones come in parts. */
    BUFFER_BYTES = 4096,
    /* A key is written right behind what came. */
    STRIDE = BUFFER_BYTES + BUFFER_BYTES + KEY_OVERHEAD_BYTES,
    BUFFER_GROUP = 0,
    KIND_SHIFT = 24,
    DESCRIPTOR_MASK = (1 << KIND_SHIFT) - 1,
    /* Flags beside the descriptor of a send. */
    WITH_BODY = 1 << 30,
    LAST = 1 << 29,
    TELL = 1 << 28,
    HOT = 1 << 27,
    /* What is known to be mapped in, or is brought in, at a time. */
    CHUNK_BYTES = 128 << 10,
    /* Page tables cost memory, too: with so many chunks of a file mapped in, all are let go. */
    MAX_CHUNKS = 8192,
    /* A huge page; what is left of a body that has so much is brought in by them. */
    HUGE_BYTES = 2 << 20,
    /* Of a body up to here the whole is sent without waiting for a turn. */
    SMALL_BYTES = 64 << 10,
    MAX_MAPS = 1 << 16,
    PAGE_BYTES = 4096,
    MAX_SUBMITS = 100,
    /* Of a send: that it left at once. */
    DONE = 1,
};
/* madvise through the ring takes 32 bits of length. */
static const int64_t RELEASE_BYTES = 1LL << 30;

struct slot {
    struct iovec parts[2]; /* the head, or bytes within the body; of a file, by its map */
    int64_t wanted, before; /* bytes of the send under way; those that left at once */
    int64_t rest;          /* bytes of the part of a file behind the window under way */
    int64_t behind;        /* bytes that will be sent behind all that, of the same body */
    int32_t number;        /* of its plan in the queue, or among the hot ones */
    int32_t map;
    uint32_t asked;        /* the turn that handed out a whole head */
    uint32_t generation;   /* of hot answers when its send was decided on */
    uint8_t open, mode;
    uint8_t receiving, sending, fetching; /* operations in flight */
    uint8_t told;          /* whether the end of the send is told, whatever it is */
    uint8_t windowless;    /* whether it waits for its turn to be sent one */
    uint8_t roomless;      /* whether what it sends waits for the socket to take more */
    uint8_t entered;       /* whether it has an entry among those who do, perhaps an old one */
    uint8_t hot, last, deaf, waiting, closing, owed;
};

struct map {
    char *start;
    int64_t length;
    int file; /* lives as long as any plan that has a part of it */
    uint32_t *seen; /* for each chunk, the second in which all of it was found mapped in */
    int32_t chunks, releasing;
    uint8_t open, doomed;
};

typedef struct ashttpd_ring {
    struct io_uring uring;
    struct ashttpd_limits limits;
    struct io_uring_buf_ring *buffers;
    char *pool;
    uint32_t buffer_count, slot_count, turn, second;
    struct hot hot;
    struct pipe pipe;
    int in_flight, pagemap, wake;
    int room; /* new sockets that may be taken before the next turn */
    struct slot *slots;
    struct map *maps;
    int32_t *waiting; /* descriptors whose receive is to be armed once there are buffers again */
    uint32_t waiting_count;
    int32_t *turns; /* a circle of descriptors that wait to be sent a window */
    uint32_t turns_first, turns_count;
    uint16_t *used;   /* buffers to recycle with the next turn */
    uint32_t used_count, fresh_count;
    uint64_t woken;
} ashttpd_ring;

/* How far behind its id the content of a bytes object lies. */
int64_t ashttpd_content;

static uint64_t tag(enum operation operation, int fd)
{
    return (uint64_t)operation << 32 | (uint32_t)fd;
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

/* An entry of the submission queue; NULL where the kernel takes none for want of memory. */
static struct io_uring_sqe *new_entry(ashttpd_ring *ring)
{
    struct io_uring_sqe *entry;
    for (int i = 0; !(entry = io_uring_get_sqe(&ring->uring)); i++) {
        int result = io_uring_submit(&ring->uring);
        if (result < 0 && result != -EINTR && i >= MAX_SUBMITS)
            return NULL;
    }
    return entry;
}

/* A prepared entry, or NULL. The user data comes last: liburing's functions overwrite it. */
#define PREPARE(ring, data, prepare, ...)                              \
    ({                                                                 \
        struct io_uring_sqe *entry_ = new_entry(ring);                 \
        if (entry_) {                                                  \
            prepare(entry_, ##__VA_ARGS__);                            \
            entry_->user_data = (data);                                \
        }                                                              \
        entry_;                                                        \
    })
