/* flags.h - the command line of a program as one table: what is parsed is what --help prints.
 *
 * Flags are long ones, "--name=value" or "--name value", "--name" alone for a switch; a few have a
 * letter as well. A name is never abbreviated, so that a script goes on working when a flag is
 * added. */
#pragma once

#include <stdint.h>

#include "base/buf.h"

typedef enum FlagKind {
    FLAG_TEXT,   /* const char *: points into argv */
    FLAG_PORT,   /* uint16_t: 1-65535 */
    FLAG_ON,     /* bool: set to true; also --name=true, --name=false and --no-name */
    FLAG_TEXTS,  /* FlagTexts: may be given again; the first one given replaces the default */
    FLAG_NUMBER, /* uint64_t: also "5e7" */
    FLAG_AMOUNT, /* FlagAmount: a duration or size, read by `parse` */
    FLAG_KIND_MAX
} FlagKind;

enum { FLAG_TEXTS_MAX = 64 };
typedef struct FlagTexts {
    const char *items[FLAG_TEXTS_MAX]; /* point into argv */
    unsigned len;
    bool given;
} FlagTexts;

typedef struct FlagAmount {
    const char *text; /* as given, or the default's; NULL: neither */
    int64_t value;
} FlagAmount;

typedef struct Flag {
    const char *name; /* without dashes */
    FlagKind kind;
    void *target;      /* holds the default before, the value after */
    const char *value; /* what stands for the value in the help: "FILE"; NULL for a switch */
    const char *help;  /* one line; NULL: not shown */
    bool needed;       /* FLAG_TEXT: must not stay NULL */
    int (*parse)(StrView text, int64_t *ret); /* FLAG_AMOUNT: 0, or negative: not one */
    char letter; /* also "-r", or with a value "-o json" and "-ojson"; 0: none */
} Flag;

typedef struct FlagSet {
    const char *program; /* "knarr up": opens every message */
    const char *args;    /* what may follow the flags, for the help: "FILE…"; NULL: nothing may */
    const char *about;   /* sentences for --help */
    const Flag *flags;
    unsigned len;
} FlagSet;

/* Parses all of argv behind argv[0]. What is no flag is moved to the front of argv[1…] in its
 * order, and *ret_rest (may be NULL where `args` is NULL) says how many there are; "--" ends the
 * flags. Returns FLAGS_OK, or the program is to leave at once: after --help with 0, after a
 * mistake, which was printed to standard error, with 2. */
enum { FLAGS_OK = -1 };
int flags_parse(const FlagSet *set, int argc, char **argv, int *ret_rest) NODISCARD;

/* Is the caller root? Else says on standard error that `program` ("knarr up") must be run so. */
bool flags_caller_is_root(const char *program) NODISCARD;

/* Appends what a flag's value is now, as text: "15d", "true", "a,b". */
void flag_format(const Flag *f, Buf *out);
