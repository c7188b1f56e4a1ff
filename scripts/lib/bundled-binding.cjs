// @ts-check
'use strict';
// In a bundle this stands in the place of the package `bindings`, which looks in eight places at every start.
const { join } = require('node:path');

/** @param {string} name of the file, which ensureSqliteBinding() has put there */
module.exports = function loadBinding(name) {
  const runtime = `node-v${process.versions.modules}-linux-${process.arch}`;
  // __dirname is that of the bundle: dist/src/bundle.
  const packages = join(__dirname, '..', '..', '..', 'node_modules');
  return require(join(packages, 'better-sqlite3', 'lib', 'binding', runtime, name));
};
