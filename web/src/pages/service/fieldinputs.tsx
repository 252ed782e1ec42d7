// Offset, length and mask of one field of a key.
import type { FieldDraft } from "../../lib/key.ts";
import { TextField } from "../../parts/fields.tsx";

interface Props {
  field: FieldDraft;
  /** What its labels begin with; empty for the only field. */
  prefix: string;
  /** The pointer of what has the three members. */
  at: string;
  onField: (part: Partial<FieldDraft>) => void;
  onFocus?: () => void;
}

export function FieldInputs({ field, prefix, at, onField, onFocus }: Props) {
  const label = (word: string) => (prefix === "" ? word : `${prefix} ${word.toLowerCase()}`);
  const focus = onFocus === undefined ? {} : { onFocus };
  const helps = prefix === "";
  return (
    <div class="form-row">
      <TextField
        class="narrow"
        label={label("Offset")}
        pointer={`${at}/offset`}
        type="number"
        min={0}
        value={field.offset}
        onValue={(offset) => {
          onField({ offset });
        }}
        {...(helps ? { help: "In bytes from the payload's start." } : {})}
        {...focus}
      />
      <TextField
        class="narrow"
        label={label("Length")}
        pointer={`${at}/length`}
        type="number"
        min={1}
        value={field.length}
        onValue={(length) => {
          onField({ length });
        }}
        {...(helps ? { help: "In bytes, 1 to 256." } : {})}
        {...focus}
      />
      <TextField
        label={label("Mask")}
        pointer={`${at}/mask`}
        mono
        placeholder="none"
        value={field.mask}
        onValue={(mask) => {
          onField({ mask });
        }}
        {...(helps
          ? { help: "In hex, ANDed to the bytes; as long as they are. Mostly none." }
          : {})}
        {...focus}
      />
    </div>
  );
}
