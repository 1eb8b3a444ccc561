#!/bin/sh
# The first process of the machine that control_groups.sh starts.
set -eu
export PATH=/bin:/usr/bin:/sbin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
# A root that was unpacked by the kernel cannot be left with pivot_root(2): everything moves to one that can.
if [ ! -e /moved ]; then
  mkdir /new
  mount -t tmpfs -o size=2g new /new
  for entry in /*; do
    case $entry in
      /dev | /new | /proc | /sys) mkdir "/new$entry" 2>/dev/null || true ;;
      *) cp -a "$entry" /new/ ;;
    esac
  done
  touch /new/moved
  umount /dev /sys /proc
  exec switch_root /new /init
fi
trap 'poweroff -f' EXIT
mkdir -p /dev/pts /dev/shm
mount -t devpts -o ptmxmode=666 pts /dev/pts
mount -t tmpfs shm /dev/shm
ip link set lo up
for module in /modules/*; do insmod "$module"; done
truncate -s 1G /disk
@mke2fs@ -q -F -t ext4 /disk
mount -t ext4 -o loop /disk /tmp
chmod 1777 /tmp
mkdir -m 777 /tmp/ordinary
groups=/sys/fs/cgroup
mount -t cgroup2 groups $groups
export CI=true

uname -sr
mkdir $groups/system
echo $$ >$groups/system/cgroup.procs
echo "=== the sandbox, as root"
cd @crates@/rnx-sandbox
@sandbox@ --test-threads 2
echo "=== jobs, as root"
cd @crates@/rnx
@jobs@ job_escapes job_limits job_run job_terminal --test-threads 2

# As systemd delegates a group to a user's session.
echo "=== limits, as an ordinary user"
echo $$ >$groups/cgroup.procs
echo "+cpu +cpuset +memory +pids" >$groups/cgroup.subtree_control
mkdir $groups/session
echo "+cpu +cpuset +memory +pids" >$groups/session/cgroup.subtree_control
mkdir $groups/session/app
for group in session session/app; do
  for file in "" /cgroup.procs /cgroup.subtree_control /cgroup.threads; do chown 61001:61001 $groups/$group$file; done
done
echo $$ >$groups/session/app/cgroup.procs
for tests in "@crates@/rnx-sandbox && @sandbox@ limits" "@crates@/rnx && @jobs@ job_limits"; do
  su ordinary -s /bin/sh -c "cd $tests --test-threads 2 --nocapture" >/said 2>&1 || failed=yes
  cat /said
  # To be refused limits is no success here.
  if [ -n "${failed:-}" ] || grep skipped /said; then exit 1; fi
done
echo "all passed"
