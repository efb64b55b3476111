#!/usr/bin/env python3
"""apigen - compiles the interface files src/api/schema/*.kapi into C tables for src/api/kinds.h.

usage: apigen.py OUTPUT.c FILE.kapi...

A .kapi file is read line by line; '#' starts a comment, words are separated by blanks, a trailing
"text in quotes" documents the line.

  group GROUP/VERSION package OPENAPI-PACKAGE       ("core" is the group with the empty name)
  kind KIND PLURAL namespaced|cluster [served] [review]
      singular NAME | short NAME... | categories NAME... | selectable FIELD...
      verbs all | VERB...
      sub NAME VERB... [KIND]                       (KIND: of the body, when it is not the parent's)
      column "NAME" TYPE [format=F] [priority=N]
  enum NAME VALUE...                                ("" is the empty value)
  type NAME
      JSON-NAME PROTOBUF-NUMBER TYPE [FLAG...]
      inline PROTOBUF-NUMBER TYPE                   (members stand in the parent's JSON)

TYPE is a scalar (see SCALARS), an enum or a type of this file, or GROUP/VERSION.NAME; []TYPE is a list
and "map TYPE" a map with string keys. FLAGs are listed in FLAGS, besides merge=KEY, keys=A,B,
default=JSON and atomic, set.
"""
import shlex
import sys

SCALARS = {
    'bool': 'BOOL', 'int32': 'INT32', 'int64': 'INT64', 'double': 'DOUBLE', 'string': 'STRING',
    'bytes': 'BYTES', 'quantity': 'QUANTITY', 'int-or-string': 'INT_OR_STRING', 'time': 'TIME',
    'micro-time': 'MICRO_TIME', 'duration': 'DURATION', 'fields-v1': 'FIELDS_V1', 'raw': 'RAW',
    'json': 'JSON',
}
FLAGS = {
    'required': 'REQUIRED', 'pointer': 'POINTER', 'immutable': 'IMMUTABLE', 'always': 'OMIT_ALWAYS',
    'merge': 'MERGE', 'retain-keys': 'RETAIN_KEYS', 'replace': 'REPLACE', 'wrapped': 'UNION_LIST',
}
VERBS = ['get', 'list', 'watch', 'create', 'update', 'patch', 'delete', 'deletecollection']
# Discovery lists the core group first and the others in Kubernetes' order of preference.
# Where Kubernetes keeps the objects of some kinds; the others by their plural.
PLACES = {'nodes': 'minions', 'services': 'services/specs', 'endpoints': 'services/endpoints',
          'replicationcontrollers': 'controllers', 'ingresses': 'ingress'}

ORDER = ['core', 'events.k8s.io', 'authentication.k8s.io', 'authorization.k8s.io', 'autoscaling',
         'batch', 'certificates.k8s.io', 'networking.k8s.io', 'policy', 'rbac.authorization.k8s.io',
         'storage.k8s.io', 'admissionregistration.k8s.io', 'scheduling.k8s.io',
         'coordination.k8s.io', 'node.k8s.io', 'discovery.k8s.io', 'apps']


class Fail(Exception):
    pass


class Group:
    def __init__(self, name, package):
        self.name, self.package = name, package
        self.group, self.version = name.split('/')
        self.kinds, self.enums, self.types = [], {}, {}


def split_line(line):
    """Words of a line and its trailing documentation."""
    doc = ''
    text = line.rstrip()
    if text.endswith('"') and ' "' in text and not text.lstrip().startswith('enum'):
        at = text.rindex(' "')
        doc, text = text[at + 2:-1], text[:at]
    lexer = shlex.shlex(text, posix=False)
    lexer.whitespace_split = True
    lexer.commenters = '#'
    lexer.quotes = '"'
    return list(lexer), doc


