/**
 * The module that the guest's Python imports at every start (`sitecustomize`, see Python's `site`). It does nothing
 * unless guest init asked this interpreter to wait: then it waits at the last moment before the program's file is
 * opened, says that it is ready, and goes on to run the program once it has been told arguments and environment.
 * guest/held.c is the other side; they talk over what will be the program's stdin and stdout.
 *
 * That moment is a path hook (`sys.path_hooks`): before Python runs a file, it asks the hooks whether the file is a
 * package of modules. The last one to be asked is ours, and takes itself out of the list.
 *
 * It imports nothing that Python has not already imported by then, and leaves nothing behind: a program cannot tell
 * a held interpreter from a new one by what is loaded.
 */
export const HELD_INTERPRETER_MODULE = String.raw`
def _hold():
    import os
    import sys

    def has_program():
        try:
            return os.stat(sys.orig_argv[1]).st_size > 0
        except (OSError, IndexError):
            return False

    # A program may have a variable of that name too; then there is a program.
    if 'GLASSHOUSE_HOLD' not in os.environ or has_program():
        return

    def read(length):
        data = b''
        while len(data) < length:
            part = os.read(0, length - len(data))
            if not part:
                os._exit(1)
            data += part
        return data

    def replace_main_module():
        # Frozen names of the program could never be garbage: files that it leaves open would lose what is not written yet.
        main = type(sys)('__main__')
        vars(main).update(vars(sys.modules['__main__']))
        sys.modules['__main__'] = main

    def await_release():
        import gc

        # What is there now stays to the end: looking through it for garbage would find none.
        gc.freeze()
        # Python does not import it by itself.
        del sys.modules['gc']
        replace_main_module()
        os.write(1, b'w')
        arguments = int.from_bytes(read(4), 'little')
        strings = read(int.from_bytes(read(4), 'little'))
        return arguments, strings

    def become(arguments, strings):
        # Most programs want nothing else than what is there: a comparison is all that they wait for.
        if arguments == 0 and strings == usual:
            return
        strings = strings.split(b'\0')[:-1]
        sys.argv[1:] = map(os.fsdecode, strings[:arguments])
        sys.orig_argv[2:] = sys.argv[1:]
        os.environ.clear()
        for entry in strings[arguments:]:
            name, _, value = entry.partition(b'=')
            os.environb[name] = value

    def wait_for_the_program(path):
        # None: there is no package of modules at this path, as far as this hook knows. That is the last word.
        if path != sys.orig_argv[1]:
            raise ImportError
        sys.path_hooks.remove(wait_for_the_program)
        become(*await_release())

    del os.environ['GLASSHOUSE_HOLD']
    usual = b''.join(name + b'=' + value + b'\0' for name, value in os.environb.items())
    sys.path_hooks.append(wait_for_the_program)


_hold()
del _hold
`;
