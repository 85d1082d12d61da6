export { Notifier, VERSION } from "./client.ts";
export type { NotifierOptions, SendOptions, Sent } from "./client.ts";
export {
  ApiError,
  AuthenticationError,
  ConfigurationError,
  ConflictError,
  ConnectionFailedError,
  InvalidRequestError,
  MalformedReplyError,
  NotFoundError,
  NotifierError,
  PermissionDeniedError,
  RateLimitedError,
  ServerError,
  UnsendableError,
  WebhookVerificationError,
} from "./errors.ts";
export type { CallOptions, Item, ListPath, Method, PathOf, Reply, Schemas } from "./operation.ts";
export type { RetryPolicy } from "./retry.ts";
export { WebhookVerifier } from "./webhooks.ts";
export type { WebhookEvent, WebhookHeaders } from "./webhooks.ts";
