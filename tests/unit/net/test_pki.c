/* test_pki.c - which certificates are kept and which are made anew. */
#include <time.h>

#include "net/pki.h"
#include "unit.h"

enum { DAY = 86400, LIFE = 300 * DAY };

typedef struct Made {
    Buf ca_key, ca, key, cert;
} Made;

static const char *const names[] = { "kubernetes", "10.96.0.1", "fd00::1", "kubernetes", NULL };
static const PkiSubject subject = { "kube-apiserver", NULL, names, PKI_SERVER, LIFE };

static Made make(void)
{
    Made m = { 0 };
    Err err = { 0 };
    assert_int_equal(pki_new_key(&m.ca_key, &err), 0);
    assert_int_equal(pki_new_ca(buf_view(&m.ca_key), "knarr-ca", 10 * LIFE, &m.ca, &err), 0);
    assert_int_equal(pki_new_key(&m.key, &err), 0);
    assert_int_equal(pki_issue(buf_view(&m.ca), buf_view(&m.ca_key), buf_view(&m.key), &subject,
                               &m.cert, &err),
                     0);
    return m;
}

static void made_free(Made *m)
{
    buf_free(&m->ca_key);
    buf_free(&m->ca);
    buf_free(&m->key);
    buf_free(&m->cert);
}

static bool good(const Made *m, const PkiSubject *s, int64_t now)
{
    return pki_still_good(buf_view(&m->cert), buf_view(&m->key), buf_view(&m->ca), s, now);
}

static void test_good_in_the_first_two_thirds_of_its_period(void **state)
{
    Made m = make();
    int64_t now = time(NULL);
    assert_true(good(&m, &subject, now));
    assert_true(good(&m, &subject, now + 199 * DAY));
    assert_false(good(&m, &subject, now + 201 * DAY));
    assert_false(good(&m, &subject, now + 2 * LIFE));
    assert_false(
        good(&m, &subject, now - DAY)); /* it begins later: made while the clock ran ahead */
    made_free(&m);
}

static void test_not_good_for_other_names(void **state)
{
    static const char *const fewer[] = { "kubernetes", "10.96.0.1", "fd00::1", NULL };
    static const char *const more[] = { "kubernetes", "10.96.0.1", "fd00::1",
                                        "kubernetes", "10.0.0.7",  NULL };
    static const char *const other[] = { "kubernetes", "10.96.0.2", "fd00::1", "kubernetes", NULL };
    static const char *const *const sets[] = { fewer, more, other, NULL };
    Made m = make();
    for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
        PkiSubject s = subject;
        s.sans = sets[i];
        assert_false(good(&m, &s, time(NULL)));
    }
    PkiSubject s = subject;
    s.common_name = "kube-apiserve";
    assert_false(good(&m, &s, time(NULL)));
    made_free(&m);
}

static void test_not_good_with_another_authority_or_key(void **state)
{
    Made a = make(), b = make();
    int64_t now = time(NULL);
    assert_false(
        pki_still_good(buf_view(&a.cert), buf_view(&a.key), buf_view(&b.ca), &subject, now));
    assert_false(
        pki_still_good(buf_view(&a.cert), buf_view(&b.key), buf_view(&a.ca), &subject, now));
    assert_false(pki_still_good(SV("junk"), buf_view(&a.key), buf_view(&a.ca), &subject, now));
    assert_false(pki_still_good(SV(""), SV(""), SV(""), &subject, now));
    made_free(&a);
    made_free(&b);
}

/* A flip in the base64 text of the private half still parses; the halves then do not match. */
static void test_damaged_halves_are_told(void **state)
{
    Made m = make(), other = make();
    Err err = { 0 };
    assert_int_equal(pki_check_key(buf_view(&m.key), &err), 0);
    assert_int_equal(pki_check_ca(buf_view(&m.ca), &err), 0);
    assert_int_equal(pki_check_pair(buf_view(&m.ca), buf_view(&m.ca_key), &err), 0);
    assert_int_equal(pki_check_pair(buf_view(&m.ca), buf_view(&other.ca_key), &err), -ERR_CORRUPT);
    assert_int_equal(pki_check_ca(buf_view(&m.cert), NULL), -ERR_CORRUPT); /* of another */
    assert_int_equal(pki_check_ca(SV(""), NULL), -ERR_CORRUPT);
    assert_int_equal(pki_check_key(SV("junk"), NULL), -ERR_CORRUPT);
    m.key.ptr[80] = m.key.ptr[80] == 'A' ? 'B' : 'A';
    assert_int_equal(pki_check_key(buf_view(&m.key), NULL), -ERR_CORRUPT);
    assert_false(good(&m, &subject, time(NULL)));
    made_free(&m);
    made_free(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_in_the_first_two_thirds_of_its_period),
        cmocka_unit_test(test_not_good_for_other_names),
        cmocka_unit_test(test_not_good_with_another_authority_or_key),
        cmocka_unit_test(test_damaged_halves_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
