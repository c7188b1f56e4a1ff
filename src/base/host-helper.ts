import { fileURLToPath } from 'node:url';

/** Path of a program that `make -C host` builds, whatever the working directory. */
export function hostHelper(
  name: 'sealed-memory' | 'keep-machine' | 'copy-monitor' | 'monitor-template.so',
): string {
  return fileURLToPath(new URL(`../../../build/host/${name}`, import.meta.url));
}
