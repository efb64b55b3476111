#!/usr/bin/env python3
"""Variables that live as long as the program are state that nobody owns: tools/data_symbols.py BUILD lists those of the
product's objects in .data and .bss that ALLOWED does not name. Tables are const, and then in .data.rel.ro or .rodata."""
import re
import subprocess
import sys

# Variable: its object file, and why there is one for the whole process.
ALLOWED = {
    'log_level': ('base/log.c', 'set once, from the environment or a flag'),
    'log_json': ('base/log.c', 'the form of log lines, set once'),
    'log_role': ('base/log.c', 'the name in log lines, set once'),
    'hash_key': ('base/hash.c', 'drawn before main(); the same for every table'),
    'serial': ('base/file.c', 'numbers temporary files, so that threads do not share a name; atomic'),
    'DW.ref.__gxx_personality_v0': ('base/regex.cc', 'of the C++ compiler'),
}
SECTION = re.compile(r'^(\.t?(data|bss)(\.(?!rel\.ro).*)?|\*COM\*)$')


def symbols(build):
    targets = subprocess.run(['ninja', '-C', build, '-t', 'targets', 'all'], capture_output=True, text=True, check=True).stdout
    objects = re.findall(r'^(src/\S+\.o):', targets, re.M)
    subprocess.run(['ninja', '-C', build, *objects], stdout=subprocess.DEVNULL, check=True)
    out = subprocess.run(['objdump', '-t', *objects], capture_output=True, text=True, check=True, cwd=build).stdout
    source = ''
    for line in out.splitlines():
        if ': ' in line and 'file format' in line:
            # src/base/libbase.a.p/log.c.o
            source = re.sub(r'[^/]+\.p/|\.o$', '', line.split(': ')[0])
        # The value, seven flags, section, size, name.
        m = re.match(r'[0-9a-f]+ (.{7}) (\S+)\t[0-9a-f]+ +(?:\.hidden )?(\S+)$', line)
        if m and 'd' not in m.group(1) and SECTION.match(m.group(2)):
            yield source, re.sub(r'\.\d+$', '', m.group(3))


seen, bad = set(), []
for source, name in symbols(sys.argv[1]):
    where = ALLOWED.get(name, ('',))[0]
    if where and source.endswith(where):
        seen.add(name)
    else:
        bad.append(f"{source}: {name} is state of the whole process: const, a part of what its user holds, or a row of ALLOWED")
bad += [f'tools/data_symbols.py: {name} is not there any more' for name in ALLOWED if name not in seen]
print('\n'.join(sorted(set(bad))), end='\n' if bad else '')
sys.exit(1 if bad else 0)
