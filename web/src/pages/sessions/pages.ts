// A list that is too long to be had at once.
import { useEffect, useRef, useState } from "preact/hooks";
import type { Answer } from "../../api/client.ts";
import type { Problem } from "../../api/types.ts";

interface Page<T> {
  items: T[];
  next?: string;
}

export interface Pages<T> {
  items: T[];
  number: number; // from 1
  next: string; // empty at the end
  problem: Problem | null;
  loading: boolean;
  onNext: () => void;
  onFirst: () => void;
}

type Load<T> = (cursor: string, limit: number, signal: AbortSignal) => Promise<Answer<Page<T>>>;

/**
 * Pages of up to limit items. The server looks at a part of the list at a time, and
 * such a part can be empty though more comes: it is asked until a page is full.
 */
export function usePages<T>(limit: number, load: Load<T>): Pages<T> {
  const [from, setFrom] = useState({ cursor: "", number: 1 });
  const [items, setItems] = useState<T[]>([]);
  const [next, setNext] = useState("");
  const [problem, setProblem] = useState<Problem | null>(null);
  const [loading, setLoading] = useState(true);
  const loader = useRef(load);
  loader.current = load;
  useEffect(() => {
    const end = new AbortController();
    const fill = async () => {
      const found: T[] = [];
      let cursor = from.cursor;
      setLoading(true);
      do {
        const answer = await loader.current(cursor, limit - found.length, end.signal);
        if (end.signal.aborted) {
          return;
        }
        setProblem(answer.ok ? null : answer.problem);
        found.push(...(answer.ok ? answer.data.items : []));
        cursor = answer.ok ? (answer.data.next ?? "") : "";
        if (found.length > 0) {
          setItems([...found]); // among a million the next can be far
        }
      } while (cursor !== "" && found.length < limit);
      setItems(found);
      setNext(cursor);
      setLoading(false);
    };
    void fill();
    return () => {
      end.abort();
    };
  }, [from, limit]);
  return {
    items,
    number: from.number,
    next,
    problem,
    loading,
    onNext: () => {
      setFrom({ cursor: next, number: from.number + 1 });
    },
    onFirst: () => {
      setFrom({ cursor: "", number: 1 });
    },
  };
}
