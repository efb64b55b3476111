#!/usr/bin/env python3
"""Every function in a header that takes an Err says what may happen to its result: NODISCARD, or IGNORABLE with a reason in
its comment. Functions that make an error out of what they are given (their name says so) are left alone."""
import re
import subprocess
import sys

MAKERS = re.compile(r'^(err_\w+|\w+_fail(ed|_plain)?|tool_failed|parse_error|sqlite_bad_row|exit_code_of|daemon_exit|api_error_from)$')
FUNCTION = re.compile(r'^(?!static|typedef|#|extern)([A-Za-z_][\w \*]*?)\b(\w+)\(([^;{}]*?\bErr \*[^;{}]*?)\)([^;{}]*);', re.M | re.S)


def faults(path):
    with open(path, encoding='utf-8') as f:
        text = re.sub(r'/\*.*?\*/', lambda m: '\n' * m.group(0).count('\n'), f.read(), flags=re.S)
    for m in FUNCTION.finditer(text):
        result, name, rest = m.group(1).strip(), m.group(2), m.group(4)
        if result == 'void' or MAKERS.match(name) or re.search(r'\b(NODISCARD|IGNORABLE)\b', rest):
            continue
        yield f'{path}:{text.count(chr(10), 0, m.start(2)) + 1}: {name}() takes an Err: NODISCARD or IGNORABLE?'


paths = subprocess.run(['git', 'ls-files', 'src/*.h'], capture_output=True, text=True, check=True).stdout.split()
found = [fault for path in paths for fault in faults(path)]
print('\n'.join(found), end='\n' if found else '')
sys.exit(1 if found else 0)
