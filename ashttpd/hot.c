/* Answers of this second by canonical key, for requests that nobody has to think about any more.
 *
 * What is kept here is what the memo in Python has said already (answers.py), so that it need not be
 * asked. An answer is where its bytes lie, which are not ours: whoever remembers keeps them there
 * until it forgets all, which costs nothing. For one thread.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>

/* Addresses, sizes and offsets go to Python and back in 64 bits; setup.py says the same in words. */
_Static_assert(sizeof(void *) == 8 && sizeof(size_t) == 8 && sizeof(off_t) == 8,
               "ashttpd takes a system of 64 bits");

enum {
    /* Most keys are half as long. */
    MAX_HOT_KEY = 192,
    /* More are not remembered before all are forgotten, within the second. A power of two. */
    MAX_HOT = 1 << 14,
    /* Twice as many marks as answers, or they would be looked for in long rows. */
    MARKS = 2 * MAX_HOT,
    /* Who chooses keys that are hard to tell apart slows itself down and nobody else. */
    MAX_PROBES = 8,
};

struct hot_answer {
    const char *head;
    int64_t head_length;
    int64_t offset, length; /* of the part of a file behind it; a length of 0 is none */
    int32_t file;           /* as the engine knows files */
    int32_t number;         /* of its plan among those that were sent hot */
    int32_t key_length;
    char key[MAX_HOT_KEY];
};

struct mark {
    uint32_t hash, generation;
    int32_t answer;
};

/* What a socket was answered without its connection: how often, and when last. */
struct activity {
    uint64_t answers, microseconds;
};

/* Where the key lies, in what came, of the last head that a socket brought and that is not answered
 * by itself. */
struct place {
    int32_t start, length;
};

struct hot {
    struct mark *marks;
    struct hot_answer *answers;
    struct activity *activities; /* both by the number of the socket */
    struct place *keys;
    uint32_t generation;
    int32_t count;
    int32_t sent;         /* plans since all was forgotten */
    int64_t epoch;        /* the second that the answers are for */
    int32_t *distrusted;  /* set by any thread: they are not to be given any more */
    int64_t now, second;  /* microseconds of the monotonic clock; seconds of the real one */
    int64_t last;         /* `now` of the last answer */
};

static int open_hot(struct hot *hot, uint32_t sockets, int32_t *distrusted)
{
    /* Memory that nobody has touched costs nothing. */
    hot->marks = calloc(MARKS, sizeof *hot->marks);
    hot->answers = calloc(MAX_HOT, sizeof *hot->answers);
    hot->activities = calloc(sockets, sizeof *hot->activities);
    hot->keys = calloc(sockets, sizeof *hot->keys);
    hot->generation = 1;
    hot->distrusted = distrusted;
    return hot->marks && hot->answers && hot->activities && hot->keys ? 0 : -1;
}

static void close_hot(struct hot *hot)
{
    free(hot->marks);
    free(hot->answers);
    free(hot->activities);
    free(hot->keys);
}

/* Forgets all, and remembers for another second from now on. First it is trusted, then whoever calls
 * looks for what has changed: what changes behind that look is distrusted again. */
static void forget_hot(struct hot *hot, int64_t epoch)
{
    __atomic_store_n(hot->distrusted, 0, __ATOMIC_RELEASE);
    hot->epoch = epoch;
    hot->count = hot->sent = 0;
    if (++hot->generation == 0) {
        memset(hot->marks, 0, MARKS * sizeof *hot->marks);
        hot->generation = 1;
    }
}

/* Whether what was found out in a generation still holds: that a site has changed, or its file is not
 * to be trusted any more, distrusts all answers, at once, and they are forgotten behind it. */
static int holds(const struct hot *hot, uint32_t generation)
{
    return generation == hot->generation && !__atomic_load_n(hot->distrusted, __ATOMIC_ACQUIRE);
}

static void read_clocks(struct hot *hot)
{
    struct timespec now, real;
    clock_gettime(CLOCK_MONOTONIC, &now);
    clock_gettime(CLOCK_REALTIME, &real);
    hot->now = now.tv_sec * 1000000LL + now.tv_nsec / 1000;
    hot->second = real.tv_sec;
}

/* Notes that a socket was answered by itself. */
static void note_answer(struct hot *hot, int fd)
{
    hot->activities[fd].answers++;
    hot->activities[fd].microseconds = (uint64_t)hot->now;
    hot->last = hot->now;
}

static uint32_t hash_key(const char *key, int32_t length)
{
    const uint64_t factor = 0x9e3779b97f4a7c15; /* 2^64 by the golden ratio: odd, and no pattern */
    uint64_t hash = (uint64_t)length, word;
    for (; length >= 8; key += 8, length -= 8) {
        memcpy(&word, key, 8);
        hash = (hash ^ word) * factor;
        hash ^= hash >> 32;
    }
    word = 0;
    memcpy(&word, key, (size_t)length);
    hash = (hash ^ word) * factor;
    return (uint32_t)(hash >> 32);
}

/* The mark of a key, or the one where it would stand; NULL where it has no place. */
static struct mark *find_mark(struct hot *hot, uint32_t hash, const char *key, int32_t length)
{
    for (uint32_t i = 0; i < MAX_PROBES; i++) {
        struct mark *mark = &hot->marks[(hash + i) % MARKS];
        if (mark->generation != hot->generation)
            return mark;
        struct hot_answer *answer = &hot->answers[mark->answer];
        if (mark->hash == hash && answer->key_length == length
            && !memcmp(answer->key, key, (size_t)length))
            return mark;
    }
    return NULL;
}

/* What was remembered for a key, or NULL. */
static struct hot_answer *recall(struct hot *hot, const char *key, int32_t length)
{
    if (!hot->count || length > MAX_HOT_KEY || hot->second != hot->epoch
        || __atomic_load_n(hot->distrusted, __ATOMIC_ACQUIRE))
        return NULL;
    struct mark *mark = find_mark(hot, hash_key(key, length), key, length);
    return mark && mark->generation == hot->generation ? &hot->answers[mark->answer] : NULL;
}

/* Remembers the answer to the head that a socket brought last, unless one is there already, or there
 * is no room. */
static void remember(struct hot *hot, const char *came, int fd, const struct hot_answer *values)
{
    const char *key = came + hot->keys[fd].start;
    int32_t length = hot->keys[fd].length;
    if (hot->count == MAX_HOT || length > MAX_HOT_KEY)
        return;
    uint32_t hash = hash_key(key, length);
    struct mark *mark = find_mark(hot, hash, key, length);
    if (!mark || mark->generation == hot->generation)
        return;
    *mark = (struct mark){ hash, hot->generation, hot->count++ };
    struct hot_answer *answer = &hot->answers[mark->answer];
    memcpy(answer, values, offsetof(struct hot_answer, key_length));
    answer->key_length = length;
    memcpy(answer->key, key, (size_t)length);
}
