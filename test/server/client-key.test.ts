import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { clientKey } from '../../src/server/client-key.js';

describe('who sent a request', () => {
  it('is an IPv4 address, however it is written', () => {
    assert.equal(clientKey('192.0.2.7'), '192.0.2.7');
    assert.equal(clientKey('::ffff:192.0.2.7'), '192.0.2.7');
  });

  it('is the network of an IPv6 address: one customer has all of its addresses', () => {
    const network = clientKey('2001:db8:0:7::1');
    assert.equal(clientKey('2001:0DB8:0000:0007:ffff::2'), network);
    assert.equal(clientKey('2001:db8:0:7:1:2:3:4'), network);
    assert.notEqual(clientKey('2001:db8:0:8::1'), network);
  });

  it('is told apart where groups of zeros are left out', () => {
    assert.equal(clientKey('::1'), '0:0:0:0');
    assert.equal(clientKey('::'), '0:0:0:0');
    assert.equal(clientKey('fe80::1%eth0'), clientKey('fe80:0::2%eth0'));
    assert.equal(clientKey('1::2:3:4:5:6'), '1:0:0:2');
    assert.equal(clientKey('1:2:3:4:5:6:7::'), '1:2:3:4');
  });

  it('is whatever the address is, when it is none', () => {
    assert.equal(clientKey(''), '');
  });
});
