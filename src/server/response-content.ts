/** A response of bytes that are sent as they are, for the OpenAPI description. */
export function contentOf(
  types: readonly string[],
  schemaType: 'object' | 'string',
): Record<string, unknown> {
  const schema = schemaType === 'string' ? { type: 'string', format: 'binary' } : { type: 'object' };
  return {
    description: 'The bytes, exactly as they are stored.',
    content: Object.fromEntries(types.map((type) => [type, { schema }])),
  };
}
