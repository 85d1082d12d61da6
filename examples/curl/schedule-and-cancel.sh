#!/bin/sh
# schedule-and-cancel.sh ADDRESS TIME: a mail for later, such as 2026-12-24T08:00:00Z; and then not at all.
set -eu
: "${NOTIFIER_URL:?where Notifier is}" "${NOTIFIER_API_KEY:?an API key}"
ask() { curl -sS --fail-with-body -w '\n' -H "Authorization: Bearer $NOTIFIER_API_KEY" -H 'Content-Type: application/json' "$@"; }

answer=$(ask "$NOTIFIER_URL/v1/notifications" -d '{
  "to": "'"$1"'",
  "template": "welcome",
  "variables": {"name": "Ada", "product": "Larkspur"},
  "send_at": "'"$2"'"
}') || { echo "$answer"; exit 22; }
echo "$answer"
id=$(echo "$answer" | sed 's/.*"id":"\([^"]*\)".*/\1/')
ask "$NOTIFIER_URL/v1/notifications/$id/cancel" -d '{"comment": "changed my mind"}'