class Parser:
    def __init__(self):
        self.groups = {}
        self.group = self.kind = self.type = None

    def parse(self, path):
        with open(path, encoding='utf-8') as f:
            for number, line in enumerate(f, 1):
                if not line.strip() or line.startswith('#'):
                    continue
                try:
                    self.line(line)
                except (Fail, KeyError, ValueError, IndexError) as e:
                    sys.exit(f'{path}:{number}: {type(e).__name__} {e}: {line.strip()}')

    def line(self, line):
        words, doc = split_line(line)
        if not line[0].isspace():
            getattr(self, 'top_' + words[0])(words[1:], doc)
        elif self.type is not None:
            self.type['fields'].append(self.field(words, doc))
        else:
            self.kind_line(words, doc)

    def top_group(self, w, _doc):
        self.group = Group(w[0], w[2])
        self.groups[w[0]] = self.group

    def top_kind(self, w, _doc):
        self.type = None
        self.kind = {'kind': w[0], 'plural': w[1], 'namespaced': w[2] == 'namespaced',
                     'served': 'served' in w[3:], 'stored': 'review' not in w[3:],
                     'singular': w[0].lower(), 'short': [], 'categories': [], 'selectable': [],
                     'verbs': [], 'subs': [], 'columns': []}
        self.group.kinds.append(self.kind)

    def kind_line(self, w, doc):
        what, rest = w[0], w[1:]
        if what == 'singular':
            self.kind['singular'] = rest[0]
        elif what in ('short', 'categories', 'selectable'):
            self.kind[what] = rest
        elif what == 'verbs':
            self.kind['verbs'] = VERBS if rest == ['all'] else rest
        elif what == 'sub':
            verbs = [x for x in rest[1:] if x in VERBS]
            body = [x for x in rest[1:] if x not in VERBS]
            self.kind['subs'].append((rest[0], verbs, body[0] if body else self.kind['kind']))
        elif what == 'column':
            extra = dict(x.split('=', 1) for x in rest[2:])
            self.kind['columns'].append((rest[0].strip('"'), rest[1], extra.get('format', ''), doc,
                                         int(extra.get('priority', 0))))
        else:
            raise Fail('unknown line')

    def top_enum(self, w, _doc):
        self.group.enums[w[0]] = [x.strip('"') for x in w[1:]]

    def top_type(self, w, doc):
        self.kind = None
        self.type = {'name': w[0], 'doc': doc, 'fields': []}
        self.group.types[w[0]] = self.type

    @staticmethod
    def field(w, doc):
        f = {'name': w[0], 'pb': int(w[1]), 'card': 'ONE', 'flags': [], 'merge_key': '', 'keys': [],
             'list_type': 'ATOMIC', 'def': '', 'doc': doc, 'min': 0, 'max': 0}
        rest = w[2:]
        if rest[0] == 'map':
            f['card'], rest = 'MAP', rest[1:]
        f['type'], rest = rest[0], rest[1:]
        if f['type'].startswith('[]'):
            f['card'], f['type'] = 'LIST', f['type'][2:]
        if f['name'] == 'inline':
            f['name'] = ''
            f['flags'].append('INLINE')
        for x in rest:
            key, _, value = x.partition('=')
            if key == 'merge' and value:
                f['merge_key'] = value
            if key == 'keys':
                f['list_type'], f['keys'] = 'MAP', value.split(',')
            elif key == 'default':
                f['def'] = value
            elif key in ('min', 'max'):
                f[key] = int(value)
            elif key == 'set':
                f['list_type'] = 'SET'
            elif key == 'atomic':
                f['flags'] += [] if f['card'] == 'LIST' else ['ATOMIC']
            else:
                f['flags'].append(FLAGS[key])
        return f


def c_string(s):
    return '"' + s.replace('\\', '\\\\').replace('"', '\\"') + '"'


def sv(s):
    return f'SV_INIT({c_string(s)})' if s else '{ 0 }'


