// Fields of forms: a label, what it means, and what is wrong with it.
import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";
import { useFault } from "./form.tsx";

interface Shared {
  label: string;
  /** What the label begins with where the eye sees it around the field. */
  within?: string;
  /** The JSON pointer of the member, by which the server names it. */
  pointer?: string;
  help?: ComponentChildren;
  class?: string;
}

interface Wrap extends Shared {
  id: string;
  children: ComponentChildren;
}

function Wrapped({ id, label, within, help, pointer, children, ...rest }: Wrap) {
  const fault = useFault(pointer);
  return (
    <div class={`field ${rest.class ?? ""}`}>
      <label for={id}>
        {within !== undefined && <span class="visually-hidden">{within} </span>}
        {label}
      </label>
      {children}
      {fault !== "" && (
        <p class="error" id={`${id}-error`} data-testid="error" data-pointer={pointer}>
          {fault}
        </p>
      )}
      {help !== undefined && (
        <p class="help" id={`${id}-help`}>
          {help}
        </p>
      )}
    </div>
  );
}

/** What ties a control to its help and its error. */
function useControl({ pointer, help }: Shared) {
  const id = useId();
  const fault = useFault(pointer);
  const by = [fault !== "" ? `${id}-error` : "", help !== undefined ? `${id}-help` : ""];
  return {
    id,
    "aria-invalid": fault !== "",
    "aria-describedby": by.filter((name) => name !== "").join(" ") || undefined,
  };
}

interface TextProps extends Shared {
  value: string;
  onValue: (value: string) => void;
  type?: "text" | "password" | "number" | "search";
  placeholder?: string;
  autocomplete?: string;
  mono?: boolean;
  lines?: number;
  min?: number;
  onFocus?: () => void;
}

export function TextField(props: TextProps) {
  const control = useControl(props);
  const { value, onValue, type = "text", placeholder, lines, mono, min, onFocus } = props;
  const shared = {
    ...control,
    value,
    spellcheck: false,
    autocomplete: props.autocomplete ?? "off",
    class: mono === true ? "mono" : "",
    onInput: (event: { currentTarget: { value: string } }) => {
      onValue(event.currentTarget.value);
    },
    ...(placeholder === undefined ? {} : { placeholder }),
    ...(onFocus === undefined ? {} : { onFocus }),
  };
  return (
    <Wrapped {...props} id={control.id}>
      {lines === undefined ? (
        <input {...shared} type={type} {...(min === undefined ? {} : { min })} />
      ) : (
        <textarea {...shared} rows={lines} />
      )}
    </Wrapped>
  );
}

export interface Choice {
  value: string;
  label: string;
  disabled?: boolean;
}

interface SelectProps extends Shared {
  value: string;
  onValue: (value: string) => void;
  choices: readonly Choice[];
}

export function SelectField(props: SelectProps) {
  const control = useControl(props);
  return (
    <Wrapped {...props} id={control.id}>
      <select
        {...control}
        value={props.value}
        onChange={(event) => {
          props.onValue(event.currentTarget.value);
        }}
      >
        {props.choices.map((choice) => (
          <option
            key={choice.value}
            value={choice.value}
            disabled={choice.disabled === true}
            selected={choice.value === props.value}
          >
            {choice.label}
          </option>
        ))}
      </select>
    </Wrapped>
  );
}

interface CheckProps {
  label: string;
  checked: boolean;
  onChecked: (checked: boolean) => void;
}

export function CheckField({ label, checked, onChecked }: CheckProps) {
  return (
    <label class="check">
      <input
        type="checkbox"
        checked={checked}
        onChange={(event) => {
          onChecked(event.currentTarget.checked);
        }}
      />
      {label}
    </label>
  );
}
