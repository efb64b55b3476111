/* aws_parse.h - texts of AWS: profiles in credentials and config files, elements of answers. No
 * I/O; views are into what was given. */
#pragma once

#include "base/str.h"

typedef struct AwsProfile {
    StrView key_id, secret, session, region; /* empty: not said */
    bool found;
} AwsProfile;

/* The section [NAME], or [profile NAME] as config files call it; what *ret has already stays. */
void aws_profile_find(StrView text, StrView name, AwsProfile *ret);
/* The text of the first element TAG without attributes or inner elements; false: there is none. */
bool aws_element(StrView xml, const char *tag, StrView *ret);
