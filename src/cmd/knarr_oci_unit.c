/* knarr_oci_unit.c - main() of knarr-oci-unit, which asks systemd for the control groups of a
 * container: knarr-oci is static and starts it where groups are systemd's.
 *
 *   knarr-oci-unit [--user] start UNIT [NAME SIGNATURE VALUE...]...   a transient scope or slice
 *   knarr-oci-unit [--user] set UNIT [NAME SIGNATURE VALUE...]...     its properties, until it ends
 *   knarr-oci-unit [--user] stop UNIT
 *   knarr-oci-unit [--user] group                    prints the control group of the manager
 *
 * Values are words as busctl(1) takes them. One line on standard error says what went wrong; the
 * exit code is 1 then. `start` and `stop` return when systemd is done.
 *
 * Docs: org.freedesktop.systemd1(5), sd-bus(3). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <time.h>

#include "base/err.h"
#include "base/macros.h"
#include "base/str.h"

#define MANAGER                                                                                    \
    "org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"
enum { JOB_S = 30 };

/* --- values --- */

/* How many characters the first complete type takes; 0: it is none that we know. */
static size_t type_len(const char *signature)
{
    size_t n = 1, part;

    if (signature[0] == 'a') {
        part = type_len(signature + 1);
        return part ? part + 1 : 0;
    }
    if (signature[0] != '(')
        return signature[0] && strchr("bynqiuxtdsog", signature[0]) ? 1 : 0;
    while (signature[n] != ')') {
        part = type_len(signature + n);
        if (!part)
            return 0;
        n += part;
    }
    return n > 1 ? n + 1 : 0;
}

static const char *next_word(char ***words)
{
    return **words ? *(*words)++ : NULL;
}

static int append_number(sd_bus_message *m, char type, const char *word)
{
    bool is_signed = strchr("nix", type);
    uint64_t u = 0;
    int64_t i = 0;
    uint8_t y;
    uint16_t q;
    uint32_t w;

    if (is_signed ? sv_to_i64(sv_cstr(word), &i) < 0 : sv_to_u64(sv_cstr(word), &u) < 0)
        return -EINVAL;
    u = is_signed ? (uint64_t)i : u; /* the same bits */
    y = (uint8_t)u;
    q = (uint16_t)u;
    w = (uint32_t)u;
    return sd_bus_message_append_basic(m, type,
                                       type == 'y'          ? (void *)&y
                                       : strchr("nq", type) ? (void *)&q
                                       : strchr("iu", type) ? (void *)&w
                                                            : (void *)&u);
}

static int append_basic(sd_bus_message *m, char type, const char *word)
{
    int yes = !strcmp(word, "true");
    double d;

    if (strchr("sog", type))
        return sd_bus_message_append_basic(m, type, word);
    if (type == 'b')
        return yes || !strcmp(word, "false") ? sd_bus_message_append_basic(m, 'b', &yes) : -EINVAL;
    if (type != 'd')
        return append_number(m, type, word);
    return sv_to_double(sv_cstr(word), &d) < 0 ? -EINVAL : sd_bus_message_append_basic(m, 'd', &d);
}

/* As many values as the signature has types. */
static int append_values(sd_bus_message *m, const char *signature, char ***words)
{
    size_t len;
    int r = 0;

    for (; r >= 0 && *signature; signature += len) {
        char part[64];
        uint64_t n = 1;

        len = type_len(signature);
        if (!len || len >= sizeof part)
            return -EINVAL;
        if (*signature != 'a' && *signature != '(') {
            const char *word = next_word(words);

            r = word ? append_basic(m, *signature, word) : -EINVAL;
            continue;
        }
        if (*signature == 'a') {
            const char *word = next_word(words);

            snprintf(part, sizeof part, "%.*s", (int)len - 1, signature + 1);
            if (!word || sv_to_u64(sv_cstr(word), &n) < 0)
                return -EINVAL;
        } else {
            snprintf(part, sizeof part, "%.*s", (int)len - 2, signature + 1);
        }
        r = sd_bus_message_open_container(m, *signature == 'a' ? 'a' : 'r', part);
        for (; r >= 0 && n; n--)
            r = append_values(m, part, words);
        if (r >= 0)
            r = sd_bus_message_close_container(m);
    }
    return r;
}

static int append_property(sd_bus_message *m, char ***words, Err *err)
{
    const char *name = next_word(words), *signature = next_word(words);
    int r = signature && type_len(signature) == strlen(signature) ? 0 : -EINVAL;

    if (r >= 0)
        r = sd_bus_message_open_container(m, 'r', "sv");
    if (r >= 0)
        r = sd_bus_message_append_basic(m, 's', name);
    if (r >= 0)
        r = sd_bus_message_open_container(m, 'v', signature);
    if (r >= 0)
        r = append_values(m, signature, words);
    if (r >= 0)
        r = sd_bus_message_close_container(m);
    if (r >= 0)
        r = sd_bus_message_close_container(m);
    return r < 0 ? err_neg(err, r, "property %s", name) : 0;
}

