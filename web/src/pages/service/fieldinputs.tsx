// Offset, length and mask of one field of a key.
import type { FieldDraft } from "../../lib/key.ts";
import { TextField } from "../../parts/fields.tsx";

interface Props {
  field: FieldDraft;
  /** What its labels begin with; empty for the only field. */
  prefix: string;
  /** The same, where the eye sees it around the fields. */
  within?: string;
  /** The pointer of what has the three members. */
  at: string;
  onField: (part: Partial<FieldDraft>) => void;
  onFocus?: () => void;
}

export function FieldInputs({ field, prefix, within, at, onField, onFocus }: Props) {
  const label = (word: string) => (prefix === "" ? word : `${prefix} ${word.toLowerCase()}`);
  const shared = {
    ...(onFocus === undefined ? {} : { onFocus }),
    ...(within === undefined ? {} : { within }),
  };
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
        {...shared}
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
        {...shared}
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
        {...shared}
      />
    </div>
  );
}
