// What must not be missed, on top of every page.
import { alarms } from "../live/watch.ts";
import { useStore } from "../live/store.ts";
import { href } from "../lib/route.ts";

const shown = 6;

export function AlarmList() {
  const now = useStore(alarms);
  return (
    <section class="alarms" aria-label="Alarms" aria-live="assertive" data-testid="alarms">
      {now.map((alarm) => (
        <div
          class={`alarm ${alarm.bad ? "bad" : "warn"}`}
          key={alarm.name}
          data-testid="alarm"
          data-alarm={alarm.name}
        >
          <p class="alarm-title">{alarm.title}</p>
          <p>
            {alarm.text}
            {alarm.services.slice(0, shown).map((name) => (
              <>
                {" "}
                <a href={href(["services", name])}>{name}</a>
              </>
            ))}
            {alarm.services.length > shown && ` and ${String(alarm.services.length - shown)} more`}
          </p>
        </div>
      ))}
    </section>
  );
}
