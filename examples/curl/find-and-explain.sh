#!/bin/sh
# find-and-explain.sh ADDRESS: the newest mail to an address, what happened to it, and why it stands where it stands.
set -eu
: "${NOTIFIER_URL:?where Notifier is}" "${NOTIFIER_API_KEY:?an API key}"
ask() { curl -sS --fail-with-body -w '\n' -H "Authorization: Bearer $NOTIFIER_API_KEY" -H 'Content-Type: application/json' "$@"; }

found=$(ask -G "$NOTIFIER_URL/v1/notifications" --data-urlencode "to=$1" -d limit=1) || { echo "$found"; exit 22; }
echo "$found"
id=$(echo "$found" | sed -n 's/^{"notifications":\[{"id":"\([^"]*\)".*/\1/p')
[ -n "$id" ] || { echo "no mail to $1" >&2; exit 1; }
ask "$NOTIFIER_URL/v1/notifications/$id/events"
ask "$NOTIFIER_URL/v1/notifications/$id/explain"
