/**
 * The module that the guest's Python imports at every start (`sitecustomize`, see Python's `site`). It does nothing
 * unless guest init asked this interpreter to wait: then it says that it is ready, and returns, so that Python goes
 * on to run the program, once it has been told arguments and environment. guest/held.c is the other side.
 *
 * It imports nothing that Python has not already imported by then, and leaves nothing behind: a program cannot tell
 * a held interpreter from a new one by what is loaded.
 */
export const HELD_INTERPRETER_MODULE = String.raw`
import os
import sys


def _read(control, length):
    data = b''
    while len(data) < length:
        part = os.read(control, length - len(data))
        if not part:
            os._exit(1)
        data += part
    return data


def _replace_main_module():
    # Frozen names of the program could never be garbage: files that it leaves open would lose what is not written yet.
    main = type(sys)('__main__')
    vars(main).update(vars(sys.modules['__main__']))
    sys.modules['__main__'] = main


def _await_release(control):
    import gc

    # What is there now stays to the end: looking through it for garbage would find none.
    gc.freeze()
    _replace_main_module()
    os.write(control, b'w')
    arguments = int.from_bytes(_read(control, 4), 'little')
    strings = _read(control, int.from_bytes(_read(control, 4), 'little')).split(b'\0')[:-1]
    os.close(control)
    return strings[:arguments], strings[arguments:]


def _become(arguments, environment):
    sys.argv[1:] = map(os.fsdecode, arguments)
    sys.orig_argv[2:] = sys.argv[1:]
    os.environ.clear()
    for entry in environment:
        name, _, value = entry.partition(b'=')
        os.environb[name] = value
    # Python does not import it by itself.
    del sys.modules['gc']


if 'GLASSHOUSE_HOLD' in os.environ:
    _become(*_await_release(int(os.environ['GLASSHOUSE_HOLD'])))

del _read, _replace_main_module, _await_release, _become, os, sys
`;
