#!/bin/sh
# send.sh ADDRESS KEY: one mail. The same KEY again is the same mail, so run it as often as you like.
set -eu
: "${NOTIFIER_URL:?where Notifier is}" "${NOTIFIER_API_KEY:?an API key}"
ask() { curl -sS --fail-with-body -w '\n' -H "Authorization: Bearer $NOTIFIER_API_KEY" -H 'Content-Type: application/json' "$@"; }

ask "$NOTIFIER_URL/v1/notifications" -H "Idempotency-Key: $2" -d '{
  "to": "'"$1"'",
  "template": "welcome",
  "variables": {"name": "Ada", "product": "Larkspur"}
}'
