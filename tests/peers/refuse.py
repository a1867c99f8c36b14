#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Each peer's run says in one line what is wrong with its arguments and returns 2, and says in one
line which packages are missing and returns 77; it starts nothing and leaves nothing behind.

In one process: an interpreter for each case would take longer than all of the cases.
"""

import contextlib
import glob
import importlib.machinery
import importlib.util
import io
import os
import sys
import tempfile

sys.dont_write_bytecode = True
ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), '..', '..'))
sys.path.insert(0, os.path.join(ROOT, 'bench/peers'))
import peer  # noqa: E402  pylint: disable=wrong-import-position


def load(path):
    loader = importlib.machinery.SourceFileLoader(
        'run_' + os.path.basename(os.path.dirname(path)), path)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    sys.modules[loader.name] = module
    loader.exec_module(module)
    return next(kind for kind in vars(module).values()
                if isinstance(kind, type) and issubclass(kind, peer.Peer))


def refused(kind, status, text, argv):
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            got = peer.main(kind, argv)
    except SystemExit as end:
        got = end.code
    lines = err.getvalue().splitlines()
    assert got == status, f'{kind.name} {argv}: returned {got}, not {status}: {lines}'
    assert len(lines) == 1 and text in lines[0], f'{kind.name} {argv}: {text!r} not in {lines}'
    assert not out.getvalue()


def main():
    runs = sorted(glob.glob(os.path.join(ROOT, 'bench/peers/*/run')))
    assert runs
    with tempfile.TemporaryDirectory() as folder:
        data, result = os.path.join(folder, 'members'), os.path.join(folder, 'result.json')
        os.mkdir(data)
        right = ['--payload', '64', '--outstanding', '1', '--seconds', '1', '--data', data,
                 '--json', result]
        for kind in map(load, runs):
            assert kind.packages and kind.programs
            for text, wrong in ((": '0' is not a number", ['--payload', '0']),
                                (": '99999' is not a number", ['--payload', '99999']),
                                (": 'x' is not a number", ['--outstanding', 'x']),
                                (": '-1' is not a number", ['--seconds=-1']),
                                (": '0' is not a number", ['--members', '0']),
                                ('/nowhere: no such folder', ['--data', '/nowhere']),
                                ('/nowhere/x: its folder', ['--json', '/nowhere/x']),
                                ('unrecognized arguments: --fast', ['--fast'])):
                refused(kind, 2, text, right + wrong)
            refused(kind, 2, 'required: --payload', [])
            kind.packages = ('no-such-package',)  # the others may be missing too, here
            refused(kind, 77, 'no-such-package missing: run tools/deps peers', right)
            assert not os.listdir(data) and not os.path.exists(result)


if __name__ == '__main__':
    main()
