/* One strict pass over a request head (RFC 9112), into its canonical key.
 *
 * scan.py documents the key and the errors, and holds this function's twin in Python, which has to
 * agree with it on every input. Lines are judged one by one in their order, so that the verdict does
 * not depend on how the bytes arrived. Reads only [offset, length) of data; writes less than
 * ashttpd_max_key() bytes of key, which grow with the limits that it is given.
 */
#include <stdint.h>
#include <string.h>

#include "authority.h"
#include "classes.h"
#include "scan.h"

/* The numbers of scan.py's Fault; negative as results. */
enum fault {
    BAD_METHOD = 1, BAD_TARGET, TARGET_TOO_LONG, BAD_VERSION,
    UNSUPPORTED_VERSION, BAD_LINE_END, BAD_FIELD_NAME, BAD_FIELD_VALUE, BAD_HOST, DUPLICATE_HOST,
    MISSING_HOST, BAD_CONTENT_LENGTH, BAD_TRANSFER_CODING, UNKNOWN_TRANSFER_CODING, HEAD_TOO_LARGE,
    TOO_MANY_FIELDS, METHOD_TOO_LONG,
};

enum { MAX_METHOD_BYTES = 32 };
/* A key repeats bytes of the head and adds at most this: three flags and the ends of two lines. */
enum { KEY_OVERHEAD_BYTES = 64 };

struct key {
    char *start, *end;
    int host_from_target, hosts, content_lengths, transfer_codings;
    int minor, close, keep_alive, has_body, expects;
    const uint8_t *length; /* the digits of Content-Length */
    size_t length_digits;
};

int32_t ashttpd_max_key(const struct ashttpd_limits *limits)
{
    return limits->head_bytes + KEY_OVERHEAD_BYTES;
}

static uint8_t lower(uint8_t c) { return c >= 'A' && c <= 'Z' ? c | 0x20 : c; }

/* Whether p[0, n) is the lower-case word, in any case. */
static int is_word(const uint8_t *p, size_t n, const char *word)
{
    if (strlen(word) != n)
        return 0;
    for (size_t i = 0; i < n; i++)
        if (lower(p[i]) != (uint8_t)word[i])
            return 0;
    return 1;
}

/* Whether all of eight bytes are field-vchar, SP or HTAB; where they are only nearly, 0 as well. */
static int are_values(const uint8_t *p)
{
    const uint64_t ones = 0x0101010101010101, tops = 0x8080808080808080;
    uint64_t word;
    memcpy(&word, p, sizeof word);
    /* The top bit of a byte below 0x20, or of one that is 0x7f; of what is above such a byte, too. */
    uint64_t low = (word - ones * 0x20) & ~word, delete = ((word ^ ones * 0x7f) - ones) & ~word;
    return !((low | delete) & tops);
}

/* Whether all from p to end are of the class VALUE. Most of a head is, hence eight at a time. */
static int is_value(const uint8_t *p, const uint8_t *end)
{
    const uint8_t *start = p;
    while (end - p >= 8 && are_values(p))
        p += 8;
    /* The last eight of them once more, rather than what is left one by one. */
    if (p > start && end - p < 8 && are_values(end - 8))
        return 1;
    return span(p, end, VALUE) == (size_t)(end - p);
}

static void put(struct key *key, const uint8_t *p, size_t n)
{
    memcpy(key->end, p, n);
    key->end += n;
}

static void put_field(struct key *key, char letter, const uint8_t *p, size_t n)
{
    *key->end++ = letter;
    put(key, p, n);
    *key->end++ = '\n';
}

static int put_host(struct key *key, const uint8_t *p, size_t n)
{
    if (!is_authority(p, p + n))
        return BAD_HOST;
    *key->end++ = 'H';
    for (size_t i = 0; i < n; i++)
        *key->end++ = (char)lower(p[i]);
    *key->end++ = '\n';
    return 0;
}

/* An absolute-form target (RFC 9112 section 3.2.2) becomes its path and query, and a host. */
static int put_absolute(struct key *key, const uint8_t *p, size_t n)
{
    size_t scheme = n >= 7 && is_word(p, 7, "http://") ? 7
                  : n >= 8 && is_word(p, 8, "https://") ? 8 : 0;
    if (!scheme)
        return BAD_TARGET;
    const uint8_t *authority = p + scheme, *end = p + n, *path = authority;
    while (path < end && *path != '/' && *path != '?')
        path++;
    if (path == end || *path == '?')
        *key->end++ = '/';
    put(key, path, (size_t)(end - path));
    *key->end++ = '\n';
    key->host_from_target = 1;
    return put_host(key, authority, (size_t)(path - authority));
}

