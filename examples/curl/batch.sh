#!/bin/sh
# batch.sh KEY: three mails in one request, the good ones accepted; then how far they have come.
set -eu
: "${NOTIFIER_URL:?where Notifier is}" "${NOTIFIER_API_KEY:?an API key}"
ask() { curl -sS --fail-with-body -w '\n' -H "Authorization: Bearer $NOTIFIER_API_KEY" -H 'Content-Type: application/json' "$@"; }

answer=$(ask "$NOTIFIER_URL/v1/notifications/batch" -H "Idempotency-Key: $1" -d '{
  "defaults": {"template": "welcome", "variables": {"product": "Larkspur"}},
  "notifications": [
    {"to": "ada@example.com", "variables": {"name": "Ada"}},
    {"to": "nobody", "variables": {"name": "Nobody"}},
    {"to": "bob@example.com", "variables": {"name": "Bob"}, "locale": "de"}
  ],
  "on_error": "skip_invalid"
}') || { echo "$answer"; exit 22; }
echo "$answer"
batch=$(echo "$answer" | sed 's/.*"batch_id":"\([^"]*\)".*/\1/')
ask "$NOTIFIER_URL/v1/batches/$batch"
