// Changing a service.
import { useEffect, useState } from "preact/hooks";
import { api, ask } from "../../api/client.ts";
import type { Problem, Service } from "../../api/types.ts";
import { configVersion } from "../../live/connection.ts";
import { useStore } from "../../live/store.ts";
import { go } from "../../live/location.ts";
import { href } from "../../lib/route.ts";
import { mergePatch } from "../../lib/patch.ts";
import { ChangeDialog } from "../../parts/changedialog.tsx";
import { Heading } from "../../parts/heading.tsx";
import { Loading, ProblemNote } from "../../parts/states.tsx";
import { draftOf, serviceOf, type Draft } from "./draft.ts";
import { ServiceForm } from "./form.tsx";

interface Begun {
  service: Service;
  etag: string;
}

/** The service as it was when the page was opened: a change is one of that. */
function useBegun(name: string) {
  const [begun, setBegun] = useState<Begun | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [tries, setTries] = useState(0);
  const version = useStore(configVersion);
  useEffect(() => {
    if (problem !== null && begun === null) {
      setTries(tries + 1); // something has changed: it may be there now
    }
  }, [version]);
  useEffect(() => {
    const end = new AbortController();
    const call = api.GET("/v1/services/{service}", {
      params: { path: { service: name } },
      signal: end.signal,
    });
    void ask(call).then((answer) => {
      if (end.signal.aborted) {
        return;
      }
      if (answer.ok) {
        setBegun({ service: answer.data, etag: answer.etag });
        setProblem(null);
      } else {
        setProblem(answer.problem);
      }
    });
    return () => {
      end.abort();
    };
  }, [name, tries]);
  return { begun, setBegun, problem };
}

export function ChangeService({ name }: { name: string }) {
  const { begun, setBegun, problem } = useBegun(name);
  return (
    <>
      <Heading
        title={`Change ${name}`}
        above={[
          ["Services", href(["services"])],
          [name, href(["services", name])],
        ]}
      />
      <ProblemNote problem={problem} />
      {begun === null ? (
        problem === null && <Loading />
      ) : (
        <Editor key={name} begun={begun} onBegun={setBegun} />
      )}
    </>
  );
}

function Editor({ begun, onBegun }: { begun: Begun; onBegun: (begun: Begun) => void }) {
  const { service, etag } = begun;
  const [draft, setDraft] = useState<Draft>(() => draftOf(service));
  const [problem, setProblem] = useState<Problem | null>(null);
  const [asked, setAsked] = useState<Record<string, unknown> | null>(null);
  const patch = mergePatch(serviceOf(draftOf(service)), serviceOf(draft));
  const nothing = Object.keys(patch).length === 0;

  const preview = (of: Service) => {
    setProblem(null);
    setAsked({ ...serviceOf(draft), backends: of.backends });
  };
  const conflict = (now: Service, tag: string, keep: boolean) => {
    setAsked(null);
    if (keep) {
      // What was not touched becomes as it is now; ours stays on top of it.
      setDraft(rebased(service, now, draft));
    } else {
      setDraft(draftOf(now));
    }
    onBegun({ service: now, etag: tag });
    if (keep) {
      setAgain((n) => n + 1);
    }
  };
  const [again, setAgain] = useState(0);
  useEffect(() => {
    if (again > 0) {
      preview(service);
    }
  }, [again]);

  return (
    <>
      <ServiceForm
        draft={draft}
        onDraft={setDraft}
        problem={problem}
        fresh={false}
        submit="Preview change"
        busy={nothing || asked !== null}
        onSubmit={() => {
          preview(service);
        }}
      />
      {asked !== null && (
        <ChangeDialog
          title={`Change service ${service.name}?`}
          service={service.name}
          next={asked}
          base={service}
          apply={() =>
            ask(
              api.PATCH("/v1/services/{service}", {
                params: { path: { service: service.name }, header: { "If-Match": etag } },
                body: patch,
              }),
            )
          }
          onDone={() => {
            go(href(["services", service.name]));
          }}
          onClose={() => {
            setAsked(null);
          }}
          onProblem={(wrong) => {
            setAsked(null);
            setProblem(wrong);
          }}
          onConflict={conflict}
        />
      )}
    </>
  );
}

/** A draft of now, with the parts of a draft of before that somebody has changed. */
function rebased(before: Service, now: Service, draft: Draft): Draft {
  const [old, fresh] = [draftOf(before), draftOf(now)];
  const result = { ...fresh, plain: { ...fresh.plain } };
  for (const name of Object.keys(draft) as (keyof Draft)[]) {
    if (name !== "plain" && JSON.stringify(draft[name]) !== JSON.stringify(old[name])) {
      Object.assign(result, { [name]: draft[name] });
    }
  }
  for (const name of Object.keys(draft.plain) as (keyof Draft["plain"])[]) {
    if (draft.plain[name] !== old.plain[name]) {
      result.plain[name] = draft.plain[name];
    }
  }
  return result;
}
