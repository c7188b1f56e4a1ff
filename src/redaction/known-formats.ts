import { type Span } from './span.js';

/**
 * Secrets that can be told by their form, wherever they stand; the first group, where there is one, is the secret.
 * Every repetition is bounded where something has to follow it: no text makes these slow.
 */
const FORMATS: readonly RegExp[] = [
  // GitHub, GitLab, Atlassian, Docker
  /(?<![A-Za-z0-9])gh[pousr]_[A-Za-z0-9]{20,}/g,
  /(?<![A-Za-z0-9])github_pat_\w{20,}/g,
  /(?<![A-Za-z0-9])gl(?:pat|dt|rt|cbt|ptt|soat)-[\w.-]{16,}/g,
  /(?<![A-Za-z0-9])ATATT3[\w=-]{20,}/g,
  /(?<![A-Za-z0-9])dckr_(?:pat|oat)_[\w-]{16,}/g,
  // clouds
  /(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])/g,
  /(?<![A-Za-z0-9])AIza[\w-]{35}/g,
  /(?<![A-Za-z0-9])ya29\.[\w-]{20,}/g,
  /(?<![A-Za-z0-9])GOCSPX-[\w-]{20,}/g,
  /(?<![A-Za-z0-9])do[opr]_v1_[0-9a-f]{64}/g,
  /(?<![A-Za-z0-9])dapi[0-9a-f]{32}/g,
  /(?<![A-Za-z0-9])hv[sb]\.[\w-]{20,}/g,
  // messages and mail
  /(?<![A-Za-z0-9])xox[abeoprs]-[A-Za-z0-9-]{10,}/g,
  /(?<![A-Za-z0-9])xapp-[A-Za-z0-9-]{10,}/g,
  /hooks\.slack\.com\/(?:services|workflows)\/([\w/-]{16,})/g,
  /discord(?:app)?\.com\/api\/webhooks\/([\w/-]{16,})/g,
  /(?<![A-Za-z0-9])\d{8,10}:AA[\w-]{33}/g,
  /(?<![A-Za-z0-9])SG\.[\w-]{16,64}\.[\w-]{16,}/g,
  /(?<![A-Za-z0-9])SK[0-9a-f]{32}(?![0-9a-f])/g,
  // payment and shops
  /(?<![A-Za-z0-9])[rs]k_(?:live|test)_[A-Za-z0-9]{10,}/g,
  /(?<![A-Za-z0-9])whsec_[A-Za-z0-9+/=]{16,}/g,
  /(?<![A-Za-z0-9])shp(?:at|ss|ca|pa)_[0-9A-Fa-f]{32}/g,
  // package registries, models, dashboards
  /(?<![A-Za-z0-9])npm_[A-Za-z0-9]{30,}/g,
  /(?<![A-Za-z0-9])pypi-[\w-]{16,}/g,
  /(?<![A-Za-z0-9])rubygems_[0-9a-f]{48}/g,
  /(?<![A-Za-z0-9])sk-[\w-]{20,}/g,
  /(?<![A-Za-z0-9])hf_[A-Za-z0-9]{20,}/g,
  /(?<![A-Za-z0-9])glsa_\w{30,}/g,
  // keys and tokens of any issuer
  /(?<![A-Za-z0-9])eyJ[\w-]{8,1024}\.[\w-]{8,8192}\.[\w-]*/g,
  /(?<![A-Za-z0-9])AGE-SECRET-KEY-1[0-9A-Z]{40,}/g,
  /-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?:(?!-----END )[^])*(?:-----END [A-Z0-9 ]{0,40}-----)?/g,
];

/** What every one of them has in it; tells at once that a text has none, as nearly all have. */
const HINT =
  /gh[pousr]_|github_|gl[a-z]+[-_]|ATATT3|dckr_|A[KS]IA|AIza|ya29|GOCSPX|do[opr]_v1|dapi|hv[sb]\.|xox|xapp|slack|discord|:AA|SG\.|SK[0-9a-f]|[rs]k_|whsec|shp|npm_|pypi-|rubygems|sk-|hf_|eyJ|AGE-|PRIVATE KEY/;

/** Where secrets of a known form are. */
export function secretsByFormat(text: string): Span[] {
  if (!HINT.test(text)) return [];
  return FORMATS.flatMap((format) => matchesOf(format, text));
}

/** Every match of a global expression, or of its first group where it has one. */
export function matchesOf(expression: RegExp, text: string): Span[] {
  return Array.from(text.matchAll(expression), (match) => {
    const secret = match[1] ?? match[0];
    const start = match.index + match[0].indexOf(secret);
    return { start, end: start + secret.length };
  });
}
