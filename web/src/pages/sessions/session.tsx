// One session: where it is, and its life so far.
import { useEffect, useState } from "preact/hooks";
import { api, ask } from "../../api/client.ts";
import type { Problem } from "../../api/types.ts";
import { ago, time } from "../../lib/format.ts";
import { shortKey } from "../../lib/hex.ts";
import { href } from "../../lib/route.ts";
import { connection } from "../../live/connection.ts";
import { useResource } from "../../live/resource.ts";
import { useStore } from "../../live/store.ts";
import { WriteButton } from "../../parts/button.tsx";
import { Dialog } from "../../parts/dialog.tsx";
import { Fact, Facts } from "../../parts/facts.tsx";
import { Heading } from "../../parts/heading.tsx";
import { Empty, Loading, ProblemNote } from "../../parts/states.tsx";
import { Place } from "./place.tsx";
import { StateBadges } from "./table.tsx";
import { Timeline } from "./timeline.tsx";
import { useLife } from "./life.ts";

interface Props {
  service: string;
  name: string; // its key in hex, or a hash
}

/** Counts the moments at which live state is looked at again. */
function useTicks(every: number): number {
  const [ticks, setTicks] = useState(0);
  const state = useStore(connection);
  useEffect(() => {
    const timer = setInterval(() => {
      if (state === "live" && !document.hidden) {
        setTicks((n) => n + 1);
      }
    }, every);
    return () => {
      clearInterval(timer);
    };
  }, [state, every]);
  return ticks;
}

export function SessionPage({ service, name }: Props) {
  const path = { service, key: name };
  const [problem, setProblem] = useState<Problem | null>(null);
  const [forgetting, setForgetting] = useState(false);
  const session = useResource(`session ${service} ${name}`, (signal) =>
    ask(api.GET("/v1/services/{service}/sessions/{key}", { params: { path }, signal })),
  );
  const life = useLife(service, name);
  // For a hash the daemon looks at all sessions.
  const ticks = useTicks(name.startsWith("h:") ? 5_000 : 1_000);
  useEffect(() => {
    if (ticks > 0) {
      session.reload();
    }
  }, [ticks]);

  const forget = async () => {
    const answer = await ask(
      api.DELETE("/v1/services/{service}/sessions/{key}", { params: { path } }),
    );
    setForgetting(false);
    setProblem(answer.ok ? null : answer.problem);
    session.reload();
  };
  const gone = session.problem?.status === 404;
  const now = gone ? null : session.data;
  return (
    <>
      <Heading
        title={`Session ${shortKey(name)}`}
        above={[
          ["Sessions", href(["sessions"], { service })],
          [service, href(["services", service])],
        ]}
      >
        <WriteButton
          class="danger"
          disabled={now === null}
          onClick={() => {
            setForgetting(true);
          }}
        >
          Forget
        </WriteButton>
      </Heading>
      {shortKey(name) !== name && <p class="mono whole-key">{name}</p>}
      <ProblemNote problem={problem} />
      {!gone && session.data === null && <ProblemNote problem={session.problem} />}
      {gone && (
        <Empty title="This session does not live now">
          <p>
            It ended, or was forgotten; with its next packet it begins anew. What is still in the
            event log is below.
          </p>
        </Empty>
      )}
      {now === null ? (
        session.loading && !gone && <Loading />
      ) : (
        <>
          <Facts label="Session now">
            <Fact
              name="Backend"
              value={<strong data-testid="session-backend">{now.backend ?? "none"}</strong>}
            />
            {now.backend6 !== undefined && <Fact name="Backend IPv6" value={now.backend6} />}
            <Fact name="Client" value={<span class="mono">{now.client ?? "not known"}</span>} />
            <Fact name="Listener" value={<span class="mono">{now.listener ?? "not known"}</span>} />
            <Fact name="State" value={<StateBadges session={now} />} />
            <Fact
              name="First seen"
              value={now.first_seen === undefined ? "not known" : time(now.first_seen)}
            />
            <Fact name="Last decided" value={ago(now.last_seen, Date.now())} />
          </Facts>
          <Place service={service} name={name} session={now} onPlaced={session.reload} />
        </>
      )}
      <Timeline session={now} events={life.events} missing={life.missing} />
      {forgetting && (
        <Dialog
          title="Forget this session?"
          onClose={() => {
            setForgetting(false);
          }}
          actions={
            <WriteButton class="danger" onClick={forget}>
              Forget session
            </WriteButton>
          }
        >
          <p>
            Its next packet is decided anew, by the ring, and the conntrack entry of its flow is
            deleted.
          </p>
        </Dialog>
      )}
    </>
  );
}
