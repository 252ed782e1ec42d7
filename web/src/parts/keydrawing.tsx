// Where a service's key stands in what clients send.
import type { Key } from "../api/types.ts";
import { keyDraft, marksOf, reach, type VariantDraft } from "../lib/key.ts";
import { ByteGrid, MarkList } from "./bytes.tsx";

export function KeyDrawing({ value }: { value: Key }) {
  const draft = keyDraft(value);
  return (
    <div data-testid="key-drawing">
      {draft.variants.map((variant, i) => (
        <Variant
          key={i}
          variant={variant}
          title={
            draft.several ? `Variant ${variant.name === "" ? String(i + 1) : variant.name}` : ""
          }
        />
      ))}
      <p class="help">
        A packet without a key goes by <code>{draft.fallback}</code>.
      </p>
    </div>
  );
}

function Variant({ variant, title }: { variant: VariantDraft; title: string }) {
  const marks = marksOf(variant);
  const unknown = Array.from({ length: reach(marks) }, () => null);
  return (
    <div class="variant">
      {title !== "" && <h3>{title}</h3>}
      <ByteGrid
        label={title === "" ? "Key in the payload" : `Key in the payload, ${title}`}
        bytes={unknown}
        marks={marks}
      />
      <MarkList marks={marks} />
    </div>
  );
}
