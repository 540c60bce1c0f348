/* Sends, from the list of a turn to their end. */
static int is_sending(struct slot *slot)
{
    return slot->sending || slot->windowless;
}

/* Submits what is left of bytes that no part of a file follows. With MSG_WAITALL the kernel goes on
 * by itself where a socket takes less. */
static int send_bytes(ashttpd_ring *ring, int fd)
{
    struct iovec *bytes = &ring->slots[fd].parts[0];
    if (!PREPARE(ring, tag(OP_SEND, fd), io_uring_prep_send, fd, bytes->iov_base, bytes->iov_len,
                 MSG_NOSIGNAL | MSG_WAITALL))
        return -EAGAIN;
    ring->in_flight++;
    return 0;
}

/* Where a part of a file that is to be sent starts. */
static int64_t offset_of(ashttpd_ring *ring, struct slot *slot)
{
    return (char *)slot->parts[1].iov_base - ring->maps[slot->map].start;
}

static void advance(struct slot *slot, struct iovec *part, ssize_t count)
{
    part->iov_base = (char *)part->iov_base + count;
    part->iov_len -= (size_t)count;
    slot->before += count;
}

/* Sends of a head as much as the socket takes. */
static int send_head(ashttpd_ring *ring, int fd)
{
    struct slot *slot = &ring->slots[fd];
    struct iovec *head = &slot->parts[0];
    ssize_t n = send(fd, head->iov_base, head->iov_len,
                     MSG_DONTWAIT | MSG_NOSIGNAL | flag_of_head(slot->parts[1].iov_len));
    if (n < 0)
        return errno == EAGAIN ? 0 : -errno;
    advance(slot, head, n);
    return 0;
}

/* The same of a part of a file that is in memory. The ring has no operation for sendfile(2), which
 * costs half to two thirds of a send from the mapping; and a head that leaves before its body wakes the
 * peer sooner. */
static int send_file(ashttpd_ring *ring, int fd)
{
    struct slot *slot = &ring->slots[fd];
    int dont_block = 1, block = 0, file = ring->maps[slot->map].file;
    off_t offset = offset_of(ring, slot);
    size_t length = slot->parts[1].iov_len;
    if (ioctl(fd, FIONBIO, &dont_block) < 0)
        return -errno;
    /* Who is told waited for room before, or will: it takes less than that. */
    ssize_t n = send_part(slot->told ? NULL : &ring->pipe, fd, file, offset, length);
    int failure = n > 0 ? 0 : n == 0 ? EFAULT : errno;
    ioctl(fd, FIONBIO, &block);
    if (n > 0)
        advance(slot, &slot->parts[1], n);
    return failure == EAGAIN ? 0 : -failure;
}

/* Goes on when the socket takes more. */
static int wait_for_room(ashttpd_ring *ring, int fd)
{
    if (!PREPARE(ring, tag(OP_ROOM, fd), io_uring_prep_poll_add, fd, POLLOUT))
        return -EAGAIN;
    ring->slots[fd].roomless = 1;
    ring->in_flight++;
    return 0;
}

/* Leaves to the kernel what could not be sent at once. */
static int send_rest(ashttpd_ring *ring, int fd)
{
    struct slot *slot = &ring->slots[fd];
    if (slot->parts[1].iov_len)
        return wait_for_room(ring, fd);
    return slot->parts[0].iov_len ? send_bytes(ring, fd) : DONE;
}

/* Sends what is left and in memory. */
static int transmit(ashttpd_ring *ring, int fd)
{
    struct slot *slot = &ring->slots[fd];
    struct iovec *head = &slot->parts[0], *body = &slot->parts[1];
    if (!body->iov_len)
        return send_bytes(ring, fd);
    int result = head->iov_len ? send_head(ring, fd) : 0;
    if (!result && !head->iov_len)
        result = send_file(ring, fd);
    return result ? result : send_rest(ring, fd);
}

/* Begins what the slot describes: at once, or when its part of a file is here. */
static int start_send(ashttpd_ring *ring, int fd)
{
    struct slot *slot = &ring->slots[fd];
    if (slot->parts[1].iov_len) {
        struct map *map = &ring->maps[slot->map];
        int64_t offset = offset_of(ring, slot), length = (int64_t)slot->parts[1].iov_len;
        if (!is_warm(ring, map, offset, length))
            return populate(ring, map, offset, length, slot->rest + slot->behind,
                            tag(OP_POPULATE, fd));
    }
    return transmit(ring, fd);
}

/* From here on the end of the send decides what becomes of the socket, so nothing that comes before
 * it is known to be a head. */
static int32_t *put_pending(struct slot *slot, int fd, int32_t *event)
{
    slot->told = 1;
    slot->mode = RAW;
    return put_event(event, KIND_PENDING, fd, slot->number, 0, slot->hot);
}

/* Has a socket wait for its turn to be sent a window. Where one was dropped that did, its entry is
 * there still: then it is the next one's with this number. */
