"""The observer against programs of which everything is known. Usage: observe.py BUILD [WORD...], as root."""
import contextlib
import ctypes
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from observer_link import Held, Observer, observe

BUILD = os.path.abspath(sys.argv.pop(1))
WORKLOAD = f'{BUILD}/workload'
CHROOT, NAMESPACE, DETACHED, DELETED, TRUNCATED = 4, 8, 16, 2, 1
RENAME, UNLINK, MKDIR, LINK, SYMLINK, CHMOD, TRUNCATE, CHANGED_ROOT = 1, 2, 4, 5, 6, 7, 9, 13
CONNECT, BIND, LISTEN, ACCEPT, TRAFFIC, OUTCOME = 1, 2, 3, 4, 5, 6


def of_type(frames, kind, **fields):
    return [each for each in frames
            if each['type'] == kind and all(each[name] == value for name, value in fields.items())]


def paths(frames, **fields):
    return [each['path'][0] for each in of_type(frames, 'file', **fields)]


def calls(frames, number, abi=0):
    entries = [entry for each in of_type(frames, 'syscalls') for entry in each['entries']]
    found = [entry for entry in entries if entry[:2] == (abi, number)]
    return found[0][3:] if found else (0, 0, 0, 0)


def counts(frames, kind):
    return {code: value for of, code, value in frames[-1]['counts'] if of == kind}


def address(port, host='127.0.0.1'):
    return struct.pack('=H', 2) + struct.pack('>H', port) + socket.inet_aton(host) + bytes(8)


KERNEL = tuple(int(part) for part in re.match(r'(\d+)\.(\d+)', os.uname().release).groups())
LIBC = ctypes.CDLL(None)
SYS_BPF, BPF_MAP_GET_FD_BY_ID = 321, 14


def loaded_by(observer):
    """Numbers of what it holds, by kind."""
    descriptors = f'/proc/{observer.process.pid}/fdinfo'
    text = ''.join(open(f'{descriptors}/{name}').read() for name in os.listdir(descriptors))
    return {kind: re.findall(rf'^{kind}_id:\s*(\d+)$', text, re.M) for kind in ('prog', 'map', 'link')}


def map_is_there(number):
    """Opens the map by its number, as bpftool does, and closes it."""
    attributes = struct.pack('<III', number, 0, 0)
    descriptor = LIBC.syscall(SYS_BPF, BPF_MAP_GET_FD_BY_ID, attributes, len(attributes))
    if descriptor >= 0:
        os.close(descriptor)
    return descriptor >= 0


@contextlib.contextmanager
def place_for_all(*names):
    """A directory with these programs that other users reach, too: the clone may be closed to them."""
    with tempfile.TemporaryDirectory(dir='/var/tmp') as place:
        os.chmod(place, 0o755)
        for name in names:
            subprocess.run(['cp', f'{BUILD}/{name}', place], check=True)
        yield place


class Watched(unittest.TestCase):
    def setUp(self):
        self.directory = os.path.realpath(tempfile.mkdtemp())
        # Python's own way to remove a tree recurses.
        self.addCleanup(subprocess.run, ['rm', '-rf', self.directory], check=True)
        self.inside = self.directory.encode()

    def watch(self, *argv, flags=(), code=0, lossless=True, **options):
        actual, frames = observe(BUILD, argv, flags, **options)
        self.assertEqual(actual, code)
        end = frames[-1]
        self.assertEqual((end['why'], end['alive']), (1, 0))
        if lossless:
            self.assertEqual(counts(frames, 2), {})
            self.assertEqual(len(of_type(frames, 'process')), end['processes'])
            self.assertEqual(len(of_type(frames, 'process_end')), end['processes'])
        return frames

    def python(self, program, **options):
        return self.watch(sys.executable, '-IS', '-c', program, cwd=self.directory, **options)

    def change(self, frames, operation):
        found = of_type(frames, 'change', operation=operation)
        self.assertEqual(len(found), 1, found)
        return found[0]


