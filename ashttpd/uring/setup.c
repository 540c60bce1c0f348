/* Setting a ring up, and taking it down. */
void ashttpd_ring_close(ashttpd_ring *ring)
{
    if (ring->uring.ring_fd >= 0)
        io_uring_queue_exit(&ring->uring);
    for (int i = 0; ring->maps && i < MAX_MAPS; i++)
        if (ring->maps[i].open) {
            munmap(ring->maps[i].start, (size_t)ring->maps[i].length);
            free(ring->maps[i].seen);
        }
    if (ring->pagemap >= 0)
        close(ring->pagemap);
    close_pipe(&ring->pipe);
    /* What an operation may still write to is left behind. */
    if (!ring->in_flight) {
        free(ring->buffers);
        free(ring->pool);
        free(ring->slots);
    }
    free(ring->maps);
    free(ring->waiting);
    free(ring->turns);
    free(ring->used);
    close_hot(&ring->hot);
    free(ring);
}

static void add_buffer(ashttpd_ring *ring, uint16_t number, int offset)
{
    io_uring_buf_ring_add(ring->buffers, ring->pool + (size_t)number * STRIDE, BUFFER_BYTES, number,
                          io_uring_buf_ring_mask(ring->buffer_count), offset);
}

static int open_buffers(ashttpd_ring *ring)
{
    size_t bytes = ring->buffer_count * sizeof(struct io_uring_buf);
    if (posix_memalign((void **)&ring->buffers, PAGE_BYTES, bytes))
        return -ENOMEM;
    struct io_uring_buf_reg registration = {
        .ring_addr = (uint64_t)(uintptr_t)ring->buffers,
        .ring_entries = ring->buffer_count,
        .bgid = BUFFER_GROUP,
    };
    int result = io_uring_register_buf_ring(&ring->uring, &registration, 0);
    if (result)
        return result;
    io_uring_buf_ring_init(ring->buffers);
    for (uint32_t i = 0; i < ring->buffer_count; i++)
        add_buffer(ring, (uint16_t)i, (int)i);
    io_uring_buf_ring_advance(ring->buffers, (int)ring->buffer_count);
    return 0;
}

/* Multishot receives came with Linux 6.0, as this operation did, and cannot be asked for. */
static int is_recent(ashttpd_ring *ring)
{
    struct io_uring_probe *probe = io_uring_get_probe_ring(&ring->uring);
    int recent = probe && io_uring_opcode_supported(probe, IORING_OP_SEND_ZC);
    io_uring_free_probe(probe);
    return recent;
}

int ashttpd_ring_open(ashttpd_ring **out, const struct ashttpd_limits *limits, int32_t *distrusted,
                      uint32_t entries, uint32_t completions, uint32_t buffers, uint32_t slots,
                      uint32_t flags)
{
    struct io_uring_params parameters = { .flags = flags, .cq_entries = completions };
    ashttpd_ring *ring = calloc(1, sizeof *ring);
    if (!ring)
        return -ENOMEM;
    int result = io_uring_queue_init_params(entries, &ring->uring, &parameters);
    if (result) {
        free(ring);
        return result;
    }
    ring->limits = *limits;
    ring->buffer_count = buffers;
    ring->slot_count = slots;
    ring->wake = -1;
    ring->turn = 1;
    open_pipe(&ring->pipe);
    ring->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    /* Memory that nobody has touched costs nothing. */
    ring->pool = calloc(buffers + MAX_EVENTS, STRIDE);
    ring->slots = calloc(slots, sizeof *ring->slots);
    ring->maps = calloc(MAX_MAPS, sizeof *ring->maps);
    ring->waiting = calloc(slots, sizeof *ring->waiting);
    ring->turns = calloc(slots, sizeof *ring->turns);
    ring->used = calloc(buffers, sizeof *ring->used);
    if (open_hot(&ring->hot, slots, distrusted) || !ring->pool || !ring->slots || !ring->maps
        || !ring->waiting || !ring->turns || !ring->used)
        result = -ENOMEM;
    else if (!is_recent(ring))
        result = -EOPNOTSUPP;
    else
        result = open_buffers(ring);
    if (!result)
        result = io_uring_ring_dontfork(&ring->uring);
    if (result) {
        ashttpd_ring_close(ring);
        return result;
    }
    *out = ring;
    return 0;
}

int ashttpd_ring_enable(ashttpd_ring *ring)
{
    /* Of the workers for what may wait for a disk; more would not make it faster. */
    unsigned most[2] = { 4, 4 };
    /* io_uring_enable_rings is declared but not exported by liburing before 2.4. */
    int fd = ring->uring.ring_fd;
    if (syscall(SYS_io_uring_register, fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0) < 0)
        return -errno;
    /* Not every kernel has these, and it works without: the second saves a lookup per call. */
    io_uring_register_iowq_max_workers(&ring->uring, most);
    io_uring_register_ring_fd(&ring->uring);
    return 0;
}

/* Pairs, by the number of a descriptor: see struct activity. */
uint64_t *ashttpd_ring_activities(ashttpd_ring *ring) { return &ring->hot.activities->answers; }

char *ashttpd_ring_pool(ashttpd_ring *ring) { return ring->pool; }

int64_t ashttpd_ring_pool_bytes(ashttpd_ring *ring)
{
    return (int64_t)(ring->buffer_count + MAX_EVENTS) * STRIDE;
}

int ashttpd_ring_in_flight(ashttpd_ring *ring) { return ring->in_flight; }
