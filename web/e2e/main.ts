// Runs everything against a daemon of its own, and prints it as TAP. Arguments: a
// directory for its files; then, to choose, parts of the steps' names.
import { Report } from "../test/report.js";
import { tellsWhatIsWrong } from "./alarms.js";
import { hasNoViolation, isUsableByKeyboard } from "./accessibility.js";
import { tellsTheSecond } from "./conflict.js";
import { choosesByKeyboard, createsByDragging, tellsErrorsAtTheirFields } from "./create.js";
import { showsTheDescription } from "./docs.js";
import { addsAndRemoves, drainsToZero, previews, undoes } from "./drain.js";
import { explainsAPacket, explainsTheRuleset, listsEvents } from "./explain.js";
import { doesNotGrow } from "./heap.js";
import * as hostile from "./hostile.js";
import { offersNoChange } from "./readonly.js";
import { recovers } from "./restart.js";
import { deletesAService } from "./remove.js";
import { showsManyServices, showsManySessions } from "./scale.js";
import { showsRates, showsRoaming, showsRoams, showsSessions } from "./sessions.js";
import { keepsNoToken, signsIn, signsOut } from "./signin.js";
import { isFast, isLight } from "./weight.js";
import { World } from "./world.js";

type Step = readonly [name: string, run: (world: World) => Promise<void>];

/** Those that the others need, which therefore run always. */
const first: readonly Step[] = [
  ["sign in, after a wrong token", signsIn],
  ["create a service by dragging over bytes", createsByDragging],
];

const steps: readonly Step[] = [
  ["the token is kept where no script reads it", keepsNoToken],
  ["sign out", signsOut],
  ["choose the key by keyboard", choosesByKeyboard],
  ["wrong input shows its error at its field", tellsErrorsAtTheirFields],
  ["sessions appear with their packets", showsSessions],
  ["the overview shows rates", showsRates],
  ["a session's timeline grows as it roams", showsRoams],
  ["the roaming picture follows", showsRoaming],
  ["explain a packet", explainsAPacket],
  ["the ruleset explains itself", explainsTheRuleset],
  ["events by kind and service", listsEvents],
  ["drain a backend to zero", drainsToZero],
  ["undo", undoes],
  ["a backend comes, moves and goes", addsAndRemoves],
  ["a change shows its preview first", previews],
  ["delete a service", deletesAService],
  ["what is wrong stands above every page", tellsWhatIsWrong],
  ["two change a service, and the second is told", tellsTheSecond],
  ["a read-only token changes nothing", offersNoChange],
  ["the daemon restarts, and the page recovers", recovers],
  ["hostile keys and payloads", hostile.showsKeysAsBytes],
  ["hostile addresses of pages", hostile.showsAddressesAsText],
  ["a hostile API", hostile.showsAnswersAsText],
  ["hostile problems", hostile.showsProblemsAsText],
  ["a hostile sign-in", hostile.showsSignInAsText],
  ["/docs works under its policy", showsTheDescription],
  ["the keyboard is enough", isUsableByKeyboard],
  ["axe-core finds nothing serious", hasNoViolation],
  ["the first view is light", isLight],
  ["the first view is fast", isFast],
  ["a page that stays open does not grow", doesNotGrow],
  ["a thousand services", showsManyServices],
  ["many sessions", showsManySessions],
];

async function main([dir, ...chosen]: string[]): Promise<number> {
  const program = process.env["ROAMLB_BIN"];
  if (program === undefined || dir === undefined) {
    console.error("usage: ROAMLB_BIN=PROGRAM node main.js DIRECTORY [PART-OF-A-STEP'S-NAME...]");
    return 2;
  }
  const world = await World.create(program, dir);
  console.log("TAP version 13");
  const report = new Report(true);
  try {
    const wanted = steps.filter(
      ([name]) => chosen.length === 0 || chosen.some((part) => name.includes(part)),
    );
    for (const [name, run] of [...first, ...wanted]) {
      await report.step(name, async () => {
        await run(world);
        world.watch.clean();
      });
    }
  } finally {
    await world.close();
  }
  const code = report.end();
  if (code !== 0) {
    console.log(world.daemon.told().trimEnd().replace(/^/gm, "# "));
  }
  return code;
}

process.exitCode = await main(process.argv.slice(2));
