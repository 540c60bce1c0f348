/* The ring's turn in one call: queue sends, submit, wait, and scan what came.
 *
 * ring.py documents what goes in and out. A socket has a slot, numbered by its descriptor, and is
 * closed only when no operation of it is in flight: so no completion can be another socket's. One
 * operation sends at a time for each. All functions return -errno for failures.
 */
#include "ring.h"

#include "setup.c"
#include "sockets.c"
#include "files.c"
#include "sends.c"

/* Tells of bytes at `start` of the pool: a whole head with its key, or anything else. */
static int32_t *came(ashttpd_ring *ring, int fd, int32_t start, int32_t length, int32_t *event)
{
    struct slot *slot = &ring->slots[fd];
    if (slot->mode == HEADS && !is_sending(slot)) {
        char *data = ring->pool + start;
        int64_t scanned = ashttpd_scan(&ring->limits, data, 0, length, data + length);
        /* With a body behind it a head is not the whole request, wherever it ends. */
        if (scanned > 0 && (scanned & 0xffffffff) == length && data[length + 2] == '-') {
            int32_t key_length = (int32_t)(scanned >> 32);
            int32_t *answered = answer_hot(ring, fd, data + length, key_length, event);
            if (answered)
                return answered;
            slot->asked = ring->turn;
            ring->hot.keys[fd] = (struct place){ start + length, key_length };
            return put_event(event, KIND_HEAD, fd, start, length, key_length);
        }
    }
    slot->mode = RAW;
    return put_event(event, KIND_DATA, fd, start, length, 0);
}

static int32_t *end_receive(ashttpd_ring *ring, int fd, int result, uint32_t flags, int32_t *event)
{
    struct slot *slot = &ring->slots[fd];
    if (!(flags & IORING_CQE_F_MORE)) {
        slot->receiving = 0;
        ring->in_flight--;
    }
    int32_t start = 0;
    if (flags & IORING_CQE_F_BUFFER) {
        uint16_t buffer = (uint16_t)(flags >> IORING_CQE_BUFFER_SHIFT);
        ring->used[ring->used_count++] = buffer;
        start = buffer * STRIDE;
    }
    if (slot->closing) {
        release(ring, fd);
        return event;
    }
    int again = result > 0 || result == -ENOBUFS || result == -EAGAIN || result == -EINTR
             || result == -ECANCELED;
    if (again && !slot->receiving && !slot->deaf)
        receive_later(ring, fd);
    if (again && result < 0)
        return event;
    event = tell_pending(ring, fd, event);
    return result > 0 ? came(ring, fd, start, result, event)
                      : put_event(event, KIND_END, fd, 0, result, 0);
}

/* Takes a new socket, and its request, which is there already: see DEFER_SECONDS of listen.py. */
static int32_t *welcome(ashttpd_ring *ring, int fd, int32_t *event)
{
    int32_t start = (int32_t)(ring->buffer_count + ring->fresh_count++) * STRIDE;
    ssize_t n = open_slot(ring, fd) ? 0 : recv(fd, ring->pool + start, BUFFER_BYTES, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN)) {
        if ((uint32_t)fd < ring->slot_count)
            release(ring, fd);
        else
            close(fd);
        return event;
    }
    event = put_event(event, KIND_ACCEPTED, fd, 0, 0, 0);
    if (n > 0)
        event = came(ring, fd, start, (int32_t)n, event);
    /* Nothing came, or it was answered already. */
    ring->fresh_count -= event[-4] >> KIND_SHIFT == KIND_ACCEPTED;
    /* Who wants one answer only will send no more. */
    if (event[-4] >> KIND_SHIFT == KIND_HEAD && ring->pool[start + n + 1] == 'c')
        return event;
    if (receive(ring, fd))
        receive_later(ring, fd);
    return event;
}

