/* Classes of bytes, as the grammars of a head have them: one table, for what scans a head. */
#ifndef ASHTTPD_HTTP_CLASSES_H
#define ASHTTPD_HTTP_CLASSES_H

#include <stddef.h>
#include <stdint.h>

/* tchar (RFC 9110 section 5.6.2); field-vchar, SP and HTAB (section 5.5); what a request target may
 * hold: visible ASCII but "#", and every byte beyond ASCII as itself; unreserved and sub-delims
 * (RFC 3986 sections 2.2 and 2.3), of which names of hosts are made; HEXDIG; DIGIT. */
enum { TOKEN = 1, VALUE = 2, TARGET = 4, NAME = 8, HEX = 16, DIGIT = 32 };

#define T TOKEN
#define V VALUE
#define R TARGET
#define N NAME
#define X HEX
#define D DIGIT
static const uint8_t CLASS[256] = {
    [0x09] = V, [' '] = V,
    ['!'] = T|V|R|N, ['"'] = V|R, ['#'] = T|V, ['$'] = T|V|R|N, ['%'] = T|V|R, ['&'] = T|V|R|N,
    ['\''] = T|V|R|N, ['('] = V|R|N, [')'] = V|R|N, ['*'] = T|V|R|N, ['+'] = T|V|R|N, [','] = V|R|N,
    ['-'] = T|V|R|N, ['.'] = T|V|R|N, ['/'] = V|R, ['0' ... '9'] = T|V|R|N|X|D, [':'] = V|R,
    [';'] = V|R|N, ['<'] = V|R, ['='] = V|R|N, ['>'] = V|R, ['?'] = V|R, ['@'] = V|R,
    ['A' ... 'F'] = T|V|R|N|X, ['G' ... 'Z'] = T|V|R|N, ['['] = V|R, ['\\'] = V|R, [']'] = V|R,
    ['^'] = T|V|R, ['_'] = T|V|R|N, ['`'] = T|V|R, ['a' ... 'f'] = T|V|R|N|X,
    ['g' ... 'z'] = T|V|R|N, ['{'] = V|R, ['|'] = T|V|R, ['}'] = V|R, ['~'] = T|V|R|N,
    [0x80 ... 0xff] = V|R,
};
#undef T
#undef V
#undef R
#undef N
#undef X
#undef D

/* How many bytes from p on, before end, are of a class. */
static inline size_t span(const uint8_t *p, const uint8_t *end, uint8_t class)
{
    const uint8_t *q = p;
    while (q < end && CLASS[*q] & class)
        q++;
    return (size_t)(q - p);
}

#endif
