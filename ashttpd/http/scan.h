/* As Limits in limits.py has them; each at least 1. */
struct ashttpd_limits {
    int32_t head_bytes, target_bytes, fields;
};
int64_t ashttpd_scan(const struct ashttpd_limits *limits, const char *data, int32_t offset,
                     int32_t length, char *key);
int32_t ashttpd_max_key(const struct ashttpd_limits *limits);