static int append_properties(sd_bus_message *m, char **words, Err *err)
{
    int r = sd_bus_message_open_container(m, 'a', "(sv)");

    if (r < 0)
        return err_neg(err, r, "write a message");
    while (*words)
        if ((r = append_property(m, &words, err)) < 0)
            return r;
    r = sd_bus_message_close_container(m);
    return r < 0 ? err_neg(err, r, "write a message") : 0;
}

/* --- jobs --- */

typedef struct Jobs {
    char *path;      /* of the job that is waited for */
    char result[32]; /* "": not yet */
} Jobs;

static int job_removed(sd_bus_message *m, void *ctx, sd_bus_error *error)
{
    Jobs *jobs = ctx;
    const char *path, *unit, *result;
    uint32_t id;

    if (sd_bus_message_read(m, "uoss", &id, &path, &unit, &result) >= 0 && jobs->path &&
        !strcmp(path, jobs->path))
        snprintf(jobs->result, sizeof jobs->result, "%s", result);
    return 0;
}

/* Before the job is asked for: systemd tells only who wants to know. */
static int watch_jobs(sd_bus *bus, Jobs *jobs, Err *err)
{
    int r = sd_bus_match_signal(bus, NULL, MANAGER, "JobRemoved", job_removed, jobs);

    if (r >= 0)
        r = sd_bus_call_method(bus, MANAGER, "Subscribe", NULL, NULL, NULL);
    return r < 0 ? err_neg(err, r, "listen to systemd's jobs") : 0;
}

static uint64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static int wait_for_job(sd_bus *bus, Jobs *jobs, const char *unit, Err *err)
{
    uint64_t end = now_us() + JOB_S * 1000000ull, now;

    while (!jobs->result[0]) {
        int r = sd_bus_process(bus, NULL);

        now = now_us();
        if (r == 0 && now < end)
            r = sd_bus_wait(bus, end - now);
        if (r < 0 && r != -EINTR)
            return err_neg(err, r, "wait for systemd");
        if (now >= end)
            return err_set(err, ERR_TIMEOUT, 0, "timeout waiting for systemd's job of %s", unit);
    }
    if (!strcmp(jobs->result, "done"))
        return 0;
    return err_set(err, ERR_SYS, 0, "systemd's job of %s: got `%s`", unit, jobs->result);
}

/* --- calls --- */

static int refused(int r, const sd_bus_error *error, const char *method, Err *err)
{
    return err_set(err, ERR_SYS, -r, "systemd's %s: %s", method,
                   error->message ? error->message : strerror(-r));
}

static void reset_failed(sd_bus *bus, const char *unit)
{
    sd_bus_call_method(bus, MANAGER, "ResetFailedUnit", NULL, NULL, "s", unit);
}

static int take_job(sd_bus_message *reply, Jobs *jobs, Err *err)
{
    const char *path;
    int r = sd_bus_message_read(reply, "o", &path);

    if (r < 0)
        return err_neg(err, r, "read systemd's answer");
    jobs->path = strdup(path);
    return jobs->path ? 0 : err_nomem(err);
}

static int call_start(sd_bus *bus, const char *unit, char **words, Jobs *jobs, sd_bus_error *error,
                      Err *err)
{
    sd_bus_message *m = NULL, *reply = NULL;
    int r = sd_bus_message_new_method_call(bus, &m, MANAGER, "StartTransientUnit");

    if (r >= 0)
        r = sd_bus_message_append(m, "ss", unit, "replace");
    if (r < 0) {
        err_neg(err, r, "write a message");
    } else if ((r = append_properties(m, words, err)) >= 0) {
        r = sd_bus_message_append(m, "a(sa(sv))", 0);
        if (r >= 0)
            r = sd_bus_call(bus, m, 0, error, &reply);
        r = r < 0 ? refused(r, error, "StartTransientUnit", err) : take_job(reply, jobs, err);
    }
    sd_bus_message_unref(m);
    sd_bus_message_unref(reply);
    return r;
}

/* A unit of that name that has failed is in the way until it is forgotten; one that lives is
 * another container's, or the slice that is wanted. */
