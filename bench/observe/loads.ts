import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { type Argv, run } from './processes.js';

/** A command whose time is measured, bare and watched. */
export interface Load {
  readonly heading: string;
  /** Run by /bin/sh before each measurement, in the directory of the benchmark. */
  readonly prepare: string;
  readonly argv: Argv;
  /** strace takes minutes for some: then so many rounds say enough. */
  readonly straceRounds: number;
  /** How much longer it may take while it is observed. */
  readonly goal: number;
}

export const LOADS = ['make', 'python', 'storm'] as const;

const C_FILES = 20;
const FUNCTIONS = 100;

/** 200,000 pairs of open and close, 2,000,000 of getppid: nearly nothing but system calls. */
const STORM = `
#include <fcntl.h>
#include <unistd.h>
#include <sys/syscall.h>
int main(void) {
  for (int i = 0; i < 200000; i++) { int fd = open("/etc/passwd", O_RDONLY); close(fd); }
  for (int i = 0; i < 2000000; i++) syscall(SYS_getppid);
}
`;

/** Makes what it needs in the directory. */
export function makeLoad(name: (typeof LOADS)[number], directory: string): Load {
  switch (name) {
    case 'make':
      return {
        heading: 'make -j2 of a C project',
        prepare: 'rm -f project/*.o',
        argv: ['make', '-s', '-j2', '-C', makeProject(directory)],
        straceRounds: Infinity,
        goal: 1.03,
      };
    case 'python':
      return {
        heading: '50 starts of Python',
        prepare: 'true',
        argv: ['/bin/sh', '-c', 'for n in $(seq 50); do /usr/bin/python3 -c pass; done'],
        straceRounds: Infinity,
        goal: 1.05,
      };
    case 'storm':
      return {
        heading: 'a storm of system calls',
        prepare: 'true',
        argv: [makeStorm(directory)],
        straceRounds: 1,
        goal: 1.9,
      };
  }
}

/** The program; compiled when it is not there yet. */
export function makeStorm(directory: string): string {
  const storm = path.join(directory, 'storm');
  writeFileSync(`${storm}.c`, STORM);
  run(['cc', '-O2', '-o', storm, `${storm}.c`], directory);
  return storm;
}

function makeProject(directory: string): string {
  const project = path.join(directory, 'project');
  mkdirSync(project);
  const names = Array.from({ length: C_FILES }, (_, index) => `f${index}`);
  for (const name of names) writeFileSync(path.join(project, `${name}.c`), sourceOf(name));
  const objects = names.map((name) => `${name}.o`).join(' ');
  const rules = `all.a: ${objects}\n\tar rcs $@ $^\n%.o: %.c\n\tcc -O2 -c -o $@ $<\n`;
  writeFileSync(path.join(project, 'Makefile'), rules);
  return project;
}

function sourceOf(name: string): string {
  const functions = Array.from(
    { length: FUNCTIONS },
    (_, n) =>
      `int ${name}_${n}(int x) { char b[64]; snprintf(b, sizeof b, "%d", x); return atoi(b) + (int)strlen(b) * ${n}; }`,
  );
  return ['#include <stdio.h>', '#include <stdlib.h>', '#include <string.h>', ...functions, ''].join('\n');
}