class Processes(Watched):
    def test_first_process_is_seen_from_its_exec_to_its_end(self):
        frames = self.watch('/bin/sh', '-c', 'exit 7', code=7, cwd=self.directory)
        self.assertEqual([each['type'] for each in frames[:3]], ['process', 'exec', 'argv'])
        self.assertEqual(frames[0]['flags'] & 1, 1)
        self.assertEqual(frames[0]['parent_pid'], os.getpid())
        self.assertEqual(frames[1]['cwd'], (self.inside, 0))
        self.assertEqual(frames[1]['name'][0], b'/bin/sh')
        self.assertEqual(frames[2]['data'], b'/bin/sh\0-c\0exit 7\0')
        self.assertEqual(of_type(frames, 'process_end')[0]['exit_code'], 7)

    def test_signal_and_core_flag_are_of_the_process(self):
        frames = self.watch('/bin/sh', '-c', 'kill -TERM $$', code=-signal.SIGTERM)
        end = of_type(frames, 'process_end')[0]
        self.assertEqual((end['exit_code'], end['signal']), (0, signal.SIGTERM))

    def test_10000_processes_are_counted_exactly(self):
        frames = self.watch(WORKLOAD, 'storm', '10000')
        self.assertEqual(frames[-1]['processes'], 10001)
        self.assertEqual(sum(each['exit_code'] for each in of_type(frames, 'process_end')), 5000)
        parents = {(each['parent_pid'], each['parent_birth']) for each in of_type(frames, 'process')[1:]}
        self.assertEqual(len(parents), 1)

    def test_daemon_that_outlives_the_first_process_belongs_to_the_tree(self):
        daemon = "import os\nif os.fork(): os._exit(0)\nos.setsid()\nif os.fork(): os._exit(0)\nopen('late', 'w')"
        frames = self.python(daemon)
        self.assertEqual(frames[-1]['processes'], 3)
        self.assertIn(self.inside + b'/late', paths(frames, how=3))

    def test_argv_of_100_kib_is_whole(self):
        argument = 'x' * 100_000
        frames = self.watch('/bin/true', argument, '\udcff')
        self.assertEqual(b''.join(each['data'] for each in of_type(frames, 'argv')),
                         b'/bin/true\0' + argument.encode() + b'\0\xff\0')
        self.assertEqual(of_type(frames, 'exec')[0]['flags'], 0)

    def test_argv_beyond_the_setting_is_cut_off_and_says_so(self):
        frames = self.watch('/bin/true', 'x' * 9000, flags=['--argv-bytes', '8192'])
        self.assertEqual(sum(len(each['data']) for each in of_type(frames, 'argv')), 8192)
        self.assertEqual(of_type(frames, 'exec')[0]['flags'], 8)
        self.assertEqual(counts(frames, 3).get(9), 1)

    def test_script_names_itself_and_its_interpreter(self):
        script = f'{self.directory}/script'
        with open(script, 'w') as file:
            file.write('#!/bin/sh\nexit 0\n')
        os.chmod(script, 0o755)
        exec_ = of_type(self.watch(script), 'exec')[0]
        self.assertEqual(exec_['flags'], 1)
        self.assertEqual(exec_['name'][0], script.encode())
        self.assertEqual(exec_['interpreter'][0], b'/bin/sh')
        self.assertEqual(exec_['file'][0], os.path.realpath('/bin/sh').encode())

    def test_memfd_is_told_apart(self):
        program = ("import os\nfd = os.memfd_create('inner')\nos.write(fd, open('/bin/true', 'rb').read())\n"
                   "os.execve(fd, ['memory'], {})")
        exec_ = of_type(self.python(program), 'exec')[1]
        self.assertEqual(exec_['flags'] & 2, 2)
        self.assertEqual(exec_['file'][0], b'/memfd:inner')
        self.assertTrue(exec_['file'][1] & DETACHED)

    def test_vfork_and_exec_from_a_thread(self):
        self.assertEqual(len(of_type(self.watch(WORKLOAD, 'vfork'), 'exec')), 2)
        frames = self.watch(WORKLOAD, 'thread-exec')
        self.assertEqual(len({(each['pid'], each['birth']) for each in of_type(frames, 'exec')}), 1)
        self.assertEqual(of_type(frames, 'argv')[1]['data'], b'true\0from-thread\0')
        self.assertEqual((frames[-1]['processes'], frames[-1]['threads']), (1, 2))

    def test_threads_are_folded_into_their_process(self):
        for i in range(10):
            open(f'{self.directory}/{i}', 'w').close()
        frames = self.watch(WORKLOAD, 'threads', self.directory)
        self.assertEqual((frames[-1]['processes'], frames[-1]['threads']), (1, 11))
        self.assertEqual(of_type(frames, 'process_end')[0]['threads'], 11)
        self.assertLessEqual({self.inside + b'/%d' % i for i in range(10)}, set(paths(frames)))

    def test_process_in_a_pid_namespace_has_both_ids(self):
        inner = of_type(self.watch('/usr/bin/unshare', '--pid', '--fork', '/bin/true'), 'process')[1]
        self.assertEqual((inner['namespace_pid'], inner['flags']), (1, 2))
        self.assertNotEqual(inner['pid'], 1)

    def test_set_user_id_program_is_marked(self):
        program = f'{self.directory}/true'
        subprocess.run(['cp', '/bin/true', program], check=True)
        os.chown(program, 1, 1)
        os.chmod(program, 0o6755)
        os.chmod(self.directory, 0o755)
        frames = self.watch('/usr/bin/setpriv', '--reuid', '12345', '--clear-groups', program)
        self.assertEqual(of_type(frames, 'exec')[-1]['flags'], 4)
        self.assertEqual((of_type(frames, 'exec')[-1]['uid'], of_type(frames, 'exec')[-1]['euid']), (12345, 1))


