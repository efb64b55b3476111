/* verbs.h - the verbs of knarr-oci and what they have in common.
 *
 * A verb gets argv with its own name first, parses it by a table of flags, and returns the exit
 * code. A new one is a function here, a row in knarr_oci.c and a file. */
#pragma once

#include "oci/runtime/container.h"

int verb_checkpoint(const OciGlobal *g, int argc, char **argv);
int verb_create(const OciGlobal *g, int argc, char **argv);
int verb_delete(const OciGlobal *g, int argc, char **argv);
int verb_events(const OciGlobal *g, int argc, char **argv);
int verb_exec(const OciGlobal *g, int argc, char **argv);
int verb_features(const OciGlobal *g, int argc, char **argv);
int verb_kill(const OciGlobal *g, int argc, char **argv);
int verb_list(const OciGlobal *g, int argc, char **argv);
int verb_pause(const OciGlobal *g, int argc, char **argv);
int verb_ps(const OciGlobal *g, int argc, char **argv);
int verb_restore(const OciGlobal *g, int argc, char **argv);
int verb_resume(const OciGlobal *g, int argc, char **argv);
int verb_run(const OciGlobal *g, int argc, char **argv);
int verb_spec(const OciGlobal *g, int argc, char **argv);
int verb_start(const OciGlobal *g, int argc, char **argv);
int verb_state(const OciGlobal *g, int argc, char **argv);
int verb_update(const OciGlobal *g, int argc, char **argv);

/* --- flags: "--name value", "--name=value", "-n value"; one dash does as well, as with runc --- */

typedef enum OciFlagKind {
    OCI_FLAG_ON,     /* bool */
    OCI_FLAG_TEXT,   /* const char *: points into argv */
    OCI_FLAG_NUMBER, /* unsigned */
    OCI_FLAG_TEXTS,  /* OciTexts, may be given again; its items are of oci_flags_parse() */
} OciFlagKind;

typedef struct OciFlag {
    const char *name;
    char letter; /* 0: none */
    OciFlagKind kind;
    void *target; /* keeps what it holds when the flag is not given */
    bool *given;  /* NULL: not asked for */
    const char *help;
} OciFlag;

typedef struct OciVerb {
    const char *name, *usage; /* "delete", "removes what a container holds" */
    const char *args;         /* "<container-id>"; and how many there are at least and at most */
    int args_min, args_max;   /* -1: any number */
    const OciFlag *flags;
    unsigned flags_len;
    bool stop_at_first; /* what follows the first argument is no flag of ours: `exec` */
} OciVerb;

enum { OCI_FLAGS_OK = -1 };
/* Leaves the arguments in argv[1…*ret_argc]. OCI_FLAGS_OK, or the program is to end with this code:
 * 0 after --help, 1 after a mistake, which has been said with the verb's help. */
int oci_flags_parse(const OciGlobal *g, const OciVerb *v, int argc, char **argv, int *ret_argc);
void oci_verb_help(const OciVerb *v);
/* The flags in front of the verb: where in argv it is (argc: nowhere), or an error. */
int oci_globals_parse(const OciVerb *v, int argc, char **argv, Err *err) NODISCARD;

/* --- messages, as logrus prints them --- */

/* For OciGlobal.say. */
void oci_log(const OciGlobal *g, OciLevel level, const char *text);
/* The error to the log, and plain to standard error where the log is a file. Returns `code`. */
int oci_fail(const OciGlobal *g, int code, const Err *err);
/* The same with words in front: "runc create failed". */
int oci_fail_with(const OciGlobal *g, int code, const char *words, Err *err) NODISCARD;
