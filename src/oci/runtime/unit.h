/* unit.h - what systemd is told of the control groups of a container: the unit's name and place,
 * its properties. Nothing here speaks to systemd.
 *
 * Properties are words, as busctl(1) takes them: NAME SIGNATURE VALUE…, an array begins with its
 * length. knarr-oci-unit gets them as its arguments.
 *
 * Docs: systemd.slice(5), systemd.resource-control(5), org.freedesktop.systemd1(5). */
#pragma once

#include "oci/runtime/spec.h"

typedef struct OciUnit {
    const char *name;  /* "prefix-name.scope", or a slice */
    const char *slice; /* that it is in: "a-b.slice" */
    const char *path;  /* of its group, below that of the manager: "/a.slice/a-b.slice/name" */
    const char *title; /* what the container is called there */
    bool is_slice;     /* holds no process of its own in systemd's view */
} OciUnit;

/* `cgroups_path` is "slice:prefix:name"; NULL or "": runc-ID.scope in the default slice, which is
 * user.slice for a user's manager. Texts are the arena's. ERR_INVALID names linux.cgroupsPath. */
int oci_unit_of(const char *cgroups_path, const char *id, bool user, Arena *a, OciUnit *ret,
                Err *err) NODISCARD;
/* Is it the name of a scope or slice, and no path? */
bool oci_unit_name_is_valid(StrView name);

/* Words without end: when memory is short the arena has failed, which is asked once at the end. */
typedef struct UnitWords {
    Arena *arena;
    const char **items; /* items[len] is NULL */
    size_t len, cap;
} UnitWords;

void unit_word(UnitWords *w, const char *format, ...) PRINTF(2, 3);

/* The limits: `v2` is the machine's only version. A `set` number of 0 is "not said", as in runc.
 * ERR_INVALID names the field. */
int unit_resources(UnitWords *w, const OciResources *r, bool v2, Err *err) NODISCARD;
/* Annotations org.systemd.property.NAME: a value in GVariant's text form. NAMESec is NAMEUSec in
 * microseconds. ERR_INVALID names the annotation; so does a form that no property of systemd has:
 * dictionaries, tuples, arrays of arrays. */
int unit_annotations(UnitWords *w, const OciPairs *annotations, Err *err) NODISCARD;

/* What /proc/devices calls a major number, "char-pts"; false: nothing. */
bool unit_device_group(StrView devices, bool block, int64_t major, char ret[static 64]);
/* "1,3-5" to a bit for each, the first in the lowest bit of the first byte. Negative errno. */
enum { UNIT_CPUS_MAX = 8192 };
int unit_cpu_bits(const char *list, uint8_t ret[static UNIT_CPUS_MAX / 8], size_t *ret_len);
