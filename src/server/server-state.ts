import { BodyBudget } from './body-budget.js';
import { OpenRequests } from './open-requests.js';
import { RequestTurns } from './request-turns.js';
import { RunningRequests } from './running-requests.js';

/** Bodies of the largest size that may be in memory at the same time; many more small ones may. */
const LARGEST_BODIES_AT_ONCE = 4;

/** What all routes share while the server lives. */
export class ServerState {
  readonly running = new RunningRequests();
  readonly openRequests = new OpenRequests();
  readonly turns = new RequestTurns();
  readonly bodies: BodyBudget;
  /** True from the moment that the server has been told to stop. */
  closing = false;

  constructor(bodyLimitBytes: number) {
    this.bodies = new BodyBudget(bodyLimitBytes * LARGEST_BODIES_AT_ONCE);
  }
}
