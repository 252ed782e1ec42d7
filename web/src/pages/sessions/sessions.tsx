// The live sessions of a service, searched.
import { useState } from "preact/hooks";
import { api, ask, type Answer } from "../../api/client.ts";
import type { Session } from "../../api/types.ts";
import { href } from "../../lib/route.ts";
import { parseSearch } from "../../lib/search.ts";
import { go } from "../../live/location.ts";
import { useNames } from "../../live/names.ts";
import { Heading } from "../../parts/heading.tsx";
import { Empty } from "../../parts/states.tsx";
import { SearchForm } from "./search.tsx";
import { SessionTable } from "./table.tsx";
import { usePages } from "./pages.ts";

export interface Asked {
  service: string;
  text: string;
  backend: string;
}

export function Sessions({ query }: { query: Map<string, string> }) {
  const names = useNames();
  const service = query.get("service") ?? names[0]?.service ?? "";
  const text = query.get("key") ?? query.get("client") ?? "";
  const asked: Asked = { service, text, backend: query.get("backend") ?? "" };
  return (
    <>
      <Heading
        title="Sessions"
        lead="Found by the beginning of their key, by a hash, by the client they speak from, or by backend."
      />
      <SearchForm
        key={JSON.stringify(asked)}
        asked={asked}
        names={names}
        onSearch={(next) => {
          const search = parseSearch(next.text);
          const client = search.ok && search.query.client !== undefined;
          go(
            href(["sessions"], {
              service: next.service,
              [client ? "client" : "key"]: next.text.trim(),
              backend: next.backend,
            }),
          );
        }}
      />
      {service === "" ? (
        <Empty title="There is no service, so there are no sessions" />
      ) : (
        <Found key={JSON.stringify(asked)} asked={asked} />
      )}
    </>
  );
}

/** A cursor of our own: the list from its beginning, after the session itself. */
const behind = "behind";

function wanted(asked: Asked, one: Answer<Session>): Session[] {
  const on = one.ok && (asked.backend === "" || one.data.backend === asked.backend);
  return on ? [one.data] : [];
}

function Found({ asked }: { asked: Asked }) {
  const search = parseSearch(asked.text);
  const [limit] = useState(50);
  const path = { service: asked.service };
  const list = (cursor: string, most: number, signal: AbortSignal) => {
    const query = {
      limit: most,
      ...(search.ok ? search.query : {}),
      ...(asked.backend === "" ? {} : { backend: asked.backend }),
      ...(cursor === "" ? {} : { cursor }),
    };
    return ask(api.GET("/v1/services/{service}/sessions", { params: { path, query }, signal }));
  };
  const key = search.ok ? search.query.key_prefix : undefined;
  const pages = usePages<Session>(limit, async (cursor, most, signal) => {
    if (key === undefined) {
      return list(cursor, most, signal);
    }
    // A key that is whole is there at once; whose beginning it is comes behind it.
    if (cursor === "") {
      const params = { path: { ...path, key } };
      const one = ask(api.GET("/v1/services/{service}/sessions/{key}", { params, signal }));
      return { ok: true, data: { items: wanted(asked, await one), next: behind }, etag: "" };
    }
    const answer = await list(cursor === behind ? "" : cursor, most, signal);
    return answer.ok
      ? {
          ...answer,
          data: { ...answer.data, items: answer.data.items.filter((s) => s.key !== key) },
        }
      : answer;
  });
  return <SessionTable service={asked.service} pages={pages} />;
}
