#!/usr/bin/env bash
# Every kernel of this CPU, as the objects that the addon in build/ was linked from, on arrays between pages that nobody may
# touch.
#   guard.sh [NUMBER OF RANDOM CALLS]
set -euo pipefail
cd "$(dirname "$0")/.."
npx cmake-js compile --log-level error --target guard >/dev/null
exec build/guard "$@"
