#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Every rule of tools/tidy finds the fault that is planted for it, and nothing in a clean tree.

    test_tidy.py TIDY IMPURE_TWIN.a
"""

import os
import re
import subprocess
import sys
import tempfile

SPDX = '/* SPDX-License-Identifier: BSD-3-Clause */\n'
BUILD = '# SPDX-License-Identifier: BSD-3-Clause\n'

CLEAN = {
    'engine/base/meson.build': BUILD + "install_headers('base.h')\n",
    'engine/base/base.h': SPDX + '#include <stdint.h>\nuint64_t synod_base_one(uint64_t a);\n',
    'engine/core/meson.build': BUILD + "static_library('core', 'core.c')\n",
    'engine/core/core.h': SPDX + '#include "engine/base/base.h"\nvoid synod_core_step(int a);\n',
    'engine/core/core.c': SPDX + (
        '#include "engine/core/core.h"\n#include <string.h>\n\n'
        '/* malloc(1), printf("x") and assert(0) in a comment are no calls. */\n'
        'void synod_core_step(int a)\n{\n\tsynod_assert(a);\n\tsynod_assert("malloc(" != 0);\n}\n'),
    'net/meson.build': BUILD + "static_library('net', 'net.c')\n",
    'net/net.c': SPDX + '#include "engine/core/core.h"\n',
}

LONG = 'void synod_core_long(int a)\n{\n' + '\tsynod_assert(a);\n' * 71 + '}\n'
# (rule that must speak, file, text appended to the file)
PLANTED = (
    ('floor', 'engine/core/core.c', '#include "net/port.h"\n'),
    ('floor', 'engine/base/base.h', '#include "engine/core/core.h"\n'),
    ('floor', 'net/net.c', '#include "tests/roof.h"\n'),
    ('include', 'engine/core/core.c', '#include "core.h"\n'),
    ('pure', 'engine/core/core.c', '#include <time.h>\n'),
    ('pure', 'engine/core/core.h', '#include <rte_mbuf.h>\n'),
    ('unbounded', 'net/net.c', 'void f(char *a)\n{\n\tstrcpy(a, a);\n}\n'),
    ('parse', 'net/net.c', 'int f(char *a)\n{\n\treturn atoi(a);\n}\n'),
    ('tokens', 'net/net.c', 'char *f(char *a)\n{\n\treturn strtok(a, a);\n}\n'),
    ('random', 'net/net.c', 'int f(void)\n{\n\treturn rand();\n}\n'),
    ('assert', 'net/net.c', 'void f(int a)\n{\n\tassert(a);\n}\n'),
    ('volatile', 'net/net.c', 'static volatile int stop;\n'),
    ('atomics', 'net/net.c', 'int f(_Atomic int *a)\n{\n\treturn atomic_load(a);\n}\n'),
    ('sleep', 'net/net.c', 'void f(void)\n{\n\tusleep(1);\n}\n'),
    ('print', 'net/net.c', 'void f(void)\n{\n\tprintf("x");\n}\n'),
    ('exit', 'net/net.c', 'void f(void)\n{\n\texit(1);\n}\n'),
    ('process', 'net/net.c', 'void f(void)\n{\n\trte_eal_init(0, 0);\n}\n'),
    ('allocate', 'engine/core/core.c', 'void *f(void)\n{\n\treturn malloc(1);\n}\n'),
    ('clock', 'engine/core/core.c', 'long f(void)\n{\n\treturn time(0);\n}\n'),
    ('columns', 'engine/core/core.c', '/* ' + 'x' * 100 + ' */\n'),
    ('columns', 'engine/core/core.c', '\t' * 12 + 'int a;\n'),
    ('trailing', 'engine/core/core.c', 'int a; \n'),
    ('trailing', 'engine/core/core.c', '/* no newline */'),
    ('unfinished', 'engine/core/core.c', '/* TO' 'DO */\n'),
    ('file-size', 'engine/core/core.c', 'int a;\n' * 801),
    ('typedef', 'engine/core/core.c', 'typedef struct a { int b; } a;\n'),
    ('typedef', 'engine/core/core.c', 'typedef int synod_slot_t;\n'),
    ('function-size', 'engine/core/core.c', LONG),
    ('parameters', 'engine/core/core.c',
     'void f(int a, int b, int c, int d, int e, int g, int h)\n{\n\tsynod_assert(a);\n}\n'),
    ('density', 'engine/core/core.c', 'void f(void)\n{\n}\n' * 3),
    ('dead', 'engine/core/dead.c', SPDX),
    ('dead', 'engine/core/dead.h', SPDX),
    ('spdx', 'engine/core/dead.c', '/* no licence */\n'),
    ('alone', 'engine/core/core.h', 'void synod_core_size(size_t size);\n'),
    ('alone', 'engine/base/base.h', 'int synod_base_class(int class);\n'),  # not C++
)
# Each of these must stay silent.
ALLOWED = (
    ('net/net.c', '/* tidy: allow volatile: a signal handler writes it. */\n'
     'static volatile int stop;\n'),
    ('net/net.c', 'void f(void)\n{\n\t__asm__ volatile("" ::: "memory");\n}\n'),
    ('net/net.c', 'int f(_Atomic int *a)\n{\n\treturn atomic_fetch_sub_explicit(a, 1, 0);\n}\n'),
    ('engine/core/core.c', '/* Size: one table. */\n' + 'extern int a;\n' * 801),
    ('engine/core/core.c', LONG.replace('\tsynod_assert(a);\n', '', 2)),
)


def run(tidy, *args):
    done = subprocess.run([sys.executable, tidy, *args], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def tree(tidy, path=None, text=''):
    """tidy's answer to the clean tree with a text planted in it."""
    with tempfile.TemporaryDirectory() as root:
        texts = dict(CLEAN)
        # What planted includes name.
        if '"net/port.h"' in text:
            texts['net/port.h'] = SPDX
        if '"tests/roof.h"' in text:
            texts['tests/roof.h'] = SPDX
        if path:
            if 'Size:' in text:
                texts[path] = SPDX + text + texts[path][len(SPDX):]
            else:
                texts[path] = texts.get(path, '') + text
        for name, content in texts.items():
            os.makedirs(os.path.join(root, os.path.dirname(name)), exist_ok=True)
            with open(os.path.join(root, name), 'w', encoding='utf-8') as stream:
                stream.write(content)
        return run(tidy, '--cc', '--root', root)