static void enter(ashttpd_ring *ring, int fd)
{
    struct slot *slot = &ring->slots[fd];
    slot->windowless = 1;
    if (slot->entered)
        return;
    slot->entered = 1;
    ring->turns[(ring->turns_first + ring->turns_count++) % ring->slot_count] = fd;
}

/* Ends an operation, and tells the end of a send. Of one that was queued and left wholly there is
 * nothing to say. Where something left before a failure, it is told as short, and fails again. */
static int32_t *end_send(ashttpd_ring *ring, int fd, int result, int32_t *event)
{
    struct slot *slot = &ring->slots[fd];
    slot->sending = 0;
    if (slot->closing) {
        if (slot->owed)
            event = put_event(event, KIND_GONE, fd, 0, 0, 0);
        release(ring, fd);
        return event;
    }
    if (result >= 0)
        slot->before += result;
    if (slot->rest && slot->before == slot->wanted - slot->rest) {
        slot->parts[0].iov_len = 0;
        slot->parts[1].iov_base = (char *)slot->parts[1].iov_base + slot->parts[1].iov_len;
        slot->parts[1].iov_len = 0;
        enter(ring, fd);
        return event;
    }
    if (slot->before)
        result = (int)slot->before;
    slot->rest = 0;
    if (!slot->told) {
        if (result == slot->wanted) {
            if (slot->last)
                ashttpd_ring_drop(ring, fd);
            return event;
        }
        event = put_pending(slot, fd, event);
    }
    return put_event(event, KIND_SENT, fd, 0, result, 0);
}

/* Notes how a send began, or went on. */
static int32_t *started(ashttpd_ring *ring, int fd, int result, int32_t *event)
{
    ring->slots[fd].sending = 1;
    return result ? end_send(ring, fd, result == DONE ? 0 : result, event) : event;
}

static int32_t *end_populate(ashttpd_ring *ring, int fd, int result, int32_t *event)
{
    struct slot *slot = &ring->slots[fd];
    struct map *map = &ring->maps[slot->map];
    if (slot->closing)
        return end_send(ring, fd, result, event);
    if (result == 0) {
        int64_t offset = offset_of(ring, slot);
        int64_t last = (offset + (int64_t)slot->parts[1].iov_len - 1) / CHUNK_BYTES;
        for (int64_t i = offset / CHUNK_BYTES; i <= last; i++)
            mark(map, i, ring->second);
        if (map->chunks > MAX_CHUNKS)
            let_go(ring, slot->map);
    }
    /* A file that was truncated; anything else the send will tell. */
    return started(ring, fd, result == -EFAULT ? result : transmit(ring, fd), event);
}

/* Has somebody look whether what is left may still be sent. */
static int32_t *look_again(ashttpd_ring *ring, int fd, int32_t *event)
{
    ring->slots[fd].rest = 0;
    return end_send(ring, fd, -ESTALE, event);
}

/* Goes on with who has waited for room; what has failed, sending tells. */
static int32_t *end_wait(ashttpd_ring *ring, int fd, int result, int32_t *event)
{
    struct slot *slot = &ring->slots[fd];
    slot->roomless = 0;
    if (slot->closing || result < 0)
        return end_send(ring, fd, result < 0 ? result : 0, event);
    if (!holds(&ring->hot, slot->generation))
        return look_again(ring, fd, event);
    return started(ring, fd, start_send(ring, fd), event);
}

/* Describes a send in its slot. */
static struct slot *describe(ashttpd_ring *ring, int fd, const char *head, int64_t length,
                             int32_t number, int64_t flags)
{
    struct slot *slot = &ring->slots[fd];
    slot->parts[0] = (struct iovec){ (char *)head, (size_t)length };
    slot->parts[1].iov_len = 0;
    slot->wanted = length;
    slot->before = 0;
    slot->number = number;
    slot->generation = ring->hot.generation;
    slot->told = (flags & TELL) != 0;
    slot->last = (flags & LAST) != 0;
    slot->hot = (flags & HOT) != 0;
    slot->rest = 0;
    return slot;
}

/* The same of a part of a file behind the head; -EFAULT where the file has no such part. */
static int describe_body(ashttpd_ring *ring, struct slot *slot, int32_t map, int64_t offset,
                         int64_t length)
{
    slot->map = map;
    if (!is_within(ring, map, offset, length))
        return -EFAULT;
    slot->parts[1].iov_base = ring->maps[map].start + offset;
    slot->parts[1].iov_len = (size_t)length;
    slot->wanted += length;
    return 0;
}

/* Sends are triples: descriptor, id of a bytes object, length. WITH_BODY in the first says that
 * another four follow: map, offset, length, and what of the same body will be sent behind it. LAST
 * says to close the socket behind it, TELL to tell the end; without TELL it is the next plan of the
 * queue, or with HOT of the hot ones. */
