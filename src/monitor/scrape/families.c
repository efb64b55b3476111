/* families.c - what a target says about its metrics: type, help, unit. As with series, exporters
 * say it in the same order each time: a family remembers which one followed. */
#include "monitor/scrape/internal.h"

Family *scrape_families_get(const Families *f, StrView name)
{
    return map_get(&f->map, name);
}

void scrape_families_begin(Families *f)
{
    f->last = NULL;
}

Family *scrape_families_find(Families *f, StrView name)
{
    if (f->last && sv_eq(f->last->name, name)) /* its help and its type are two lines */
        return f->last;
    Family **guess = f->last ? &f->last->next : &f->first;
    if (!*guess || !sv_eq((*guess)->name, name)) {
        Family *found = map_get(&f->map, name);
        if (!found)
            return NULL;
        *guess = found;
    }
    return f->last = *guess;
}

static Family *family_free(Family *x)
{
    free(x->text);
    free(x);
    return NULL;
}

static Family *add(Families *f, StrView name)
{
    Family *x = calloc(1, sizeof *x + name.len);
    if (!x)
        return NULL;
    memcpy(x->name_bytes, name.ptr, name.len);
    x->name = sv_n(x->name_bytes, name.len);
    return map_set(&f->map, name, x, NULL) ? x : family_free(x);
}

bool scrape_families_put(Families *f, StrView name, ExpoType type, StrView help, StrView unit,
                         uint32_t scrape)
{
    char *text = malloc(help.len + unit.len + 1);
    Family *x = scrape_families_find(f, name);
    if (!text || (!x && !(x = add(f, name)))) {
        free(text);
        return false;
    }
    if (help.len)
        memcpy(text, help.ptr, help.len);
    if (unit.len)
        memcpy(text + help.len, unit.ptr, unit.len);
    free(x->text); /* after copying: what is put may be a part of it */
    x->text = text;
    x->help = sv_n(text, help.len);
    x->unit = sv_n(text + help.len, unit.len);
    x->type = type;
    x->seen = scrape;
    return true;
}

void scrape_families_sweep(Families *f, uint32_t scrape)
{
    StrView name;
    void *val;
    bool gone = false;
    for (size_t i = 0; !gone && map_next(&f->map, &i, &name, &val);) {
        Family *x = val;
        if (scrape - x->seen <= FAMILY_KEEP_SCRAPES)
            continue;
        map_del(&f->map, name);
        family_free(x);
        gone = true; /* the walk ends with a deletion; the next scrape goes on */
    }
    if (!gone)
        return;
    f->first = f->last = NULL;
    for (size_t i = 0; map_next(&f->map, &i, &name, &val);)
        ((Family *)val)->next = NULL;
}

void scrape_families_free(Families *f)
{
    StrView name;
    void *val;
    for (size_t i = 0; map_next(&f->map, &i, &name, &val);)
        family_free(val);
    map_free(&f->map);
    *f = (Families){ 0 };
}
