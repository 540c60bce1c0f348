/* The floor: what a request costs the kernel when a server computes nothing.
 *
 *     floor PORT DIRECTORY
 *
 * Answers every request with the file of the directory that its first path names, from memory: one
 * io_uring, multishot accept and receive, one send per request. It looks for the name and for
 * "If-None-Match", no more, and takes each receive for one whole request, so it is no server. No
 * server on one io_uring can cost less than this.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ENTRIES = 1024, COMPLETIONS = 8192, BUFFERS = 1024, BUFFER_BYTES = 4096, MAX_FILES = 64,
       MAX_BODY_BYTES = 1 << 20, HEAD_BYTES = 300 };
enum operation { ACCEPT, RECEIVE, SEND };

struct answer {
    char name[256];
    char *bytes;
    size_t length;
};

static const char NOT_MODIFIED[] = "HTTP/1.1 304 Not Modified\r\n"
                                   "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
                                   "ETag: \"000000000000000000000000\"\r\n\r\n";
static struct answer answers[MAX_FILES];
static int answer_count;
static struct io_uring ring;
static struct io_uring_buf_ring *buffers;
static char *pool;

static void load(const char *directory, const char *name)
{
    char path[4096];
    struct stat status;
    snprintf(path, sizeof path, "%s/%s", directory, name);
    int fd = open(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &status) < 0)
        err(1, "%s", path);
    size_t size = (size_t)status.st_size;
    if (S_ISREG(status.st_mode) && size <= MAX_BODY_BYTES && answer_count < MAX_FILES) {
        struct answer *answer = &answers[answer_count++];
        answer->bytes = malloc(HEAD_BYTES + size);
        if (!answer->bytes)
            err(1, "malloc");
        /* As many bytes of fields as ashttpd sends, so that both move the same. */
        int head = snprintf(answer->bytes, HEAD_BYTES,
                            "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
                            "ETag: \"000000000000000000000000\"\r\n"
                            "Content-Type: text/html; charset=utf-8\r\nAccept-Ranges: bytes\r\n"
                            "X-Content-Type-Options: nosniff\r\nContent-Length: %zu\r\n\r\n", size);
        if (read(fd, answer->bytes + head, size) != (ssize_t)size)
            err(1, "%s", path);
        answer->length = (size_t)head + size;
        snprintf(answer->name, sizeof answer->name, " /%s ", name);
    }
    close(fd);
}

static void load_all(const char *directory)
{
    DIR *entries = opendir(directory);
    if (!entries)
        err(1, "%s", directory);
    for (struct dirent *entry; (entry = readdir(entries));)
        load(directory, entry->d_name);
    closedir(entries);
}

static struct io_uring_sqe *new_entry(void)
{
    struct io_uring_sqe *entry;
    while (!(entry = io_uring_get_sqe(&ring)))
        io_uring_submit(&ring);
    return entry;
}

static void set_data(struct io_uring_sqe *entry, enum operation operation, int fd)
{
    entry->user_data = (uint64_t)operation << 32 | (uint32_t)fd;
}

static void accept_all(int listener)
{
    struct io_uring_sqe *entry = new_entry();
    io_uring_prep_multishot_accept(entry, listener, NULL, NULL, 0);
    set_data(entry, ACCEPT, listener);
}

static void receive(int fd)
{
    struct io_uring_sqe *entry = new_entry();
    io_uring_prep_recv_multishot(entry, fd, NULL, 0, 0);
    entry->flags |= IOSQE_BUFFER_SELECT;
    set_data(entry, RECEIVE, fd);
}

static void give_back(int buffer)
{
    io_uring_buf_ring_add(buffers, pool + (size_t)buffer * BUFFER_BYTES, BUFFER_BYTES,
                          (unsigned short)buffer, io_uring_buf_ring_mask(BUFFERS), 0);
    io_uring_buf_ring_advance(buffers, 1);
}

static void answer(int fd, const char *request, int length)
{
    for (int i = 0; i < answer_count; i++) {
        size_t name = strlen(answers[i].name);
        if (length < 3 + (int)name || memcmp(request + 3, answers[i].name, name))
            continue;
        int known = memmem(request, (size_t)length, "If-None-Match", 13) != NULL;
        struct io_uring_sqe *entry = new_entry();
        io_uring_prep_send(entry, fd, known ? NOT_MODIFIED : answers[i].bytes,
                           known ? sizeof NOT_MODIFIED - 1 : answers[i].length,
                           MSG_WAITALL | MSG_NOSIGNAL);
        set_data(entry, SEND, fd);
        return;
    }
    shutdown(fd, SHUT_RDWR);
}

static void complete(struct io_uring_cqe *cqe, int listener)
{
    int fd = (int)(uint32_t)cqe->user_data, more = cqe->flags & IORING_CQE_F_MORE;
    switch ((enum operation)(cqe->user_data >> 32)) {
    case ACCEPT:
        if (cqe->res >= 0)
            receive(cqe->res);
        if (!more)
            accept_all(listener);
        break;
    case RECEIVE:
        if (cqe->res > 0) {
            int buffer = (int)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
            answer(fd, pool + (size_t)buffer * BUFFER_BYTES, cqe->res);
            give_back(buffer);
        }
        if (!more && (cqe->res > 0 || cqe->res == -ENOBUFS))
            receive(fd);
        else if (!more)
            close(fd);
        break;
    case SEND:
        if (cqe->res < 0)
            shutdown(fd, SHUT_RDWR);
        break;
    }
}

static int listen_on(int port)
{
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr = { htonl(INADDR_LOOPBACK) },
    };
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 4096) < 0)
        err(1, "port %d", port);
    return listener;
}

static void open_ring(void)
{
    struct io_uring_params parameters = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE,
        .cq_entries = COMPLETIONS,
    };
    int result = io_uring_queue_init_params(ENTRIES, &ring, &parameters);
    if (result < 0)
        errx(1, "io_uring: %s", strerror(-result));
    pool = calloc(BUFFERS, BUFFER_BYTES);
    if (!pool || posix_memalign((void **)&buffers, 4096, BUFFERS * sizeof(struct io_uring_buf)))
        err(1, "malloc");
    struct io_uring_buf_reg registration = {
        .ring_addr = (uint64_t)(uintptr_t)buffers,
        .ring_entries = BUFFERS,
    };
    result = io_uring_register_buf_ring(&ring, &registration, 0);
    if (result < 0)
        errx(1, "buffers: %s", strerror(-result));
    io_uring_buf_ring_init(buffers);
    for (int i = 0; i < BUFFERS; i++)
        give_back(i);
    io_uring_register_ring_fd(&ring);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        errx(2, "usage: floor PORT DIRECTORY");
    load_all(argv[2]);
    int listener = listen_on(atoi(argv[1]));
    open_ring();
    accept_all(listener);
    for (;;) {
        struct io_uring_cqe *cqe;
        unsigned head, count = 0;
        io_uring_submit_and_wait(&ring, 1);
        io_uring_for_each_cqe(&ring, head, cqe) {
            complete(cqe, listener);
            count++;
        }
        io_uring_cq_advance(&ring, count);
    }
}
