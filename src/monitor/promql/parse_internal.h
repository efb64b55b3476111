/* parse_internal.h - what the files of the parser share. */
#pragma once

#include "monitor/promql/ast.h"

typedef struct OwnedMatchers {
    struct OwnedMatchers *next;
    Matcher *matchers;
    unsigned n;
} OwnedMatchers;

typedef struct Parser {
    Lexer lex;
    Token tok; /* the one that is looked at */
    StrView text;
    Arena *arena;
    unsigned features;
    unsigned depth;
    const char *where, *expected; /* inside a duration: for what is not expected there */
    unsigned last_end;            /* of the last token taken that may close something */
    OwnedMatchers *owned;
    Err *err;
} Parser;

int parser_advance(Parser *p); /* to the next token; fails on a lexical error */
int parser_unexpected(Parser *p, const char *where, const char *expected);
int parser_expect(Parser *p, Tok type, const char *where, const char *expected);
Node *parser_node(Parser *p, NodeType type, unsigned start, unsigned end); /* NULL: err is set */
int parser_deepen(Parser *p, Node *n); /* sets n->depth from its children */
int parser_enter(Parser *p);           /* one level deeper; ends with p->depth-- */
int parser_unquote(Parser *p, const Token *t, StrView *ret);
int parser_number(Parser *p, Node **ret); /* a number or duration literal */

int parse_expression(Parser *p, unsigned min_precedence, Node **ret);
int parse_selector(Parser *p, const Token *name, Node **ret); /* at '{', or behind `name` */
int parse_labels(Parser *p, StrView **ret, unsigned *ret_n);  /* `(a, "b")` */
int parse_offset(Parser *p, Node *of);
int parse_brackets(Parser *p, Node *of, Node **ret); /* a range or a subquery */