class Files(Watched):
    def test_path_is_the_descriptors_own(self):
        frames = self.python("import os\nos.mkdir('a')\nos.symlink('a', 'b')\n"
                             "fd = os.open('b', os.O_RDONLY)\nos.mkdir('c')\nos.chdir('c')\n"
                             "os.close(os.open('../b/./new', os.O_CREAT | os.O_WRONLY, 0o600))\n"
                             "os.close(os.open('new', os.O_RDONLY, dir_fd=fd))")
        opened = [each for each in of_type(frames, 'file') if each['path'][0] == self.inside + b'/a/new']
        self.assertEqual([each['how'] for each in opened], [3, 1])
        self.assertEqual(opened[0]['mode'], 0o100600)
        self.assertEqual(of_type(frames, 'change', operation=14)[0]['target'][0], (self.inside + b'/c', 0))

    def test_path_of_4_kb_and_name_that_is_not_utf8(self):
        frames = self.python("import os\nfor i in range(19):\n os.mkdir('d' * 200); os.chdir('d' * 200)\n"
                             "open(b'\\xff\\xfe', 'w')")
        expected = self.inside + (b'/' + b'd' * 200) * 19 + b'/\xff\xfe'
        self.assertIn(expected, paths(frames, how=3))
        self.assertNotIn(1, counts(frames, 3))

    def test_deep_path_of_2_000_components(self):
        frames = self.python("import os\nfor i in range(1900):\n os.mkdir('d'); os.chdir('d')\nopen('f', 'w')")
        self.assertIn(self.inside + b'/d' * 1900 + b'/f', paths(frames, how=3))

    def test_path_longer_than_4_kb_is_cut_off_and_says_so(self):
        frames = self.python("import os\nfor i in range(40):\n os.mkdir('d' * 200); os.chdir('d' * 200)\n"
                             "open('f', 'w')")
        cut = [each['path'] for each in of_type(frames, 'file', how=3)][-1]
        self.assertTrue(cut[0].endswith(b'd/f') and cut[1] == TRUNCATED, cut[1])
        self.assertGreater(counts(frames, 3)[1], 0)

    def test_sums_are_of_the_same_opens_as_single_frames(self):
        program = ("import os\nopen('x', 'w').write('abc')\nfor i in range(30):\n pid = os.fork()\n if pid == 0:\n"
                   "  for name in ('x', 'x', 'missing', './missing'):\n"
                   "   try: open(name).read()\n   except OSError: pass\n  os._exit(0)\n os.waitpid(pid, 0)")
        single, gathered = self.python(program), self.python(program, flags=['--gather-ms', '1000'])
        self.assertEqual(of_type(single, 'doers'), [])
        self.assertLess(len(gathered), len(single) / 2)
        stands_for = sum(each['events'] for each in of_type(gathered, 'doers'))
        kinds = ('file', 'file_totals', 'open_failed')
        rest = sum(len(of_type(gathered, kind)) for kind in kinds)
        self.assertEqual(stands_for + rest, sum(len(of_type(single, kind)) for kind in kinds))
        name = self.inside + b'/missing'
        failed = [each for each in of_type(gathered, 'open_failed_sum', errno=2) if each['path'][0] == name]
        self.assertEqual(sum(times for each in failed for _, times in each['shares']), 60)
        read = [each for each in of_type(gathered, 'file_sum', flags=9) if each['path'][0] == self.inside + b'/x']
        self.assertEqual(sum(times for each in read for _, times in each['shares']), 60)
        self.assertEqual(sum(each['bytes_read'] for each in read), 180)

    def test_bytes_and_opens_are_counted_by_file(self):
        frames = self.python("for i in range(50):\n f = open('x', 'rb' if i else 'wb')\n"
                             " f.write(b'12345') if i == 0 else f.read()\n f.close()")
        mine = [each for each in of_type(frames, 'file') if each['path'][0] == self.inside + b'/x']
        self.assertEqual([each['how'] for each in mine], [3, 1])
        written, read = [of_type(frames, 'file_totals', file=each['file'], pid=each['pid'])[0] for each in mine]
        self.assertEqual((written['opens'], written['bytes_written'], written['bytes_read']), (1, 5, 0))
        self.assertEqual((read['opens'], read['bytes_written'], read['bytes_read']), (49, 0, 5 * 49))

    def test_inherited_descriptor_is_reported_when_it_is_used(self):
        frames = self.watch('/bin/sh', '-c', 'exec > out; /bin/echo hello', cwd=self.directory)
        echo = of_type(frames, 'exec')[1]['pid']
        used = of_type(frames, 'file', how=2, pid=echo)
        self.assertEqual([each['path'][0] for each in used], [self.inside + b'/out'])
        self.assertEqual(of_type(frames, 'file_totals', file=used[0]['file'], pid=echo)[0]['bytes_written'], 6)

    def test_failed_open_has_its_errno_and_where_it_looked(self):
        frames = self.python("import os\ntry: open('missing/x')\nexcept OSError: pass")
        failed = [each for each in of_type(frames, 'open_failed') if each['operand'][1][0] == b'missing/x']
        self.assertEqual([(each['errno'], each['operand'][0]) for each in failed], [(2, (self.inside, 0))])

    def test_changes_have_their_operands_and_results(self):
        frames = self.python("import os\nopen('f', 'w').write('x')\nos.rename('f', 'g')\nos.mkdir('d', 0o700)\n"
                             "os.link('g', 'h')\nos.symlink('nowhere', 's')\nos.chmod('g', 0o640)\n"
                             "os.truncate('g', 3)\nos.unlink('h')")
        rename = self.change(frames, RENAME)
        self.assertEqual((rename['target'], rename['second']),
                         (((self.inside, 0), (b'f', 0)), ((self.inside, 0), (b'g', 0))))
        self.assertEqual(self.change(frames, MKDIR)['detail'], 0o700)
        self.assertEqual(self.change(frames, LINK)['second'][1][0], b'h')
        self.assertEqual(self.change(frames, SYMLINK)['second'][1][0], b'nowhere')
        self.assertEqual(self.change(frames, SYMLINK)['target'][1][0], b's')
        self.assertEqual(self.change(frames, CHMOD)['detail'], 0o640)
        self.assertEqual(self.change(frames, TRUNCATE)['detail'], 3)
        self.assertEqual(self.change(frames, UNLINK)['errno'], 0)

    def test_failed_change_has_its_errno(self):
        frames = self.python("import os\ntry: os.unlink('missing')\nexcept OSError: pass")
        self.assertEqual(self.change(frames, UNLINK)['errno'], 2)

    def test_rename_makes_the_new_path_known(self):
        os.mkdir(f'{self.directory}/a')
        open(f'{self.directory}/a/f', 'w').close()
        frames = self.python("import os\nopen('a/f').close()\nopen('a/f').close()\nos.rename('a', 'b')\n"
                             "open('b/f').close()")
        mine = [each['path'][0] for each in of_type(frames, 'file') if each['path'][0].startswith(self.inside)]
        self.assertEqual(mine, [self.inside + b'/a/f', self.inside + b'/b/f'])

    def test_reopened_file_without_a_name_is_marked(self):
        frames = self.python("import os\nf = open('gone', 'w')\nos.unlink('gone')\n"
                             "open(f'/proc/self/fd/{f.fileno()}').close()")
        self.assertIn((self.inside + b'/gone', DELETED), [each['path'] for each in of_type(frames, 'file', how=1)])

    def test_chroot_and_mount_namespace_are_marked(self):
        frames = self.python("import os\nos.mkdir('jail')\nos.chroot('jail')\nos.chdir('/')\nopen('/inner', 'w')")
        self.assertIn((self.inside + b'/jail/inner', CHROOT), [each['path'] for each in of_type(frames, 'file')])
        self.assertEqual(self.change(frames, CHANGED_ROOT)['target'][0], (self.inside + b'/jail', CHROOT))
        frames = self.watch('/usr/bin/unshare', '--mount', '/bin/sh', '-c',
                            'mount -t tmpfs none . && cd "$PWD" && echo > inner', cwd=self.directory)
        found = [each['path'] for each in of_type(frames, 'file', how=3)]
        self.assertEqual([(each[0], each[1] & NAMESPACE) for each in found], [(self.inside + b'/inner', NAMESPACE)])

    def test_shared_mapping_is_marked(self):
        frames = self.python("import mmap, os\nfd = os.open('m', os.O_RDWR | os.O_CREAT)\nos.truncate(fd, 4096)\n"
                             "mmap.mmap(fd, 4096)[0] = 1")
        number = [each['file'] for each in of_type(frames, 'file', how=3)][0]
        self.assertEqual(of_type(frames, 'file_totals', file=number)[0]['flags'], 3)


