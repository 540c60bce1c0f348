/* Reads large bodies, over and over, and costs little itself.
 *
 *     reader PORT CONNECTIONS SECONDS [drop] < REQUESTS
 *
 * wrk reads 8 KiB at a time, so that with large bodies its own CPU is the limit, whatever the server
 * does. This reads as much at once as a download does, and otherwise does what wrk does: one thread,
 * the next request as soon as an answer is there. Of several requests, each ended by a NUL, it takes
 * one at random every time. With "drop" it has the kernel drop bodies in place of copying them
 * (tcp(7), MSG_TRUNC), so that the server is the limit. It prints, as JSON: whole answers, bytes, and
 * the time. An answer that is not 200 or has no length, or a connection that ends, is an error.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    READ_BYTES = 128 << 10,
    DROP_BYTES = 1 << 20,
    /* Where in a page it reads to. */
    PLACES = 64,
    PLACE_BYTES = 64,
    HEAD_BYTES = 4096,
    MAX_EVENTS = 256,
    REQUESTS_BYTES = 64 << 20,
    MAX_REQUESTS = 1 << 20,
};

struct connection {
    int fd;
    int in_body;
    int64_t left; /* of the body */
    size_t head_length;
    char head[HEAD_BYTES];
};

static char *requests[MAX_REQUESTS];
static size_t request_count;
static char *buffers; /* aligned to a page */
static int drop;
static int64_t answers, bytes;

/* xorshift64, by George Marsaglia: the same numbers every time. */
static uint64_t chance(void)
{
    static uint64_t state = 0x9e3779b97f4a7c15;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void load_requests(void)
{
    char *text = calloc(1, REQUESTS_BYTES + 1);
    if (!text)
        err(1, "calloc");
    char *end = text + fread(text, 1, REQUESTS_BYTES, stdin);
    for (char *start = text; start < end && request_count < MAX_REQUESTS;
         start += strlen(start) + 1)
        requests[request_count++] = start;
    if (!request_count)
        errx(2, "no request");
}

static void ask(struct connection *connection)
{
    const char *request = requests[chance() % request_count];
    size_t length = strlen(request);
    connection->in_body = 0;
    connection->head_length = 0;
    if (write(connection->fd, request, length) != (ssize_t)length)
        err(1, "write");
}

static int64_t length_of(const char *head)
{
    for (const char *line = head; (line = strchr(line, '\n')); line++)
        if (!strncasecmp(line + 1, "content-length:", 15))
            return atoll(line + 16);
    errx(1, "no Content-Length in: %s", head);
}

/* Takes bytes of a head; returns how many of them were of it. */
static size_t take_head(struct connection *connection, const char *buffer, size_t count)
{
    size_t before = connection->head_length, room = HEAD_BYTES - 1 - before;
    size_t taken = count < room ? count : room;
    memcpy(connection->head + before, buffer, taken);
    connection->head[before + taken] = 0;
    connection->head_length += taken;
    char *end = strstr(connection->head, "\r\n\r\n");
    if (!end) {
        if (taken == room)
            errx(1, "a head of more than %d bytes", HEAD_BYTES);
        return count;
    }
    end[2] = 0;
    if (strncmp(connection->head, "HTTP/1.1 200 ", 13))
        errx(1, "%s", connection->head);
    connection->left = length_of(connection->head);
    connection->in_body = 1;
    return (size_t)(end + 4 - connection->head) - before;
}

static ssize_t receive_some(struct connection *connection, char *buffer)
{
    if (drop && connection->in_body)
        return recv(connection->fd, buffer, DROP_BYTES, MSG_DONTWAIT | MSG_TRUNC);
    return recv(connection->fd, buffer, drop ? HEAD_BYTES : READ_BYTES, MSG_DONTWAIT);
}

static void receive(struct connection *connection)
{
    /* Some processors take twice as long to copy to where the offset in a page is just behind that of
     * the source. Whom that strikes is chance: so it is another place every time. */
    char *buffer = buffers + chance() % PLACES * PLACE_BYTES;
    ssize_t n = receive_some(connection, buffer);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0)
        errx(1, "the connection ended: %s", n ? strerror(errno) : "closed");
    bytes += n;
    if (!connection->in_body)
        n -= (ssize_t)take_head(connection, buffer, (size_t)n);
    connection->left -= n;
    if (!connection->in_body || connection->left > 0)
        return;
    if (connection->left < 0)
        errx(1, "more came than the length says");
    answers++;
    ask(connection);
}

int main(int argc, char **argv)
{
    drop = argc == 5 && !strcmp(argv[4], "drop");
    if (argc != 4 + drop)
        errx(2, "usage: reader PORT CONNECTIONS SECONDS [drop] < REQUESTS");
    int count = atoi(argv[2]), epoll = epoll_create1(EPOLL_CLOEXEC);
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1])),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct connection *connections = calloc((size_t)count, sizeof *connections);
    buffers = aligned_alloc(PLACES * PLACE_BYTES, PLACES * PLACE_BYTES + READ_BYTES);
    load_requests();
    if (epoll < 0 || !connections || !buffers)
        err(1, "setup");
    double start = now(), stop = start + atof(argv[3]);
    for (struct connection *c = connections; c < connections + count; c++) {
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };
        c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof address)
            || epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event))
            err(1, "connect");
        ask(c);
    }
    while (now() < stop) {
        struct epoll_event events[MAX_EVENTS];
        int ready = epoll_wait(epoll, events, MAX_EVENTS, 1000);
        for (int i = 0; i < ready; i++)
            receive(events[i].data.ptr);
    }
    printf("{\"requests\": %lld, \"bytes\": %lld, \"seconds\": %.6f, \"failed\": 0}\n",
           (long long)answers, (long long)bytes, now() - start);
    return 0;
}
