/* The grammar of an authority: uri-host [ ":" port ] (RFC 9110 section 7.2, RFC 3986 section 3.2).
 *
 * An http URI has no user and no empty host (RFC 9110 sections 4.2.1 and 4.2.4). authority.py has
 * the same as one pattern. Each function reads only [p, end).
 */
#ifndef ASHTTPD_HTTP_AUTHORITY_H
#define ASHTTPD_HTTP_AUTHORITY_H

#include "classes.h"

/* Whether [p, end) is an IPv4address: four numbers up to 255, without leading zeros. */
static int is_ipv4(const uint8_t *p, const uint8_t *end)
{
    for (int octets = 1;; octets++) {
        size_t digits = span(p, end, DIGIT);
        int octet = 0;
        if (digits < 1 || digits > 3 || (digits > 1 && *p == '0'))
            return 0;
        for (size_t i = 0; i < digits; i++)
            octet = octet * 10 + (p[i] - '0');
        p += digits;
        if (octet > 255)
            return 0;
        if (octets == 4)
            return p == end;
        if (p == end || *p++ != '.')
            return 0;
    }
}

/* Whether [p, end) is an IPv6address: eight groups of up to four digits, of which the last two may
 * be an IPv4address; or fewer, and "::" once in place of those that are zero. */
static int is_ipv6(const uint8_t *p, const uint8_t *end)
{
    int groups = 0, elided = 0;

    if (end - p >= 2 && p[0] == ':' && p[1] == ':') {
        elided = 1;
        p += 2;
    }
    while (p < end) {
        size_t digits = span(p, end, HEX);
        if (p + digits < end && p[digits] == '.') {
            groups += 2;
            return is_ipv4(p, end) && (elided ? groups < 8 : groups == 8);
        }
        if (digits < 1 || digits > 4)
            return 0;
        p += digits;
        groups++;
        if (p == end)
            break;
        if (*p++ != ':' || p == end || (*p == ':' && elided))
            return 0;
        if (*p == ':') {
            elided = 1;
            p++;
        }
    }
    return elided ? groups < 8 : groups == 8;
}

/* Whether [p, end) is an IPvFuture: "v" 1*HEXDIG "." 1*( unreserved / sub-delims / ":" ). */
static int is_ip_future(const uint8_t *p, const uint8_t *end)
{
    if (p == end || (*p | 0x20) != 'v')
        return 0;
    size_t version = span(++p, end, HEX);
    p += version;
    if (!version || p == end || *p++ != '.' || p == end)
        return 0;
    while (p < end && (CLASS[*p] & NAME || *p == ':'))
        p++;
    return p == end;
}

/* Where the IP-literal ends that starts at p with its bracket; NULL where it is none. */
static const uint8_t *skip_literal(const uint8_t *p, const uint8_t *end)
{
    const uint8_t *close = ++p;
    while (close < end && *close != ']')
        close++;
    if (close == end || !(is_ipv6(p, close) || is_ip_future(p, close)))
        return NULL;
    return close + 1;
}

/* Where the reg-name ends that starts at p; p itself where there is none. */
static const uint8_t *skip_name(const uint8_t *p, const uint8_t *end)
{
    for (;;) {
        p += span(p, end, NAME);
        if (end - p < 3 || *p != '%' || span(p + 1, p + 3, HEX) != 2)
            return p;
        p += 3;
    }
}

static int is_authority(const uint8_t *p, const uint8_t *end)
{
    const uint8_t *port = p < end && *p == '[' ? skip_literal(p, end) : skip_name(p, end);
    if (!port || port == p)
        return 0;
    return port == end || (*port == ':' && port + 1 + span(port + 1, end, DIGIT) == end);
}

#endif
