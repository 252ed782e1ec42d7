// How far a backend has drained.
import { useRef } from "preact/hooks";
import { count, plural } from "../../lib/format.ts";

interface Props {
  name: string;
  left: number | undefined;
}

export function Drain({ name, left }: Props) {
  // The most that was seen is where the bar begins: nobody keeps how many there were.
  const most = useRef(0);
  if (left === undefined) {
    return null;
  }
  most.current = Math.max(most.current, left, 1);
  const gone = 1 - left / most.current;
  return (
    <span class="draining">
      <span
        class="bar"
        role="progressbar"
        aria-label={`Draining ${name}`}
        aria-valuemin={0}
        aria-valuemax={most.current}
        aria-valuenow={most.current - left}
        aria-valuetext={`${plural(left, "session")} left`}
      >
        <span class="bar-part" style={{ width: `${String(gone * 100)}%` }} />
      </span>
      {count(left)} left
    </span>
  );
}
