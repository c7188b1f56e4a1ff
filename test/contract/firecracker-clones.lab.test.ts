import { describeBackend } from './describe-backend.js';
import { candidate } from './subject.js';

await describeBackend(candidate('firecracker-clones'));
