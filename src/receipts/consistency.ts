import { findObservedContradiction } from './observed-consistency.js';
import { type Predicate, type Statement } from './receipt.js';
import { redactedFieldsOf } from './redaction-marks.js';
import { subjectsOf } from './subjects.js';

type Rule = (predicate: Predicate) => string | null;

/**
 * What a receipt of valid shape may still not say because it contradicts itself. Returns the first contradiction, or
 * null. Only what can never be true of an honest execution is listed here.
 */
export function findInconsistency(statement: Statement): string | null {
  for (const rule of RULES) {
    const problem = rule(statement.predicate);
    if (problem !== null) return problem;
  }
  return subjectsMatch(statement) ? null : 'the subjects are not those of the artifacts';
}

const RULES: readonly Rule[] = [
  ({ timestamp, finished_at }) => when(finished_at < timestamp, 'it finished before it started'),
  outcomeRule,
  requestRule,
  ({ outcome, provenance }) =>
    when(
      outcome.status === 'ok' && provenance === 'none',
      'the status is ok although nobody saw the execution',
    ),
  ({ resources, provenance }) =>
    when(
      resources !== null && !provenance.split('+').includes(resources.source),
      'resources were measured by a side that saw nothing',
    ),
  streamsRule,
  filesRule,
  findObservedContradiction,
  redactionRule,
];

function outcomeRule({ outcome }: Predicate): string | null {
  const { status, exit_code, signal, error } = outcome;
  const exitedWithZero = exit_code === 0 && signal === null;
  if (exit_code !== null && signal !== null) return 'there are both an exit code and a signal';
  if (status === 'ok' && !(exitedWithZero && error === null)) return 'the status is ok without exit code 0';
  if (status === 'error' && exitedWithZero) return 'the status is error with exit code 0';
  if (status === 'error' && exit_code === null && signal === null && error === null) {
    return 'the status is error without an exit code, a signal or an error';
  }
  return when(status === 'infra_error' && error === null, 'the status is infra_error without an error');
}

function requestRule({ request }: Predicate): string | null {
  const { kind, code_sha256, argv } = request;
  if (kind === 'command' && argv.length === 0) return 'the command has no argv';
  return when((kind === 'python') !== (code_sha256 !== null), 'code_sha256 does not fit the kind of request');
}

function streamsRule({ artifacts }: Predicate): string | null {
  const { stdout_sha256, stdout_bytes, stderr_sha256, stderr_bytes, streams_combined } = artifacts;
  if ((stdout_sha256 === null) !== (stdout_bytes === null)) return 'stdout has a hash or a length alone';
  if ((stderr_sha256 === null) !== (stderr_bytes === null)) return 'stderr has a hash or a length alone';
  return when(
    streams_combined && (stdout_sha256 !== stderr_sha256 || stdout_bytes !== stderr_bytes),
    'combined streams have different hashes',
  );
}

function filesRule({ artifacts }: Predicate): string | null {
  if (artifacts.files.some((file) => (file.sha256 === null) !== (file.omitted !== null))) {
    return 'a file has neither a hash nor a reason for leaving it out, or both';
  }
  const paths = new Set(artifacts.files.map(({ path }) => JSON.stringify(path)));
  return when(paths.size !== artifacts.files.length, 'a file is listed twice');
}

function redactionRule(predicate: Predicate): string | null {
  const expected = redactedFieldsOf(predicate);
  const listed = predicate.redaction?.fields ?? [];
  return when(
    listed.length !== expected.length || expected.some((field, index) => listed[index] !== field),
    'the redacted fields are not those that have marks',
  );
}

function subjectsMatch({ subject, predicate }: Statement): boolean {
  const expected = subjectsOf(predicate);
  return (
    subject.length === expected.length &&
    expected.every(
      ({ name, digest }, index) =>
        subject[index]?.name === name && subject[index].digest.sha256 === digest.sha256,
    )
  );
}

function when(contradiction: boolean, problem: string): string | null {
  return contradiction ? problem : null;
}
