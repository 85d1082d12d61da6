/** Types of an operation's parameters, body and reply, taken from the generated types. */
import type { components, paths } from "./api-types.ts";

/** The schemas of the API by name, such as `Schemas["NotificationIn"]`. */
export type Schemas = components["schemas"];

export type Method = "get" | "post" | "put" | "patch" | "delete";

/** The paths that have an operation of this method. */
export type PathOf<M extends Method> = {
  [P in keyof paths]: paths[P][M] extends { responses: unknown } ? P : never;
}[keyof paths];

type Operation<M extends Method, P extends keyof paths> = NonNullable<paths[P][M]>;
type Parameters<O> = O extends { parameters: infer P } ? Pick<P, Extract<keyof P, "path" | "query">> : unknown;
type HeaderOf<O> = O extends { parameters: { header?: infer H } } ? NonNullable<H> : never;
type IdempotencyKey<O> = [HeaderOf<O>] extends [never] ? unknown : { idempotencyKey?: string };
type BodyOf<C> = C extends { "application/json": infer J } ? J : Blob;
type Body<O> = O extends { requestBody: { content: infer C } }
  ? { body: BodyOf<C> }
  : O extends { requestBody?: infer B }
    ? [NonNullable<B>] extends [never]
      ? unknown
      : NonNullable<B> extends { content: infer C }
        ? { body?: BodyOf<C> }
        : unknown
    : unknown;

/** What a call of this operation takes. */
export type CallOptions<M extends Method, P extends keyof paths> = Parameters<Operation<M, P>> &
  Body<Operation<M, P>> &
  IdempotencyKey<Operation<M, P>> & { signal?: AbortSignal };

/** The options, which may be left out if none of them is required. */
export type OptionsArgument<T> = object extends T ? [options?: T] : [options: T];

type Success<O> = O extends { responses: infer R } ? R[keyof R & (200 | 201 | 202 | 204)] : never;
type JsonOf<R> = R extends { content: { "application/json": infer J } } ? J : undefined;

/** The JSON of a successful reply; `undefined` if it has none. */
export type Reply<M extends Method, P extends keyof paths> = JsonOf<Success<Operation<M, P>>>;

type ItemsOf<R> = R extends { next: unknown } ? Extract<R[keyof R], readonly unknown[]>[number] : never;

/** The paths of lists that have pages. */
export type ListPath = {
  [P in PathOf<"get">]: Reply<"get", P> extends { next: unknown } ? P : never;
}[PathOf<"get">];

/** An entry of a list. */
export type Item<P extends ListPath> = ItemsOf<Reply<"get", P>>;
