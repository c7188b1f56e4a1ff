/** Workloads that strace and the observer are to see the same of. Each runs in an empty directory of its own. */

export interface Workload {
  readonly name: string;
  /** Run by /bin/sh -e before, unobserved, in the same directory. */
  readonly prepare?: string;
  readonly argv: readonly [string, ...string[]];
  /** Needs root. */
  readonly privileged?: boolean;
  /** What differs from run to run: replaced before facts are compared. */
  readonly volatile?: readonly (readonly [RegExp, string])[];
  /** Programs without which it cannot run, as paths. */
  readonly needs?: readonly string[];
  /** A directory that the command makes its root: strace shows names as seen from there. */
  readonly chroot?: string;
}

const PYTHON = '/usr/bin/python3';

function shell(name: string, script: string, more: Partial<Workload> = {}): Workload {
  return { name, argv: ['/bin/sh', '-c', script], ...more };
}

function python(name: string, code: string, more: Partial<Workload> = {}): Workload {
  return { name, argv: [PYTHON, '-B', '-I', '-c', code], ...more };
}

const C_PROJECT = `
for n in 1 2 3 4; do echo "int f$n(int x) { return x + $n; }" > f$n.c; done
printf 'int f1(int), f2(int), f3(int), f4(int);\\nint main(void) { return f1(f2(f3(f4(-10)))); }\\n' > main.c
printf 'all: program\\nprogram: main.o f1.o f2.o f3.o f4.o\\n\\tcc -o $@ $^\\n%%.o: %%.c\\n\\tcc -c -o $@ $<\\n' > Makefile
`;
/** Temporary files of the C compiler's driver. */
const COMPILER_FILES = [[/\/tmp\/cc[A-Za-z0-9]{6}/g, '/tmp/ccNAME']] as const;

const NPM_PROJECT = `
mkdir part app
echo '{ "name": "part", "version": "1.0.0", "main": "index.js" }' > part/package.json
echo 'module.exports = 1;' > part/index.js
tar -czf part-1.0.0.tgz --sort=name --mtime=@1700000000 --transform s/^part/package/ part
echo '{ "name": "app", "version": "1.0.0", "dependencies": { "part": "file:../part-1.0.0.tgz" } }' > app/package.json
cd app && npm install --offline --cache ../cache --no-audit --no-fund --silent && rm -rf node_modules
`;

const PYTHON_WHEEL = `
${PYTHON} -I -c '
import zipfile
with zipfile.ZipFile("part-1.0-py3-none-any.whl", "w") as wheel:
    wheel.writestr("part.py", "x = 1")
    wheel.writestr("part-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: part\\nVersion: 1.0\\n")
    wheel.writestr("part-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
    wheel.writestr("part-1.0.dist-info/RECORD", "")
'
`;

const SERVER = `
import socket, threading
def serve(server):
    peer, _ = server.accept()
    peer.sendall(peer.recv(100))
    peer.close()
`;

