// All services.
import { useState } from "preact/hooks";
import { live } from "../live/stats.ts";
import { useStore } from "../live/store.ts";
import { WriteLink } from "../parts/button.tsx";
import { Heading } from "../parts/heading.tsx";
import { SearchField } from "../parts/searchfield.tsx";
import { ServiceTable } from "../parts/services.tsx";
import { Loading } from "../parts/states.tsx";

export function Services() {
  const now = useStore(live);
  const [filter, setFilter] = useState("");
  return (
    <>
      <Heading
        title="Services"
        lead="Listeners that share a key, a ring and backends. What is not well comes first."
      >
        <WriteLink class="primary" to="#/services/new">
          New service
        </WriteLink>
      </Heading>
      <SearchField label="Filter services" value={filter} onValue={setFilter} />
      {now === null ? (
        <Loading />
      ) : (
        <ServiceTable
          services={now.stats.services}
          before={now.before}
          look={now.look}
          filter={filter}
        />
      )}
    </>
  );
}
