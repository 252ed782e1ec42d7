// Shows what a change would move, asks, and makes it. Where somebody else was
// first, it tells what they changed.
import { useEffect, useState } from "preact/hooks";
import { api, ask, type Answer } from "../api/client.ts";
import type { Preview, Problem, Service, ServiceInput } from "../api/types.ts";
import { Dialog } from "./dialog.tsx";
import { Differences } from "./differences.tsx";
import { PreviewView } from "./preview.tsx";
import { Loading } from "./states.tsx";
import { WriteButton } from "./button.tsx";

interface Props {
  title: string;
  service: string;
  /** The service as it would be. */
  next: Record<string, unknown>;
  /** The service as it was when the change was begun. */
  base: Service;
  apply: () => Promise<Answer<unknown>>;
  onDone: (answer: Answer<unknown>) => void;
  onClose: () => void;
  /** The server does not take it. */
  onProblem: (problem: Problem) => void;
  /** Somebody else has changed it: this is it now. keep is to put ours on top. */
  onConflict?: (now: Service, etag: string, keep: boolean) => void;
}

type State =
  | { at: "previewing" }
  | { at: "asking"; preview: Preview }
  | { at: "applying"; preview: Preview }
  | { at: "conflict"; now: Service; etag: string };

export function ChangeDialog(props: Props) {
  const { title, service, next, base, apply, onDone, onClose, onProblem, onConflict } = props;
  const [state, setState] = useState<State>({ at: "previewing" });

  useEffect(() => {
    const end = new AbortController();
    const body = next as ServiceInput; // what is wrong in it the server tells
    const path = { service };
    const call = api.POST("/v1/services/{service}/ring/preview", {
      params: { path },
      body,
      signal: end.signal,
    });
    void ask(call).then((answer) => {
      if (end.signal.aborted) {
        return;
      }
      if (answer.ok) {
        setState({ at: "asking", preview: answer.data });
      } else {
        onProblem(answer.problem);
      }
    });
    return () => {
      end.abort();
    };
  }, [service, next]);

  const change = async (preview: Preview) => {
    setState({ at: "applying", preview });
    const answer = await apply();
    if (answer.ok || answer.problem.status !== 412 || onConflict === undefined) {
      (answer.ok ? onDone : refuse)(answer);
      return;
    }
    const now = await ask(api.GET("/v1/services/{service}", { params: { path: { service } } }));
    if (now.ok) {
      setState({ at: "conflict", now: now.data, etag: now.etag });
    } else {
      onProblem(now.problem);
    }
  };
  const refuse = (answer: Answer<unknown>) => {
    if (!answer.ok) {
      onProblem(answer.problem);
    }
  };

  if (state.at === "conflict") {
    return (
      <Conflict
        base={base}
        now={state.now}
        onClose={onClose}
        onChoice={(keep) => {
          onConflict?.(state.now, state.etag, keep);
        }}
      />
    );
  }
  return (
    <Dialog
      title={title}
      onClose={onClose}
      actions={
        state.at !== "previewing" && (
          <WriteButton
            class="primary"
            disabled={state.at === "applying"}
            onClick={() => change(state.preview)}
          >
            Apply change
          </WriteButton>
        )
      }
    >
      {state.at === "previewing" ? <Loading /> : <PreviewView preview={state.preview} />}
    </Dialog>
  );
}

interface ConflictProps {
  base: Service;
  now: Service;
  onClose: () => void;
  onChoice: (keep: boolean) => void;
}

function Conflict({ base, now, onClose, onChoice }: ConflictProps) {
  return (
    <Dialog
      title={`Somebody else has changed ${base.name}`}
      onClose={onClose}
      actions={
        <>
          <button
            type="button"
            onClick={() => {
              onChoice(true);
            }}
          >
            Keep my changes
          </button>
          <button
            type="button"
            class="primary"
            onClick={() => {
              onChoice(false);
            }}
          >
            Reload
          </button>
        </>
      }
    >
      <div data-testid="conflict">
        <p>Your change was not made. Since you began, this has become different:</p>
        <Differences before={{ ...base }} after={{ ...now }} />
        <p class="help">
          Reload shows the service as it is now, without your changes. Keep my changes puts them on
          top of it, and shows the preview again.
        </p>
      </div>
    </Dialog>
  );
}
