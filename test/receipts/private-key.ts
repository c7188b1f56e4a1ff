/** RFC 8410 section 7: the PKCS#8 form of an Ed25519 seed is these bytes and the seed. */
export function privateKeyPem(seedHex: string): string {
  const der = Buffer.from(`302e020100300506032b657004220420${seedHex}`, 'hex').toString('base64');
  return `-----BEGIN PRIVATE KEY-----\n${der}\n-----END PRIVATE KEY-----\n`;
}
