/** What was asked for about observation: `--profile`, `--follow`, `--json`, `--events`. */
export interface ObservationRequest {
  /** `required`: what cannot be observed is not run. */
  readonly profile: 'none' | 'host' | 'required';
  /** Null: nothing is shown live. */
  readonly follow: 'text' | 'json' | null;
  /** Where the full stream of events goes; null: nowhere. */
  readonly eventsFile: string | null;
}

/** Who wants to see events wants them to be observed. */
export function resolveProfile(profile: unknown, wantsEvents: boolean): ObservationRequest['profile'] {
  if (profile === 'host' || profile === 'required' || profile === 'none') return profile;
  return wantsEvents ? 'host' : 'none';
}
