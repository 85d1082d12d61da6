/** An HTTP server on loopback that records requests and replies as told. */
import { createServer } from "node:http";
import type { IncomingHttpHeaders, ServerResponse } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";

export interface ReceivedRequest {
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  body: string;
}

export type Answer = (response: ServerResponse) => void;

export interface ScriptedServer extends AsyncDisposable {
  url: string;
  requests: ReceivedRequest[];
  /** The next request that has not been taken yet. */
  next(): Promise<ReceivedRequest>;
}

/** Start a server that gives these answers in turn, and the last one again and again. */
export async function startServer(...answers: [Answer, ...Answer[]]): Promise<ScriptedServer> {
  const requests: ReceivedRequest[] = [];
  let taken = 0;
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks).toString();
    requests.push({ method: request.method ?? "", path: request.url ?? "", headers: request.headers, body });
    (answers[requests.length - 1] ?? answers.at(-1))?.(response);
    server.emit("taken");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    async next() {
      while (requests.length <= taken) await once(server, "taken");
      return requests[taken++] as ReceivedRequest;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

/** Reply with JSON, or with a problem document from status 400 on. */
export function answer(status: number, body: unknown, headers: Record<string, string> = {}): Answer {
  const type = status < 400 ? "application/json" : "application/problem+json";
  return (response) => response.writeHead(status, { "Content-Type": type, ...headers }).end(JSON.stringify(body));
}

/** Cut the connection instead of replying. */
export const cut: Answer = (response) => response.destroy();
