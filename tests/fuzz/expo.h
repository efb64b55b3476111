/* expo.h - what the three exposition targets do: every entry, its labels and its exemplars are
 * read, under each set of options. */
#pragma once

#include "monitor/expo/expo.h"

static void expo_ask(ExpoParser *p, const ExpoEntry *e)
{
    _cleanup_arena_ Arena a;
    ExpoExemplar x;
    Labels l;
    arena_init(&a, 0);
    if (expo_labels(p, &a, &l, NULL) >= 0)
        ASSERT(labels_get(l, LABEL_METRIC_NAME).len > 0);
    for (unsigned i = 0; i < e->n_exemplars; i++)
        (void)!expo_exemplar(p, i, &a, &x, NULL);
    (void)expo_start_time(p);
}

static int expo_read(ExpoFormat format, StrView text)
{
    static const ExpoOptions options[] = { { 0 },
                                           { .native_histograms = true, .keep_classic = true },
                                           { .classic_to_custom = true } };
    for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
        ExpoParser *p = expo_parser_new(format, text, &options[i]);
        ExpoEntry e;
        while (p && expo_next(p, &e, NULL) >= 0 && e.kind != EXPO_END)
            if (e.kind == EXPO_SERIES || e.kind == EXPO_HISTOGRAM)
                expo_ask(p, &e);
        expo_parser_free(p);
    }
    return 0;
}
