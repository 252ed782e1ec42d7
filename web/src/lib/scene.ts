// The picture of roaming: a few sessions, and where their clients are.
import type { Happening, Session } from "../api/types.ts";

/** Where a client was before: its entry stays behind until it is deleted. */
export interface Ghost {
  place: number;
  client: string;
  deleted: boolean;
}

export interface Lane {
  key: string;
  backend: string;
  client: string;
  place: number; // one of places, from the left
  roams: number; // seen in the picture
  at: number; // when it moved last, in milliseconds
  ghost: Ghost | null;
}

export interface Scene {
  lanes: Lane[];
  roams: number; // of all sessions of the service
  kept: number; // of those the ones whose backend was the same afterwards
}

export const places = 3;

/** How long a lane stands still after a move, so that eyes can follow. */
export const rest = 1_200;

/** After so long without a roam a lane makes room for a session that roams. */
const patience = 15_000;

/** Begins with sessions of as many backends as there are. */
export function begin(sessions: readonly Session[], size: number): Scene {
  const byBackend = new Map<string, Session[]>();
  for (const s of sessions) {
    if (s.backend !== undefined && s.client !== undefined) {
      byBackend.set(s.backend, [...(byBackend.get(s.backend) ?? []), s]);
    }
  }
  const groups = [...byBackend.values()];
  const lanes: Lane[] = [];
  for (let i = 0; lanes.length < size && groups.some((g) => i < g.length); i++) {
    for (const s of groups.flatMap((g) => g[i] ?? []).slice(0, size - lanes.length)) {
      lanes.push(laneOf(s.key ?? s.key_hash ?? "", s.backend ?? "", s.client ?? "", lanes.length));
    }
  }
  return { lanes, roams: 0, kept: 0 };
}

function laneOf(key: string, backend: string, client: string, i: number): Lane {
  return { key, backend, client, place: i % places, roams: 0, at: 0, ghost: null };
}

function keyOf(e: Happening): string {
  return e.session?.key ?? e.session?.key_hash ?? "";
}

/** The scene after an event. */
export function next(scene: Scene, e: Happening, now: number, size: number): Scene {
  switch (e.kind) {
    case "roam":
      return roamed(scene, e, now, size);
    case "stale-deleted":
      return deleted(scene, e);
    default:
      return scene;
  }
}

function roamed(scene: Scene, e: Happening, now: number, size: number): Scene {
  const key = keyOf(e);
  const lane = scene.lanes.find((l) => l.key === key);
  const kept = lane === undefined || e.backend === undefined || lane.backend === e.backend;
  const counted = { ...scene, roams: scene.roams + 1, kept: scene.kept + (kept ? 1 : 0) };
  if (lane === undefined) {
    return joined(counted, e, now, size);
  }
  if (now - lane.at < rest) {
    return counted;
  }
  const moved = moveOf(lane, e, now);
  return { ...counted, lanes: scene.lanes.map((l) => (l === lane ? moved : l)) };
}

function moveOf(lane: Lane, e: Happening, now: number): Lane {
  // Not where it is: to the left and to the right by turns, so that both are seen.
  const step = lane.roams % 2 === 0 ? 1 : places - 1;
  return {
    ...lane,
    backend: e.backend ?? lane.backend,
    client: e.new_client ?? lane.client,
    place: (lane.place + step) % places,
    roams: lane.roams + 1,
    at: now,
    ghost: { place: lane.place, client: e.old_client ?? lane.client, deleted: false },
  };
}

/** A session that is not in the picture comes in, where there is room. */
function joined(scene: Scene, e: Happening, now: number, size: number): Scene {
  const fresh = laneOf(keyOf(e), e.backend ?? "", e.old_client ?? "", scene.roams);
  const lane = moveOf(fresh, e, now);
  if (scene.lanes.length < size) {
    return { ...scene, lanes: [...scene.lanes, lane] };
  }
  const still = scene.lanes.filter((l) => now - l.at > patience);
  const oldest = still.reduce<Lane | undefined>(
    (a, b) => (a === undefined || b.at < a.at ? b : a),
    undefined,
  );
  return oldest === undefined
    ? scene
    : { ...scene, lanes: scene.lanes.map((l) => (l === oldest ? lane : l)) };
}

function deleted(scene: Scene, e: Happening): Scene {
  const key = keyOf(e);
  const lanes = scene.lanes.map((l) =>
    l.key === key && l.ghost !== null && l.ghost.client === (e.old_client ?? l.ghost.client)
      ? { ...l, ghost: { ...l.ghost, deleted: true } }
      : l,
  );
  return { ...scene, lanes };
}
