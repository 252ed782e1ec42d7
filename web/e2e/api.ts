// The API as a program uses it, to prepare what a page is to show and to see
// what a page has done.
import { Failed } from "../test/report.js";
import { origin } from "./daemon.js";

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

export class Api {
  constructor(
    private readonly token: string,
    private readonly at = origin,
  ) {}

  /** Asks; an answer that is no success is an error. If-Match is "any". */
  async ask<T>(method: string, path: string, body?: Json): Promise<T> {
    const answer = await this.raw(method, path, body);
    const text = await answer.text();
    if (!answer.ok) {
      throw new Failed(`${method} ${path}: ${String(answer.status)} ${text}`);
    }
    return (text === "" ? undefined : JSON.parse(text)) as T;
  }

  raw(method: string, path: string, body?: Json): Promise<Response> {
    const headers: Record<string, string> = { Authorization: `Bearer ${this.token}` };
    if (method !== "GET" && method !== "POST") {
      headers["If-Match"] = "*";
    }
    if (body !== undefined) {
      headers["Content-Type"] = "application/json";
    }
    const sent = body === undefined ? null : JSON.stringify(body);
    return fetch(`${this.at}/v1${path}`, { method, headers, body: sent });
  }
}