class Network(Watched):
    def serve(self, kind, family=socket.AF_INET):
        server = socket.socket(family, kind)
        self.addCleanup(server.close)
        server.bind(('127.0.0.1' if family == socket.AF_INET else '::1', 0))
        return server, server.getsockname()[1]

    def test_tcp_connection_with_bytes_each_way(self):
        server, port = self.serve(socket.SOCK_STREAM)
        server.listen()

        def answer():
            connection, _ = server.accept()
            with connection:
                connection.recv(100)
                connection.sendall(b'y' * 1000)
        thread = threading.Thread(target=answer)
        thread.start()
        frames = self.python(f"import socket\ns = socket.create_connection(('127.0.0.1', {port}))\n"
                             "s.sendall(b'x' * 10)\nwhile s.recv(4096): pass")
        thread.join()
        connect = of_type(frames, 'socket', operation=CONNECT)[0]
        self.assertEqual((connect['errno'], connect['given'], connect['peer']), (0, address(port), address(port)))
        totals = of_type(frames, 'peer_totals', socket=connect['socket'])
        self.assertEqual([(each['bytes_sent'], each['bytes_received'], each['peer']) for each in totals],
                         [(10, 1000, address(port))])

    def test_refused_and_nonblocking_connects_have_their_outcome(self):
        server, port = self.serve(socket.SOCK_STREAM)
        frames = self.python(f"import socket, select\ns = socket.socket()\ns.setblocking(False)\n"
                             f"s.connect_ex(('127.0.0.1', {port}))\nselect.select([], [s], [])\n"
                             f"socket.socket().connect_ex(('127.0.0.1', {port}))")
        errors = [each['errno'] for each in of_type(frames, 'socket') if each['operation'] in (CONNECT, OUTCOME)]
        self.assertIn(errors, ([115, 111, 111], [111, 111])) # at once where the answer comes at once

    def test_server_binds_listens_and_accepts(self):
        frames = self.python("import socket\ns = socket.socket()\ns.bind(('127.0.0.1', 0))\ns.listen()\n"
                             "c = socket.create_connection(s.getsockname())\na, _ = s.accept()\na.send(b'abc')\nc.recv(9)")
        sockets = {each['operation']: each for each in of_type(frames, 'socket')}
        self.assertLessEqual({BIND, LISTEN, ACCEPT, CONNECT}, set(sockets))
        self.assertEqual(sockets[ACCEPT]['peer'], sockets[CONNECT]['local'])

    def test_udp_destinations_are_told_apart(self):
        one, port_one = self.serve(socket.SOCK_DGRAM)
        two, port_two = self.serve(socket.SOCK_DGRAM)
        frames = self.python(f"import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
                             f"for i in range(3): s.sendto(b'12345', ('127.0.0.1', {port_one}))\n"
                             f"s.sendmsg([b'12', b'34'], [], 0, ('127.0.0.1', {port_two}))")
        traffic = of_type(frames, 'socket', operation=TRAFFIC)
        self.assertEqual([each['given'][:16] for each in traffic], [address(port_one), address(port_two)])
        totals = {each['peer']: (each['sends'], each['bytes_sent']) for each in of_type(frames, 'peer_totals')}
        self.assertEqual(totals, {address(port_one): (3, 15), address(port_two): (1, 4)})

    def test_ipv6_peer(self):
        server, port = self.serve(socket.SOCK_DGRAM, socket.AF_INET6)
        frames = self.python(f"import socket\ns = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)\n"
                             f"s.connect(('::1', {port}))\ns.send(b'abc')")
        peer = of_type(frames, 'peer_totals')[0]
        self.assertEqual((peer['family'], peer['bytes_sent']), (10, 3))
        self.assertEqual(peer['peer'][:4] + peer['peer'][8:24],
                         struct.pack('=H', 10) + struct.pack('>H', port) + socket.inet_pton(socket.AF_INET6, '::1'))

    def test_unix_sockets_have_their_names(self):
        frames = self.python("import socket\na = socket.socket(socket.AF_UNIX)\na.bind('name')\na.listen()\n"
                             "b = socket.socket(socket.AF_UNIX)\nb.connect('name')\nb.send(b'hi')\n"
                             "c = socket.socket(socket.AF_UNIX)\nc.bind('\\0abstract')")
        given = [each['given'] for each in of_type(frames, 'socket') if each['operation'] in (BIND, CONNECT)]
        self.assertEqual([each[2:].rstrip(b'\0') for each in given], [b'name', b'name', b'\0abstract'])
        connect = of_type(frames, 'socket', operation=CONNECT)[0]
        self.assertEqual(connect['peer'][2:].rstrip(b'\0'), b'name')

    def test_question_to_a_name_server_is_seen(self):
        question = b'\xab\xcd\1\0\0\1\0\0\0\0\0\0\7example\3org\0\0\1\0\1'
        frames = self.python(f"import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
                             f"s.sendto({question!r}, ('127.0.0.1', 53))\n"
                             f"s.connect(('127.0.0.1', 53))\ntry: s.send({question!r}); s.send({question!r})\nexcept OSError: pass")
        asked = of_type(frames, 'dns')
        self.assertGreaterEqual(len(asked), 1)
        self.assertEqual({(each['message'], each['server']) for each in asked}, {(question, address(53))})


