// Asks the daemon. What goes wrong is a problem document, whatever it is.
import createClient from "openapi-fetch";
import { who } from "./identity.ts";
import type { Paths, Problem } from "./types.ts";

/** A client with the types of the description. Wrap its calls in ask(). */
export const api = createClient<Paths>({ baseUrl: window.location.origin });

export type Answer<T> = { ok: true; data: T; etag: string } | { ok: false; problem: Problem };

interface Call<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** Problems that are not the daemon's. */
export const unreachable = "urn:roamlb:problem:unreachable";

/** Waits for a call's answer. It never throws. */
export async function ask<T>(call: Promise<Call<T>>): Promise<Answer<T>> {
  let answer: Call<T>;
  try {
    answer = await call;
  } catch (error) {
    return { ok: false, problem: noAnswer(error) };
  }
  const { response } = answer;
  if (response.ok) {
    return { ok: true, data: answer.data as T, etag: response.headers.get("ETag") ?? "" };
  }
  if (response.status === 401 && who.value !== "nobody" && !response.url.endsWith("/v1/login")) {
    who.set("nobody");
  }
  return { ok: false, problem: problemOf(answer.error, response) };
}

function noAnswer(error: unknown): Problem {
  return {
    type: unreachable,
    title: "The daemon does not answer",
    status: 599,
    detail: error instanceof Error ? error.message : String(error),
  };
}

function problemOf(body: unknown, response: Response): Problem {
  if (typeof body === "object" && body !== null && "title" in body && "status" in body) {
    return body as Problem;
  }
  return { type: "about:blank", title: response.statusText || "Refused", status: response.status };
}

/** A problem in one line. */
export function problemText(problem: Problem): string {
  return problem.detail === undefined ? problem.title : `${problem.title}: ${problem.detail}`;
}

/** For a POST that must not be done twice. */
export function once(): { "Idempotency-Key": string } {
  return { "Idempotency-Key": crypto.randomUUID() };
}