static int start(sd_bus *bus, const char *unit, char **words, Err *err)
{
    static const char exists[] = "org.freedesktop.systemd1.UnitExists";
    sd_bus_error error = SD_BUS_ERROR_NULL;
    Jobs jobs = { 0 };
    int r = watch_jobs(bus, &jobs, err);

    if (r >= 0)
        r = call_start(bus, unit, words, &jobs, &error, err);
    if (r < 0 && sd_bus_error_has_name(&error, exists) && sv_ends(sv_cstr(unit), SV(".slice"))) {
        sd_bus_error_free(&error);
        return 0;
    }
    if (r < 0 && sd_bus_error_has_name(&error, exists)) {
        sd_bus_error_free(&error);
        err_clear(err);
        reset_failed(bus, unit);
        r = call_start(bus, unit, words, &jobs, &error, err);
    }
    if (r >= 0) {
        r = wait_for_job(bus, &jobs, unit, err);
        if (r < 0)
            reset_failed(bus, unit);
    }
    sd_bus_error_free(&error);
    free(jobs.path);
    return r;
}

static int set(sd_bus *bus, const char *unit, char **words, Err *err)
{
    sd_bus_error error = SD_BUS_ERROR_NULL;
    sd_bus_message *m = NULL;
    int r = sd_bus_message_new_method_call(bus, &m, MANAGER, "SetUnitProperties");

    if (r >= 0)
        r = sd_bus_message_append(m, "sb", unit, true);
    if (r < 0) {
        err_neg(err, r, "write a message");
    } else if ((r = append_properties(m, words, err)) >= 0) {
        r = sd_bus_call(bus, m, 0, &error, NULL);
        r = r < 0 ? refused(r, &error, "SetUnitProperties", err) : 0;
    }
    sd_bus_message_unref(m);
    sd_bus_error_free(&error);
    return r;
}

/* One that is not there has ended by itself. What failed (its processes were killed for want of
 * memory) would stay in systemd's list. */
static int stop(sd_bus *bus, const char *unit, Err *err)
{
    sd_bus_error error = SD_BUS_ERROR_NULL;
    sd_bus_message *reply = NULL;
    Jobs jobs = { 0 };
    int r = watch_jobs(bus, &jobs, err);

    if (r >= 0) {
        r = sd_bus_call_method(bus, MANAGER, "StopUnit", &error, &reply, "ss", unit, "replace");
        if (r >= 0 && (r = take_job(reply, &jobs, err)) >= 0)
            r = wait_for_job(bus, &jobs, unit, err);
        else if (sd_bus_error_has_name(&error, "org.freedesktop.systemd1.NoSuchUnit"))
            r = 0;
        else if (!err->code)
            r = refused(r, &error, "StopUnit", err);
        reset_failed(bus, unit);
    }
    sd_bus_message_unref(reply);
    sd_bus_error_free(&error);
    free(jobs.path);
    return r;
}

static int print_group(sd_bus *bus, Err *err)
{
    sd_bus_error error = SD_BUS_ERROR_NULL;
    char *group = NULL;
    int r = sd_bus_get_property_string(bus, MANAGER, "ControlGroup", &error, &group);

    r = r < 0 ? refused(r, &error, "ControlGroup", err) : 0;
    if (r >= 0)
        puts(group);
    sd_bus_error_free(&error);
    free(group);
    return r;
}

/* --- main --- */

static int run(bool user, const char *verb, char **words, Err *err)
{
    sd_bus *bus = NULL;
    const char *unit = *words;
    int r = user ? sd_bus_open_user(&bus) : sd_bus_open_system(&bus);

    if (r < 0)
        r = err_neg(err, r, "connect to systemd's %s bus", user ? "user" : "system");
    else if (!strcmp(verb, "group"))
        r = print_group(bus, err);
    else if (!unit)
        r = err_set(err, ERR_INVALID, 0, "%s: no unit is given", verb);
    else if (!strcmp(verb, "start"))
        r = start(bus, unit, words + 1, err);
    else if (!strcmp(verb, "set"))
        r = set(bus, unit, words + 1, err);
    else if (!strcmp(verb, "stop"))
        r = stop(bus, unit, err);
    else
        r = err_set(err, ERR_INVALID, 0, "'%s' is neither start, set, stop nor group", verb);
    sd_bus_flush_close_unref(bus);
    return r;
}

int main(int argc, char **argv)
{
    bool user = argc > 1 && !strcmp(argv[1], "--user");
    Err err = { 0 };

    if (argc < 2 + user) {
        fputs("usage: knarr-oci-unit [--user] start|set|stop|group [UNIT [NAME SIGNATURE "
              "VALUE...]...]\n",
              stderr);
        return 1;
    }
    if (run(user, argv[1 + user], argv + 2 + user, &err) >= 0)
        return 0;
    fprintf(stderr, "%s\n", err.msg);
    return 1;
}
