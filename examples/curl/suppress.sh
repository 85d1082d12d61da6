#!/bin/sh
# suppress.sh ADDRESS: mail an address no more, see that it is so, and lift that again.
set -eu
: "${NOTIFIER_URL:?where Notifier is}" "${NOTIFIER_API_KEY:?an API key}"
ask() { curl -sS --fail-with-body -w '\n' -H "Authorization: Bearer $NOTIFIER_API_KEY" -H 'Content-Type: application/json' "$@"; }

answer=$(ask "$NOTIFIER_URL/v1/suppressions" -d '{"address": "'"$1"'", "scope": "all", "reason": "requested"}') || { echo "$answer"; exit 22; }
echo "$answer"
ask -G "$NOTIFIER_URL/v1/suppressions" --data-urlencode "address=$1"
id=$(echo "$answer" | sed 's/.*"id":"\([^"]*\)".*/\1/')
ask -X DELETE "$NOTIFIER_URL/v1/suppressions/$id"