static int scan_version(struct key *key, const uint8_t *p, size_t n)
{
    if (n != 8 || memcmp(p, "HTTP/", 5) || p[5] < '0' || p[5] > '9' || p[6] != '.'
        || p[7] < '0' || p[7] > '9')
        return BAD_VERSION;
    if (p[5] != '1')
        return UNSUPPORTED_VERSION;
    key->minor = p[7] != '0';
    return 0;
}

static int scan_request_line(struct key *key, const uint8_t *p, const uint8_t *end,
                             const struct ashttpd_limits *limits)
{
    size_t method = span(p, end, TOKEN);
    if (method == 0 || p + method == end || p[method] != ' ')
        return BAD_METHOD;
    if (method > MAX_METHOD_BYTES)
        return METHOD_TOO_LONG;
    const uint8_t *target = p + method + 1;
    size_t n = span(target, end, TARGET);
    if (n > (size_t)limits->target_bytes)
        return TARGET_TOO_LONG;
    if (n == 0 || (target + n < end && target[n] != ' '))
        return BAD_TARGET;
    if (target + n == end)  /* HTTP/0.9: a request line without a version */
        return UNSUPPORTED_VERSION;
    int fault = scan_version(key, target + n + 1, (size_t)(end - target - n - 1));
    if (fault)
        return fault;
    put(key, p, method + 1);
    if (*target == '/' || (n == 1 && *target == '*') || (method == 7 && !memcmp(p, "CONNECT", 7))) {
        put(key, target, n);
        *key->end++ = '\n';
        return 0;
    }
    return put_absolute(key, target, n);
}

static int scan_content_length(struct key *key, const uint8_t *p, size_t n)
{
    if (key->content_lengths++ || n == 0 || n > 18)
        return BAD_CONTENT_LENGTH;
    for (size_t i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9')
            return BAD_CONTENT_LENGTH;
        key->has_body |= p[i] != '0';
    }
    key->length = p;
    key->length_digits = n;
    return 0;
}

static int scan_transfer_encoding(struct key *key, const uint8_t *p, size_t n)
{
    key->transfer_codings++;
    key->has_body = 1;
    if (!key->minor || key->transfer_codings > 1)
        return BAD_TRANSFER_CODING;
    return is_word(p, n, "chunked") ? 0 : UNKNOWN_TRANSFER_CODING;
}

static void scan_connection(struct key *key, const uint8_t *p, size_t n)
{
    const uint8_t *end = p + n;
    while (p < end) {
        size_t token = span(p, end, TOKEN);
        key->close |= is_word(p, token, "close");
        key->keep_alive |= is_word(p, token, "keep-alive");
        p += token ? token : 1;
    }
}

/* Whether p[0, n) has a word, given in lower case, in any case but with exactly `byte` at `place`. */
static int has_word(const uint8_t *p, size_t n, const char *word, size_t place, uint8_t byte)
{
    size_t length = strlen(word);
    for (const uint8_t *q = p, *end = p + n; (q = memchr(q, byte, (size_t)(end - q))); q++)
        if ((size_t)(q - p) >= place && (size_t)(end - q) >= length - place
            && is_word(q - place, length, word))
            return 1;
    return 0;
}

/* Whether an Accept field may prefer something else than what everybody gets: see scan.py. It is
 * long in browsers, and hardly a byte of it is one of these. */
static int accept_matters(const uint8_t *p, size_t n)
{
    return has_word(p, n, "json", 0, 'j') || has_word(p, n, "json", 0, 'J')
        || has_word(p, n, "tion/*", 5, '*') || has_word(p, n, "text/plain", 4, '/');
}