class Writer:
    """Writes the tables; lists of strings that occur often are written once."""

    def __init__(self, groups):
        self.groups, self.out, self.lists, self.items = groups, [], {}, {}

    def strings(self, values):
        if not values:
            return 'NULL'
        key = tuple(values)
        if key not in self.lists:
            self.lists[key] = f'list_{len(self.lists)}'
            body = ', '.join(f'SV_INIT({c_string(v)})' for v in values)
            self.out.append(f'static const StrView {self.lists[key]}[] = {{ {body} }};')
        return self.lists[key]

    @staticmethod
    def ident(group, name):
        return f'{group.name}_{name}'.replace('/', '_').replace('.', '_')

    def resolve(self, group, name):
        """(SchemaType, type or None, enum values) of a type's name."""
        if name in SCALARS:
            return SCALARS[name], None, []
        owner = group
        if '/' in name:
            owner_name, name = name.rsplit('.', 1)
            owner = self.groups[owner_name]
        if name in owner.types:
            return 'OBJECT', 'object_' + self.ident(owner, name), []
        if name in owner.enums:
            return 'STRING', None, owner.enums[name]
        sys.exit(f'{group.name}: unknown type {name}')

    def list_item(self, kind):
        """A map's value that is a list of scalars, which protobuf wraps in a message."""
        if kind not in self.items:
            self.items[kind] = f'item_{kind.lower()}_list'
            self.out.append(f'static const SchemaField {self.items[kind]} = {{ .type = SCHEMA_{kind}, '
                            '.card = SCHEMA_LIST, .flags = SCHEMA_F_UNION_LIST };')
        return self.items[kind]

    def field(self, group, f):
        kind, obj, enums = self.resolve(group, f['type'])
        item = None
        if f['card'] == 'MAP' and 'UNION_LIST' in f['flags']:
            if obj or enums:
                sys.exit(f'{group.name}: {f["name"]}: only lists of scalars may be values of a map')
            item, kind = self.list_item(kind), 'ITEM'
            f['flags'].remove('UNION_LIST')
        flags = ' | '.join('SCHEMA_F_' + x for x in f['flags']) or '0'
        parts = [f'.name = {sv(f["name"])}', f'.pb = {f["pb"]}', f'.type = SCHEMA_{kind}',
                 f'.card = SCHEMA_{f["card"]}', f'.flags = {flags}']
        if f['list_type'] != 'ATOMIC':
            parts.append(f'.list_type = SCHEMA_LIST_{f["list_type"]}')
        if f['keys']:
            parts.append(f'.list_keys = {self.strings(f["keys"])}, .n_list_keys = {len(f["keys"])}')
        if item:
            parts.append(f'.item = &{item}')
        if obj:
            parts.append(f'.object = &{obj}')
        if enums:
            parts.append(f'.enums = {self.strings(enums)}, .n_enums = {len(enums)}')
        for key, member in (('merge_key', 'merge_key'), ('def', 'def'), ('doc', 'doc')):
            if f[key]:
                parts.append(f'.{member} = {sv(f[key])}')
        if f['min'] or f['max']:
            parts.append(f'.min = {f["min"]}, .max = {f["max"]}')
        return '    { ' + ', '.join(parts) + ' },'

    def types(self):
        every = []
        for g in self.groups.values():
            for t in g.types.values():
                every.append((f'{g.package}.{t["name"]}', self.ident(g, t['name']), g, t))
        for _, ident, _, _ in every:
            self.out.append(f'static const SchemaObject object_{ident};')
        for name, ident, g, t in every:
            # By protobuf number: the order in which messages are written, and mostly read.
            rows = [self.field(g, f) for f in sorted(t['fields'], key=lambda f: f['pb'])]
            if rows:
                self.out.append(f'static const SchemaField fields_{ident}[] = {{')
                self.out += rows + ['};']
            self.out.append(
                f'static const SchemaObject object_{ident} = {{ {sv(name)}, '
                f'{"fields_" + ident if rows else "NULL"}, {len(rows)}, {sv(t["doc"])} }};')
        self.out.append('const SchemaObject *const api_schemas[] = {')
        self.out += [f'    &object_{ident},' for _, ident, _, _ in sorted(every, key=lambda e: e[0])]
        self.out += ['};', f'const size_t api_schemas_len = {len(every)};']

    @staticmethod
    def verbs(names):
        return ' | '.join('API_' + v.upper() for v in names) or '0'

    def subs(self, g, k, ident):
        if not k['subs']:
            return 'NULL'
        self.out.append(f'static const ApiSubresource subs_{ident}[] = {{')
        for name, verbs, body in k['subs']:
            owner = g
            if '/' in body:
                owner_name, body = body.rsplit('.', 1)
                owner = self.groups[owner_name]
            group = '' if owner.group == 'core' else owner.group
            self.out.append(f'    {{ {sv(name)}, {sv(group)}, {sv(owner.version)}, {sv(body)}, '
                            f'{self.verbs(verbs)} }},')
        self.out.append('};')
        return f'subs_{ident}'

    def columns(self, k, ident):
        if not k['columns']:
            return 'NULL'
        self.out.append(f'static const ApiColumn columns_{ident}[] = {{')
        for name, kind, fmt, doc, priority in k['columns']:
            self.out.append(f'    {{ {sv(name)}, {sv(kind)}, {sv(fmt)}, {sv(doc)}, {priority} }},')
        self.out.append('};')
        return f'columns_{ident}'

    def resource(self, g, k):
        ident = self.ident(g, k['kind'])
        group = '' if g.group == 'core' else g.group
        version = f'{group}/{g.version}' if group else g.version
        subs, columns = self.subs(g, k, ident), self.columns(k, ident)
        lists = ', '.join(f'{self.strings(k[x])}, {len(k[x])}' for x in ('short', 'categories'))
        flag = {True: 'true', False: 'false'}
        return (f'    {{ {sv(group)}, {sv(g.version)}, {sv(k["kind"])}, {sv(k["plural"])}, '
                f'{sv(k["singular"])}, {lists}, {flag[k["namespaced"]]}, {flag[k["stored"]]}, '
                f'{self.verbs(k["verbs"])}, {subs}, {len(k["subs"])}, {columns}, '
                f'{len(k["columns"])}, {self.strings(k["selectable"])}, {len(k["selectable"])}, '
                f'{flag[k["served"]]}, &object_{ident}, {sv(version)}, '
                f'{sv(PLACES.get(k["plural"], k["plural"]))}, NULL }},')

    def resources(self):
        def place(g):
            # Newer versions of a group are preferred, so they come first.
            return ORDER.index(g.group), -int(g.version.lstrip('v').split('alpha')[0].split('beta')[0])
        groups = sorted((g for g in self.groups.values() if g.kinds), key=place)
        rows = [self.resource(g, k) for g in groups
                for k in sorted(g.kinds, key=lambda k: k['plural'])]
        self.out.append('const ApiResource api_resources[] = {')
        self.out += rows + ['};', f'const size_t api_resources_len = {len(rows)};']
        self.out.append('const ApiGroupVersion api_group_versions[] = {')
        self.out += [f'    {{ {sv("" if g.group == "core" else g.group)}, {sv(g.version)}, '
                     f'{sv(g.package)} }},' for g in groups]
        self.out += ['};', f'const size_t api_group_versions_len = {len(groups)};']

    def text(self):
        self.out.append('/* Compiled by tools/apigen.py from src/api/schema; change it there. */')
        self.out.append('#include "api/kinds.h"\n')
        self.types()
        self.resources()
        return '\n'.join(self.out) + '\n'


def main():
    parser = Parser()
    for path in sys.argv[2:]:
        parser.parse(path)
    with open(sys.argv[1], 'w', encoding='utf-8') as f:
        f.write(Writer(parser.groups).text())


main()
