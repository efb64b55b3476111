/* yaml_answer.h - large answers as YAML, which are made of a tree: not on the loop. */
#pragma once

#include "apiserver/call.h"

/* Answers 200 with the document, whose JSON is taken over. */
void answer_yaml(ApiCall *x, Buf *json);
