// A service's backends.
import { useState } from "preact/hooks";
import { api, ask, type Answer } from "../../api/client.ts";
import type { Backend, Problem, Service } from "../../api/types.ts";
import { href } from "../../lib/route.ts";
import { touchConfig } from "../../live/connection.ts";
import { useResource } from "../../live/resource.ts";
import { live } from "../../live/stats.ts";
import { useStore } from "../../live/store.ts";
import { ChangeDialog } from "../../parts/changedialog.tsx";
import { Heading } from "../../parts/heading.tsx";
import { Shares } from "../../parts/shares.tsx";
import { Empty, Loading, ProblemNote } from "../../parts/states.tsx";
import { WriteButton } from "../../parts/button.tsx";
import { AddBackend } from "./add.tsx";
import { after, begin, outcome, perform, question, reverse, type Deed } from "./deeds.ts";
import { EditBackend } from "./edit.tsx";
import { BackendTable } from "./table.tsx";

interface Begun {
  deed: Deed;
  service: Service;
  etag: string;
  next: Record<string, unknown>;
}

interface Done {
  text: string;
  undo: Deed | null;
}

export function Backends({ service: name }: { service: string }) {
  const now = useStore(live);
  const service = useResource(`backends ${name}`, (signal) =>
    ask(api.GET("/v1/services/{service}", { params: { path: { service: name } }, signal })),
  );
  const ring = useResource(`ring ${name}`, (signal) =>
    ask(api.GET("/v1/services/{service}/ring", { params: { path: { service: name } }, signal })),
  );
  const [problem, setProblem] = useState<Problem | null>(null);
  const [begun, setBegun] = useState<Begun | null>(null);
  const [done, setDone] = useState<Done | null>(null);
  const [adding, setAdding] = useState(false);
  const [editing, setEditing] = useState<Backend | null>(null);

  const start = async (deed: Deed) => {
    setProblem(null);
    const answer = await begin(name, deed);
    if (answer.ok) {
      setBegun({ deed, ...answer.data, next: after(answer.data.service, deed) });
    } else {
      setProblem(answer.problem);
    }
  };
  const finish = ({ deed, service: before }: Begun) => {
    setBegun(null);
    setAdding(false);
    setEditing(null);
    setDone({ text: outcome(deed), undo: reverse(before, deed) });
    touchConfig();
  };
  const fail = (wrong: Problem) => {
    setBegun(null);
    setProblem(wrong);
  };
  const undo = async (deed: Deed) => {
    const answer: Answer<unknown> = await perform(name, deed, "*");
    setDone(answer.ok ? { text: `Undone. ${outcome(deed)}`, undo: null } : null);
    setProblem(answer.ok ? null : answer.problem);
    touchConfig();
  };
  const stats = now?.stats.services.find((s) => s.name === name);
  const formShown = adding || editing !== null;

  return (
    <>
      <Heading
        title={`Backends of ${name}`}
        above={[
          ["Services", href(["services"])],
          [name, href(["services", name])],
        ]}
      >
        <WriteButton
          class="primary"
          onClick={() => {
            setProblem(null);
            setAdding(true);
          }}
        >
          Add backend
        </WriteButton>
      </Heading>
      {!formShown && <ProblemNote problem={problem ?? service.problem} />}
      {done !== null && (
        <p class="notice good" role="status" data-testid="undo">
          {done.text}{" "}
          {done.undo !== null && (
            <WriteButton onClick={() => (done.undo === null ? undefined : undo(done.undo))}>
              Undo
            </WriteButton>
          )}
        </p>
      )}
      {adding && (
        <AddBackend
          problem={problem}
          onClose={() => {
            setAdding(false);
            setProblem(null);
          }}
          onAdd={(backend) => start({ kind: "add", backend })}
        />
      )}
      {editing !== null && (
        <EditBackend
          key={editing.name}
          backend={editing}
          problem={problem}
          onClose={() => {
            setEditing(null);
            setProblem(null);
          }}
          onEdit={(part) => start({ kind: "edit", name: editing.name, part })}
        />
      )}
      {service.data === null ? (
        service.loading && <Loading />
      ) : service.data.backends.length === 0 ? (
        <Empty title={`${name} has no backends`}>
          <p>Its clients are refused until it has one.</p>
        </Empty>
      ) : (
        <>
          <BackendTable
            service={service.data}
            stats={stats}
            onDeed={start}
            onEdit={(backend) => {
              setProblem(null);
              setEditing(backend);
            }}
          />
          {ring.data !== null && (
            <section class="card">
              <h2>Ring shares</h2>
              <Shares rings={ring.data.items} />
            </section>
          )}
        </>
      )}
      {begun !== null && (
        <ChangeDialog
          title={question(begun.deed)}
          service={name}
          next={begun.next}
          base={begun.service}
          apply={() => perform(name, begun.deed, begun.etag)}
          onDone={() => {
            finish(begun);
          }}
          onClose={() => {
            setBegun(null);
          }}
          onProblem={fail}
          onConflict={() => {
            setBegun(null);
            void start(begun.deed);
          }}
        />
      )}
    </>
  );
}
