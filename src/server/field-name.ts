/** Names longer than this come from a hostile client; the rest of them helps nobody. */
const LONGEST_NAME = 200;

/** Turns a JSON pointer (RFC 6901, with or without the leading slash) into `files[0].path`. */
export function dottedField(pointer: string): string {
  let name = '';
  for (const escaped of pointer.replace(/^\//u, '').split('/')) {
    const token = escaped.replaceAll('~1', '/').replaceAll('~0', '~');
    if (/^[0-9]+$/u.test(token) && name !== '') name += `[${token}]`;
    else name += name === '' ? token : `.${token}`;
  }
  return shortened(name);
}

/** The field `name` inside the one that `pointer` points to. */
export function dottedMember(pointer: string, name: string): string {
  const parent = pointer.replace(/^\//u, '');
  return shortened(parent === '' ? name : `${dottedField(parent)}.${name}`);
}

function shortened(name: string): string {
  return name.length > LONGEST_NAME ? `${name.slice(0, LONGEST_NAME)}...` : name;
}
