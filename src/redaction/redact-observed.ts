import {
  type FileSystemRecord,
  type NetworkRecord,
  type ObservedImage,
  type ObservedProcess,
} from '../receipts/observed.js';
import { type Text } from '../receipts/text.js';

/** What the fields of an observation have room for; receipts/observed-schema.ts. */
const LONGEST_PATH = 65_536;
const LONGEST_NAME = 1_024;

/** How texts lose their secrets; texts of an observation were chosen by the program that was observed. */
export interface TextRedaction {
  text(text: Text, maxLength: number): Text;
  arguments(argv: readonly Text[]): readonly Text[];
}

export function redactProcesses(
  processes: readonly ObservedProcess[],
  redaction: TextRedaction,
): readonly ObservedProcess[] {
  return processes.map((process) => ({
    ...process,
    images: process.images.map((image) => redactImage(image, redaction)),
  }));
}

function redactImage(image: ObservedImage, redaction: TextRedaction): ObservedImage {
  return {
    ...image,
    executable: pathOrNull(image.executable, redaction),
    script: pathOrNull(image.script, redaction),
    argv: redaction.arguments(image.argv),
    cwd: pathOrNull(image.cwd, redaction),
  };
}

export function redactFileSystem(
  record: FileSystemRecord | null,
  redaction: TextRedaction,
): FileSystemRecord | null {
  if (record === null) return null;
  const withPath = <T extends { readonly path: Text }>(deed: T): T => ({
    ...deed,
    path: redaction.text(deed.path, LONGEST_PATH),
  });
  return {
    ...record,
    reads: record.reads.map(withPath),
    writes: record.writes.map(withPath),
    deletes: record.deletes.map(withPath),
    failures: record.failures.map(withPath),
    changes: record.changes.map((change) => ({
      ...withPath(change),
      target: pathOrNull(change.target, redaction),
    })),
    renames: record.renames.map((rename) => ({
      ...rename,
      from: redaction.text(rename.from, LONGEST_PATH),
      to: redaction.text(rename.to, LONGEST_PATH),
    })),
  };
}

export function redactNetwork(record: NetworkRecord | null, redaction: TextRedaction): NetworkRecord | null {
  if (record === null) return null;
  const withAddress = <T extends { readonly address: Text | null }>(end: T): T => ({
    ...end,
    address: pathOrNull(end.address, redaction),
  });
  return {
    ...record,
    attempts: record.attempts.map(withAddress),
    peers: record.peers.map(withAddress),
    names: record.names.map((name) => ({ ...name, name: redaction.text(name.name, LONGEST_NAME) })),
  };
}

function pathOrNull(path: Text | null, redaction: TextRedaction): Text | null {
  return path === null ? null : redaction.text(path, LONGEST_PATH);
}
