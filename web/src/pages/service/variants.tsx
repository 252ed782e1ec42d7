// Several ways in which payloads carry the key: the first that matches counts.
import { noField, noMatch, noVariant, type MatchDraft, type VariantDraft } from "../../lib/key.ts";
import { pointer } from "../../lib/pointer.ts";
import { TextField } from "../../parts/fields.tsx";
import { FieldInputs } from "./fieldinputs.tsx";
import { changed, without } from "./rows.ts";

interface Props {
  variants: VariantDraft[];
  /** The one whose bytes are drawn. */
  active: number;
  onVariants: (variants: VariantDraft[]) => void;
  onActive: (variant: number, field: number) => void;
}

export function VariantEditor({ variants, active, onVariants, onActive }: Props) {
  return (
    <>
      {variants.map((variant, v) => (
        <OneVariant
          key={v}
          variant={variant}
          number={v}
          active={v === active}
          onActive={(field) => {
            onActive(v, field);
          }}
          onVariant={(part) => {
            onVariants(changed(variants, v, part));
          }}
          onRemove={
            variants.length === 1
              ? undefined
              : () => {
                  onVariants(without(variants, v));
                }
          }
        />
      ))}
      <button
        type="button"
        onClick={() => {
          onVariants([...variants, noVariant]);
          onActive(variants.length, 0);
        }}
      >
        Add variant
      </button>
    </>
  );
}

interface OneProps {
  variant: VariantDraft;
  number: number;
  active: boolean;
  onActive: (field: number) => void;
  onVariant: (part: Partial<VariantDraft>) => void;
  onRemove: (() => void) | undefined;
}

function OneVariant({ variant, number, active, onActive, onVariant, onRemove }: OneProps) {
  const title = `Variant ${String(number + 1)}`;
  const at = pointer("key", "variants", number);
  return (
    <fieldset class={`variant-form ${active ? "active" : ""}`}>
      <legend>
        {title}
        {active && <span class="badge">drawn above</span>}
      </legend>
      <div class="form-row">
        <TextField
          within={title}
          label="Name"
          pointer={`${at}/name`}
          value={variant.name}
          onValue={(name) => {
            onVariant({ name });
          }}
          onFocus={() => {
            onActive(0);
          }}
        />
        <button type="button" class="quiet" disabled={onRemove === undefined} onClick={onRemove}>
          Remove {title.toLowerCase()}
        </button>
      </div>
      {variant.match.map((match, m) => (
        <MatchInputs
          key={m}
          match={match}
          within={title}
          prefix={`Match ${String(m + 1)}`}
          at={`${at}/match/${String(m)}`}
          onMatch={(part) => {
            onVariant({ match: changed(variant.match, m, part) });
          }}
          onRemove={() => {
            onVariant({ match: without(variant.match, m) });
          }}
        />
      ))}
      {variant.fields.map((field, f) => (
        <FieldInputs
          key={f}
          field={field}
          within={title}
          prefix={`Field ${String(f + 1)}`}
          at={`${at}/fields/${String(f)}`}
          onField={(part) => {
            onVariant({ fields: changed(variant.fields, f, part) });
          }}
          onFocus={() => {
            onActive(f);
          }}
        />
      ))}
      <div class="actions">
        <button
          type="button"
          onClick={() => {
            onVariant({ match: [...variant.match, noMatch] });
          }}
        >
          Add match to {title.toLowerCase()}
        </button>
        <button
          type="button"
          onClick={() => {
            onVariant({ fields: [...variant.fields, noField] });
            onActive(variant.fields.length);
          }}
        >
          Add field to {title.toLowerCase()}
        </button>
        <button
          type="button"
          class="quiet"
          disabled={variant.fields.length === 1}
          onClick={() => {
            onVariant({ fields: variant.fields.slice(0, -1) });
          }}
        >
          Remove the last field
        </button>
      </div>
    </fieldset>
  );
}

interface MatchProps {
  match: MatchDraft;
  within: string;
  prefix: string;
  at: string;
  onMatch: (part: Partial<MatchDraft>) => void;
  onRemove: () => void;
}

const parts: [keyof MatchDraft, string][] = [
  ["offset", "0"],
  ["mask", "f8"],
  ["value", "48"],
];

function MatchInputs({ match, within, prefix, at, onMatch, onRemove }: MatchProps) {
  return (
    <div class="form-row">
      {parts.map(([name, placeholder]) => (
        <TextField
          key={name}
          class="narrow"
          within={within}
          label={`${prefix} ${name}`}
          pointer={`${at}/${name}`}
          mono
          placeholder={placeholder}
          value={match[name]}
          onValue={(value) => {
            onMatch({ [name]: value });
          }}
        />
      ))}
      <button
        type="button"
        class="quiet"
        aria-label={`Remove ${within.toLowerCase()} ${prefix.toLowerCase()}`}
        onClick={onRemove}
      >
        Remove
      </button>
    </div>
  );
}
