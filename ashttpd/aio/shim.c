/* A queue of file reads over one AIO context (io_setup(2)), into a pool of aligned buffers.
 *
 * Each buffer has one control block, so that there is never more than one read into it, and no more
 * reads are under way than there are buffers. queue.py documents what goes in and out. All functions
 * return -errno for failures.
 */
#include <errno.h>
#include <fcntl.h>
#include <libaio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

/* Addresses, sizes and offsets go to Python and back in 64 bits; setup.py says the same in words. */
_Static_assert(sizeof(void *) == 8 && sizeof(size_t) == 8 && sizeof(off_t) == 8,
               "ashttpd takes a system of 64 bits");

enum { MAX_EVENTS = 64, NUMBERS_PER_READ = 5 };

struct ashttpd_queue {
    io_context_t context;
    int eventfd;
    char *memory;
    size_t memory_bytes;
    int64_t buffer_bytes;
    struct iocb *blocks;
    struct iocb **batch;
};
typedef struct ashttpd_queue ashttpd_queue;

/* Destroying a context waits for its reads: nothing is written to the memory behind it. */
void ashttpd_queue_close(ashttpd_queue *queue)
{
    if (queue->context)
        io_destroy(queue->context);
    if (queue->eventfd >= 0)
        close(queue->eventfd);
    if (queue->memory)
        munmap(queue->memory, queue->memory_bytes);
    free(queue->blocks);
    free(queue->batch);
    free(queue);
}

static int set_up(ashttpd_queue *queue, int32_t buffers, int32_t depth)
{
    queue->memory_bytes = (size_t)buffers * (size_t)queue->buffer_bytes;
    queue->blocks = calloc((size_t)buffers, sizeof *queue->blocks);
    queue->batch = calloc((size_t)buffers, sizeof *queue->batch);
    if (!queue->blocks || !queue->batch)
        return -ENOMEM;
    /* Pages that were never read into cost nothing. */
    void *memory = mmap(NULL, queue->memory_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return -errno;
    queue->memory = memory;
    /* Each direct read pins its pages, and the fewer they are, the less that costs. */
    madvise(memory, queue->memory_bytes, MADV_HUGEPAGE);
    queue->eventfd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (queue->eventfd < 0)
        return -errno;
    return io_setup(depth, &queue->context);
}

int ashttpd_queue_open(ashttpd_queue **out, int32_t buffers, int64_t buffer_bytes, int32_t depth)
{
    ashttpd_queue *queue = calloc(1, sizeof *queue);
    if (!queue)
        return -ENOMEM;
    queue->eventfd = -1;
    queue->buffer_bytes = buffer_bytes;
    int result = set_up(queue, buffers, depth);
    if (result < 0)
        ashttpd_queue_close(queue);
    else
        *out = queue;
    return result;
}

int ashttpd_queue_eventfd(ashttpd_queue *queue)
{
    return queue->eventfd;
}

char *ashttpd_queue_memory(ashttpd_queue *queue)
{
    return queue->memory;
}

/* Reads are five numbers each: the buffer, where in it to begin, descriptor, offset, length. Returns
 * how many of them, from the first on, are under way; -errno is about the first. */
int ashttpd_queue_submit(ashttpd_queue *queue, const int64_t *reads, int count)
{
    for (int i = 0; i < count; i++, reads += NUMBERS_PER_READ) {
        struct iocb *block = &queue->blocks[reads[0]];
        char *memory = queue->memory + reads[0] * queue->buffer_bytes + reads[1];
        io_prep_pread(block, (int)reads[2], memory, (size_t)reads[4], reads[3]);
        io_set_eventfd(block, queue->eventfd);
        queue->batch[i] = block;
    }
    return io_submit(queue->context, count, queue->batch);
}

/* Events are two numbers each: the buffer, and how many bytes came or -errno. Returns how many. */
int ashttpd_queue_reap(ashttpd_queue *queue, int64_t *events)
{
    struct io_event ended[MAX_EVENTS];
    struct timespec at_once = { 0, 0 };
    int count = io_getevents(queue->context, 0, MAX_EVENTS, ended, &at_once);
    for (int i = 0; i < count; i++) {
        *events++ = ended[i].obj - queue->blocks;
        *events++ = (int64_t)ended[i].res;
    }
    return count;
}

/* What libc's headers may be too old for: the fields of struct statx (statx(2), Linux 6.1) and the
 * number and structures of cachestat(2) (Linux 6.5), as linux/stat.h and linux/mman.h have them. */
enum { DIO_ALIGNMENT_MASK = 0x2000, CACHESTAT = 451, USUAL_ALIGNMENT = 4096 };
struct statx_fields {
    uint32_t mask, others[37], memory_alignment, offset_alignment;
    uint64_t rest[12];
};
struct cache_range {
    uint64_t offset, length;
};
struct cache_counts {
    uint64_t cached, dirty, writeback, evicted, recently_evicted;
};

/* Returns what O_DIRECT has to be aligned to, or 0 where the file cannot be read so. */
int ashttpd_alignment(int fd)
{
    struct statx_fields fields;
    memset(&fields, 0, sizeof fields);
    if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH, DIO_ALIGNMENT_MASK, &fields) < 0)
        return -errno;
    if (!(fields.mask & DIO_ALIGNMENT_MASK))
        return USUAL_ALIGNMENT;
    return (int)(fields.offset_alignment > fields.memory_alignment ? fields.offset_alignment
                                                                   : fields.memory_alignment);
}

/* Returns how many pages of a part of a file the kernel has in memory. */
int64_t ashttpd_cached(int fd, int64_t offset, int64_t length)
{
    struct cache_range range = { (uint64_t)offset, (uint64_t)length };
    struct cache_counts counts;
    return syscall(CACHESTAT, fd, &range, &counts, 0) < 0 ? -errno : (int64_t)counts.cached;
}
