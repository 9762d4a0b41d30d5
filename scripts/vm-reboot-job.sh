#!/bin/bash
# vm-reboot-job.sh STAGE, inside the machine of vm-run -k: a swap that the reset of the machine interrupts, and what the next
# boot makes of it. Each stage judges what the one before it left, prints one line a check, and interrupts the next swap.
set -u
stage=$1
GROUP=byre-h-batch.service
SINGLE='byre-h@one.service byre-h@two.service byre-h@three.service'
RESUME=byre-swap-resume@h.service
CONFIG=/srv/herd/byre.config.json
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin
failed=0
check() { if [ "$2" = "$3" ]; then echo "ok      $1"; else echo "FAILED  $1: $2 instead of $3"; failed=1; fi; }
show() { systemctl show --value -p "$1" "$2"; }
up() { local u; for u in $GROUP $SINGLE; do [ "$(show ActiveState "$u")" = active ] && echo "$u"; done | xargs; }
swap() { /opt/byre/units/byre swap --config $CONFIG "$@"; }
# as a machine that loses its power: nothing is synced, nobody is asked
reset() { echo 1 >/proc/sys/kernel/sysrq; echo b >/proc/sysrq-trigger; sleep 60; }

# systemctl that resets the machine before the call whose verb is $1
killer() {
  mkdir -p /opt/killer
  printf '#!/bin/sh\n[ "$2" != %s ] || { echo 1 >/proc/sys/kernel/sysrq; echo b >/proc/sysrq-trigger; sleep 60; }\nexec /usr/bin/systemctl "$@"\n' "$1" >/opt/killer/systemctl
  chmod 755 /opt/killer/systemctl
  sync
}
interrupted() { killer "$2"; PATH=/opt/killer:$PATH swap --to "$1" --health 1s; echo "FAILED  a reset before systemctl $2: the swap ended"; exit 1; }

install_herd() {
  mkdir -p /opt/byre /srv/herd
  cp -a /job/dist /job/units /job/schema /job/package.json /job/node_modules /opt/byre/
  echo "export const run = ({ signal }) => new Promise((done) => signal.addEventListener('abort', done))" >/srv/herd/steady.mjs
  local entry='{"module":"./steady.mjs","group":"batch"}'
  echo "{\"name\":\"h\",\"workers\":{\"one\":$entry,\"two\":$entry,\"three\":$entry}}" >$CONFIG
  chmod -R go+rX /opt/byre /srv/herd
  /opt/byre/units/byre units --config $CONFIG --user nobody --out /etc/systemd/system >/dev/null || exit 1
  systemctl daemon-reload
  # shellcheck disable=SC2086 # several units are several words
  systemctl enable --now $RESUME $SINGLE 2>/dev/null || exit 1
  check 'before: the single units run' "$(up)" "$SINGLE"
  sync
}

# until what the boot starts has been started
booted() {
  local _
  for _ in $(seq 600); do
    [ "$(show ConditionTimestampMonotonic $RESUME)" != 0 ] && [ "$(show ActiveState $RESUME)" != activating ] &&
      ! systemctl list-jobs --no-legend | grep -q byre-h && return
    sleep 0.2
  done
  echo 'FAILED  the boot does not settle'; systemctl list-jobs; exit 1
}

# $1 what was interrupted, $2 the units that shall run, $3 what the resume has said, nothing where nothing was interrupted
judge() {
  booted
  check "$1: at the next boot $(wc -w <<<"$2") unit(s) run, of one side" "$(up)" "$2"
  check "$1: no swap is open" "$(find /var/lib/byre-swap/h -name '*.json' | wc -l)" 0
  check "$1: the resume went well" "$(show Result $RESUME)" success
  check "$1: it said" "$(journalctl -b --no-pager -o cat -u $RESUME | sed -n 's/^swap of //p' | xargs)" "$3"
  if [ "$failed" = 1 ]; then systemctl status --no-pager $GROUP $SINGLE $RESUME; journalctl -b --no-pager | tail -60; ls -l /etc/systemd/system.control /etc/systemd/system/*.wants; fi
}

case $stage in
  1) install_herd; interrupted supervised start ;;
  2) judge 'reset before the group was started' "$SINGLE" 'h/batch to supervised, interrupted while starting: rolled-back'
     systemd-run --quiet --unit=swapper /opt/byre/units/byre swap --config $CONFIG --to supervised --health 1h
     until journalctl -b --no-pager -o cat -u swapper | grep -q 'watching for'; do sleep 0.2; done
     systemctl reboot -ff; sleep 60 ;;
  3) judge 'systemctl reboot -ff in the health window' "$SINGLE" 'h/batch to supervised, interrupted while watching: rolled-back'
     interrupted supervised enable ;;
  4) judge 'reset before the group was enabled' $GROUP 'h/batch to supervised, interrupted while settling: finished'
     interrupted individual start ;;
  5) judge 'reset before the single units were started' $GROUP 'h/batch to individual, interrupted while starting: rolled-back'
     swap --to individual --health 1s >/dev/null 2>&1; code=$?
     [ $code = 0 ] || { echo "FAILED  swap to single units: $code"; exit 1; }
     reset ;;
  6) judge 'reset at the end of a swap' "$SINGLE" '' ;;
esac
exit $failed