static int scan_value(struct key *key, const uint8_t *name, size_t n, const uint8_t *p, size_t m)
{
    switch (n) {
    case 4:
        if (!is_word(name, n, "host"))
            break;
        if (key->hosts++)
            return DUPLICATE_HOST;
        if (!key->host_from_target)
            return put_host(key, p, m);
        if (!is_authority(p, p + m))
            return BAD_HOST;
        break;
    case 5:
        if (is_word(name, n, "range"))
            put_field(key, 'R', p, m);
        break;
    case 6:
        if (is_word(name, n, "accept") && accept_matters(p, m))
            put_field(key, 'A', p, m);
        else if (key->minor && is_word(name, n, "expect")) {
            if (is_word(p, m, "100-continue"))
                key->expects = 1;
            else
                put_field(key, 'E', p, m);
        }
        break;
    case 8:
        if (is_word(name, n, "if-range"))
            put_field(key, 'I', p, m);
        else if (is_word(name, n, "if-match"))
            put_field(key, 'M', p, m);
        break;
    case 10:
        if (is_word(name, n, "connection"))
            scan_connection(key, p, m);
        break;
    case 13:
        if (is_word(name, n, "if-none-match"))
            put_field(key, 'N', p, m);
        break;
    case 14:
        if (is_word(name, n, "content-length"))
            return scan_content_length(key, p, m);
        break;
    case 15:
        if (is_word(name, n, "accept-encoding"))
            put_field(key, 'C', p, m);
        break;
    case 16:
        if (is_word(name, n, "want-repr-digest"))
            put_field(key, 'D', p, m);
        break;
    case 17:
        if (is_word(name, n, "transfer-encoding"))
            return scan_transfer_encoding(key, p, m);
        if (is_word(name, n, "if-modified-since"))
            put_field(key, 'S', p, m);
        break;
    case 19:
        if (is_word(name, n, "if-unmodified-since"))
            put_field(key, 'U', p, m);
        break;
    }
    return 0;
}

static int scan_field(struct key *key, const uint8_t *p, const uint8_t *end)
{
    size_t name = span(p, end, TOKEN);
    if (name == 0 || p + name == end || p[name] != ':')
        return BAD_FIELD_NAME;
    const uint8_t *value = p + name + 1;
    if (!is_value(value, end))
        return BAD_FIELD_VALUE;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    return scan_value(key, p, name, value, (size_t)(end - value));
}

static int finish(struct key *key)
{
    if (key->minor && !key->hosts)
        return MISSING_HOST;
    if (key->transfer_codings && key->content_lengths)
        return BAD_TRANSFER_CODING;
    key->start[0] = (char)('0' + key->minor);
    key->start[1] = (key->minor ? !key->close : key->keep_alive && !key->close) ? 'k' : 'c';
    key->start[2] = !key->has_body ? '-' : key->expects ? 'e' : 'b';
    if (key->has_body && key->transfer_codings)
        put_field(key, 'B', (const uint8_t *)"chunked", 7);
    else if (key->has_body)
        put_field(key, 'B', key->length, key->length_digits);
    return 0;
}

int64_t ashttpd_scan(const struct ashttpd_limits *limits, const char *data, int32_t offset,
                     int32_t length, char *out)
{
    const uint8_t *start = (const uint8_t *)data + offset, *p = start;
    const uint8_t *stop = (const uint8_t *)data + length;
    int full = stop - start >= limits->head_bytes;
    struct key key = { .start = out, .end = out + 3 };
    int fields = -1; /* the request line is no field */

    if (full)
        stop = start + limits->head_bytes;
    /* One empty line before a request line is let pass (RFC 9112 section 2.2). */
    if (stop - p >= 2 && p[0] == '\r' && p[1] == '\n')
        p += 2;
    for (;;) {
        const uint8_t *end = p < stop ? memchr(p, '\n', (size_t)(stop - p)) : NULL;
        if (!end) {
            if (full)
                return fields < 0 ? -TARGET_TOO_LONG : -HEAD_TOO_LARGE;
            /* What cannot become a request, such as a TLS hello, is not waited for. Only at the very
             * start: bytes behind an empty line may come when nobody scans before a line ends. */
            if (p == start && p < stop && *p != '\r' && !(CLASS[*p] & TOKEN))
                return -BAD_METHOD;
            return 0;
        }
        const uint8_t *line = p;
        p = end + 1;
        if (end == line || end[-1] != '\r')
            return -BAD_LINE_END;
        end--;
        if (fields >= 0 && end == line) {
            int fault = finish(&key);
            return fault ? -fault
                         : (int64_t)(key.end - key.start) << 32 | (int64_t)(p - start);
        }
        int fault = fields < 0 ? scan_request_line(&key, line, end, limits)
                  : fields == limits->fields ? TOO_MANY_FIELDS : scan_field(&key, line, end);
        if (fault)
            return -fault;
        fields++;
    }
}
