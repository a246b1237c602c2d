# shellcheck shell=bash
# shellcheck disable=SC2034 # read by the scripts that source this
# What the scripts say, always on stderr: steps with their times, and failures.

if [[ -t 2 && -z ${NO_COLOR:-} && ${TERM:-dumb} != dumb ]]; then
  readonly BOLD=$'\e[1m' DIM=$'\e[2m' RED=$'\e[31m' GREEN=$'\e[32m' PLAIN=$'\e[0m' REWRITE=$'\r\e[K'
else
  readonly BOLD='' DIM='' RED='' GREEN='' PLAIN='' REWRITE=''
fi

say() {
  printf '%s\n' "$*" >&2
}

# Prints the milliseconds since the epoch; the bash variable spares a process per call.
now_ms() {
  local now=${EPOCHREALTIME/[.,]/}
  printf '%s' "${now%???}"
}

# Prints the time since $1 (milliseconds) as seconds with one decimal.
seconds_since() {
  local elapsed=$(($(now_ms) - $1))
  printf '%d.%d s' $((elapsed / 1000)) $((elapsed % 1000 / 100))
}

# Runs a command as one named step: `step TITLE LOG COMMAND...`. Its output goes to the file LOG, whose end is shown when
# it fails. The command runs in a subshell under `set -e`, so it need not check its own calls.
step() {
  local title=$1
  shift
  long_step "$title" '' "$@"
}

# The same with a hint, after the title, of what to expect while it runs.
long_step() {
  local title=$1 hint=${2:+ ($2)} log=$3 status=0 started
  shift 3
  started=$(now_ms)
  mkdir -p "$(dirname "$log")"
  if [[ -n $REWRITE ]]; then
    printf '  %s…%s %s%s%s%s' "$DIM" "$PLAIN" "$title" "$DIM" "$hint" "$PLAIN" >&2
  else
    say "  … $title$hint"
  fi
  # A plain `if` would switch `set -e` off inside the command, too.
  set +e
  (
    set -e
    "$@"
  ) >"$log" 2>&1 </dev/null
  status=$?
  set -e
  if ((status == 0)); then
    say "$REWRITE  $GREEN✓$PLAIN $title  $DIM$(seconds_since "$started")$PLAIN"
    return 0
  fi
  say "$REWRITE  $RED✗$PLAIN $title failed after $(seconds_since "$started"); its last words:"
  tail -n 20 "$log" | sed 's/^/      /' >&2
  say "    All of them: $log"
  say "    Mend the cause and run script/${0##*/} again: it goes on from here."
  exit 1
}
