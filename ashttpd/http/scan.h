int64_t ashttpd_scan(const char *data, int32_t offset, int32_t length, char *key);
int32_t ashttpd_max_key(void);
