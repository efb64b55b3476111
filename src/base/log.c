/* log.c - log lines, each one write(2) so that lines of several processes never mix. */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

static const char *log_role = "knarr";
static LogLevel log_level = LOG_LEVEL_INFO;

void log_init(const char *role)
{
    log_role = role;
    static const char *const names[] = { "debug", "info", "warn", "error" };
    const char *want = getenv("KNARR_LOG");
    for (unsigned i = 0; want && i < ARRAY_SIZE(names); i++)
        if (strcmp(want, names[i]) == 0)
            log_level = (LogLevel)i;
}

void log_set_level(LogLevel level)
{
    log_level = level;
}

bool log_enabled(LogLevel level)
{
    return level >= log_level;
}

void log_write(LogLevel level, const char *fmt, ...)
{
    if (!log_enabled(level))
        return;
    static const char *const names[] = { "debug", "info ", "warn ", "error" };
    int saved = errno;
    char line[4096], when[RFC3339_SIZE];
    int n = snprintf(line, sizeof line, "%s %s %s: ", rfc3339_format(clock_real_ns(), 6, when),
                     names[level], log_role);
    va_list ap;
    va_start(ap, fmt);
    int m = vsnprintf(line + n, sizeof line - (size_t)n - 1, fmt, ap);
    va_end(ap);
    size_t len = (size_t)n + (m < 0 ? 0 : MIN((size_t)m, sizeof line - (size_t)n - 2));
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)line[i] < 0x20)
            line[i] = ' '; /* text from outside cannot forge a line */
    line[len++] = '\n';
    if (write(STDERR_FILENO, line, len) < 0) {
        /* Nowhere left to say it. */
    }
    errno = saved;
}
