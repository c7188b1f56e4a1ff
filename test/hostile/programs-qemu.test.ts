import { candidate } from '../contract/subject.js';
import { describeHostilePrograms } from './programs.js';

await describeHostilePrograms(candidate('qemu-clones'));
