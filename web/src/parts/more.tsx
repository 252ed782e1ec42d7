// What follows a table of which only the beginning is shown.
import { count } from "../lib/format.ts";

interface Props {
  shown: number;
  of: number;
  onMore: () => void;
}

export function More({ shown, of, onMore }: Props) {
  if (of <= shown) {
    return null;
  }
  return (
    <p class="more">
      <button type="button" onClick={onMore}>
        More
      </button>{" "}
      {count(shown)} of {count(of)} are shown
    </p>
  );
}
