/**
 * Our stdin as a source of bytes for a guest. It is opened when it is first read, because opening changes the
 * mode of a terminal or pipe that a command on this machine shares; dispose lets the process exit.
 */
export function standardInput(): AsyncIterable<Uint8Array> & AsyncDisposable {
  let opened = false;
  return {
    [Symbol.asyncIterator]: () => {
      opened = true;
      return process.stdin[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    },
    [Symbol.asyncDispose]: () => {
      // An idle pipe or terminal would keep us alive for input that nobody takes any more.
      if (opened) process.stdin.destroy();
      return Promise.resolve();
    },
  };
}
