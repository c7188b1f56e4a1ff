/** Processes that interpreters of ours may need. */
export const REHEARSAL_PIDS = 64;

/**
 * Runs before the snapshot is taken: what it reads stays in the guest's memory, so that no clone waits for the disk
 * when it imports one of these.
 */
export const SNAPSHOT_REHEARSAL = `
import base64, bisect, collections, contextlib, copy, csv, dataclasses, datetime, decimal, enum, fractions
import functools, hashlib, heapq, io, itertools, json, math, operator, os, pathlib, random, re, statistics
import string, subprocess, sys, tempfile, textwrap, threading, time, traceback, typing, uuid
print(json.dumps({"sum": 2 + 2}))
try:
    raise ValueError("rehearsal")
except ValueError:
    traceback.print_exc()
`;

/** Runs in a clone that waits in a pool: an emulator has translated by then what every program needs. */
export const CLONE_REHEARSAL = 'print(2+2)\n';
