#!/usr/bin/env python3
"""pagegen - puts the files of the monitor's web page into a C table for src/monitor/page/page.h.

usage: pagegen.py OUTPUT.c FILE...

All are packed with gzip, except HTML: the server fills in its title. The same input makes the same output."""
import gzip
import hashlib
import pathlib
import sys

TYPES = {
    '.html': 'text/html; charset=utf-8', '.css': 'text/css; charset=utf-8', '.js': 'text/javascript; charset=utf-8',
    '.svg': 'image/svg+xml',
}


def rows(data):
    for at in range(0, len(data), 24):
        yield '    ' + ', '.join(str(b) for b in data[at:at + 24]) + ','


def main():
    output, *names = sys.argv[1:]
    out = ['/* Written by tools/pagegen.py. */', '#include "monitor/page/internal.h"', '']
    table = []
    for n, path in enumerate(map(pathlib.Path, names)):
        if path.suffix not in TYPES:
            sys.exit(f'pagegen.py: {path}: expected one of {", ".join(TYPES)}')
        plain = path.read_bytes()
        packed = path.suffix != '.html'
        data = gzip.compress(plain, 9, mtime=0) if packed else plain
        etag = hashlib.sha256(plain).hexdigest()[:16]
        out += [f'static const unsigned char file_{n}[] = {{', *rows(data), '};', '']
        table.append(f'    {{ SV_INIT("{path.name}"), SV_INIT("{TYPES[path.suffix]}"), SV_INIT("\\"{etag}\\""), file_{n}, '
                     f'{len(data)}, {len(plain) if packed else 0} }},')
    out += ['const PageFile page_files[] = {', *table, '};', f'const size_t page_n_files = {len(names)};', '']
    pathlib.Path(output).write_text('\n'.join(out))


main()
