/* config.h - the file of --web.config.file: TLS, users, headers and rate of a web server, as
 * Prometheus' exporter-toolkit defines it
 * (https://prometheus.io/docs/prometheus/latest/configuration/https/). */
#pragma once

#include "base/arena.h"
#include "base/list.h"
#include "net/tls.h"

enum {
    WEB_CONFIG_SIZE_MAX = 1024 * 1024,
    WEB_CONFIG_PEM_MAX = 16 * 1024 * 1024,
    WEB_CONFIG_HASH_LEN = 60, /* of bcrypt's text: "$2y$10$" and 53 characters */
};

typedef struct WebConfig { /* does not change once it is loaded */
    TlsContext *tls;       /* NULL: clear text */
    StrPairs users;        /* name to bcrypt hash; empty: anyone may ask */
    unsigned cost;         /* the highest of the hashes */
    StrPairs headers;      /* of all answers */
    uint64_t burst;        /* requests at once; 0: no limit */
    int64_t interval_ms;   /* in which one more is allowed */
    const char *files[4];  /* this one, and those with certificates and keys */
    unsigned n_files;
    uint64_t stamp; /* of the files when they were read */
    Arena arena;
} WebConfig;

/* Blocks. Certificates are read and compared with their keys. Errors name file, line and key. */
int web_config_load(const char *path, WebConfig **ret, Err *err) NODISCARD;
/* The same from a text, as if it stood in the file `path`. */
int web_config_parse(StrView text, const char *path, WebConfig **ret, Err *err) NODISCARD;
WebConfig *web_config_free(WebConfig *c); /* NULL is fine; always NULL */
/* One of the files has been written or replaced since. Blocks. */
bool web_config_changed(const WebConfig *c);
/* The cost of a bcrypt hash, 4 to 31; 0: it is none. */
unsigned web_config_bcrypt_cost(StrView hash);
