/* search_match.c - see search_match.h. All works on characters, not on bytes. */
#include "monitor/web/search_match.h"

typedef struct Runes {
    const uint32_t *at;
    unsigned len;
} Runes;

/* Bytes that are no UTF-8 are characters of their own. */
static unsigned char_len(StrView s)
{
    unsigned char c = (unsigned char)s.ptr[0];
    unsigned len = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
    for (unsigned i = 1; i < len; i++)
        if (i >= s.len || ((unsigned char)s.ptr[i] & 0xc0) != 0x80)
            return 1;
    return len;
}

static bool decode(StrView s, bool fold, Arena *a, Runes *ret)
{
    uint32_t *to = arena_array(a, uint32_t, s.len + 1);
    *ret = (Runes){ .at = to };
    while (to && s.len) {
        unsigned len = char_len(s);
        uint32_t c = (unsigned char)s.ptr[0];
        for (unsigned i = 1; i < len; i++)
            c = c << 8 | (unsigned char)s.ptr[i];
        to[ret->len++] = fold && c >= 'A' && c <= 'Z' ? c | 0x20 : c;
        s = sv_skip(s, len);
    }
    return to != NULL;
}

static bool fits_at(Runes text, unsigned pos, Runes term)
{
    for (unsigned i = 0; i < term.len; i++)
        if (text.at[pos + i] != term.at[i])
            return false;
    return true;
}

/* ---- a part of the text ---- */

static double score_part(Runes term, Runes text)
{
    if (term.len > text.len)
        return -1;
    unsigned last = text.len - term.len;
    for (unsigned pos = 0; pos <= last; pos++)
        if (fits_at(text, pos, term))
            return pos == 0 ? 1 : 1 - 0.9 * pos / last;
    return -1;
}

/* ---- characters in their order ---- */

/* The term's characters from `start`, where the first one is, each as early as it can be: runs
 * count by the square of their length, gaps are a small loss, what is left behind half of that. */
static bool score_from(Runes term, Runes text, unsigned start, double *ret)
{
    unsigned done = 0, end = 0; /* of the last run */
    double gap = 1.0 / text.len, score = 0;
    for (unsigned i = start; i < text.len && done < term.len;) {
        if (text.at[i] != term.at[done]) {
            i++;
            continue;
        }
        unsigned from = i;
        while (i < text.len && done < term.len && text.at[i] == term.at[done]) {
            i++;
            done++;
        }
        score -= (from - end) * gap;
        score += (double)(i - from) * (i - from);
        end = i;
    }
    *ret = score - (text.len - end) * gap * 0.5;
    return done == term.len;
}

static double score_subsequence(Runes term, Runes text)
{
    const double below_exact = 0.999;
    double best = -1, score;
    if (term.len > text.len)
        return 0;
    if (fits_at(text, 0, term))
        return 1;
    for (unsigned i = 0; i <= text.len - term.len; i++) {
        if (text.at[i] != term.at[0])
            continue;
        if (!score_from(term, text, i, &score))
            break; /* nor from any later one */
        best = score > best ? score : best;
    }
    return best < 0 ? 0 : best / ((double)term.len * term.len) * below_exact;
}

/* ---- similarity ---- */

/* Counts characters that are in both not too far from each other, and those that are there in
 * another order. */
static double count_common(Runes s, Runes l, bool *in_s, bool *in_l, double *ret_swapped)
{
    unsigned reach = l.len / 2 > 1 ? l.len / 2 - 1 : 0, k = 0;
    double common = 0;
    for (unsigned i = 0; i < s.len; i++)
        for (unsigned j = i > reach ? i - reach : 0; j < l.len && j <= i + reach; j++)
            if (!in_l[j] && s.at[i] == l.at[j]) {
                in_s[i] = in_l[j] = true;
                common++;
                break;
            }
    *ret_swapped = 0;
    for (unsigned i = 0; i < s.len; i++) {
        if (!in_s[i])
            continue;
        while (!in_l[k])
            k++;
        *ret_swapped += s.at[i] != l.at[k++];
    }
    return common;
}

static double score_similar(Runes a, Runes b, Arena *scratch)
{
    const double prefix_weight = 0.1;
    Runes s = a.len > b.len ? b : a, l = a.len > b.len ? a : b; /* the shorter and the longer */
    bool *in_s = arena_array(scratch, bool, s.len + 1),
         *in_l = arena_array(scratch, bool, l.len + 1);
    double swapped;
    unsigned prefix = 0;
    if (!s.len || !in_s || !in_l)
        return 0;
    double common = count_common(s, l, in_s, in_l, &swapped);
    if (common == 0)
        return 0;
    double jaro =
        (common * (1.0 / s.len) + common * (1.0 / l.len) + (common - swapped * 0.5) / common) / 3;
    while (prefix < 4 && prefix < s.len && s.at[prefix] == l.at[prefix])
        prefix++;
    return jaro + prefix * prefix_weight * (1 - jaro);
}

/* ---- */

static bool term_matches(const SearchFilter *f, Runes term, Runes text, Arena *a, double *ret)
{
    if (f->algorithm == SEARCH_SUBSEQUENCE) {
        *ret = score_subsequence(term, text);
        return *ret > 0 && *ret >= f->threshold;
    }
    *ret = score_part(term, text);
    if (*ret >= 0)
        return true;
    if (f->threshold <= 0)
        return false;
    *ret = score_similar(term, text, a);
    return *ret >= f->threshold;
}

bool search_matches(const SearchFilter *f, StrView value, Arena *a, double *ret_score)
{
    Runes text, term;
    bool any_term = false, any = false;
    double best = 0, score;
    if (!decode(value, f->fold, a, &text))
        return false;
    for (unsigned i = 0; i < f->n && best < 1; i++) {
        if (!f->terms[i].len)
            continue;
        any_term = true;
        if (!decode(f->terms[i], f->fold, a, &term))
            return false;
        if (!term_matches(f, term, text, a, &score))
            continue;
        any = true;
        best = score > best ? score : best;
    }
    *ret_score = any_term ? best : 1;
    return any || !any_term;
}
