import Type, { type Static } from 'typebox';
import { EXECUTION_STATUSES } from '../receipts/receipt.js';

export const RECEIPT_ID = '^[0-9a-f]{64}$';
export const LARGEST_PAGE = 200;
export const DEFAULT_PAGE = 50;

export const ReceiptParams = Type.Object({
  id: Type.String({
    pattern: RECEIPT_ID,
    description: 'Id of a receipt: 64 hexadecimal digits, lower case.',
  }),
});

export const FileParams = Type.Object({
  ...ReceiptParams.properties,
  '*': Type.String({
    description: 'Path of the file in the workspace, percent-encoded; `/` may stay as it is.',
  }),
});

export const ReceiptQuery = Type.Object(
  {
    format: Type.Optional(
      Type.Enum(['bundle', 'dsse', 'statement', 'sigstore'], {
        default: 'bundle',
        description:
          '`bundle`: what `glasshouse verify` takes. `dsse`: the signed envelope. `statement`: the payload inside it. `sigstore`: a Sigstore bundle v0.3.',
      }),
    ),
  },
  { additionalProperties: false },
);

const MOMENT = '^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?Z)?$';
const STATUS = `(${EXECUTION_STATUSES.join('|')})`;

const FILTERS = {
  status: Type.Optional(
    Type.String({
      pattern: `^${STATUS}(,${STATUS}){0,${EXECUTION_STATUSES.length - 1}}$`,
      description: 'Only executions that ended so; several are separated by commas.',
    }),
  ),
  since: Type.Optional(
    Type.String({
      pattern: MOMENT,
      description: 'Only executions that started then or later: RFC 3339 in UTC (`...Z`), or a day.',
    }),
  ),
  until: Type.Optional(
    Type.String({ pattern: MOMENT, description: 'Only executions that started before then.' }),
  ),
  backend: Type.Optional(
    Type.String({ pattern: '^[a-z][a-z0-9_-]{0,63}$', description: 'Only executions on this backend.' }),
  ),
  code_sha256: Type.Optional(
    Type.String({ pattern: '^[0-9a-f]{64}$', description: 'Only executions of this program.' }),
  ),
  text: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 1024,
      description:
        'Only receipts that have all of these words in their arguments, names of files, error or observed programs.',
    }),
  ),
};

export const ListQuery = Type.Object(
  {
    limit: Type.Optional(
      Type.String({
        pattern: '^[1-9][0-9]{0,2}$',
        description: `Receipts on one page: 1 to ${LARGEST_PAGE}. Without it, ${DEFAULT_PAGE}.`,
      }),
    ),
    before: Type.Optional(
      Type.String({ pattern: RECEIPT_ID, description: 'Only receipts that are older than this one.' }),
    ),
    ...FILTERS,
  },
  { additionalProperties: false },
);

export const ReceiptList = Type.Object(
  {
    receipts: Type.Array(
      Type.Object(
        {
          receipt_id: Type.String(),
          execution_id: Type.String(),
          timestamp: Type.String({ description: 'When the program started; RFC 3339, UTC.' }),
          kind: Type.Enum(['python', 'command']),
          status: Type.Enum([...EXECUTION_STATUSES]),
          exit_code: Type.Union([Type.Integer(), Type.Null()]),
          signal: Type.Union([Type.String(), Type.Null()]),
          backend: Type.String(),
          isolation: Type.String(),
          outputs_dropped_at: Type.Union([Type.String(), Type.Null()], {
            description: 'When retention dropped its outputs; null: it did not.',
          }),
        },
        { additionalProperties: false },
      ),
    ),
    next: Type.Union([Type.String(), Type.Null()], {
      description: 'Where the next page is; null on the last one.',
    }),
  },
  { additionalProperties: false, title: 'Receipt list' },
);
export type ListQuery = Static<typeof ListQuery>;
export type ReceiptList = Static<typeof ReceiptList>;

/** @returns null when the text is no size of a page. */
export function pageSize(text: string | undefined): number | null {
  const size = Number(text ?? DEFAULT_PAGE);
  return size >= 1 && size <= LARGEST_PAGE ? size : null;
}
