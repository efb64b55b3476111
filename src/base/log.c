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

/* Bytes of the printable character that a text begins with; 0: it is a control character, or not
 * UTF-8. */
static size_t printable(StrView s)
{
    unsigned char c = (unsigned char)s.ptr[0];
    size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    bool control = c < 0x20 || c == 0x7f ||
                   (c == 0xc2 && s.len > 1 && (unsigned char)s.ptr[1] < 0xa0); /* C1 */
    return control || n > s.len || !sv_is_utf8(sv_head(s, n)) ? 0 : n;
}

/* Text from outside can neither forge a line nor command a terminal: line ends and tabs become
 * blanks in a line of text, what else is not printable \xNN. `json`: as the inside of a string.
 * What does not fit is left out. */
static size_t put_text(char *out, size_t size, StrView text, bool json)
{
    enum { ROOM = 8 }; /* for the longest form of one byte */
    size_t n = 0;
    while (text.len && n + ROOM < size) {
        size_t len = printable(text);
        unsigned char c = (unsigned char)text.ptr[0];
        bool quoted = json && (c == '"' || c == '\\');
        if (quoted)
            n += (size_t)snprintf(out + n, size - n, "\\%c", c);
        else if (json && !len && c < 0x80)
            n += (size_t)snprintf(out + n, size - n, "\\u%04x", c);
        else if (!len && (c == '\n' || c == '\r' || c == '\t'))
            out[n++] = ' ';
        else if (!len)
            n += (size_t)snprintf(out + n, size - n, json ? "\\\\x%02x" : "\\x%02x", c);
        else
            memcpy(out + n, text.ptr, len);
        n += quoted ? 0 : len;
        text = sv_skip(text, len ? len : 1);
    }
    return n;
}

void log_plain(StrView text, char *out, size_t size)
{
    out[put_text(out, size, text, false)] = 0;
}

static size_t json_line(char line[LINE_MAX_BYTES], LogLevel level, const char *text, size_t len)
{
    static const char *const names[] = { "DEBUG", "INFO", "WARN", "ERROR" };
    char when[RFC3339_SIZE];
    size_t n = (size_t)snprintf(line, LINE_MAX_BYTES,
                                "{\"time\":\"%s\",\"level\":\"%s\",\"component\":\"%s\",\"msg\":\"",
                                rfc3339_format(clock_real_ns(), 6, when), names[level], log_role);
    n += put_text(line + n, LINE_MAX_BYTES - n - 3, sv_n(text, len), true);
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
    return n + put_text(line + n, LINE_MAX_BYTES - n - 1, sv_n(text, len), false);
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
