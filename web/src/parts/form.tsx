// A form whose fields show what the server found wrong with them.
import { createContext, type ComponentChildren } from "preact";
import { useContext, useEffect, useMemo, useRef } from "preact/hooks";
import type { Problem } from "../api/types.ts";
import { sortFaults } from "../lib/pointer.ts";

/** What is wrong, by the pointer of the field that shows it. */
const Faults = createContext<ReadonlyMap<string, string>>(new Map());

export function useFault(pointer: string | undefined): string {
  return useContext(Faults).get(pointer ?? "") ?? "";
}

interface Props {
  label: string;
  problem: Problem | null;
  /** The pointers of the fields that the form has. */
  fields: readonly string[];
  onSubmit: () => unknown;
  children: ComponentChildren;
  class?: string;
}

export function Form({ label, problem, fields, onSubmit, children, ...rest }: Props) {
  const form = useRef<HTMLFormElement>(null);
  const sorted = useMemo(() => sortFaults(problem?.errors ?? [], fields), [problem, fields]);
  useEffect(() => {
    if (problem !== null) {
      const first = form.current?.querySelector<HTMLElement>("[aria-invalid=true], .notice.bad");
      first?.closest("details")?.setAttribute("open", "");
      first?.focus();
    }
  }, [problem]);
  return (
    <form
      ref={form}
      class={rest.class ?? ""}
      aria-label={label}
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        onSubmit();
      }}
    >
      <FormProblem problem={problem} told={sorted.fields.size} rest={sorted.rest} />
      <Faults.Provider value={sorted.fields}>{children}</Faults.Provider>
    </form>
  );
}

interface Told {
  problem: Problem | null;
  told: number; // how many fields show something
  rest: { pointer?: string; parameter?: string; header?: string; detail: string }[];
}

/** What belongs to no field. */
function FormProblem({ problem, told, rest }: Told) {
  if (problem === null) {
    return null;
  }
  return (
    <div class="notice bad" role="alert" data-testid="problem" tabIndex={-1}>
      <p>
        {problem.title}
        {problem.detail !== undefined && `: ${problem.detail}`}
        {told > 0 && ` (${String(told)} ${told === 1 ? "field is" : "fields are"} marked)`}
      </p>
      {rest.length > 0 && (
        <ul>
          {rest.map((fault) => {
            const where = fault.pointer ?? fault.parameter ?? fault.header ?? "";
            return (
              <li key={where + fault.detail}>
                {where !== "" && <code>{where}</code>} {fault.detail}
              </li>
            );
          })}
        </ul>
      )}
    </div>
  );
}
