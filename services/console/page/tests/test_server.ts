/** A server for tests: the built page under a strict policy, and the frames of `test_data.ts` in place of a system. */

import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { DEAD_LETTERS, OFFERS, hopsOf, presetPayments, previewsOf } from "./record_data.ts";
import { TestCases } from "./case_data.ts";
import { TestFaults } from "./fault_data.ts";
import { TestModels } from "./model_data.ts";
import { BOX_DETAILS, TestSystem, decisionDetails } from "./test_data.ts";

const PAGE = readFileSync(new URL("../dist/index.html", import.meta.url), "utf8");
const TOUR_FILE = new URL("../dist/tour.json", import.meta.url);
export const TOUR = existsSync(TOUR_FILE) ? readFileSync(TOUR_FILE) : null;
export const TOKEN = "token-of-the-test";

/** The policy under which the page has to work: only what is in it may run, and it may call only its own server. */
export const POLICY = policyOf("'self'");

export function policyOf(connects: string): string {
  return [
  "default-src 'none'",
  `script-src ${hashesOf(/<script[^>]*>([\s\S]*?)<\/script>/g)}`,
  `style-src ${hashesOf(/<style[^>]*>([\s\S]*?)<\/style>/g)}`,
  "img-src data:",
  `connect-src ${connects}`,
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");
}

function hashesOf(pattern: RegExp): string {
  return [...PAGE.matchAll(pattern)]
    .map(([, text]) => `'sha256-${createHash("sha256").update(text!).digest("base64")}'`)
    .join(" ");
}

export class TestServer {
  readonly system = new TestSystem(Date.now());
  readonly faults = new TestFaults();
  readonly models = new TestModels();
  readonly cases = new TestCases();
  readonly actions: string[] = [];
  /** What actions carried, in their order. */
  readonly bodies: unknown[] = [];
  private readonly server: Server;
  private readonly pages = new Set<ServerResponse>();
  private timer: NodeJS.Timeout | undefined;

  private constructor() {
    this.server = createServer((request, response) => this.answer(request, response));
  }

  static async start(): Promise<TestServer> {
    const server = new TestServer();
    await new Promise<void>((resolve) => server.server.listen(0, "127.0.0.1", resolve));
    server.flow();
    return server;
  }

  get address(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** Number of pages that follow the frames. */
  get followers(): number {
    return this.pages.size;
  }

  /** Send frames four times a second. */
  flow(): void {
    this.timer ??= setInterval(() => {
      const text = this.system
        .step()
        .map((frame) => `data: ${JSON.stringify(frame)}\n\n`)
        .join("");
      for (const page of this.pages) page.write(text);
    }, 250);
  }

  /** Cut all connections and send nothing any more, as if the console had been killed. */
  cut(): void {
    clearInterval(this.timer);
    this.timer = undefined;
    for (const page of this.pages) page.destroy();
    this.pages.clear();
  }

  async stop(): Promise<void> {
    this.cut();
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private answer(request: IncomingMessage, response: ServerResponse): void {
    const path = request.url ?? "";
    const decision = /^\/api\/decisions\/(\d+)\/(\d+)$/.exec(path);
    if (path === "/") {
      response
        .writeHead(200, { "Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": POLICY })
        .end(PAGE);
    } else if (path === "/api/live" && this.timer) {
      response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
      for (const frame of this.system.past()) response.write(`data: ${JSON.stringify(frame)}\n\n`);
      this.pages.add(response);
      request.on("close", () => this.pages.delete(response));
    } else if (request.method === "POST") {
      this.act(request, response);
    } else if (decision) {
      json(response, 200, decisionDetails(Number(decision[1]), Number(decision[2])));
    } else if (path.startsWith("/api/cases")) {
      this.answerCases(request, response);
    } else if (path === "/api/send") {
      json(response, 200, OFFERS);
    } else if (path.startsWith("/api/presets/")) {
      json(response, 200, presetPayments(new URL(path, this.address)));
    } else if (path === "/api/dead-letters") {
      json(response, 200, DEAD_LETTERS);
    } else if (path === "/api/tour" && TOUR) {
      response.writeHead(200, { "Content-Type": "application/json" }).end(TOUR);
    } else if (path === "/api/models") {
      json(response, 200, this.models.list());
    } else if (path === "/api/faults") {
      json(response, 200, this.faults.list());
    } else if (path.startsWith("/api/boxes/")) {
      json(response, 200, BOX_DETAILS);
    } else {
      json(response, 503, { error: "The test server has nothing at this address." });
    }
  }

  private answerCases(request: IncomingMessage, response: ServerResponse): void {
    if (request.headers["x-cardwatch-token"] !== TOKEN)
      return json(response, 401, { error: "The token is missing or wrong." });
    const address = new URL(request.url!, this.address);
    const position = /^\/api\/cases\/(\d+\/\d+)$/.exec(address.pathname);
    if (!position) return json(response, 200, this.cases.page(address.searchParams));
    const found = this.cases.find(position[1]!);
    json(response, found ? 200 : 404, found ?? { error: "there is no case at this position" });
  }

  private actOnCase(request: IncomingMessage, body: unknown, response: ServerResponse): void {
    const [, position, action] = /^\/api\/cases\/(\d+\/\d+)\/(\w+)$/.exec(request.url!)!;
    const by = decodeURIComponent(String(request.headers["x-cardwatch-investigator"] ?? "console"));
    const answer = this.cases.act(position!, action!, body, by, String(request.headers["if-match"]));
    json(response, "error" in answer ? 412 : 200, answer);
  }

  private act(request: IncomingMessage, response: ServerResponse): void {
    if (request.headers["x-cardwatch-token"] !== TOKEN)
      return json(response, 403, { error: "The token is missing or wrong." });
    if (request.url!.startsWith("/api/faults/")) this.faults.set(request.url!);
    this.actions.push(request.url!.replace("/api/processes/", ""));
    let body = "";
    request.on("data", (part: Buffer) => (body += part.toString()));
    request.on("end", () => {
      if (!request.url!.startsWith("/api/cases/")) return this.answerAction(request.url!, body, response);
      this.bodies.push(JSON.parse(body));
      this.actOnCase(request, JSON.parse(body), response);
    });
  }

  private answerAction(path: string, body: string, response: ServerResponse): void {
    if (body) this.bodies.push(JSON.parse(body));
    const payments = path === "/api/previews" || path === "/api/transactions" ? JSON.parse(body) : [];
    if (payments[0]?.country === "Germany") {
      json(response, 422, { error: "$[0].country: Expected `str` matching regex '^[A-Z]{2}$'" });
    } else if (path === "/api/previews") {
      json(response, 200, previewsOf(payments));
    } else if (path === "/api/transactions") {
      response.writeHead(200, { "Content-Type": "application/x-ndjson" });
      for (const hop of hopsOf(payments)) response.write(`${JSON.stringify(hop)}\n`);
      response.end();
    } else if (path === "/api/models/moves" && this.models.refusal) {
      json(response, 409, { error: this.models.refusal });
    } else if (path === "/api/models/moves") {
      json(response, 200, { lines: this.models.move(JSON.parse(body)) });
    } else if (path === "/api/labels") {
      json(response, 200, { observed_at: "2025-03-08T14:02:11Z" });
    } else if (path === "/api/dead-letters/1/40") {
      json(response, 409, { error: "the record at transactions[1] 40 was not sent: cut" });
    } else {
      response.writeHead(204).end();
    }
  }
}

function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(body));
}
