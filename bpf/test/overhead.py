"""
What being watched costs: the same commands bare and observed, in turns, so that whatever else the machine does hits both.
Beside the time that passes it prints processor time, which other work on the machine disturbs less.
Usage: overhead.py BUILD [ROUNDS], as root
"""
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from observer_link import Held, Observer

BUILD = os.path.abspath(sys.argv[1])
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 5
SOURCE = '#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n' + '\n'.join(
    f'int f{i}(int x) {{ char b[64]; snprintf(b, 64, "%d", x); return atoi(b) + (int)strlen(b) * {i}; }}'
    for i in range(150))


def make_project(directory):
    for i in range(24):
        with open(f'{directory}/part{i}.c', 'w') as file:
            file.write(SOURCE.replace('int f', f'int p{i}_f'))
    objects = ' '.join(f'part{i}.o' for i in range(24))
    with open(f'{directory}/Makefile', 'w') as file:
        file.write(f'all.a: {objects}\n\tar rcs $@ $^\n%.o: %.c\n\tcc -O1 -c -o $@ $<\n')


def finish(process, before):
    """Seconds that passed since, and seconds of processor time of the process and what it waited for."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return time.perf_counter() - before, usage.ru_utime + usage.ru_stime


def bare(argv, **options):
    before = time.perf_counter()
    return finish(subprocess.Popen(argv, stdout=subprocess.DEVNULL, **options), before)


def observed(argv, **options):
    """From the release to the end of the command: loading comes before it and is measured on its own."""
    observer = Observer(BUILD)
    held = Held(BUILD, argv, stdout=subprocess.DEVNULL, **options)
    observer.expect('loaded')
    observer.follow(held.process.pid)
    observer.expect('attached')

    def drain():
        while observer.process.stdout.read1(1 << 20):
            pass
    reader = threading.Thread(target=drain)
    reader.start()
    before = time.perf_counter()
    held.socket.send(b'x')
    times = finish(held.process, before)
    held.socket.close()
    reader.join()
    observer.process.stdin.close()
    assert observer.process.wait() == 0
    return times


def compare(name, argv, prepare=lambda: None, **options):
    times = {'bare': [], 'observed': []}
    for _ in range(ROUNDS):
        prepare()
        times['bare'].append(bare(argv, **options))
        prepare()
        times['observed'].append(observed(argv, **options))
    text = name.ljust(28)
    for which, label in enumerate(('time', 'processor')):
        alone = [each[which] for each in times['bare']]
        watched = [each[which] for each in times['observed']]
        ratios = [one / other for one, other in zip(watched, alone)]
        text += (f'  {label} {statistics.median(alone):6.2f} s, {statistics.median(watched):6.2f} s, median of the ratios '
                 f'{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})')
    print(text, flush=True)


def unrelated():
    """The cost to a process that nobody follows, while somebody else is followed."""
    argv = [f'{BUILD}/workload', 'calls', '2000000', '0']
    ratios = []
    for _ in range(ROUNDS):
        _, alone = bare(argv)
        observer, held = Observer(BUILD), Held(BUILD, ['/bin/true'])
        observer.expect('loaded')
        _, beside = bare(argv)
        held.socket.close()
        held.process.wait()
        observer.process.stdin.close()
        observer.read_all()
        ratios.append((beside - alone) / 2_000_000 * 1e9)
    print(f'{"an unrelated getppid":28} {statistics.median(ratios):.0f} ns more')


def starts():
    loads, ends = [], []
    for _ in range(ROUNDS * 3):
        before = time.perf_counter()
        observer, held = Observer(BUILD), Held(BUILD, ['/bin/true'])
        observer.expect('loaded')
        observer.follow(held.process.pid)
        observer.expect('attached')
        loads.append(time.perf_counter() - before)
        held.release()
        held.process.wait()
        before = time.perf_counter()
        observer.read_all()
        ends.append(time.perf_counter() - before)
    print(f'{"start to attached":28} {statistics.median(loads) * 1e3:.1f} ms ({min(loads) * 1e3:.1f} at best)')
    print(f'{"end of the command to all gone":28} {statistics.median(ends) * 1e3:.1f} ms ({min(ends) * 1e3:.1f} at best)')


def main():
    starts()
    unrelated()
    compare('2,000,000 getppid', [f'{BUILD}/workload', 'calls', '2000000', '0'])
    compare('200,000 open and close', [f'{BUILD}/workload', 'calls', '0', '200000'])
    compare('both', [f'{BUILD}/workload', 'calls', '2000000', '200000'])
    compare('20 starts of python3', ['/bin/sh', '-c', 'i=0; while [ $i -lt 20 ]; do /usr/bin/python3 -c pass; i=$((i+1)); done'])
    with tempfile.TemporaryDirectory() as directory:
        make_project(directory)
        clean = lambda: subprocess.run('rm -f *.o *.a', shell=True, cwd=directory, check=True)
        compare('make -j2 of 24 files', ['/usr/bin/make', '-s', '-j2'], clean, cwd=directory)


if __name__ == '__main__':
    main()