export const CORPUS: readonly Workload[] = [
  shell('a command that does nothing', 'true'),
  shell('a make -j2 of a C project', 'make -s -j2', { prepare: C_PROJECT, volatile: COMPILER_FILES }),
  shell(
    'a git clone of a local repository',
    'git -c protocol.file.allow=always clone -q --no-hardlinks origin copy',
    {
      prepare: `git init -q origin && cd origin && echo 1 > a && git add a &&
      GIT_AUTHOR_DATE='@1700000000 +0000' GIT_COMMITTER_DATE='@1700000000 +0000' git -c user.name=x -c user.email=x@example.org commit -qm one`,
      volatile: [
        [/tmp_[a-z]+_[A-Za-z0-9]{6}/g, 'tmp_NAME'],
        [/\.git\/t[A-Za-z0-9]{6}$/g, '.git/tNAME'],
        [/\/tmp[A-Za-z0-9]{6}$/g, '/tmpNAME'],
      ],
    },
  ),
  shell(
    'npm ci from a cache',
    // V8 opens its own executable only when the addresses that it drew lie well (one start of sixty lies otherwise).
    'cd app && setarch -R npm ci --offline --cache ../cache --no-audit --no-fund --logs-max=0 --silent',
    {
      prepare: NPM_PROJECT,
      needs: ['/usr/bin/npm', '/usr/bin/setarch'],
      volatile: [
        [/\/cache\/_cacache\/tmp\/[0-9a-z-]+/g, '/cache/_cacache/tmp/NAME'],
        [/\.package-lock\.json\.\d+/g, '.package-lock.json.NUMBER'],
        [/_logs\/[0-9TZ_-]+/g, '_logs/TIME'],
      ],
    },
  ),
  shell(
    'pip from a wheel',
    `${PYTHON} -B -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --target to *.whl`,
    {
      prepare: PYTHON_WHEEL,
      needs: ['/usr/bin/pip3'],
      volatile: [
        [/pip-[a-z-]+-[a-z0-9_]{8}/g, 'pip-NAME'],
        [/\/tmp\/[a-z0-9_]{8}(?=$| |\/)/g, '/tmp/NAME'],
        [/[a-z0-9_]{8}\.tmp/g, 'NAME.tmp'],
        [/fishfingers_custard_[a-z0-9]{6}/g, 'NAME'],
      ],
    },
  ),
  python(
    'an archive that is packed and unpacked',
    `
import tarfile, os
open('a', 'w').write('1'); os.mkdir('d')
with tarfile.open('x.tar', 'w') as t: t.add('a')
with tarfile.open('x.tar') as t: t.extractall('d')`,
  ),
  python(
    'python with subprocesses',
    `
import subprocess
for n in range(5): subprocess.run(['/bin/cat', '/etc/hostname'], stdout=subprocess.DEVNULL)`,
  ),
  python(
    'posix_spawn, which is a vfork',
    `
import os
for n in range(5): os.waitpid(os.posix_spawn('/bin/true', ['true', str(n)], {}), 0)`,
  ),
  shell('a pipeline', 'cat /etc/passwd | sort | uniq -c | tee sorted | wc -l'),
  shell(
    'a double fork that outlives its parent',
    '(setsid /bin/sh -c "sleep 0.1; echo late > late" &) ; sleep 0.5',
  ),
  python(
    'threads that open files',
    `
import threading
def work(n):
    for i in range(20): open(f'thread-{n}-{i}', 'w').close()
threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]`,
  ),
  shell('a chain of execs', 'exec /usr/bin/env /usr/bin/env /usr/bin/nice /bin/sh -c "exec /bin/true"'),
  python(
    'an exec from memory',
    `
import os
fd = os.memfd_create('program')
os.write(fd, open('/bin/true', 'rb').read())
os.execve(fd, ['true'], {})`,
  ),
  shell('a script with an interpreter', './script one two', {
    prepare: `printf '#!/bin/sh\\nread -r _ < "$0"\\n' > script && chmod +x script`,
  }),
  python(
    'openat with directories and relative paths',
    `
import os
os.makedirs('a/b/c')
d = os.open('a', os.O_RDONLY)
for name in ('b/x', 'b/../y', 'b/c/./z'): os.close(os.open(name, os.O_CREAT | os.O_WRONLY, dir_fd=d))
os.chdir('a/b'); open('../w', 'w').close(); os.unlink('x', dir_fd=os.open('.', os.O_RDONLY))
os.rename('../y', 'c/moved')`,
  ),
  python(
    'symbolic links on the way',
    `
import os
os.mkdir('real'); os.symlink('real', 'link'); open('link/file', 'w').close(); open('link/../plain', 'w').close()`,
  ),
  python(
    'a storm of renames',
    `
import os
open('0', 'w').close()
for n in range(1000): os.rename(str(n), str(n + 1))`,
  ),
  python(
    'files that are open when they are deleted',
    `
import os
for n in range(20):
    f = open(f'f{n}', 'w'); os.unlink(f'f{n}'); f.write('x'); g = open(f'/proc/self/fd/{f.fileno()}'); g.close(); f.close()`,
  ),
  python(
    'links, modes, times and attributes',
    `
import os
open('a', 'w').close(); os.link('a', 'b'); os.chmod('a', 0o600); os.utime('a'); os.truncate('a', 10)
os.mkfifo('p'); os.mkdir('d'); os.rmdir('d'); os.symlink('nowhere', 's'); os.unlink('s')`,
  ),
  shell('a chroot', 'chroot jail /bin/sh -c "echo x > /inside; /bin/cat /inside; cd /sub; echo y > here"', {
    prepare:
      'mkdir -p jail/sub; for f in /bin/sh /bin/cat $(ldd /bin/sh /bin/cat | grep -o "/[^ :]*" | sort -u); do cp -L --parents $f jail; done',
    privileged: true,
    chroot: 'jail',
  }),
  shell(
    'namespaces for users and pids',
    'unshare --user --map-root-user --pid --fork /bin/sh -c "cat /etc/hostname; echo x > inside; true"',
  ),
  shell(
    'a mount namespace',
    'unshare --mount /bin/sh -c "mkdir m; mount -t tmpfs none m; echo x > m/inside; cat m/inside"',
    {
      privileged: true,
    },
  ),
  shell('signals', 'sleep 100 & kill -TERM $!; wait $! || true; sh -c "kill -9 \\$\\$" || true'),
  python(
    'ten thousand short processes',
    `
import os
for n in range(10000):
    pid = os.fork()
    if pid == 0: os._exit(0)
    os.waitpid(pid, 0)`,
  ),
  python(
    'TCP on the loopback',
    `${SERVER}
server = socket.create_server(('127.0.0.1', 0)); t = threading.Thread(target=serve, args=(server,)); t.start()
client = socket.create_connection(server.getsockname()); client.sendall(b'hello'); client.recv(100); t.join()`,
  ),
  python(
    'a connection that is refused',
    `
import socket
s = socket.socket()
try: s.connect(('127.0.0.1', 1))
except OSError: pass`,
  ),
  python(
    'UDP on the loopback',
    `
import socket
a = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); a.bind(('127.0.0.1', 0))
b = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); b.connect(a.getsockname()); b.send(b'x'); a.recv(10)`,
  ),
  python(
    'Unix sockets, with a path and abstract',
    `${SERVER}
for name in ('socket', '\\0glasshouse-test'):
    server = socket.socket(socket.AF_UNIX); server.bind(name); server.listen()
    t = threading.Thread(target=serve, args=(server,)); t.start()
    client = socket.socket(socket.AF_UNIX); client.connect(name); client.sendall(b'hello'); client.recv(100); t.join()`,
  ),
  python(
    'an argv of 32 KiB',
    `
import os
os.execv('/bin/true', ['true', 'x' * 32768, ''])`,
  ),
  python(
    'a path of 4,000 bytes',
    `
import os
for n in range(15):
    name = 'd' * 250; os.mkdir(name); os.chdir(name)
open('deep', 'w').close(); open(os.path.abspath('deep')).close(); os.unlink('deep')`,
  ),
  python(
    'names that are no UTF-8',
    `
import os
name = b'\\xff\\xfe'
open(name, 'w').close(); os.rename(name, b'\\x80 \\n'); open(b'\\x80 \\n').close(); os.unlink(b'\\x80 \\n')`,
  ),
  python(
    'a fork bomb under a limit',
    `
import os, resource
def bomb(depth):
    children = []
    for _ in range(3 if depth else 0):
        pid = os.fork()
        if pid == 0: bomb(depth - 1); os._exit(0)
        children.append(pid)
    for pid in children: os.waitpid(pid, 0)
bomb(5)`,
  ),
  shell(
    'a command that removes its own directory',
    'mkdir gone && cd gone && rmdir ../gone && /bin/true && : > /dev/null',
  ),
  shell('what fails', 'cat missing; rm missing; mkdir /proc/x; mv missing other; /no/such/program; true'),
  {
    name: 'a program with threads of its own: node',
    argv: [
      process.execPath,
      '-e',
      'const fs = require("fs"); fs.promises.writeFile("a", "x").then(() => fs.renameSync("a", "b"))',
    ],
  },
  {
    name: 'python that compiles its modules',
    argv: [PYTHON, '-I', '-m', 'compileall', '-q', '.'],
    prepare: 'mkdir p; for n in 1 2 3; do echo "x = $n" > p/m$n.py; done',
    volatile: [[/\.pyc\.\d+/g, '.pyc.NUMBER']],
  },
];