class Calls(Watched):
    def test_calls_are_counted_by_number(self):
        frames = self.watch(WORKLOAD, 'calls', '12345', '678')
        self.assertEqual(calls(frames, 110), (12345, 0, 0, 0))
        self.assertEqual(calls(frames, 231)[0], 1)
        self.assertEqual(calls(frames, 59)[0], 1)
        null = [each for each in of_type(frames, 'file') if each['path'][0] == b'/dev/null']
        self.assertEqual(len(null), 1)
        self.assertEqual(of_type(frames, 'file_totals', file=null[0]['file'])[0]['opens'], 678)

    def test_denied_calls_are_counted(self):
        open(f'{self.directory}/closed', 'w').close()
        os.chmod(f'{self.directory}/closed', 0o600)
        os.chmod(self.directory, 0o755)
        program = ("import os\nfor i in range(3):\n try: os.open('closed', 0)\n except OSError: pass\n"
                   "try: os.setuid(0)\nexcept OSError: pass")
        frames = self.watch('/usr/bin/setpriv', '--reuid', '12345', '--clear-groups', sys.executable, '-IS', '-c',
                            program, cwd=self.directory)
        # Python is denied some files of its own.
        denied = of_type(frames, 'open_failed', errno=13)
        self.assertEqual(len([each for each in denied if each['operand'][1][0] == b'closed']), 3)
        self.assertEqual(calls(frames, 257)[3], len(denied))
        self.assertEqual(calls(frames, 105)[1:], (1, 1, 0))
        self.assertEqual([each['errno'] for each in of_type(frames, 'notable', number=105)], [1])

    def test_32_bit_calls_are_counted_apart(self):
        frames = self.watch(WORKLOAD, 'int80')
        self.assertEqual(calls(frames, 20, abi=1)[0], 7)
        self.assertEqual(counts(frames, 3), {4: 7})

    def test_fork_is_one_call(self):
        frames = self.watch(WORKLOAD, 'storm', '100')
        self.assertEqual(calls(frames, 56)[0] + calls(frames, 57)[0], 100)

    def test_io_uring_marks_the_blind_spot(self):
        program = "import ctypes\nctypes.CDLL(None).syscall(425, 1, ctypes.create_string_buffer(120))"
        frames = self.watch(sys.executable, '-c', program)
        made = of_type(frames, 'notable', number=425)
        self.assertEqual(len(made), 1)
        self.assertEqual(counts(frames, 3).get(10, 0), 1 if made[0]['errno'] == 0 else 0)