static int32_t *complete(ashttpd_ring *ring, struct io_uring_cqe *cqe, int32_t *event)
{
    int fd = (int)(uint32_t)cqe->user_data, result = cqe->res;
    switch ((enum operation)(cqe->user_data >> 32)) {
    case OP_RECEIVE:
        return end_receive(ring, fd, result, cqe->flags, event);
    case OP_SEND:
        ring->in_flight--;
        return end_send(ring, fd, result, event);
    case OP_ROOM:
        ring->in_flight--;
        return end_wait(ring, fd, result, event);
    case OP_POPULATE:
        ring->in_flight--;
        return end_populate(ring, fd, result, event);
    case OP_ACCEPT:
        if (result >= 0 && ring->room > 0) {
            ring->room--;
            event = welcome(ring, result, event);
        } else if (result >= 0) {
            event = put_event(event, KIND_WAITING, result, 0, 0, 0);
        }
        if (!(cqe->flags & IORING_CQE_F_MORE))
            event = put_event(event, KIND_REFUSED, fd, 0, result < 0 ? result : 0, 0);
        return event;
    case OP_FETCH:
        ring->in_flight--;
        ring->slots[fd].fetching = 0;
        if (!ring->slots[fd].closing)
            return put_event(event, KIND_FETCHED, fd, 0, result, 0);
        release(ring, fd);
        return event;
    case OP_RELEASE:
        ring->in_flight--;
        if (--ring->maps[fd].releasing == 0 && ring->maps[fd].doomed)
            ashttpd_ring_unmap(ring, fd);
        return event;
    case OP_WAKE:
        ashttpd_ring_wake_by(ring, fd);
        return put_event(event, KIND_WAKE, fd, 0, 0, 0);
    case OP_CANCEL:
    case OP_ADVICE:
        break;
    }
    return event;
}

/* Completes until a turn is full, or a socket comes again whose head is still to be answered. */
static int32_t *complete_all(ashttpd_ring *ring, int32_t *event)
{
    struct io_uring_cqe *cqe;
    unsigned head, count = 0;
    int32_t *full = event + 4 * 2 * MAX_EVENTS;
    io_uring_for_each_cqe(&ring->uring, head, cqe) {
        if (event >= full || ring->fresh_count == MAX_EVENTS)
            break;
        if (cqe->user_data >> 32 == OP_RECEIVE
            && ring->slots[(uint32_t)cqe->user_data].asked == ring->turn)
            break;
        event = complete(ring, cqe, event);
        count++;
    }
    io_uring_cq_advance(&ring->uring, count);
    return event;
}

/* Gives back the buffers that nobody refers to any more, then arms what had to wait for them. */
static void recycle(ashttpd_ring *ring)
{
    ring->fresh_count = 0;
    for (uint32_t i = 0; i < ring->used_count; i++)
        add_buffer(ring, ring->used[i], (int)i);
    io_uring_buf_ring_advance(ring->buffers, (int)ring->used_count);
    ring->used_count = 0;
    uint32_t count = ring->waiting_count;
    ring->waiting_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        int fd = ring->waiting[i];
        struct slot *slot = &ring->slots[fd];
        slot->waiting = 0;
        if (is_ours(ring, fd) && !slot->receiving && !slot->deaf && receive(ring, fd))
            receive_later(ring, fd);
    }
}

/* Takes the time; a second that is 0 was never. */
static void tick(ashttpd_ring *ring)
{
    read_clocks(&ring->hot);
    ring->second = (uint32_t)(ring->hot.now / 1000000) + 1;
}

void ashttpd_ring_forget(ashttpd_ring *ring, int64_t epoch) { forget_hot(&ring->hot, epoch); }

int ashttpd_ring_turn(ashttpd_ring *ring, const int64_t *sends, int numbers, int room, int timeout,
                      int32_t *events)
{
    struct io_uring_cqe *cqe;
    tick(ring);
    int64_t deadline = ring->hot.now + timeout * 1000LL;
    if (++ring->turn == 0)
        ring->turn = 1;
    ring->room = room;
    int32_t *event = start_sends(ring, sends, numbers, events);
    /* That sends or windows or hot answers have left is not worth a trip to Python. */
    do {
        recycle(ring);
        event = start_windows(ring, event);
        int is_busy = ring->turns_count > 0;
        int64_t left = is_busy || ring->hot.now > deadline ? 0 : deadline - ring->hot.now;
        struct __kernel_timespec limit = { left / 1000000, left % 1000000 * 1000 };
        int result = io_uring_submit_and_wait_timeout(&ring->uring, &cqe, event == events, &limit,
                                                      NULL);
        tick(ring);
        event = complete_all(ring, event);
        /* Python keeps the time, so with more to send than a turn takes it is its turn, too. */
        if (result == -ETIME || result == -EINTR || is_busy)
            break;
        if (result < 0 && result != -EBUSY && result != -EAGAIN)
            return result;
    } while (event == events && ring->hot.now < deadline);
    event = tell_all_pending(ring, sends, numbers, event);
    return (int)(event - events) / 4;
}
