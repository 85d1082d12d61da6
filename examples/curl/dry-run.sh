#!/bin/sh
# dry-run.sh NAME: the mail as it would leave, or every fault of the request. Nothing is written, nothing is sent.
set -eu
: "${NOTIFIER_URL:?where Notifier is}" "${NOTIFIER_API_KEY:?an API key}"
ask() { curl -sS --fail-with-body -w '\n' -H "Authorization: Bearer $NOTIFIER_API_KEY" -H 'Content-Type: application/json' "$@"; }

ask "$NOTIFIER_URL/v1/notifications?dry_run=true" -d '{
  "to": "ada@example.com",
  "template": "welcome",
  "variables": {"name": "'"$1"'", "product": "Larkspur"}
}'
