#!/bin/sh
# After an installation or an upgrade: user, groups, directories, and the running
# keepcast is replaced by the new one, which moves no route. A first installation
# starts nothing: its configuration is a sample.
#   deb:  configure OLD-VERSION | triggered NAMES | abort-...
#   rpm:  1 first, 2 upgrade;  apk: VERSION [OLD];  archlinux: VERSION [OLD]
set -e

# Those who may talk to the daemons' sockets. A group that comes later, with its
# daemon: on deb a trigger runs this again, elsewhere "keepcast doctor" tells.
join_groups() {
  joined=
  for group in bird frrvty quaggavty; do
    getent group "$group" >/dev/null || continue
    id -nG keepcast | tr ' ' '\n' | grep -qx "$group" && continue
    if command -v usermod >/dev/null; then
      usermod -a -G "$group" keepcast
    else
      addgroup keepcast "$group" # busybox
    fi
    joined=yes
  done
}

make_user() {
  if command -v systemd-sysusers >/dev/null; then
    systemd-sysusers keepcast.conf
  elif ! getent passwd keepcast >/dev/null; then
    addgroup -S keepcast
    adduser -S -D -H -h /var/lib/keepcast -s /sbin/nologin -G keepcast -g keepcast keepcast
  fi
}

make_directories() {
  if command -v systemd-tmpfiles >/dev/null; then
    systemd-tmpfiles --create keepcast.conf
    return
  fi
  mkdir -p /var/lib/keepcast
  chown keepcast:keepcast /var/lib/keepcast
  if [ ! -e /var/lib/keepcast/bird.conf ]; then
    cp /usr/share/keepcast/bird.conf /var/lib/keepcast/
    chown keepcast:keepcast /var/lib/keepcast/bird.conf
    chmod 0644 /var/lib/keepcast/bird.conf
  fi
}

# try_restart restarts a keepcast that runs; a machine that is not booted, such
# as an image that is being made, has none. One whose files are not valid is not
# restarted, since it would not come back: the old one goes on with what it has.
try_restart() {
  if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    systemctl is-active --quiet keepcast.service || return 0
    if ! keepcast validate >/dev/null; then
      echo "keepcast: NOT restarted, since its configuration is not valid, see above: correct it, then systemctl restart keepcast" >&2
      return 0
    fi
    systemctl reset-failed keepcast.service # restarts by us do not count as crashes
    systemctl restart keepcast.service ||
      echo "keepcast: does not run with the new version: systemctl status keepcast" >&2
  elif command -v rc-service >/dev/null && rc-service --quiet keepcast status >/dev/null 2>&1; then
    echo "keepcast: the new version runs after \"rc-service keepcast restart\", which withdraws for a moment"
  fi
}

case "${1:-}" in
  triggered)
    join_groups
    [ -z "$joined" ] || try_restart
    exit 0
    ;;
  abort-remove)
    [ ! -e /run/keepcast-was-enabled ] || systemctl enable --now keepcast.service
    exit 0
    ;;
  abort-*) exit 0 ;;
esac

make_user
join_groups
make_directories
if [ -d /run/systemd/system ] && [ -x /usr/lib/systemd/systemd-sysctl ]; then
  /usr/lib/systemd/systemd-sysctl 50-keepcast.conf || true # as at the next boot; a container may not let us
elif [ -d /run/openrc ]; then # not in a chroot: the kernel is that of its host
  sysctl -q -p /usr/lib/sysctl.d/50-keepcast.conf || true
fi
try_restart
