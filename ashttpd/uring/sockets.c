/* Sockets from their first operation to their last, and listeners. */
int ashttpd_ring_listen(ashttpd_ring *ring, int listener, int many)
{
    /* The sockets block, or an operation would end where it should wait. */
    struct io_uring_sqe *entry = many
        ? PREPARE(ring, tag(OP_ACCEPT, listener), io_uring_prep_multishot_accept, listener, NULL,
                  NULL, SOCK_CLOEXEC)
        : PREPARE(ring, tag(OP_ACCEPT, listener), io_uring_prep_accept, listener, NULL, NULL,
                  SOCK_CLOEXEC);
    return entry ? 0 : -EAGAIN;
}

static int cancel(ashttpd_ring *ring, enum operation operation, int fd)
{
    return PREPARE(ring, tag(OP_CANCEL, fd), io_uring_prep_cancel64, tag(operation, fd), 0)
        ? 0 : -EAGAIN;
}

int ashttpd_ring_unlisten(ashttpd_ring *ring, int listener)
{
    return cancel(ring, OP_ACCEPT, listener);
}

int ashttpd_ring_wake_by(ashttpd_ring *ring, int eventfd)
{
    ring->wake = eventfd;
    return PREPARE(ring, tag(OP_WAKE, eventfd), io_uring_prep_read, eventfd, &ring->woken,
                   sizeof ring->woken, 0) ? 0 : -EAGAIN;
}

/* Makes a slot as new, but for what lists have of it. */
static void clear(ashttpd_ring *ring, struct slot *slot)
{
    uint8_t waiting = slot->waiting, entered = slot->entered;
    memset(slot, 0, sizeof *slot);
    slot->waiting = waiting;
    slot->entered = entered;
}

/* Closes a socket once no operation of it is in flight. */
static void release(ashttpd_ring *ring, int fd)
{
    struct slot *slot = &ring->slots[fd];
    if (slot->receiving || slot->sending || slot->fetching)
        return;
    clear(ring, slot);
    close(fd);
}

static int is_ours(ashttpd_ring *ring, int fd)
{
    return fd >= 0 && (uint32_t)fd < ring->slot_count && ring->slots[fd].open
        && !ring->slots[fd].closing;
}

/* Arms the receive with the next turn, when there are buffers again. */
static void receive_later(ashttpd_ring *ring, int fd)
{
    struct slot *slot = &ring->slots[fd];
    if (!slot->waiting) {
        slot->waiting = 1;
        ring->waiting[ring->waiting_count++] = fd;
    }
}

/* Arms the receive. Never with IORING_RECVSEND_POLL_FIRST, though the socket of who has just asked is
 * mostly empty: where bytes and a reset behind them are there already, such a receive brings the
 * bytes, and never tells the end. */
static int receive(ashttpd_ring *ring, int fd)
{
    struct slot *slot = &ring->slots[fd];
    struct io_uring_sqe *entry = PREPARE(ring, tag(OP_RECEIVE, fd), io_uring_prep_recv_multishot,
                                         fd, NULL, 0, 0);
    if (!entry)
        return -EAGAIN;
    entry->flags |= IOSQE_BUFFER_SELECT;
    entry->buf_group = BUFFER_GROUP;
    slot->receiving = 1;
    ring->in_flight++;
    return 0;
}

static int open_slot(ashttpd_ring *ring, int fd)
{
    if ((uint32_t)fd >= ring->slot_count)
        return -EMFILE;
    clear(ring, &ring->slots[fd]);
    ring->slots[fd].open = 1;
    ring->hot.activities[fd] = (struct activity){ 0 };
    return 0;
}

/* Takes a new socket for which there was no room. */
int ashttpd_ring_welcome(ashttpd_ring *ring, int fd)
{
    int result = open_slot(ring, fd);
    if (!result && receive(ring, fd))
        receive_later(ring, fd);
    return result;
}

int ashttpd_ring_hear(ashttpd_ring *ring, int fd, int mode)
{
    struct slot *slot = &ring->slots[fd];
    if (!is_ours(ring, fd))
        return -EBADF;
    slot->mode = (uint8_t)mode;
    slot->deaf = 0;
    return slot->receiving ? 0 : receive(ring, fd);
}

int ashttpd_ring_deafen(ashttpd_ring *ring, int fd)
{
    struct slot *slot = &ring->slots[fd];
    if (!is_ours(ring, fd))
        return -EBADF;
    slot->deaf = 1;
    return slot->receiving ? cancel(ring, OP_RECEIVE, fd) : 0;
}

int ashttpd_ring_shutdown(ashttpd_ring *ring, int fd)
{
    if (!is_ours(ring, fd))
        return -EBADF;
    return shutdown(fd, SHUT_WR) < 0 ? -errno : 0;
}

/* Closes a socket, as soon as that is safe. Returns 1 where what it is sending has to live on until
 * KIND_GONE. */
int ashttpd_ring_drop(ashttpd_ring *ring, int fd)
{
    struct slot *slot = &ring->slots[fd];
    if (!is_ours(ring, fd))
        return -EBADF;
    slot->closing = 1;
    slot->owed = slot->sending;
    int owed = slot->owed;
    /* close(2) would not end them. Nor is shutdown(2) enough: what the peer sent would be read to
     * its end, and a peer that waits for room to send more would not be told by a reset. */
    if ((slot->receiving && cancel(ring, OP_RECEIVE, fd))
        || (slot->sending && cancel(ring, slot->roomless ? OP_ROOM : OP_SEND, fd)))
        shutdown(fd, SHUT_RDWR);
    release(ring, fd);
    return owed;
}
