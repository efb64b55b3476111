/* test_flags.c - what a command line becomes, and what is said about a wrong one. */
#include <fcntl.h>
#include <stdio.h>

#include "cmd/flags.h"
#include "unit.h"

typedef struct Got {
    const char *text, *needed;
    uint16_t port;
    bool on;
    FlagTexts texts;
    uint64_t number;
    FlagAmount amount;
    int rest, result;
    char said[2048]; /* on standard error and output */
    char *argv[16];
} Got;

/* Runs the parser on words, with what it prints caught in a file. */
static int parse_dozen(StrView text, int64_t *ret)
{
    if (!sv_ends(text, SV("dz")) || sv_to_i64(sv_head(text, text.len - 2), ret) < 0)
        return -1;
    *ret *= 12;
    return 0;
}

static void parse(Got *g, const char *args, int n, const char *const *words)
{
    *g = (Got){
        .port = 1, .needed = "given", .texts = { { "default" }, 1 }, .amount = { "1dz", 12 }
    };
    const Flag flags[] = {
        { "text", FLAG_TEXT, &g->text, "TEXT", "a text" },
        { "port", FLAG_PORT, &g->port, "N", "a port" },
        { "on", FLAG_ON, &g->on, NULL, "a switch" },
        { "needed", FLAG_TEXT, &g->needed, "X", "must be there", true },
        { "texts", FLAG_TEXTS, &g->texts, "TEXT", "several" },
        { "number", FLAG_NUMBER, &g->number, "N", "a number" },
        { "amount", FLAG_AMOUNT, &g->amount, "DOZENS", "an amount", .parse = parse_dozen },
        { "hidden", FLAG_TEXT, &g->text, "X", NULL },
        { "quick", FLAG_ON, &g->on, NULL, "a switch with a letter", .letter = 'q' },
        { "output", FLAG_TEXT, &g->text, "X", "a text with a letter", .letter = 'o' },
    };
    const FlagSet set = {
        .program = "prog", .args = args, .about = "About.", .flags = flags, .len = ARRAY_SIZE(flags)
    };
    g->argv[0] = (char *)(uintptr_t) "prog";
    for (int i = 0; i < n; i++)
        g->argv[i + 1] = (char *)(uintptr_t)words[i];
    if (n && strcmp(words[0], "NOT-GIVEN") == 0)
        g->needed = NULL;
    FILE *file = tmpfile();
    assert_non_null(file);
    fflush(stdout);
    int out = dup(1), err = dup(2);
    dup2(fileno(file), 1);
    dup2(fileno(file), 2);
    g->result = flags_parse(&set, n + 1, g->argv, args ? &g->rest : NULL);
    fflush(stdout);
    dup2(out, 1);
    dup2(err, 2);
    close(out);
    close(err);
    rewind(file);
    g->said[fread(g->said, 1, sizeof g->said - 1, file)] = 0;
    fclose(file);
}
#define PARSE(g, args, ...)                                                                        \
    parse(g, args, (int)ARRAY_SIZE(((const char *[]){ __VA_ARGS__ })),                             \
          (const char *[]){ __VA_ARGS__ })

static void test_values_are_taken_in_both_forms(void **state)
{
    Got g;
    PARSE(&g, NULL, "--text=a=b", "--port", "65535", "--on");
    assert_int_equal(g.result, FLAGS_OK);
    assert_string_equal(g.text, "a=b");
    assert_int_equal(g.port, 65535);
    assert_true(g.on);
    PARSE(&g, NULL, "--on", "--no-on");
    assert_int_equal(g.result, FLAGS_OK);
    assert_false(g.on);
    PARSE(&g, NULL, "--on=true", "--text=");
    assert_true(g.on);
    assert_string_equal(g.text, "");
}

static void test_the_rest_is_handed_back_in_order(void **state)
{
    Got g;
    PARSE(&g, "FILE…", "one", "--on", "-", "--", "--text");
    assert_int_equal(g.result, FLAGS_OK);
    assert_int_equal(g.rest, 3);
    assert_string_equal(g.argv[1], "one");
    assert_string_equal(g.argv[2], "-");
    assert_string_equal(g.argv[3], "--text");
}