class Resources(Watched):
    def test_usage_is_that_of_the_command(self):
        frames = self.python("x = bytearray(300_000_000)\nfor i in range(2_000_000): pass\n"
                             "open('out', 'wb').write(x[:1000])")
        end = of_type(frames, 'process_end')[0]
        self.assertGreater(end['max_rss'], 290_000)
        self.assertLess(end['max_rss'], 600_000)
        self.assertEqual(end['flags'], 0)
        self.assertGreater(end['cpu'], 10_000_000)
        self.assertGreaterEqual(end['wchar'], 1000)
        self.assertEqual(frames[-1]['cpu'], end['cpu'])
        self.assertEqual(frames[-1]['wchar'], end['wchar'])


class Isolation(Watched):
    def test_other_processes_and_other_observers_are_not_seen(self):
        first = Observer(BUILD)
        second = Observer(BUILD)
        held = [Held(BUILD, ['/bin/sh', '-c', f'echo > {self.directory}/{name}']) for name in 'ab']
        for observer, each in zip((first, second), held):
            observer.expect('loaded')
            observer.follow(each.process.pid)
            observer.expect('attached')
        for each in held:
            self.assertEqual(each.release(), 0)
        seen = [paths(observer.read_all(), how=3) for observer in (first, second)]
        for each in held:
            each.process.wait()
        self.assertEqual(seen, [[self.inside + b'/a'], [self.inside + b'/b']])

    def test_command_gets_nothing_from_hold_or_observer(self):
        program = ("import os\nprint(sorted(os.listdir('/proc/self/fd')), sorted(os.environb.items()), os.getpgrp() == os.getppid(),"
                   "[l for l in open('/proc/self/status') if l[:3] in ('Sig', 'Shd', 'Cap', 'NoN', 'Sec')])")
        bare = subprocess.run([sys.executable, '-ISc', program], stdout=subprocess.PIPE, env={'A.B': 'c', 'D': ''})
        held = Held(BUILD, [sys.executable, '-ISc', program], stdout=subprocess.PIPE, env={'A.B': 'c', 'D': ''})
        self.assertEqual(held.release(), 0)
        self.assertEqual(held.process.communicate()[0], bare.stdout)

    def test_ring_buffer_too_small_loses_events_and_counts_them(self):
        frames = self.watch(WORKLOAD, 'storm', '3000', flags=['--ring-bytes', '4096'], lossless=False)
        end = frames[-1]
        self.assertEqual(end['processes'], 3001)
        lost = counts(frames, 2)
        self.assertEqual(len(of_type(frames, 'process')) + lost.get(67, 0), 3001)

    def test_full_tables_are_counted(self):
        frames = self.python("import socket\nfor i in range(20): open(f'f{i}', 'w').close()",
                             flags=['--file-records', '4', '--peer-records', '1'])
        created = of_type(frames, 'file', how=3)
        self.assertEqual(len(created), 20)
        self.assertEqual(created[-1]['file'], 0)
        self.assertGreaterEqual(counts(frames, 3)[5], 16)


