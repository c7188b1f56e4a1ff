// @ts-check
'use strict';
// Runs a bundle and stores V8's compiled code of it when it ends: code-cache.cjs BUNDLE [ARGUMENT ...]
const { readFileSync, writeFileSync } = require('node:fs');
const { createRequire, wrap } = require('node:module');
const { dirname } = require('node:path');
const { Script } = require('node:vm');

const [node, , bundle = '', ...args] = process.argv;
process.argv = [node ?? '', bundle, ...args];
const script = new Script(wrap(readFileSync(bundle, 'utf8')), { filename: bundle });
const program = { exports: {} };
script.runInThisContext()(program.exports, createRequire(bundle), program, bundle, dirname(bundle));
process.on('exit', () => writeFileSync(`${bundle}.cache`, script.createCachedData()));
