/* Maps of files: what of them can be sent without waiting for a disk, and bringing in the rest. */
int ashttpd_ring_map(ashttpd_ring *ring, int file)
{
    struct stat status;
    int number = 0;
    while (number < MAX_MAPS && ring->maps[number].open)
        number++;
    if (number == MAX_MAPS)
        return -ENOMEM;
    if (fstat(file, &status) < 0)
        return -errno;
    struct map *map = &ring->maps[number];
    size_t chunks = (size_t)(status.st_size / CHUNK_BYTES + 1);
    void *start = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED, file, 0);
    if (start == MAP_FAILED)
        return -errno;
    /* What a fault brings in is in huge pages then, which large bodies cost less from; populate() sees
     * to it that only they fault. Where there are none, it is small ones. */
    madvise(start, (size_t)status.st_size, MADV_HUGEPAGE);
    memset(map, 0, sizeof *map);
    map->seen = calloc(chunks, sizeof *map->seen);
    if (!map->seen) {
        munmap(start, (size_t)status.st_size);
        return -ENOMEM;
    }
    map->start = start;
    map->file = file;
    map->length = status.st_size;
    map->open = 1;
    return number;
}

void ashttpd_ring_unmap(ashttpd_ring *ring, int number)
{
    struct map *map = &ring->maps[number];
    map->doomed = 1;
    if (map->releasing)
        return;
    munmap(map->start, (size_t)map->length);
    free(map->seen);
    map->open = 0;
}

/* Lets go of page tables, not of the page cache; by a worker, since it may take milliseconds. */
static void let_go(ashttpd_ring *ring, int number)
{
    struct map *map = &ring->maps[number];
    memset(map->seen, 0, (size_t)(map->length / CHUNK_BYTES + 1) * sizeof *map->seen);
    map->chunks = 0;
    for (int64_t offset = 0; offset < map->length; offset += RELEASE_BYTES) {
        int64_t length = map->length - offset;
        if (PREPARE(ring, tag(OP_RELEASE, number), io_uring_prep_madvise, map->start + offset,
                    (uint32_t)(length < RELEASE_BYTES ? length : RELEASE_BYTES), MADV_DONTNEED)) {
            map->releasing++;
            ring->in_flight++;
        }
    }
}

/* Where a chunk stops, which at the end of the file is early. */
static int64_t chunk_stop(struct map *map, int64_t chunk)
{
    int64_t stop = (chunk + 1) * CHUNK_BYTES;
    return stop < map->length ? stop : map->length;
}

/* Whether all pages of a chunk are in our page table, so that reading it cannot wait for a disk.
 * mincore(2) tells that only to who may write to the file; proc_pid_pagemap(5) tells everybody. */
static int is_mapped_in(ashttpd_ring *ring, struct map *map, int64_t chunk)
{
    uint64_t pages[CHUNK_BYTES / PAGE_BYTES];
    int64_t start = chunk * CHUNK_BYTES;
    size_t count = (size_t)(chunk_stop(map, chunk) - start + PAGE_BYTES - 1) / PAGE_BYTES;
    size_t bytes = count * sizeof *pages;
    off_t where = (off_t)((uintptr_t)(map->start + start) / PAGE_BYTES * sizeof *pages);
    if (pread(ring->pagemap, pages, bytes, where) != (ssize_t)bytes)
        return 0;
    for (size_t i = 0; i < count; i++)
        if (!(pages[i] >> 63))
            return 0;
    return 1;
}

static void mark(struct map *map, int64_t chunk, uint32_t second)
{
    map->chunks += map->seen[chunk] == 0;
    map->seen[chunk] = second;
}

/* Whether a part of a file can be sent without waiting for a disk. What was found so is believed
 * for the rest of the second: pages in use are the last to be taken away. */
static int is_warm(ashttpd_ring *ring, struct map *map, int64_t offset, int64_t length)
{
    for (int64_t i = offset / CHUNK_BYTES; i <= (offset + length - 1) / CHUNK_BYTES; i++)
        if (map->seen[i] != ring->second) {
            if (!is_mapped_in(ring, map, i))
                return 0;
            mark(map, i, ring->second);
        }
    return 1;
}

/* Says that a part of a file is needed, by an entry that the next one is linked to. */
static int advise(ashttpd_ring *ring, char *start, int64_t length)
{
    /* Two that are linked have to be submitted together. */
    if (io_uring_sq_space_left(&ring->uring) < 2)
        io_uring_submit(&ring->uring);
    struct io_uring_sqe *entry = PREPARE(ring, tag(OP_ADVICE, 0), io_uring_prep_madvise, start,
                                         (uint32_t)length, MADV_WILLNEED);
    if (!entry)
        return -EAGAIN;
    entry->flags |= IOSQE_IO_HARDLINK | IOSQE_CQE_SKIP_SUCCESS;
    return 0;
}

/* Has a worker of the kernel bring in, and map in, the chunks around a part of a file, and begin to
 * read what comes behind it. Faults have huge pages read, one to wait for and the one behind it. Where
 * less is needed, that is said first: it is read in small pages, and nothing faults. */
static int populate(ashttpd_ring *ring, struct map *map, int64_t offset, int64_t length,
                    int64_t behind, uint64_t data)
{
    int64_t start = offset / CHUNK_BYTES * CHUNK_BYTES;
    int64_t stop = chunk_stop(map, (offset + length - 1) / CHUNK_BYTES);
    int64_t needed = offset + length + behind;
    if (needed - start < HUGE_BYTES) {
        int result = advise(ring, map->start + start, (needed > stop ? needed : stop) - start);
        if (result)
            return result;
    }
    if (!PREPARE(ring, data, io_uring_prep_madvise, map->start + start, (uint32_t)(stop - start),
                 MADV_POPULATE_READ))
        return -EAGAIN;
    ring->in_flight++;
    return 0;
}

static int is_within(ashttpd_ring *ring, int number, int64_t offset, int64_t length)
{
    struct map *map = &ring->maps[number];
    return number >= 0 && number < MAX_MAPS && map->open && offset >= 0 && length > 0
        && length <= map->length - offset;
}

int ashttpd_ring_fetch(ashttpd_ring *ring, int fd, int map, int64_t offset, int64_t length)
{
    if (!is_ours(ring, fd) || !is_within(ring, map, offset, length))
        return -EFAULT;
    int result = populate(ring, &ring->maps[map], offset, length, 0, tag(OP_FETCH, fd));
    ring->slots[fd].fetching = !result;
    return result;
}