static void test_mistakes_name_the_flag(void **state)
{
    Got g;
    const struct {
        const char *word, *said;
    } cases[] = {
        { "--port=0", "prog: --port: '0' is no port; expected 1-65535" },
        { "--port=65536", "'65536' is no port" },
        { "--port=x", "'x' is no port" },
        { "--por=1", "prog: --por: no such flag" },
        { "--text", "prog: --text: needs a value" },
        { "--on=maybe", "'maybe' is neither true nor false" },
        { "--no-text", "--no-text: no such flag" },
        { "-x", "prog: -x: no such flag" },
        { "more", "prog: more: unexpected argument" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        PARSE(&g, NULL, cases[i].word);
        assert_int_equal(g.result, 2);
        assert_non_null(strstr(g.said, cases[i].said));
    }
    PARSE(&g, "FILE…", "NOT-GIVEN");
    assert_int_equal(g.result, 2);
    assert_non_null(strstr(g.said, "prog: --needed is needed"));
}

static void test_help_shows_every_flag_but_hidden_ones(void **state)
{
    Got g;
    PARSE(&g, NULL, "--help");
    assert_int_equal(g.result, 0);
    assert_non_null(strstr(g.said, "usage: prog --needed X [flags]"));
    assert_non_null(strstr(g.said, "  --port N"));
    assert_null(strstr(g.said, "hidden"));
}

static void test_lists_numbers_and_amounts(void **state)
{
    Got g;
    PARSE(&g, NULL, "--text=x");
    assert_int_equal(g.texts.len, 1);
    assert_string_equal(g.texts.items[0], "default");
    PARSE(&g, NULL, "--texts=a", "--texts", "b", "--number=5e7", "--amount=3dz");
    assert_int_equal(g.result, FLAGS_OK);
    assert_int_equal(g.texts.len, 2);
    assert_string_equal(g.texts.items[1], "b");
    assert_int_equal(g.number, 50000000);
    assert_int_equal(g.amount.value, 36);
    assert_string_equal(g.amount.text, "3dz");
    PARSE(&g, NULL, "--number=1.5");
    assert_int_equal(g.result, 2);
    assert_non_null(strstr(g.said, "'1.5' is not a whole number"));
    PARSE(&g, NULL, "--amount=3");
    assert_int_equal(g.result, 2);
    assert_non_null(strstr(g.said, "--amount: '3' is no DOZENS"));
}

static void test_a_flag_may_have_a_letter(void **state)
{
    Got g;
    PARSE(&g, "FILE…", "-q", "a", "-o", "json");
    assert_int_equal(g.result, FLAGS_OK);
    assert_true(g.on);
    assert_string_equal(g.text, "json");
    assert_int_equal(g.rest, 1);
    PARSE(&g, NULL, "-ojson");
    assert_int_equal(g.result, FLAGS_OK);
    assert_string_equal(g.text, "json");
    PARSE(&g, NULL, "-o");
    assert_int_equal(g.result, 2);
    assert_non_null(strstr(g.said, "-o: needs a value"));
    PARSE(&g, NULL, "-qo");
    assert_int_equal(g.result, 2);
    PARSE(&g, NULL, "-x");
    assert_int_equal(g.result, 2);
    assert_non_null(strstr(g.said, "-x: no such flag"));
    PARSE(&g, NULL, "--help");
    assert_non_null(strstr(g.said, "  -o, --output X "));
}

static void test_values_can_be_shown(void **state)
{
    FlagTexts texts = { { "a", "b" }, 2 };
    FlagAmount amount = { "15d", 1 };
    uint64_t number = 20;
    bool on = true;
    const Flag flags[] = { { "t", FLAG_TEXTS, &texts },
                           { "a", FLAG_AMOUNT, &amount },
                           { "n", FLAG_NUMBER, &number },
                           { "o", FLAG_ON, &on } };
    _cleanup_buf_ Buf out = BUF_INIT;
    for (unsigned i = 0; i < ARRAY_SIZE(flags); i++) {
        flag_format(&flags[i], &out);
        buf_putc(&out, ' ');
    }
    assert_sv(buf_view(&out), "a,b 15d 20 true ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_are_taken_in_both_forms),
        cmocka_unit_test(test_lists_numbers_and_amounts),
        cmocka_unit_test(test_values_can_be_shown),
        cmocka_unit_test(test_a_flag_may_have_a_letter),
        cmocka_unit_test(test_the_rest_is_handed_back_in_order),
        cmocka_unit_test(test_mistakes_name_the_flag),
        cmocka_unit_test(test_help_shows_every_flag_but_hidden_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
