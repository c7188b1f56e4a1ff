"""Runs a command under the observer and reads what it says (docs/observer-link.md)."""
import os
import socket
import struct
import subprocess

HEADER = struct.Struct('<IHHI')
NAMES = {64: 'loaded', 65: 'attached', 66: 'failed', 67: 'process', 68: 'exec', 69: 'argv', 70: 'process_end',
         71: 'file', 72: 'file_totals', 73: 'open_failed', 74: 'change', 75: 'socket', 76: 'peer_totals', 77: 'dns',
         78: 'notable', 79: 'heartbeat', 80: 'syscalls', 81: 'end',
         82: 'doers', 83: 'file_sum', 84: 'open_failed_sum'}
USAGE = ('cpu', 'user', 'system', 'max_rss', 'rchar', 'wchar', 'read_bytes', 'write_bytes')


class Payload:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, layout):
        values = struct.unpack_from('<' + layout, self.data, self.at)
        self.at += struct.calcsize('<' + layout)
        return values if len(values) > 1 else values[0]

    def bytes(self, length):
        assert self.at + length <= len(self.data), 'a length beyond the frame'
        self.at += length
        return self.data[self.at - length:self.at]

    def text(self):
        length, flags = self.take('HH')
        return self.bytes(length), flags

    def operand(self):
        return self.text(), self.text()

    def address(self):
        return self.bytes(self.take('H'))

    def rest(self):
        return self.bytes(len(self.data) - self.at)


def decode(kind, data):
    frame = {'type': NAMES[kind]}
    load = Payload(data)

    def put(layout, *names):
        values = load.take(layout)
        frame.update(zip(names, values if len(names) > 1 else (values,)))
    if 67 <= kind <= 78:
        put('QQII', 'time', 'birth', 'pid', 'tid')
    if kind == 64:
        put('IIQQQIIII', 'version', 'machine', 'monotonic', 'realtime', 'boottime', 'ring', 'files', 'peers', 'argv')
        frame['uses'] = load.rest().decode().split('\0')[:-1]
    elif kind == 65:
        put('IIQ', 'pid', 'zero', 'monotonic')
    elif kind == 66:
        put('II', 'stage', 'errno')
        frame.update(reason=load.text()[0].decode(), detail=load.text()[0])
    elif kind == 67:
        put('QIII', 'parent_birth', 'parent_pid', 'namespace_pid', 'flags')
    elif kind == 68:
        put('IIII', 'flags', 'uid', 'euid', 'argv_bytes')
        frame.update(file=load.text(), cwd=load.text(), name=load.text(), interpreter=load.text())
    elif kind == 69:
        frame['data'] = load.rest()
    elif kind == 70:
        put('IIII', 'exit_code', 'signal', 'flags', 'threads')
        put('8Q', *USAGE)
    elif kind == 71:
        put('QQIIII', 'file', 'inode', 'device', 'mode', 'flags', 'how')
        frame['path'] = load.text()
    elif kind == 72:
        put('QQQQQQI', 'file', 'opens', 'reads', 'writes', 'bytes_read', 'bytes_written', 'flags')
    elif kind == 73:
        put('II', 'errno', 'flags')
        frame['operand'] = load.operand()
    elif kind == 74:
        put('IIQ', 'operation', 'errno', 'detail')
        frame.update(target=load.operand(), second=load.operand())
    elif kind == 75:
        put('QIIHHI', 'socket', 'operation', 'errno', 'family', 'socket_type', 'protocol')
        frame.update(given=load.address(), local=load.address(), peer=load.address())
    elif kind == 76:
        put('QQQQQHH', 'socket', 'sends', 'receives', 'bytes_sent', 'bytes_received', 'family', 'socket_type')
        frame['peer'] = load.address()
    elif kind == 77:
        put('Q', 'socket')
        frame.update(server=load.address(), message=load.rest())
    elif kind == 78:
        put('HHIq6Q', 'abi', 'number', 'errno', 'result', *(f'argument{i}' for i in range(6)))
    elif kind == 79:
        put('QQI', 'monotonic', 'lost', 'alive')
    elif kind == 80:
        assert len(data) % 40 == 0 and data
        frame['entries'] = [struct.unpack_from('<HHIQQQQ', data, at) for at in range(0, len(data), 40)]
        load.rest()
    elif kind == 81:
        put('IIQQQ', 'why', 'alive', 'monotonic', 'processes', 'threads')
        put('8Q', *USAGE)
        rest = load.rest()
        assert len(rest) % 12 == 0
        frame['counts'] = [struct.unpack_from('<HHQ', rest, at) for at in range(0, len(rest), 12)]
    elif kind == 82:
        put('II', 'events', 'zero')
        rest = load.rest()
        assert len(rest) % 24 == 0
        frame['heads'] = [struct.unpack_from('<QQII', rest, at) for at in range(0, len(rest), 24)]
    elif kind in (83, 84):
        if kind == 83:
            put('IQQ', 'flags', 'bytes_read', 'bytes_written')
        else:
            put('I', 'errno')
        frame['path'] = load.text()
        rest = load.rest()
        assert len(rest) % 8 == 0 and rest
        frame['shares'] = [struct.unpack_from('<II', rest, at) for at in range(0, len(rest), 8)]
    assert load.at == len(data), f'{frame["type"]} has more bytes than it should'
    return frame


def read_exactly(stream, length):
    data = stream.read(length)
    assert len(data) in (0, length), 'the stream ends inside a frame'
    return data


class Observer:
    def __init__(self, build, *flags, program='observer', **options):
        self.process = subprocess.Popen([f'{build}/{program}', *flags], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, start_new_session=True, **options)
        self.sequence = 0

    def read(self):
        """The next frame; None at the end."""
        header = read_exactly(self.process.stdout, HEADER.size)
        if not header:
            return None
        length, kind, reserved, sequence = HEADER.unpack(header)
        assert length <= 65536 and reserved == 0 and sequence == self.sequence, (length, reserved, sequence)
        self.sequence += 1
        return decode(kind, read_exactly(self.process.stdout, length))

    def expect(self, kind):
        frame = self.read()
        assert frame is not None and frame['type'] == kind, frame
        return frame

    def follow(self, pid):
        self.process.stdin.write(HEADER.pack(4, 1, 0, 0) + struct.pack('<I', pid))
        self.process.stdin.flush()

    def read_all(self):
        frames = []
        while (frame := self.read()) is not None:
            frames.append(frame)
        self.process.stdin.close()
        self.process.stdout.close()
        self.exit_code = self.process.wait()
        return frames


class Held:
    """A command that waits before its exec."""

    def __init__(self, build, argv, **options):
        self.socket, theirs = socket.socketpair()
        number = theirs.fileno()
        self.process = subprocess.Popen([f'{build}/hold', str(number), argv[0], *argv], pass_fds=[number], **options)
        theirs.close()

    def release(self):
        """0, or the errno of execve."""
        self.socket.send(b'x')
        answer = self.socket.recv(4)
        self.socket.close()
        return struct.unpack('<I', answer)[0] if answer else 0


def observe(build, argv, flags=(), **options):
    """Runs argv to its end; returns its exit code and all frames behind `attached`."""
    observer = Observer(build, *flags)
    held = Held(build, argv, **options)
    observer.expect('loaded')
    observer.follow(held.process.pid)
    observer.expect('attached')
    assert held.release() == 0, 'the command could not be executed'
    frames = observer.read_all()
    code = held.process.wait()
    assert observer.exit_code == 0, observer.exit_code
    assert frames[-1]['type'] == 'end'
    return code, frames
