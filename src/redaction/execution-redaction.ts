import { type Observation } from '../receipts/observed.js';
import { type Execution, type Predicate, type RecordedVariable, type Request } from '../receipts/receipt.js';
import { redactedFieldsOf } from '../receipts/redaction-marks.js';
import { type Text, textFromString, textToBytes } from '../receipts/text.js';
import { KnownSecrets } from './known-secrets.js';
import { redactEvent } from './redact-event.js';
import { redactFileSystem, redactNetwork, redactProcesses, type TextRedaction } from './redact-observed.js';
import { type Redactor } from './redactor.js';
import { mergeSpans } from './span.js';

/** What the fields of a receipt have room for; docs/receipt-format.md, and receipts/statement-schema.ts. */
export const FIELD_LENGTHS = { argument: 131_072, path: 4_095, message: 65_536, note: 4_096 } as const;

/** What one execution brings along that may hold secrets. */
export interface ExecutionSecrets {
  readonly environment: Readonly<Record<string, string>>;
  readonly argv: readonly string[];
}

/**
 * The redaction of one execution. A secret that is recognised by where it stands (the value of `API_TOKEN`, what
 * follows `--password`) is then replaced wherever else it stands: in paths, in messages, in the arguments of children.
 * Only what the caller brings along is learned from: a program that is observed could otherwise have its deeds hidden.
 */
export class ExecutionRedaction {
  readonly #redactor: Redactor;
  readonly #known = new KnownSecrets();
  readonly #texts: TextRedaction = {
    text: (text, maxLength) => this.#redactor.text(text, maxLength, this.#known),
    arguments: (argv) => this.arguments(argv),
  };

  constructor(redactor: Redactor, { environment, argv }: ExecutionSecrets) {
    this.#redactor = redactor;
    for (const [name, value] of Object.entries(environment)) this.#learnVariable(name, value);
    this.#learnArguments(argv);
  }

  /** A message of ours, which may quote a command or a path. */
  message(text: string): string {
    return this.#redactor.string(text, FIELD_LENGTHS.message, this.#known);
  }

  path(text: Text): Text {
    return this.#redactor.text(text, FIELD_LENGTHS.path, this.#known);
  }

  /** What is observed, as it is passed on while the program runs. */
  event<T extends Readonly<Record<string, unknown>>>(event: T): T {
    return redactEvent(event, this.#texts);
  }

  /** The values of variables that the configuration asks to record. */
  recordedEnvironment(environment: Readonly<Record<string, string>>): RecordedVariable[] {
    const { rules } = this.#redactor;
    return Object.entries(environment)
      .filter(([name]) => rules.records(name))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, value]) => ({
        name: this.#argument(textFromString(name)),
        value:
          rules.names.has(name) && value !== ''
            ? this.#redactor.mark(Buffer.from(value))
            : this.#argument(textFromString(value)),
      }));
  }

  request(request: Request): Request {
    return {
      ...request,
      argv: this.arguments(request.argv),
      env_names: request.env_names.map((name) => this.#argument(name)),
      input_files: request.input_files.map((file) => ({ ...file, path: this.path(file.path) })),
    };
  }

  execution(execution: Execution): Execution {
    const note = (text: string): string => this.#redactor.note(text, FIELD_LENGTHS.note, this.#known);
    return { ...execution, notes: execution.notes.map(note) };
  }

  /**
   * A whole predicate without secrets, and with the list of what was replaced. `request`, `execution`, the message of
   * the error and the paths of output files have gone through the methods above.
   */
  predicate(predicate: Predicate): Predicate {
    const { process_tree, filesystem, network, observation } = predicate;
    const redacted: Predicate = {
      ...predicate,
      process_tree: redactProcesses(process_tree, this.#texts),
      filesystem: redactFileSystem(filesystem, this.#texts),
      network: redactNetwork(network, this.#texts),
      observation: this.#observation(observation),
    };
    return {
      ...redacted,
      redaction: { key_id: this.#redactor.keyId, fields: redactedFieldsOf(redacted) },
    };
  }

  /** The arguments of one command: a secret may be recognised by the argument in front of it. */
  arguments(argv: readonly Text[]): Text[] {
    const secrets = this.#redactor.rules.inArguments(argv.map(stringOf));
    return argv.map((argument, index) => {
      const secret = secrets.get(index);
      return this.#redactor.text(
        argument,
        FIELD_LENGTHS.argument,
        this.#known,
        secret === undefined ? [] : [secret],
      );
    });
  }

  #observation(observation: Observation): Observation {
    if (observation.reason === null) return observation;
    return {
      ...observation,
      reason: this.#redactor.string(observation.reason, FIELD_LENGTHS.note, this.#known),
    };
  }

  #argument(text: Text): Text {
    return this.#redactor.text(text, FIELD_LENGTHS.argument, this.#known);
  }

  #learnVariable(name: string, value: string): void {
    if (this.#redactor.rules.names.has(name)) this.#known.add(value);
    this.#learnText(value);
  }

  #learnArguments(argv: readonly string[]): void {
    for (const [index, { start, end }] of this.#redactor.rules.inArguments(argv))
      this.#known.add(argv[index]?.slice(start, end) ?? '');
    for (const argument of argv) this.#learnText(argument);
  }

  #learnText(text: string): void {
    for (const { start, end } of mergeSpans(this.#redactor.rules.worthKnowing(text)))
      this.#known.add(text.slice(start, end));
  }
}

/** One character for each byte where it is not UTF-8, as the redactor sees it. */
function stringOf(text: Text): string {
  return typeof text === 'string' ? text : Buffer.from(textToBytes(text)).toString('latin1');
}