class Life(Watched):
    def attached(self, *argv):
        observer, held = Observer(BUILD), Held(BUILD, argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        observer.expect('loaded')
        observer.follow(held.process.pid)
        observer.expect('attached')
        self.assertEqual(held.release(), 0)
        self.addCleanup(held.process.stdout.close)
        self.addCleanup(held.process.stdin.close)
        return observer, held

    def test_stop_ends_observation_and_leaves_the_command_alone(self):
        observer, held = self.attached('/bin/cat')
        observer.process.stdin.close()
        frames = observer.read_all()
        self.assertEqual((frames[-1]['why'], frames[-1]['alive'], observer.exit_code), (2, 1, 0))
        self.assertEqual(held.process.communicate(b'still here')[0], b'still here')
        self.assertEqual(held.process.returncode, 0)

    def test_killed_observer_leaves_the_command_alone(self):
        observer, held = self.attached('/bin/cat')
        observer.process.kill()
        observer.process.wait()
        self.assertEqual(held.process.communicate(b'still here')[0], b'still here')
        self.assertEqual(held.process.returncode, 0)
        observer.process.stdout.close()
        observer.process.stdin.close()

    def test_observer_ends_when_its_reader_goes(self):
        observer, held = self.attached('/bin/cat')
        observer.process.stdout.close()
        self.assertEqual(observer.process.wait(10), 1)
        observer.process.stdin.close()
        held.process.communicate()

    def test_sigterm_stops_it(self):
        observer, held = self.attached('/bin/cat')
        observer.process.terminate()
        self.assertEqual(observer.read_all()[-1]['why'], 2)
        held.process.communicate()

    def test_stop_before_follow(self):
        observer = Observer(BUILD)
        observer.process.stdin.close()
        self.assertEqual([each['type'] for each in observer.read_all()], ['loaded', 'end'])

    def refusal(self, pid):
        observer = Observer(BUILD)
        observer.expect('loaded')
        observer.follow(pid)
        frames = observer.read_all()
        self.assertEqual((len(frames), frames[0]['type'], observer.exit_code), (1, 'failed', 3))
        return frames[0]['reason']

    def test_only_children_of_the_parent_are_followed(self):
        self.assertEqual(self.refusal(os.getpid()), 'not_allowed')
        self.assertEqual(self.refusal(2**22 + 1), 'no_such_process')

    def test_without_privilege(self):
        with place_for_all('observer') as place:
            observer = Observer(place, user=12345, group=12345, extra_groups=[])
            frames = observer.read_all()
        self.assertEqual(([each['type'] for each in frames], frames[0]['reason'], observer.exit_code),
                         (['failed'], 'no_privilege', 3))

    def test_capabilities_instead_of_root_see_no_set_user_id_program(self):
        with place_for_all('observer', 'hold') as place:
            subprocess.run(['cp', '/bin/true', f'{place}/privileged'], check=True)
            os.chmod(f'{place}/privileged', 0o4755)
            with open(f'{place}/wrapped', 'wb') as file:
                file.write(b'#!/bin/sh\nexec /usr/bin/setpriv --reuid 12345 --clear-groups --inh-caps=+cap_38,+cap_39 '
                           b'--ambient-caps=+cap_38,+cap_39 "${0%/*}/observer"\n')
            os.chmod(f'{place}/wrapped', 0o755)
            observer = Observer(place, program='wrapped')
            held = Held(place, ['/bin/sh', '-c', f'/bin/true; {place}/privileged secret; /bin/true'],
                        user=12345, group=12345, extra_groups=[])
            observer.expect('loaded')
            observer.follow(held.process.pid)
            observer.expect('attached')
            self.assertEqual(held.release(), 0)
            frames = observer.read_all()
            self.assertEqual(held.process.wait(), 0)
        self.assertEqual([each['file'][0] for each in of_type(frames, 'exec')],
                         [os.path.realpath(name).encode() for name in ('/bin/sh', '/bin/true', '/bin/true')])
        self.assertNotIn(b'secret', b''.join(each['data'] for each in of_type(frames, 'argv')[1:]))
        self.assertEqual(counts(frames, 3), {8: 1})
        self.assertEqual((frames[-1]['why'], frames[-1]['alive']), (1, 0))

    def test_privileges_are_dropped_after_loading(self):
        observer = Observer(BUILD)
        observer.expect('loaded')
        with open(f'/proc/{observer.process.pid}/status') as file:
            status = dict(line.split(':\t', 1) for line in file.read().splitlines() if ':\t' in line)
        self.assertEqual(status['Uid'].split(), ['65534'] * 4)
        self.assertEqual(int(status['CapEff'], 16), 1 << 38 | 1 << 39)
        self.assertEqual(int(status['CapBnd'], 16), 0)
        self.assertEqual(status['NoNewPrivs'], '1')
        observer.process.stdin.close()
        observer.read_all()

    def test_wrong_flags_are_refused(self):
        for flags in (['--ring-bytes', '5000'], ['--ring-bytes'], ['--argv-bytes', '-1'], ['--what', '1'],
                      ['--file-records', '0'], ['--file-records', '1x']):
            done = subprocess.run([f'{BUILD}/observer', *flags], capture_output=True, stdin=subprocess.DEVNULL)
            self.assertEqual((done.returncode, done.stdout), (2, b''), flags)

    def test_refused_control_frame_ends_it(self):
        observer = Observer(BUILD)
        observer.expect('loaded')
        observer.process.stdin.write(b'\xff' * 20)
        observer.process.stdin.flush()
        observer.read_all()
        self.assertEqual(observer.exit_code, 1)

    def test_nothing_stays_loaded(self):
        for end in ('close', 'kill'):
            observer = Observer(BUILD)
            observer.expect('loaded')
            ids = loaded_by(observer)
            self.assertTrue(all(ids.values()), ids)
            observer.process.kill() if end == 'kill' else observer.process.stdin.close()
            observer.process.wait()
            observer.process.stdout.close()
            for kind, numbers in ids.items():
                for number in numbers:
                    self.wait_until_gone(kind, number)

    def test_nothing_stays_loaded_that_others_look_at(self):
        """Who lists maps holds each for a moment, which an array of programs does not survive: it stays for good."""
        observer = Observer(BUILD)
        observer.expect('loaded')
        left = {int(number) for number in loaded_by(observer)['map']}
        self.assertTrue(left)
        observer.process.kill()
        give_up_at = time.monotonic() + 30
        while left and time.monotonic() < give_up_at:
            left = {number for number in left if map_is_there(number)}
        observer.process.wait()
        observer.process.stdout.close()
        observer.process.stdin.close()
        self.assertEqual(left, set())

    def wait_until_gone(self, kind, number):
        """The kernel frees what nobody holds after a grace period."""
        for _ in range(200):
            shown = subprocess.run(['/usr/sbin/bpftool', kind, 'show', 'id', number], capture_output=True)
            if shown.returncode != 0:
                return
            time.sleep(0.05)
        self.fail(f'{kind} {number} is still loaded')


class Ways(Watched):
    """What loads the programs changes nothing about what they see."""

    def see(self, way, *uses):
        program = "open('made', 'w').close()\ntry: open('missing')\nexcept OSError: pass"
        frames = self.python(program, flags=['--first-way', way])
        self.assertIn(self.inside + b'/made', paths(frames, how=3))
        self.assertEqual(of_type(frames, 'open_failed')[-1]['errno'], 2)
        self.assertEqual(of_type(frames, 'process_end')[0]['exit_code'], 0)
        observer = Observer(BUILD, '--first-way', way)
        loaded = observer.expect('loaded')
        observer.process.stdin.close()
        observer.read_all()
        self.assertEqual([each for each in loaded['uses'] if '/' not in each], list(uses))

    def test_the_kernel_fits_them_to_itself(self):
        if KERNEL < (5, 17):
            self.skipTest('needs Linux 5.17')
        self.see('0', 'task_storage', 'ring_buffer', 'loader_program')

    def test_libbpf_fits_them(self):
        if KERNEL < (5, 17):
            self.skipTest('needs Linux 5.17')
        self.see('1', 'task_storage', 'ring_buffer')

    def test_older_kernels_have_a_variant_of_their_own(self):
        if os.readlink('/proc/self/ns/pid') != 'pid:[4026531836]':
            self.skipTest('needs the first pid namespace')
        self.see('2', 'pid_hash', 'ring_buffer')


class Hold(Watched):
    def test_errno_of_exec_comes_back(self):
        held = Held(BUILD, ['/nonexistent'])
        self.assertEqual(held.release(), 2)
        self.assertEqual(held.process.wait(), 127)

    def test_given_up_before_the_release(self):
        held = Held(BUILD, ['/bin/true'])
        held.socket.close()
        self.assertEqual(held.process.wait(), 125)

    def test_command_that_never_runs_ends_the_tree(self):
        observer, held = Observer(BUILD), Held(BUILD, ['/nonexistent'])
        observer.expect('loaded')
        observer.follow(held.process.pid)
        observer.expect('attached')
        self.assertEqual(held.release(), 2)
        held.process.wait()
        frames = observer.read_all()
        self.assertEqual((frames[-1]['why'], observer.exit_code), (1, 0))
        self.assertEqual(of_type(frames, 'exec'), [])


def why_not_here():
    """None where the observer works; else the reason that it gives itself."""
    observer = Observer(BUILD)
    first = observer.read()
    observer.process.stdin.close()
    observer.read_all()
    reasons = ('no_privilege', 'no_btf', 'lockdown', 'unsupported_kernel')
    return first['reason'] if first['type'] == 'failed' and first['reason'] in reasons else None


if __name__ == '__main__':
    if reason := why_not_here():
        print(f'skipped: this machine does not let anybody observe ({reason})')
        sys.exit(0)
    unittest.main()
