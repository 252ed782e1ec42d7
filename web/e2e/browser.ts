// Chromium, and what is watched on every page whatever a test is about.
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { expect } from "../test/report.js";
import { origin } from "./daemon.js";

/** How long a page may take for what is not measured. */
const patience = 20_000;

export async function launch(): Promise<Browser> {
  return chromium.launch({
    executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium",
    headless: true,
    // Whoever runs this is root, or is in a user namespace: Chromium's own
    // sandbox works in neither. It sees no page but ours.
    args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
  });
}

/** What must never happen, and where it did. */
export class Watch {
  private readonly found: string[] = [];

  /** Watches all pages of a browser's profile. */
  async on(context: BrowserContext): Promise<void> {
    context.setDefaultTimeout(patience);
    await context.addInitScript(() => {
      document.addEventListener("securitypolicyviolation", (e) => {
        console.error(`policy: ${e.violatedDirective} ${e.blockedURI} ${e.sample}`);
      });
    });
    context.on("page", (page) => {
      page.on("pageerror", (error) => {
        this.add(page, `an error: ${error.message}`);
      });
      page.on("dialog", (dialog) => {
        this.add(page, `a dialog: ${dialog.message()}`);
        void dialog.dismiss();
      });
      page.on("console", (message) => {
        // That an answer was a refusal is no error of the page's.
        if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) {
          this.add(page, `on the console: ${message.text()}`);
        }
      });
    });
    context.on("request", (request) => {
      const url = request.url();
      if (!url.startsWith(`${origin}/`) && !url.startsWith("data:")) {
        this.found.push(`a request to another host: ${url}`);
      }
    });
  }

  private add(page: Page, what: string): void {
    this.found.push(`${page.url()}: ${what}`);
  }

  /** Fails the step if anything has been found since the last look. */
  clean(): void {
    const found = this.found.splice(0);
    expect(found.length === 0, found.join("\n"));
  }
}

/** Opens the dashboard and signs in. */
export async function signIn(page: Page, token: string, at = origin): Promise<void> {
  await page.goto(`${at}/`);
  await page.getByLabel("API token").fill(token);
  await page.getByRole("button", { name: "Sign in" }).click();
  await heading(page, "Overview");
}

/** Goes to a page of the dashboard by its route, such as #/services, and waits for its heading. */
export async function open(
  page: Page,
  route: string,
  title: string | RegExp,
  at = origin,
): Promise<void> {
  await page.goto(`${at}/${route}`);
  await heading(page, title);
}

/** Waits for the page's heading. */
export async function heading(page: Page, title: string | RegExp): Promise<void> {
  await page.getByRole("heading", { level: 1, name: title }).waitFor();
  await page.locator('html[data-ready="true"]').waitFor();
}

/** Shows the members of the service's form that few need. */
export async function showMore(page: Page): Promise<void> {
  const more = page.locator("details").filter({ hasText: "More members" }).first();
  if ((await more.getAttribute("open")) === null) {
    await more.locator("summary").first().click();
  }
}
