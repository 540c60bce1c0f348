/* Large bodies: how much is sent at a time, and how it gets from a file to a socket.
 *
 * sendfile(2) sends through a pipe with room for 64 KiB: it reads so much, sends it, and begins anew.
 * Through a pipe of ours that has room for all at once, 256 KiB to 1 MiB cost a tenth less. For one
 * thread. The first numbers are bodies.py's, where they have their reasons.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    AT_ONCE_BYTES = 1 << 20,
    WINDOW_BYTES = 2 << 20,
    HURRIED_BYTES = 512 << 10,
    SMALL_MICROSECONDS = 1000000,
    /* What is sent of large bodies where nobody asks for small answers. */
    TURN_BYTES = 16 << 20,
    /* What every user may have: pipe(7), pipe-max-size. */
    PIPE_BYTES = 1 << 20,
    /* Of less, neither a pipe nor a cork costs less. */
    LARGE_BYTES = 256 << 10,
};

/* What of large bodies a turn may send: those who ask for small answers wait for it. */
static int64_t room_of_turn(const struct hot *hot)
{
    return hot->now < hot->last + SMALL_MICROSECONDS ? HURRIED_BYTES : TURN_BYTES;
}

struct pipe {
    int in, out, nowhere;
    size_t room; /* 0: it is not to be used */
};

static void close_pipe(struct pipe *pipe)
{
    const int ends[] = { pipe->in, pipe->out, pipe->nowhere };
    for (int i = 0; i < 3; i++)
        if (ends[i] >= 0)
            close(ends[i]);
}

/* A server does without it where there is none to be had, or a small one only, since its user has too
 * many of them (pipe(7), pipe-user-pages-soft). */
static void open_pipe(struct pipe *pipe)
{
    int ends[2] = { -1, -1 };
    int result = pipe2(ends, O_CLOEXEC | O_NONBLOCK);
    *pipe = (struct pipe){ .out = ends[0], .in = ends[1] };
    pipe->nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    int room = result < 0 || pipe->nowhere < 0 ? 0 : fcntl(pipe->in, F_SETPIPE_SZ, PIPE_BYTES);
    pipe->room = room > 0 ? (size_t)room : 0;
}

/* Takes out what a socket did not take: the next one must not have it. */
static void empty_pipe(struct pipe *pipe, ssize_t left)
{
    while (left > 0) {
        ssize_t n = splice(pipe->out, NULL, pipe->nowhere, NULL, (size_t)left, 0);
        if (n <= 0) {
            pipe->room = 0;
            return;
        }
        left -= n;
    }
}

/* With MSG_MORE a head waits for its body: one segment less, and a tenth less to do for 100 KiB. Of
 * large ones so little is to be gained that the peer had better be told at once. */
static int flag_of_head(size_t body_length)
{
    return body_length && body_length < LARGE_BYTES ? MSG_MORE : 0;
}

/* Sends a part of a file through the pipe, which has room for it, as sendfile(2) does. */
static ssize_t send_piped(struct pipe *pipe, int fd, int file, off_t offset, size_t length)
{
    ssize_t filled = splice(file, &offset, pipe->in, NULL, length, SPLICE_F_NONBLOCK);
    ssize_t sent = 0, n = filled;
    while (sent < filled) {
        n = splice(pipe->out, NULL, fd, NULL, (size_t)(filled - sent), SPLICE_F_NONBLOCK);
        if (n <= 0)
            break;
        sent += n;
    }
    int failure = errno;
    empty_pipe(pipe, filled - sent);
    errno = failure;
    return sent ? sent : n;
}

/* While a socket is given a part, ACKs come for what it was given before, and each would have it send
 * a segment that is not full yet: a quarter more work with a reader that is fast. Corked, it waits for
 * the rest of it (tcp(7), TCP_CORK). Other kinds of sockets have no cork. */
static void set_cork(int fd, int corked)
{
    setsockopt(fd, IPPROTO_TCP, TCP_CORK, &corked, sizeof corked);
}

/* Sends a part of a file as sendfile(2) does, and says the same of it, to a socket that does not block.
 * Through the pipe, unless there is none or it is too small, goes what the socket probably has room for:
 * who takes a part only had better not be sent to that way. */
static ssize_t send_part(struct pipe *pipe, int fd, int file, off_t offset, size_t length)
{
    if (length < LARGE_BYTES)
        return sendfile(fd, file, &offset, length);
    set_cork(fd, 1);
    ssize_t n = pipe && length <= pipe->room ? send_piped(pipe, fd, file, offset, length)
                                             : sendfile(fd, file, &offset, length);
    int failure = errno;
    set_cork(fd, 0);
    errno = failure;
    return n;
}
