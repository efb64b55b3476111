/* webconfig.h - the file of --web.config.file: TLS, users, headers and rate of a web server, as
 * Prometheus' exporter-toolkit defines it
 * (https://prometheus.io/docs/prometheus/latest/configuration/https/). */
#pragma once

#include "monitor/model/labels.h"
#include "net/tls.h"

enum {
    WEBCONFIG_SIZE_MAX = 1024 * 1024,
    WEBCONFIG_PEM_MAX = 16 * 1024 * 1024,
    WEBCONFIG_HASH_LEN = 60, /* of bcrypt's text: "$2y$10$" and 53 characters */
};

typedef struct WebConfig { /* does not change once it is loaded */
    TlsContext *tls;       /* NULL: clear text */
    Labels users;          /* name to bcrypt hash; empty: anyone may ask */
    unsigned cost;         /* the highest of the hashes */
    Labels headers;        /* of all answers */
    uint64_t burst;        /* requests at once; 0: no limit */
    int64_t interval_ms;   /* in which one more is allowed */
    const char *files[4];  /* this one, and those with certificates and keys */
    unsigned n_files;
    uint64_t stamp; /* of the files when they were read */
    Arena arena;
} WebConfig;

/* Blocks. Certificates are read and compared with their keys. Errors name file, line and key. */
int webconfig_load(const char *path, WebConfig **ret, Err *err) NODISCARD;
/* The same from a text, as if it stood in the file `path`. */
int webconfig_parse(StrView text, const char *path, WebConfig **ret, Err *err) NODISCARD;
WebConfig *webconfig_free(WebConfig *c); /* NULL is fine; always NULL */
/* One of the files has been written or replaced since. Blocks. */
bool webconfig_changed(const WebConfig *c);
/* The cost of a bcrypt hash, 4 to 31; 0: it is none. */
unsigned webconfig_bcrypt_cost(StrView hash);
