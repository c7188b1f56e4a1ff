import { type Artifacts, type Predicate, type Subject } from './receipt.js';
import { type Text } from './text.js';

/**
 * What a receipt speaks of, by sha256: stdout, stderr, then each output file whose bytes were hashed, in the order of
 * `artifacts.files`. The order and the names follow from the predicate alone, so that a verifier can demand them.
 */
export function subjectsOf(predicate: Predicate): Subject[] {
  const { stdout_sha256, stderr_sha256, files } = predicate.artifacts;
  return [
    ...subject('stdout', stdout_sha256),
    ...subject('stderr', stderr_sha256),
    ...files.flatMap((file: Artifacts['files'][number]) => subject(fileSubjectName(file.path), file.sha256)),
  ];
}

/** The subject name of an output file: `workspace/<path>`, or `workspace/base64:<...>` for bytes that are not UTF-8. */
export function fileSubjectName(path: Text): string {
  return `workspace/${typeof path === 'string' ? path : `base64:${path.base64}`}`;
}

function subject(name: string, sha256: string | null): Subject[] {
  return sha256 === null ? [] : [{ name, digest: { sha256 } }];
}