def main():
    tidy, twin = sys.argv[1:3]
    failed = []

    def expect(what, is_so, output):
        print('ok  ' if is_so else 'FAIL', what)
        if not is_so:
            failed.append(what)
            print(output)

    code, output = tree(tidy)
    expect('a clean tree is clean', code == 0, output)
    for rule, path, text in PLANTED:
        code, output = tree(tidy, path, text)
        caught = re.search(rf'^[^:]+:\d+: {rule}: ', output, re.M)
        expect(f'{rule}: {text.strip()[:50]!r}', code == 1 and caught, output)
    for path, text in ALLOWED:
        code, output = tree(tidy, path, text)
        expect(f'allowed: {text.strip()[:50]!r}', code == 0, output)

    code, output = run(tidy, '--no-text', '--pure', twin)
    expect('the impure twin calls malloc', code == 1 and 'impure: calls malloc' in output, output)
    expect('the impure twin reads the clock', 'impure: calls clock_gettime' in output, output)
    # Sanitizers add variables of their own, so tidy does not look then.
    expect('the impure twin keeps a variable',
           'state: calls_count' in output or is_sanitized(twin), output)

    print(f'{len(failed)} of {len(PLANTED) + len(ALLOWED) + 4} failed')
    return 1 if failed else 0


def is_sanitized(library):
    symbols = subprocess.run(['nm', library], capture_output=True, text=True).stdout
    return re.search(r'__(asan|tsan|ubsan)_', symbols) is not None


if __name__ == '__main__':
    sys.exit(main())
