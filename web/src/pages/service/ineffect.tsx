// What is in effect, where that depends on the kernel, and why.
import type { ComponentChildren } from "preact";
import type { Effective } from "../../api/types.ts";

const pinned = {
  session: "The key decides, in each packet.",
  flow: "The 5-tuple decides: a flow goes where its first packet went.",
};

const decided = {
  queue: "The daemon decides first packets; all others stay in the kernel.",
  kernel: "nftables decides first packets too, and tells the daemon.",
};

export function InEffect({ effective }: { effective: Effective }) {
  const { pinning, reason, datapath, datapath_reason: why } = effective;
  return (
    <section class="card">
      <h2>In effect</h2>
      <dl class="in-effect">
        <Line what="pinning" title="Pinning" value={pinning} reason={reason}>
          {pinned[pinning]}
        </Line>
        {datapath !== undefined && (
          <Line what="datapath" title="Data path" value={datapath} reason={why ?? ""}>
            {decided[datapath]}
          </Line>
        )}
      </dl>
    </section>
  );
}

interface LineProps {
  what: string;
  title: string;
  value: string;
  reason: string;
  children: ComponentChildren;
}

function Line({ what, title, value, reason, children }: LineProps) {
  return (
    <div data-testid="effective" data-what={what}>
      <dt>{title}</dt>
      <dd>
        <p>
          <span class="badge accent">{value}</span> {children}
        </p>
        {reason !== "" && <p class="help">Why: {reason}.</p>}
      </dd>
    </div>
  );
}
