// Where the key stands: chosen over the bytes of a sample, or typed.
import { useState } from "preact/hooks";
import { rangeText } from "../../lib/bytes.ts";
import { parseHex } from "../../lib/hex.ts";
import {
  marksOf,
  noField,
  noVariant,
  numberOf,
  reach,
  type FieldDraft,
  type KeyDraft,
} from "../../lib/key.ts";
import { ByteGrid, MarkList } from "../../parts/bytes.tsx";
import { CheckField, SelectField, TextField } from "../../parts/fields.tsx";
import { FieldInputs } from "./fieldinputs.tsx";
import { changed } from "./rows.ts";
import { VariantEditor } from "./variants.tsx";

interface Props {
  draft: KeyDraft;
  onDraft: (draft: KeyDraft) => void;
}

const most = 1024; // bytes of a sample that are shown

const fallbacks = [
  { value: "source", label: "source: its source address decides" },
  { value: "source-port", label: "source-port: its source address and port decide" },
  { value: "drop", label: "drop: it is dropped" },
];

export function KeyEditor({ draft, onDraft }: Props) {
  const [sample, setSample] = useState("");
  // The field that a drag sets: the one that was touched last.
  const [target, setTarget] = useState({ variant: 0, field: 0 });
  const hex = parseHex(sample);
  const at = Math.min(target.variant, draft.variants.length - 1);
  const variant = draft.variants[at] ?? noVariant;
  const marks = marksOf(
    draft.several ? variant : { ...variant, match: [], fields: variant.fields.slice(0, 1) },
  );
  const known = hex.ok ? hex.bytes.slice(0, most) : [];
  const length = Math.max(known.length, Math.min(reach(marks), most));
  const bytes = Array.from({ length }, (_, i) => known[i] ?? null);

  const setField = (v: number, f: number, part: Partial<FieldDraft>) => {
    const of = draft.variants[v] ?? noVariant;
    onDraft({
      ...draft,
      variants: changed(draft.variants, v, { fields: changed(of.fields, f, part) }),
    });
  };
  const choose = (offset: number, chosen: number) => {
    setField(at, draft.several ? Math.min(target.field, variant.fields.length - 1) : 0, {
      offset: String(offset),
      length: String(Math.min(chosen, 256)),
    });
  };
  return (
    <>
      <p class="help">
        The bytes of each payload by which a session is known wherever it comes from. Paste a
        payload that a client sends, then drag across the bytes of its session id. With the
        keyboard: arrow keys move, Shift extends, Enter begins anew.
      </p>
      <TextField
        label="Sample payload"
        mono
        lines={2}
        placeholder="48 8c31f2d0a4b7e915 00000001"
        value={sample}
        onValue={setSample}
        help={
          hex.ok
            ? `Hex, as tcpdump or Wireshark print it. It is only drawn here, and not sent. ${sample === "" ? "" : `${String(hex.bytes.length)} bytes.`}`
            : `Not hex: ${hex.error}.`
        }
      />
      <ByteGrid label="Payload bytes" bytes={bytes} marks={marks} onSelect={choose} />
      <p class="key-text" role="status" data-testid="key-text">
        {keyText(variant.fields, draft.several)}
      </p>
      <MarkList marks={marks} />
      <CheckField
        label="Several variants"
        checked={draft.several}
        onChecked={(several) => {
          onDraft({ ...draft, several });
        }}
      />
      {draft.several ? (
        <VariantEditor
          variants={draft.variants}
          active={at}
          onVariants={(variants) => {
            onDraft({ ...draft, variants });
          }}
          onActive={(v, f) => {
            setTarget({ variant: v, field: f });
          }}
        />
      ) : (
        <FieldInputs
          field={variant.fields[0] ?? noField}
          prefix=""
          at="/key"
          onField={(part) => {
            setField(0, 0, part);
          }}
        />
      )}
      <SelectField
        label="Fallback"
        pointer="/key/fallback"
        value={draft.fallback}
        choices={fallbacks}
        onValue={(fallback) => {
          onDraft({ ...draft, fallback });
        }}
        help="For a packet that is too short for its key, or that no variant matches."
      />
    </>
  );
}

/** The chosen key in words. */
function keyText(fields: readonly FieldDraft[], several: boolean): string {
  const ranges = (several ? fields : fields.slice(0, 1)).flatMap(({ offset, length }) => {
    const [from, n] = [numberOf(offset), numberOf(length)];
    return typeof from === "number" && typeof n === "number" ? [rangeText(from, n)] : [];
  });
  return ranges.length === 0 ? "No bytes are chosen yet." : `The key is ${ranges.join(", then ")}.`;
}
