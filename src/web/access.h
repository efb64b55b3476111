/* access.h - who may ask, by the file of --web.config.file: in front of the web server's handler it
 * sets the headers of all answers, keeps to the rate and checks passwords.
 *
 * Hashes (bcrypt) are computed on a pool thread, one after the other, as many bits of work for
 * users that do not exist as for those that do; what was right is remembered by a keyed digest.
 * Once a second the file and its certificates are looked at, and read again when they have changed;
 * one that is wrong is logged and the old one stays. All on the loop's thread. */
#pragma once

#include "net/http.h"
#include "web/config.h"

enum {
    ACCESS_LOOK_MS = 1000,        /* between two looks at the files */
    ACCESS_KNOWN_MAX = 64,        /* credentials that are remembered */
    ACCESS_WAITING_MAX = 256,     /* requests that wait for a hash; more: 503 */
    ACCESS_CREDENTIALS_MAX = 512, /* bytes of user and password; more are wrong */
};

typedef struct Access Access;

typedef struct AccessOptions {
    const char *file;
    HttpHandlerFn *handler;                     /* of requests that pass */
    void (*on_tls)(void *ctx, TlsContext *tls); /* certificates have been read again */
    void *ctx;                                  /* of both */
} AccessOptions;

/* Reads the file. Errors name file, line and key. */
int access_new(Loop *l, const AccessOptions *opt, Access **ret, Err *err) NODISCARD;
TlsContext *access_tls(const Access *a);        /* NULL: clear text, for all its life */
void access_handle(void *access, HttpReq *req); /* an HttpHandlerFn */
/* Nothing new is begun; after it the loop is ended (which waits for a hash), and then comes
 * access_free(). NULL is fine for both. */
void access_stop(Access *a);
Access *access_free(Access *a); /* always NULL */
