import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { mountPointsBelow } from '../../src/images/publish.js';

const MOUNTINFO = [
  '22 27 0:21 / /proc rw,relatime - proc proc rw',
  '23 27 0:22 / /images/.build-1/root/dev/shm rw - tmpfs tmpfs rw',
  '24 27 0:23 / /images/.build-1/a\\040b\\134c rw shared:1 - tmpfs tmpfs rw',
  '25 27 0:24 / /images/.build-10/x rw - tmpfs tmpfs rw',
  '26 27 0:25 / /images/.build-2 rw - tmpfs tmpfs rw',
  '',
].join('\n');

describe('mountPointsBelow', () => {
  it('finds what is mounted inside a directory, however it is written', () => {
    assert.deepEqual(mountPointsBelow('/images/.build-1', MOUNTINFO), [
      '/images/.build-1/root/dev/shm',
      '/images/.build-1/a b\\c',
    ]);
  });

  it('finds what is mounted on the directory itself', () => {
    assert.deepEqual(mountPointsBelow('/images/.build-2', MOUNTINFO), ['/images/.build-2']);
  });

  it('finds nothing in a directory whose name only begins like a mount point', () => {
    assert.deepEqual(mountPointsBelow('/images/.build', MOUNTINFO), []);
  });

  it('finds everything below the root', () => {
    assert.equal(mountPointsBelow('/', MOUNTINFO).length, 5);
  });
});
