// What a page shows, read anew when it may have changed.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import type { Answer } from "../api/client.ts";
import type { Problem } from "../api/types.ts";
import { configVersion } from "./connection.ts";
import { useStore } from "./store.ts";

export interface Resource<T> {
  data: T | null;
  etag: string;
  problem: Problem | null; // of the last try; data is then what was there before
  loading: boolean;
  reload: () => void;
}

interface State<T> {
  key: string;
  data: T | null;
  etag: string;
  problem: Problem | null;
  loading: boolean;
}

/**
 * Loads, and again when key changes, when the configuration has, and when the
 * daemon is there again. What was loaded for another key is not shown.
 */
export function useResource<T>(
  key: string,
  load: (signal: AbortSignal) => Promise<Answer<T>>,
): Resource<T> {
  const version = useStore(configVersion);
  const [again, setAgain] = useState(0);
  const [state, setState] = useState<State<T>>(() => empty(key));
  const loader = useRef(load);
  loader.current = load;
  useEffect(() => {
    const end = new AbortController();
    setState((s) => (s.key === key ? { ...s, loading: true } : empty(key)));
    void loader.current(end.signal).then((answer) => {
      if (end.signal.aborted) {
        return;
      }
      setState((s) =>
        answer.ok
          ? { key, data: answer.data, etag: answer.etag, problem: null, loading: false }
          : { ...(s.key === key ? s : empty<T>(key)), problem: answer.problem, loading: false },
      );
    });
    return () => {
      end.abort();
    };
  }, [key, version, again]);
  const reload = useCallback(() => {
    setAgain((n) => n + 1);
  }, []);
  const shown = state.key === key ? state : empty<T>(key);
  return {
    data: shown.data,
    etag: shown.etag,
    problem: shown.problem,
    loading: shown.loading,
    reload,
  };
}

function empty<T>(key: string): State<T> {
  return { key, data: null, etag: "", problem: null, loading: true };
}
