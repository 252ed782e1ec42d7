// One service.
import { useState } from "preact/hooks";
import { api, ask } from "../../api/client.ts";
import type { Problem, Service } from "../../api/types.ts";
import { plural } from "../../lib/format.ts";
import { href } from "../../lib/route.ts";
import { go } from "../../live/location.ts";
import { useResource } from "../../live/resource.ts";
import { WriteButton, WriteLink } from "../../parts/button.tsx";
import { Dialog } from "../../parts/dialog.tsx";
import { Heading } from "../../parts/heading.tsx";
import { KeyDrawing } from "../../parts/keydrawing.tsx";
import { Shares } from "../../parts/shares.tsx";
import { Loading, ProblemNote } from "../../parts/states.tsx";
import { InEffect } from "./ineffect.tsx";
import { Members } from "./members.tsx";

export function ServicePage({ name }: { name: string }) {
  const path = { service: name };
  const service = useResource(`service ${name}`, (signal) =>
    ask(api.GET("/v1/services/{service}", { params: { path }, signal })),
  );
  const ring = useResource(`ring ${name}`, (signal) =>
    ask(api.GET("/v1/services/{service}/ring", { params: { path }, signal })),
  );
  const [deleting, setDeleting] = useState(false);
  return (
    <>
      <Heading title={`Service ${name}`} above={[["Services", href(["services"])]]}>
        <WriteLink class="primary" to={href(["services", name, "edit"])}>
          Change
        </WriteLink>
        <a class="button" href={href(["services", name, "backends"])}>
          Backends
        </a>
        <a class="button" href={href(["sessions"], { service: name })}>
          Sessions
        </a>
        <a class="button" href={href(["roaming"], { service: name })}>
          Roaming
        </a>
        <a class="button" href={href(["events"], { service: name })}>
          Events
        </a>
        <WriteButton
          class="danger"
          disabled={service.data === null}
          onClick={() => {
            setDeleting(true);
          }}
        >
          Delete
        </WriteButton>
      </Heading>
      <ProblemNote problem={service.problem} />
      {service.data === null ? (
        service.loading && <Loading />
      ) : (
        <div class="columns">
          <div>
            <section class="card">
              <h2>Key</h2>
              <KeyDrawing value={service.data.key} />
            </section>
            <InEffect effective={service.data.effective} />
            <section class="card">
              <h2>Ring shares</h2>
              {ring.data === null ? <Loading /> : <Shares rings={ring.data.items} />}
            </section>
          </div>
          <Members service={service.data} />
        </div>
      )}
      {deleting && service.data !== null && (
        <DeleteDialog
          service={service.data}
          etag={service.etag}
          onClose={() => {
            setDeleting(false);
          }}
        />
      )}
    </>
  );
}

interface DeleteProps {
  service: Service;
  etag: string;
  onClose: () => void;
}

function DeleteDialog({ service, etag, onClose }: DeleteProps) {
  const [problem, setProblem] = useState<Problem | null>(null);
  const path = { service: service.name };
  const live = useResource(`deleting ${service.name}`, (signal) =>
    ask(
      api.POST("/v1/services/{service}/ring/preview", {
        params: { path },
        body: { name: service.name, listen: service.listen, key: service.key, backends: [] },
        signal,
      }),
    ),
  );
  const remove = async () => {
    const answer = await ask(
      api.DELETE("/v1/services/{service}", {
        params: { path, header: { "If-Match": etag } },
      }),
    );
    if (answer.ok) {
      go(href(["services"]));
    } else {
      setProblem(answer.problem);
    }
  };
  return (
    <Dialog
      title={`Delete service ${service.name}?`}
      onClose={onClose}
      actions={
        <WriteButton class="danger" onClick={remove}>
          Delete service
        </WriteButton>
      }
    >
      <ProblemNote problem={problem} />
      <p>
        Packets to its {plural(service.listen.length, "listener")} are no longer balanced. Its{" "}
        <strong>
          {live.data === null ? "sessions" : plural(live.data.sessions.total, "live session")}
        </strong>{" "}
        and the conntrack entries of their flows are deleted. This cannot be undone.
      </p>
    </Dialog>
  );
}
