#!/bin/sh
# webhook.sh URL: have a URL told about mails, and tell it a test event. Keep the secret: it is shown once.
set -eu
: "${NOTIFIER_URL:?where Notifier is}" "${NOTIFIER_API_KEY:?an API key}"
ask() { curl -sS --fail-with-body -w '\n' -H "Authorization: Bearer $NOTIFIER_API_KEY" -H 'Content-Type: application/json' "$@"; }

answer=$(ask "$NOTIFIER_URL/v1/webhooks" -d '{"url": "'"$1"'", "events": ["notification.sent", "notification.failed"]}') || { echo "$answer"; exit 22; }
echo "$answer"
id=$(echo "$answer" | sed 's/.*"id":"\([^"]*\)".*/\1/')
ask -X POST "$NOTIFIER_URL/v1/webhooks/$id/test"
ask "$NOTIFIER_URL/v1/webhooks/$id/deliveries?limit=1"
