#!/bin/sh
# merge.sh FILE: check the rows of a spreadsheet, show those with faults, and make each of the others a mail.
set -eu
: "${NOTIFIER_URL:?where Notifier is}" "${NOTIFIER_API_KEY:?an API key}"
ask() { curl -sS --fail-with-body -w '\n' -H "Authorization: Bearer $NOTIFIER_API_KEY" "$@"; }
state() { echo "$1" | sed 's/.*"state":"\([^"]*\)".*/\1/'; }

merge=$(ask "$NOTIFIER_URL/v1/merges?template=welcome" -H 'Content-Type: text/csv' --data-binary "@$1") ||
  { echo "$merge"; exit 22; }
id=$(echo "$merge" | sed 's/^{"id":"\([^"]*\)".*/\1/')
while [ "$(state "$merge")" = checking ]; do
  sleep 0.2
  merge=$(ask "$NOTIFIER_URL/v1/merges/$id")
done
echo "$merge"
ask "$NOTIFIER_URL/v1/merges/$id/faults"
ask "$NOTIFIER_URL/v1/merges/$id/start" -H 'Content-Type: application/json' \
  -d '{"on_error": "skip_invalid", "duplicates": "first"}'
