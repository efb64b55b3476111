/* log.c - log lines, each one write(2) so that lines of several processes never mix. */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

static const char *log_role = "knarr";
static LogLevel log_level = LOG_LEVEL_INFO;
static bool log_json;

enum { LINE_MAX_BYTES = 4096 };

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

void log_set_json(bool on)
{
    log_json = on;
}

/* A text as the inside of a JSON string; what does not fit is left out. */
static size_t put_json(char *out, size_t size, const char *text, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len && n + 6 < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\')
            n += (size_t)snprintf(out + n, size - n, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            n += (size_t)snprintf(out + n, size - n, "\\u%04x", c);
        else
            out[n++] = (char)c;
    }
    while (n > 0 && len > 0 && ((unsigned char)out[n - 1] & 0xc0) == 0x80 && n + 6 >= size)
        n--; /* a character that was cut */
    return n;
}

static size_t json_line(char line[LINE_MAX_BYTES], LogLevel level, const char *text, size_t len)
{
    static const char *const names[] = { "DEBUG", "INFO", "WARN", "ERROR" };
    char when[RFC3339_SIZE];
    size_t n = (size_t)snprintf(line, LINE_MAX_BYTES,
                                "{\"time\":\"%s\",\"level\":\"%s\",\"component\":\"%s\",\"msg\":\"",
                                rfc3339_format(clock_real_ns(), 6, when), names[level], log_role);
    n += put_json(line + n, LINE_MAX_BYTES - n - 3, text, len);
    memcpy(line + n, "\"}", 2);
    return n + 2;
}

static size_t text_line(char line[LINE_MAX_BYTES], LogLevel level, const char *text, size_t len)
{
    static const char *const names[] = { "debug", "info ", "warn ", "error" };
    char when[RFC3339_SIZE];
    size_t n = (size_t)snprintf(line, LINE_MAX_BYTES,
                                "%s %s %s: ", rfc3339_format(clock_real_ns(), 6, when),
                                names[level], log_role);
    len = MIN(len, LINE_MAX_BYTES - n - 1);
    for (size_t i = 0; i < len; i++) /* text from outside cannot forge a line */
        line[n++] = (unsigned char)text[i] < 0x20 ? ' ' : text[i];
    return n;
}

void log_write(LogLevel level, const char *fmt, ...)
{
    if (!log_enabled(level))
        return;
    int saved = errno;
    char line[LINE_MAX_BYTES], text[LINE_MAX_BYTES];
    va_list ap;
    va_start(ap, fmt);
    int m = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    size_t n = m < 0 ? 0 : MIN((size_t)m, sizeof text - 1);
    n = log_json ? json_line(line, level, text, n) : text_line(line, level, text, n);
    line[n++] = '\n';
    if (write(STDERR_FILENO, line, n) < 0) {
        /* Nowhere left to say it. */
    }
    errno = saved;
}

bool log_gate(LogGate *g, int64_t every_ms)
{
    int64_t now = clock_mono_ns() + 1, next = atomic_load(&g->next_ns); /* 0: never said */
    return now > next &&
           atomic_compare_exchange_strong(&g->next_ns, &next, now + every_ms * NSEC_PER_MSEC);
}
