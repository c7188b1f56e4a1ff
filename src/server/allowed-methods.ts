import { type App } from './app.js';

/** Knows which methods each path has, to answer 405 where the router only says that there is no route. */
export class AllowedMethods {
  readonly #routes: { readonly pattern: RegExp; readonly method: string }[] = [];

  /** Call before routes are added. */
  constructor(app: App) {
    app.addHook('onRoute', ({ url, method }) => {
      const pattern = patternOf(url);
      for (const one of [method].flat()) this.#routes.push({ pattern, method: one });
    });
  }

  /** Methods of the path of a request target, sorted; empty when there is no such path. */
  of(requestTarget: string): readonly string[] {
    const path = requestTarget.replace(/[?#].*$/su, '');
    const methods = this.#routes.filter((route) => route.pattern.test(path)).map((route) => route.method);
    return [...new Set(methods)].sort();
  }
}

/** `/receipts/:id/files/*` becomes a pattern of all paths that it stands for. */
function patternOf(url: string): RegExp {
  const source = url
    .replace(/[.+?^${}()|[\]\\]/gu, String.raw`\$&`)
    .replace(/:[a-z]+/gu, '[^/]+')
    .replace('*', '.*');
  return new RegExp(`^${source}$`, 'su');
}
