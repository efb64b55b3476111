/* knarr_promtool.h - the verbs of `knarr promtool` that have files of their own. */
#pragma once

/* argv: what follows the verb's words. Returns the exit code. */
int promtool_check_rules(int argc, char **argv);