static int32_t *start_sends(ashttpd_ring *ring, const int64_t *sends, int numbers, int32_t *event)
{
    const int64_t *stop = sends + numbers;
    int32_t number = 0;
    while (sends < stop) {
        const int64_t *send = sends;
        int fd = (int)(send[0] & DESCRIPTOR_MASK), queued = !(send[0] & TELL);
        int32_t own_number = send[0] & HOT ? ring->hot.sent++ : number;
        number += queued && !(send[0] & HOT);
        sends += send[0] & WITH_BODY ? 7 : 3;
        /* A socket that was dropped since. */
        if (!is_ours(ring, fd) || is_sending(&ring->slots[fd]))
            continue;
        struct slot *slot = describe(ring, fd, (char *)send[1] + ashttpd_content, send[2],
                                     own_number, send[0]);
        if (send[0] & HOT) {
            struct hot_answer answer = { .head = slot->parts[0].iov_base, .head_length = send[2],
                                         .number = own_number };
            if (send[0] & WITH_BODY) {
                answer.file = (int32_t)send[3];
                answer.offset = send[4];
                answer.length = send[5];
            }
            remember(&ring->hot, ring->pool, fd, &answer);
        }
        if (!queued)
            slot->mode = RAW;
        else
            ring->hot.last = ring->hot.now;
        int result = 0;
        if (send[0] & WITH_BODY) {
            slot->behind = send[6];
            result = describe_body(ring, slot, (int32_t)send[3], send[4], send[5]);
            if (!result && send[5] > (queued ? AT_ONCE_BYTES : SMALL_BYTES)) {
                slot->parts[1].iov_len = 0;
                slot->rest = send[5];
                enter(ring, fd);
                continue;
            }
        }
        if (!result)
            result = start_send(ring, fd);
        event = started(ring, fd, result, event);
    }
    return event;
}

/* Begins windows for those who wait for one, in turn, as many as a turn has room for: fewer while
 * others wait for small answers. */
static int32_t *start_windows(ashttpd_ring *ring, int32_t *event)
{
    int64_t room = room_of_turn(&ring->hot);
    uint32_t count = ring->turns_count < MAX_WINDOWS ? ring->turns_count : MAX_WINDOWS;
    for (; count && room > 0; count--) {
        int fd = ring->turns[ring->turns_first];
        struct slot *slot = &ring->slots[fd];
        ring->turns_first = (ring->turns_first + 1) % ring->slot_count;
        ring->turns_count--;
        slot->entered = 0;
        if (!is_ours(ring, fd) || !slot->windowless)
            continue;
        slot->windowless = 0;
        if (!holds(&ring->hot, slot->generation)) {
            event = look_again(ring, fd, event);
            continue;
        }
        int64_t most = room < WINDOW_BYTES ? room : WINDOW_BYTES;
        int64_t length = slot->rest < most ? slot->rest : most;
        slot->parts[1].iov_len = (size_t)length;
        slot->rest -= length;
        room -= length;
        event = started(ring, fd, start_send(ring, fd), event);
    }
    return event;
}

/* Tells that a plan of the queue is still being sent, so that it has to live on. */
static int32_t *tell_pending(ashttpd_ring *ring, int fd, int32_t *event)
{
    struct slot *slot = &ring->slots[fd];
    if (!is_sending(slot) || slot->told || slot->closing)
        return event;
    return put_pending(slot, fd, event);
}

static int32_t *tell_all_pending(ashttpd_ring *ring, const int64_t *sends, int numbers,
                                 int32_t *event)
{
    for (const int64_t *stop = sends + numbers; sends < stop; sends += *sends & WITH_BODY ? 7 : 3)
        event = tell_pending(ring, (int)(*sends & DESCRIPTOR_MASK), event);
    return event;
}

/* Answers a head with what was remembered, if anything was: at once, since that costs what a send of
 * the ring does, and nothing has to be kept until it is through. Returns NULL where somebody has to
 * think about it. */
static int32_t *answer_hot(ashttpd_ring *ring, int fd, const char *key, int32_t key_length,
                           int32_t *event)
{
    struct hot_answer *answer = recall(&ring->hot, key, key_length);
    if (!answer)
        return NULL;
    struct slot *slot = describe(ring, fd, answer->head, answer->head_length, answer->number, HOT);
    if (answer->length
        && (describe_body(ring, slot, answer->file, answer->offset, answer->length)
            || !is_warm(ring, &ring->maps[slot->map], answer->offset, answer->length)))
        return NULL;
    if (send_head(ring, fd))
        return NULL;
    /* Now it has begun. What fails here will fail again. */
    if (answer->length && !slot->parts[0].iov_len)
        send_file(ring, fd);
    note_answer(&ring->hot, fd);
    int result = send_rest(ring, fd);
    return result == DONE ? event : tell_pending(ring, fd, started(ring, fd, result, event));
}
