import assert from 'node:assert/strict';
import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { describe, it } from 'node:test';
import { BodyBudget } from '../../src/server/body-budget.js';

const request = (): IncomingMessage => new IncomingMessage(new Socket());

describe('the budget of bodies', () => {
  it('refuses what does not fit, and has room again afterwards', () => {
    const budget = new BodyBudget(100);
    const [first, second] = [request(), request()];
    assert.ok(budget.reserve(first, 60));
    assert.ok(!budget.reserve(second, 41));
    budget.release(first);
    assert.ok(budget.reserve(second, 100));
  });

  it('gives back what a body turned out not to need', () => {
    const budget = new BodyBudget(100);
    const [first, second] = [request(), request()];
    assert.ok(budget.reserve(first, 100));
    budget.shrink(first, 10);
    assert.ok(budget.reserve(second, 90));
    assert.ok(!budget.reserve(request(), 1));
  });

  it('counts nothing twice when a request is released twice, or was never admitted', () => {
    const budget = new BodyBudget(100);
    const first = request();
    assert.ok(budget.reserve(first, 100));
    budget.release(first);
    budget.release(first);
    budget.release(request());
    assert.ok(budget.reserve(request(), 100));
    assert.ok(!budget.reserve(request(), 1));
  });
});
