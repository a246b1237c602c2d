# shellcheck shell=bash
# shellcheck disable=SC2154 # data, helmr and keep are script/demo's
# The parts of script/demo: a server of its own, what the agent reports, and what must be true.

server=
approval_token=

chapter() {
  say
  say "$BOLD$*$PLAIN"
}

# One line of the story, with the seconds since the demo began.
moment() {
  printf '  %s%8s%s  %s\n' "$DIM" "$(seconds_since "$demo_started")" "$PLAIN" "$*" >&2
}

fail() {
  say "${RED}✗$PLAIN $*"
  say "  The server's last words:"
  tail -n 20 "$data/server.log" 2>/dev/null | sed 's/^/      /' >&2 || true
  exit 1
}

# Starts a server on the demo's directory and waits until it is ready.
start_server() {
  local port=${HELMR_DEMO_PORT:-4367} waited=0
  "$helmr" up --data-dir "$data" --listen "127.0.0.1:$port" --hot-window 500ms >>"$data/server.log" 2>&1 </dev/null &
  server=$!
  export HELMR_API_URL=http://127.0.0.1:$port
  until curl --silent --fail --output /dev/null --max-time 2 "$HELMR_API_URL/readyz"; do
    kill -0 "$server" 2>/dev/null || fail "helmr up ended"
    ((++waited < 200)) || fail "helmr up is not ready after 20 s"
    sleep 0.1
  done
  HELMR_API_KEY=$(field api_key <"$data/credentials.json")
  export HELMR_API_KEY
}

# Prints one field of the JSON on standard input: `field run.status`.
field() {
  node -e '
    const value = process.argv[1].split(".").reduce((at, name) => at?.[name], JSON.parse(require("fs").readFileSync(0, "utf8")));
    process.stdout.write(typeof value === "string" ? value : JSON.stringify(value, null, 2) ?? "");
  ' "$1"
}

helmr_json() {
  "$helmr" "$@" --json 2>>"$data/commands.log" || fail "helmr $* failed: $(tail -n 3 "$data/commands.log")"
}

helmr_quiet() {
  helmr_json "$@" >/dev/null
}

# Shows the agent's progress records as they come, until it asks for an approval or the limit runs out.
follow_progress() {
  local type message
  while IFS=$'\t' read -r type message approval_token; do
    moment "${type}: $message"
    [[ -z $approval_token ]] || return 0
  done < <(
    timeout 90 "$helmr" session follow "$1" agent.events --json 2>>"$data/commands.log" | node -e '
      const lines = require("readline").createInterface({ input: process.stdin });
      process.stdout.on("error", () => process.exit());
      lines.on("line", (line) => {
        const { data } = JSON.parse(line);
        console.log([data.type, data.message ?? "", data.tokenId ?? ""].join("\t"));
      });
    '
  )
}

# Waits until the run's wait is parked.
await_parked() {
  local waited=0 state=
  until [[ $state == parked ]]; do
    state=$(helmr_json run get "$1" | field run.pending_wait.state)
    ((++waited < 150)) || fail "the run did not park; its wait is ${state:-not there}"
    sleep 0.1
  done
  # The commit comes first, the end of the processes a moment later.
  waited=0
  until [[ $(machine_processes) == 0 ]]; do
    ((++waited < 50)) || return 0
    sleep 0.1
  done
}

# Prints how many processes of the isolation runtime belong to the demo's machines.
machine_processes() {
  pgrep --count --full -- "--root[= ]$data/worker" || true
}

checkpoint_size() {
  du --human-readable --summarize --total "$data"/worker/machines/*/checkpoints | awk 'END { print $1 "B" }'
}

# The agent says itself whether memory and child process are the same; the commit can be seen in what it returned.
check_output() {
  local name value
  for name in memoryIntact childIntact; do
    value=$(field "$name" <<<"$1")
    [[ $value == true ]] || fail "the agent returned $name: ${value:-nothing}"
  done
  [[ $(field commit <<<"$1") =~ ^[0-9a-f]{40}$ ]] || fail "the agent returned no commit"
  moment "same memory, same child process, commit $(field commit <<<"$1")"
}

# The run's events with the time between them.
show_timeline() {
  chapter "Timeline"
  # shellcheck disable=SC2016 # JavaScript's own
  helmr_json run events "$1" | node -e '
    const { items } = JSON.parse(require("fs").readFileSync(0, "utf8"));
    const start = Date.parse(items[0].at);
    for (const { at, kind } of items.filter(({ kind }) => kind !== "log")) {
      console.log(`  ${((Date.parse(at) - start) / 1000).toFixed(2).padStart(7)} s  ${kind}`);
    }
  ' >&2
}

# Ends what the demo started. With --keep the server stays if all went well.
finish() {
  local code=$1
  trap - EXIT
  if [[ $keep == yes && $code == 0 ]]; then
    exit 0
  fi
  if [[ -n $server ]] && kill -TERM "$server" 2>/dev/null; then
    wait "$server" 2>/dev/null || true
  fi
  pkill -KILL --full -- "--root[= ]$data/worker" 2>/dev/null || true
  if ((code != 0)); then
    say "Everything the server wrote is in $data"
    exit "$code"
  fi
  rm -rf --one-file-system "$data"
}
