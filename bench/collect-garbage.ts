/**
 * Loaded into what a benchmark starts (`node --expose-gc --import`): collects garbage when asked by SIGUSR2, so that
 * what is still held can be told from what the runtime has not got round to.
 */
process.on('SIGUSR2', () => {
  globalThis.gc?.();
});
