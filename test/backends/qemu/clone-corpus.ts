import { type ExecutionSpec, type InputFile, type Program } from '../../../src/backends/backend.js';
import { streamOf } from '../../contract/programs.js';

/** A program that must do the same in a guest that has booted and in a clone. */
export interface CorpusProgram {
  readonly title: string;
  readonly code: string;
  readonly args?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly stdin?: string;
  readonly inputFiles?: readonly InputFile[];
}

export function specOf(program: CorpusProgram): Partial<ExecutionSpec> {
  const { code, args = [], environment = {}, stdin, inputFiles = [] } = program;
  const python: Program = { kind: 'python', code, args };
  return {
    program: python,
    environment,
    inputFiles,
    stdin: stdin === undefined ? 'closed' : streamOf([Buffer.from(stdin)]),
  };
}

export const CORPUS: readonly CorpusProgram[] = [
  {
    title: 'arguments',
    args: ['', 'a b', '--help', 'ünïcødé ☃', '-c', 'x'.repeat(10_000)],
    code: 'import sys; print(ascii(sys.argv), ascii(sys.orig_argv))',
  },
  {
    title: 'environment',
    environment: { EMPTY: '', SNOW: '☃', HOME: '/tmp' },
    code: `
import os, subprocess
print(ascii(sorted(os.environ.items())), ascii(sorted(os.environb.items())))
os.environ['NEW'] = 'x'; del os.environ['EMPTY']
print(subprocess.run(['env', '-0'], capture_output=True).stdout.split(b'\\0') .__len__(), os.getenv('NEW'), os.getenv('EMPTY'))
`,
  },
  {
    title: 'what Python knows of itself',
    code: `
import sys
print(sys.flags, sys.path, sys.executable, sys.prefix, sys.version, sys.warnoptions, sys._xoptions, sys.pycache_prefix)
print(sys.getrecursionlimit(), sys.getswitchinterval(), sys.dont_write_bytecode, sys.getfilesystemencoding(), sys.path_hooks.__len__())
print(sys.stdin, sys.stdout, sys.stderr, sys.stdout.line_buffering, sys.stdout.errors, sys.stderr.errors)
print(sys.meta_path.__len__(), sys.gettrace(), sys.getprofile(), sys.excepthook is sys.__excepthook__, sys.displayhook)
`.replace('sys.displayhook)', 'sys.displayhook is sys.__displayhook__)'),
  },
  {
    title: 'where Python looks for modules',
    code: `
import sys
print([getattr(hook, '__qualname__', hook) for hook in sys.path_hooks])
print(sorted((path, type(finder).__name__) for path, finder in sys.path_importer_cache.items()))
print(__loader__.__class__.__name__, __loader__.path, sys.argv, sys.orig_argv)
`,
  },
  {
    title: 'a variable that guest init uses for its own purposes',
    environment: { GLASSHOUSE_HOLD: '1' },
    stdin: 'given',
    code: 'import os, sys; print(os.environ["GLASSHOUSE_HOLD"], sys.stdin.read())',
  },
  {
    title: 'modules of the user',
    inputFiles: [
      {
        path: '.local/lib/python3.11/site-packages/usercustomize.py',
        content: Buffer.from('print("customized")\n'),
        executable: false,
      },
    ],
    // What was compiled has the time of its source in it.
    code: `
import shutil, sys
print([path for path in sys.path if 'local' in path])
shutil.rmtree(next(path for path in sys.path if '.local' in path) + '/__pycache__')
`,
  },
  { title: 'modules that are loaded', code: 'import sys; print(sorted(sys.modules))' },
  {
    title: 'names of the module',
    code: 'print(__name__, __file__, __builtins__.__name__, __spec__, sorted(globals()))',
  },
  {
    title: 'sitecustomize',
    code: `
import sitecustomize
print(sorted(name for name in vars(sitecustomize) if not name.startswith('__')), sitecustomize.__file__)
`,
  },
  {
    title: 'the process',
    code: `
import os, resource, signal, threading
print(os.getcwd(), os.getuid(), os.getgid(), os.getgroups(), os.geteuid(), os.getresgid(), os.getsid(0) == os.getpid(), os.getpgrp() == os.getpid(), os.getppid())
print({name: resource.getrlimit(getattr(resource, name)) for name in dir(resource) if name.startswith('RLIMIT_')})
mask = os.umask(0); print(oct(mask), os.nice(0), sorted(os.sched_getaffinity(0)), os.getpriority(os.PRIO_PROCESS, 0))
print([(s.name, str(signal.getsignal(s))) for s in signal.Signals if s not in (signal.SIGINT,)], signal.pthread_sigmask(0, []))
print(threading.active_count(), len(os.listdir('/proc/self/task')))
for line in open('/proc/self/status'):
    if line.split(':')[0] in ('Name', 'Uid', 'Gid', 'Groups', 'CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb', 'NoNewPrivs', 'Seccomp', 'SigBlk', 'SigIgn', 'SigCgt', 'Threads', 'TracerPid', 'Umask'): print(line.strip())
`,
  },
  {
    title: 'open descriptors',
    code: `
import os, stat
for fd in range(64):
    try: print(fd, stat.S_IFMT(os.fstat(fd).st_mode), os.get_inheritable(fd), os.get_blocking(fd))
    except OSError: pass
`,
  },
  {
    title: 'files around it',
    code: `
import os
for top in ('/workspace', '/tmp', '/dev', '/run'):
    print(top, oct(os.stat(top).st_mode), os.stat(top).st_uid, sorted(os.listdir(top)))
print(sorted(line.split(' - ')[0].split(' ', 3)[3] + ' ' + line.split(' - ')[1].split()[0] for line in open('/proc/self/mountinfo')))
print(os.statvfs('/workspace').f_bfree, os.statvfs('/workspace').f_ffree, os.statvfs('/tmp').f_ffree)
`,
  },
  {
    title: 'other processes',
    code: `
import os
print(sorted(open(f'/proc/{pid}/comm').read().strip() for pid in os.listdir('/proc') if pid.isdigit()))
`,
  },
  { title: 'exit code', code: 'import sys; print("bye"); sys.exit(42)' },
  { title: 'exit with words', code: 'import sys; sys.exit("words for stderr")' },
  { title: 'exit at once', code: 'import os; print("lost", end=""); os._exit(7)' },
  {
    title: 'a traceback',
    code: `
def outer(x): return inner(x)
def inner(x):
    try: return 1 / x
    except ZeroDivisionError as error: raise ValueError('chained ☃') from error
outer(0)
`,
  },
  { title: 'a syntax error', code: 'def f(:\n  pass\n' },
  { title: 'a source in another encoding', code: '# -*- coding: latin-1 -*-\nprint(ascii("ü"))' },
  {
    title: 'atexit and __del__',
    code: `
import atexit, weakref
class Noisy:
    def __init__(self, name): self.name = name
    def __del__(self): print('del', self.name)
kept = Noisy('global'); cycle = Noisy('cycle'); cycle.self = cycle
atexit.register(print, 'first'); atexit.register(print, 'second')
Noisy('temporary'); del cycle
weakref.finalize(kept, print, 'finalized')
import gc; print(gc.collect() > 0, gc.isenabled(), gc.get_threshold(), gc.garbage)
print('end')
`,
  },
  {
    title: 'what is still open in the end',
    code: `
import os, io
def unused(): return lost
lost = open('never-closed', 'w'); lost.write('x' * 100)
os.kept = open('kept-by-a-module', 'w'); os.kept.write('y')
class Noisy:
    def __del__(self): print('del')
noisy = Noisy(); noisy.self = noisy
`,
  },
  {
    title: 'stdin',
    stdin: 'one\ntwo\n\u2603',
    code: 'import sys; print(input(), sys.stdin.readline(), ascii(sys.stdin.read()), sys.stdin.read() == "")',
  },
  { title: 'stdin that is empty', code: 'input()' },
  {
    title: 'input files',
    inputFiles: [
      { path: 'a/b/module.py', content: Buffer.from('VALUE = 7\n'), executable: false },
      { path: 'helper.py', content: Buffer.from('def f(): return __name__, __file__\n'), executable: false },
      { path: 'run.sh', content: Buffer.from('#!/bin/sh\necho script $1\n'), executable: true },
    ],
    code: `
import os, subprocess, sys
sys.dont_write_bytecode = True # What is cached of a module has its time in it.
import helper
sys.path.append('a/b'); import module
print(helper.f(), module.VALUE, subprocess.check_output(['./run.sh', 'x']))
for root, _, names in sorted(os.walk('.')):
    for name in sorted(names): print(root, name, oct(os.stat(os.path.join(root, name)).st_mode), os.stat(os.path.join(root, name)).st_uid)
`,
  },
  {
    title: 'output files',
    code: `
import os
os.makedirs('deep/er'); open('deep/er/file', 'w').write('x' * 100_000); os.symlink('file', 'deep/er/link')
open('tool', 'w').close(); os.chmod('tool', 0o750); os.mkfifo('fifo'); open('code.py', 'a').write('# more')
`,
  },
  {
    title: 'much output',
    code: 'import sys\nfor i in range(40000): print(i, "x" * 20)\nsys.stderr.write("y" * 300000)',
  },
  {
    title: 'subprocesses',
    code: `
import subprocess, sys, multiprocessing, os
print(subprocess.run([sys.executable, '-c', 'import sys; print(sys.argv, sys.flags.isolated, "gc" in sys.modules); sys.exit(3)', 'a'], capture_output=True))
print(subprocess.run('echo $HOME; exit 5', shell=True, capture_output=True))
pid = os.fork()
if pid == 0: os._exit(9)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
with multiprocessing.get_context('fork').Pool(2) as pool: print(pool.map(abs, [-1, -2, 3]))
`,
  },
  {
    title: 'signals',
    code: `
import os, signal, sys
signal.signal(signal.SIGUSR1, lambda number, frame: print('got', number, frame.f_lineno))
os.kill(os.getpid(), signal.SIGUSR1)
try: signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt: print('interrupted')
sys.stdout.flush(); signal.signal(signal.SIGTERM, signal.SIG_DFL); os.kill(os.getpid(), signal.SIGTERM)
`,
  },
  { title: 'a crash', code: 'import ctypes; print("before", flush=True); ctypes.string_at(0)' },
  {
    title: 'threads',
    code: `
import threading, queue
q = queue.Queue(); threads = [threading.Thread(target=q.put, args=(i,)) for i in range(10)]
[t.start() for t in threads]; [t.join() for t in threads]
print(sorted(q.get() for _ in threads), threading.current_thread().name, threading.main_thread().native_id == __import__('os').getpid())
def fail(): raise RuntimeError('in a thread')
t = threading.Thread(target=fail, name='failing'); t.start(); t.join()
`,
  },
  {
    title: 'time zone, locale and encodings',
    code: `
import locale, sys, time
print(time.tzname, time.timezone, locale.getlocale(), locale.setlocale(locale.LC_ALL), sys.getdefaultencoding(), locale.getpreferredencoding(), sys.stdout.encoding)
print(time.get_clock_info('monotonic').resolution, time.monotonic() > 0)
`,
  },
  {
    title: 'warnings, and a module that is run as code',
    code: `
import asyncio, runpy, warnings
warnings.warn('once'); warnings.warn('old', DeprecationWarning)
async def main(): await asyncio.sleep(0); return 'async'
print(asyncio.run(main()))
runpy.run_module('this')
`,
  },
  {
    title: 'random numbers from a seed',
    code: "import random; random.seed(1); print(random.random(), random.sample(range(100), 5)); random.seed('x'); print(random.random())",
  },
];
