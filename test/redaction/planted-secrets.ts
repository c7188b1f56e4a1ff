/** One secret of each kind, planted where it usually stands. */
export interface PlantedSecret {
  readonly kind: string;
  /** What must not be found anywhere afterwards; some kinds have several parts. */
  readonly secrets: readonly string[];
  readonly argv: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

function inArguments(kind: string, secret: string | readonly string[], ...argv: string[]): PlantedSecret {
  return { kind, secrets: [secret].flat(), argv, environment: {} };
}

function inEnvironment(kind: string, secret: string, name: string, value: string): PlantedSecret {
  // The command uses what it was given: the secret stands where nothing else tells that it is one.
  return { kind, secrets: [secret], argv: [`--use=${secret}`], environment: { [name]: value } };
}

/** Texts of the form of a secret, put together here so that no scanner takes this file for a leak. */
const form = (prefix: string, length: number): string =>
  prefix + 'aZ3kQ9mB7xR2vT5w'.repeat(Math.ceil(length / 16)).slice(0, length);
const hex = (prefix: string, length: number): string =>
  prefix + '0f1e2d3c4b5a6978'.repeat(Math.ceil(length / 16)).slice(0, length);
const jwt = `eyJ${form('', 20)}.eyJ${form('', 30)}.${form('', 43)}`;
const pem = `-----BEGIN OPENSSH PRIVATE KEY-----\n${form('b3BlbnNz', 64)}\n-----END OPENSSH PRIVATE KEY-----`;

export const PLANTED: readonly PlantedSecret[] = [
  inArguments('--token x', 'tok-Value-01', '--token', 'tok-Value-01'),
  inArguments('--password=x', 'pa&s;s w"ord-02', '--password=pa&s;s w"ord-02'),
  inArguments('-password x', 'single-Dash-03', '-password', 'single-Dash-03'),
  inArguments('--api-key x that begins with a dash', '-9f3-api-key-04', '--api-key', '-9f3-api-key-04'),
  inArguments('sshpass -p x', 'sshpass-Word-05', 'sshpass', '-p', 'sshpass-Word-05', 'ssh', 'host'),
  inArguments('mysql -px', 'mysqlWord-06', '/usr/bin/mysql', '-u', 'root', '-pmysqlWord-06'),
  inArguments('a short configured flag', 'q7!', 'vault', '-z', 'q7!'),
  inArguments('curl -u user:x', 'curlWord-08', 'curl', '-u', 'me:curlWord-08', 'http://h/'),
  inArguments('URL userinfo', ['url-User-09', 'url-Word-09'], 'https://url-User-09:url-Word-09@h/x'),
  inArguments('a token as user of a URL', form('', 24), `https://${form('', 24)}@h/x.git`),
  inArguments('a password with @ and / in a URL', 'w@rd/11-tail', 'postgres://me:w@rd/11-tail@db/x'),
  inArguments('a query of a URL', 'query-Token-12', 'https://h/?a=1&access_token=query-Token-12&b=2'),
  inArguments('a signed URL', hex('', 64), `https://h/x?X-Amz-Signature=${hex('', 64)}&e=9`),
  inArguments('Authorization: Bearer', 'bearer-Value-14', '-H', 'Authorization: Bearer bearer-Value-14'),
  inArguments('Authorization: Basic', 'dXNlcjpCYXNpYzE1', '-H', 'authorization: basic dXNlcjpCYXNpYzE1'),
  inArguments(
    'Authorization of another scheme',
    'sig=Other-16',
    '-H',
    'Authorization: Hawk id="1", sig=Other-16',
  ),
  inArguments(
    'Cookie',
    ['sid-Cookie-17', 'csrf-Cookie-17'],
    '-H',
    'Cookie: s=sid-Cookie-17; c=csrf-Cookie-17',
  ),
  inArguments('X-Api-Key', 'x-Api-Key-18', '-H', 'X-Api-Key: x-Api-Key-18'),
  inArguments('an assignment for env(1)', 'env-Secret;19', 'env', 'CLIENT_SECRET=env-Secret;19', 'true'),
  inArguments(
    'a command line of a shell',
    'shell-Word-20',
    'sh',
    '-c',
    "x && tool --password 'shell-Word-20' -v",
  ),
  inArguments('a program of a shell', 'shell-Word-21', 'bash', '-c', 'cd /; sshpass -p shell-Word-21 ssh h'),
  inArguments('JSON', 'js\\"on-Word-22', '-d', '{"user":"me","password":"js\\"on-Word-22"}'),
  inArguments('JSON in JSON', 'inner-Word-23', '-d', '{"body":"{\\"apiKey\\":\\"inner-Word-23\\"}"}'),
  inArguments('YAML', 'yaml-Word-24', '--set', 'db:\n  password: yaml-Word-24\n'),
  inArguments('a connection string', 'conn-Word-25', 'Server=h;Uid=me;Pwd=conn-Word-25;Database=d'),
  inArguments('camel case', 'camel-Word-26', '--set', 'auth.clientSecret=camel-Word-26'),
  inArguments('GitHub', form('ghp_', 36), form('ghp_', 36)),
  inArguments('GitHub, fine-grained', form('github_pat_', 82), `x${form('/github_pat_', 82)}`),
  inArguments('GitLab', form('glpat-', 20), `git@${form('glpat-', 20)}`),
  inArguments('AWS', 'AKIAQ7EXAMPLE3KEYS4D', 'AKIAQ7EXAMPLE3KEYS4D'),
  inArguments('Slack', form('xoxb-1234-', 24), form('xoxb-1234-', 24)),
  inArguments('a webhook', form('T00/B00/', 24), `https://hooks.slack.com/services/${form('T00/B00/', 24)}`),
  inArguments('Stripe', form('sk_live_', 24), form('sk_live_', 24)),
  inArguments('Google', form('AIza', 35), `key:${form('AIza', 35)}`),
  inArguments('npm', form('npm_', 36), `//registry/:x=${form('npm_', 36)}`),
  inArguments('a model provider', form('sk-ant-', 40), form('sk-ant-', 40)),
  inArguments('a JSON web token', jwt, jwt),
  inArguments('a private key', form('b3BlbnNz', 64), pem),
  inArguments(
    'an age key',
    `AGE-SECRET-KEY-1${'QPZRY9X8GF2TVDW0'.repeat(4)}`,
    `AGE-SECRET-KEY-1${'QPZRY9X8GF2TVDW0'.repeat(4)}`,
  ),
  inArguments('a configured pattern', 'ACME-40-4040', 'id ACME-40-4040'),
  inArguments('bytes that are not UTF-8', 'latin-Word-41', '--label', 'password=latin-Word-41'),
  inEnvironment('a variable', 'variable-Word-42', 'DEPLOY_TOKEN', 'variable-Word-42'),
  inEnvironment('a variable without separators', 'variable-Word-43', 'PGPASSWORD', 'variable-Word-43'),
  inEnvironment(
    'the URL in a variable',
    'variable-Word-44',
    'DATABASE_URL',
    'postgres://me:variable-Word-44@db/x',
  ),
  inEnvironment('a variable, percent-encoded', 'vari%2Fable%20Word-45', 'APP_SECRET', 'vari/able Word-45'),
  inEnvironment('a recorded variable', 'variable-Word-46', 'RECORDED_PASSWORD', 'variable-Word-46'),
];

/** What the kinds above need beside the defaults. */
export const PLANTED_SETTINGS = {
  secret_flags: 'curl:-u,mysql:-p,sshpass:-p,vault:-z',
  secret_patterns: 'ACME-\\d{2}-\\d{4}',
  record_env: 'RECORDED_*,PLAIN',
} as const;
