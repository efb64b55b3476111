/* log.h - one line per event on standard error:
 *   2026-11-23T05:35:37.123456Z info  kubelet: pod started pod="default/web"
 * Only the top of a program logs above debug; libraries return an Err. */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "base/macros.h"
#include "base/str.h"

typedef enum LogLevel { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR } LogLevel;

/* `role` is printed in every line and must outlive the program (a literal). Reads KNARR_LOG
 * (debug, info, warn, error) from the environment; the default is info. */
void log_init(const char *role);
void log_set_level(LogLevel level);
/* From now on a line is an object: {"time":…,"level":"INFO","component":ROLE,"msg":…}. */
void log_set_json(bool on);
/* `text` as a line of the log has it: without what commands a terminal or ends a line. Cut where it
 * does not fit; ends in NUL. `size` is 16 or more. */
void log_plain(StrView text, char *out, size_t size);
bool log_enabled(LogLevel level);
void log_write(LogLevel level, const char *fmt, ...) PRINTF(2, 3);

#define log_debug(...)                                                                             \
    do {                                                                                           \
        if (log_enabled(LOG_LEVEL_DEBUG))                                                          \
            log_write(LOG_LEVEL_DEBUG, __VA_ARGS__);                                               \
    } while (0)
#define log_info(...)  log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)

/* For what would be said again and again: true at most once in `every_ms`. Any thread; zero at
 * first. */
typedef struct LogGate {
    _Atomic int64_t next_ns;
} LogGate;
bool log_gate(LogGate *g, int64_t every_ms);
