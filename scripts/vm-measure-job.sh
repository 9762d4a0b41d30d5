#!/bin/bash
# Inside the machine of vm-run: what cgroup v2 alone can show. Prints one line a check and fails if one failed.
set -u
byre() { node /job/dist/bin.js "$@"; }
failed=0
check() { if [ "$2" = yes ]; then echo "ok      $1"; else echo "FAILED  $1: $3"; failed=1; fi; }
value() { node -e 'const line = require("fs").readFileSync(0, "utf8").split("\n").find((l) => l.startsWith("[BYRE-MEASURE RESULT] ")); if (!line) { console.log("no result"); process.exit() } const r = JSON.parse(line.slice(22)).runs[0]; console.log(eval(process.argv[1]))' "$1"; }
judge() { node -e 'console.log(eval(process.argv[1]) ? "yes" : "no")' "$1"; }
cd /tmp

out=$(byre measure --json-only 'sh -c "dd if=/dev/zero of=/dev/null bs=300MB count=1; true"; true' 2>&1)
peak=$(echo "$out" | value 'r.metrics.peakBytes'); source=$(echo "$out" | value 'r.peak.source + ", " + r.peak.way')
check "300 MB freed in a grandchild within 3 %: $peak ($source)" "$(judge "Math.abs(($peak) - 300e6) < 9e6 && '$source'.startsWith('cgroup-v2')")" "$out"

out=$(byre measure --json-only "dd if=/dev/zero of=/var/tmp/big bs=1MB count=100; sleep 1" 2>&1); rm -f /var/tmp/big
split=$(echo "$out" | value '[r.peak.split.anonBytes, r.peak.split.fileBytes, r.peak.split.kernelBytes].join(" ")')
file=$(echo "$out" | value 'r.metrics.fileBytes')
check "100 MB written are the file part of the split: anon, file, kernel $split" "$(judge "$file > 90e6 && $file < 115e6")" "$out"

out=$(byre measure --json-only --limit 60MB 'dd if=/dev/zero of=/dev/null bs=90MB count=1' 2>&1)
fit=$(echo "$out" | value 'r.limit.fit + ": " + r.limit.evidence')
check "a limit of 60 MB, 90 MB asked: $fit" "$(judge "'$fit'.startsWith('killed')")" "$out"

out=$(byre measure --json-only --limit 40MB 'dd if=/dev/zero of=/var/tmp/big bs=1MB count=120 conv=fsync; cat /var/tmp/big > /dev/null' 2>&1); rm -f /var/tmp/big
fit=$(echo "$out" | value 'r.limit.fit + ": " + r.limit.evidence')
check "a limit of 40 MB, 120 MB of page cache: $fit" "$(judge "'$fit'.startsWith('reclaimed')")" "$out"

# A user without any right on cgroups, but with a systemd manager of its own: the scope of systemd-run is divided.
id tester > /dev/null 2>&1 || useradd -m tester 2> /dev/null || { echo 'tester:x:1000:1000::/tmp:/bin/sh' >> /etc/passwd; echo 'tester:x:1000:' >> /etc/group; }
mkdir -p /run/user/1000 && chown 1000:1000 /run/user/1000 && chmod 700 /run/user/1000
# user@.service wants PAM, which this small image lacks; the same manager without it.
systemd-run --quiet --unit=manager-of-tester -p User=1000 -p Delegate=yes -E XDG_RUNTIME_DIR=/run/user/1000 /lib/systemd/systemd --user
for _ in $(seq 100); do [ -S /run/user/1000/bus ] || [ -S /run/user/1000/systemd/private ] && break; sleep 0.2; done
out=$(cd /tmp && setpriv --reuid 1000 --regid 1000 --clear-groups env HOME=/tmp XDG_RUNTIME_DIR=/run/user/1000 node /job/dist/bin.js measure --out /tmp/user-out --json-only 'dd if=/dev/zero of=/dev/null bs=300MB count=1; sleep 1' 2>&1)
peak=$(echo "$out" | value 'r.metrics.peakBytes'); source=$(echo "$out" | value 'r.peak.source + ", " + r.peak.way')
check "as a user, through systemd-run: $peak ($source)" "$(judge "Math.abs(($peak) - 300e6) < 9e6 && '$source'.startsWith('cgroup-v2')")" "$out"

out=$(setpriv --reuid 65534 --regid 65534 --clear-groups env HOME=/tmp node /job/dist/bin.js measure --out /tmp/nobody-out --json-only 'dd if=/dev/zero of=/dev/null bs=100MB count=1; sleep 1' 2>&1)
source=$(echo "$out" | value 'r.peak.source + ", " + r.peak.way')
check "as nobody, without any cgroup, it says so: $source" "$(judge "'$source'.startsWith('sampled')")" "$out"

left=$(find /sys/fs/cgroup -name 'byre-measure-*' | wc -l)
check "no cgroup is left behind" "$([ "$left" = 0 ] && echo yes || echo no)" "$left"
exit $failed
