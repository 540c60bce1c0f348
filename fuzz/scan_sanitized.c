/* Scans what it reads, with every read and write of the scan looked at.
 *
 * For AddressSanitizer and UndefinedBehaviorSanitizer, which end the process with a report. A case
 * is the limits, then three int32_t: how many bytes there are, and the offset and length that the
 * scan is told; then the bytes. The answer is the scan's result and, where that is positive, the key. The bytes stand
 * in memory of exactly their size, and so does the key.
 */
#include <stdio.h>
#include <stdlib.h>

#include "../ashttpd/http/scan.c"

int main(void)
{
    struct ashttpd_limits limits;
    int32_t header[3];

    while (fread(&limits, sizeof limits, 1, stdin) == 1
           && fread(header, sizeof header, 1, stdin) == 1) {
        char *data = malloc((size_t)header[0]), *key = malloc((size_t)ashttpd_max_key(&limits));
        if (!data || !key || fread(data, 1, (size_t)header[0], stdin) != (size_t)header[0])
            return 2;
        int64_t result = ashttpd_scan(&limits, data, header[1], header[2], key);
        fwrite(&result, sizeof result, 1, stdout);
        if (result > 0)
            fwrite(key, 1, (size_t)(result >> 32), stdout);
        fflush(stdout);
        free(data);
        free(key);
    }
    return 0;
}
