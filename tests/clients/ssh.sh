#!/usr/bin/env bash
# OpenSSH: ssh-keygen -D, ssh-agent, a certificate authority, and logins at an sshd on the loopback interface.
# shellcheck source=tests/clients/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=tests/clients/servers.sh
source "$source_dir/tests/clients/servers.sh"
need ssh openssh-client
need sshd openssh-server

rules=(
  's/^(Using slot [0-9]+ with a present token) \(0x[0-9a-f]+\)/\1/'                             # the slot
  's/^(  EC_POINT: +[0-9a-f]{4}).*/\1.../; s/A{3}[A-Za-z0-9+\/=]{40,}/KEY/; s/SHA256:\S+/SHA256:.../' # keys made anew
  's/(agent|pid) [0-9]+/\1 PID/I'
)

printf '#!/bin/sh\necho %s\n' "$pin" >"$folder/askpass"
chmod 700 "$folder/askpass"
export SSH_ASKPASS=$folder/askpass SSH_ASKPASS_REQUIRE=force
unset SSH_AUTH_SOCK

run_sshd() { exec /usr/sbin/sshd -D -e -f "$PWD/sshd_config" -p "$1"; }
prepare_sshd() {
  ssh-keygen -q -t ed25519 -N '' -f host_key
  printf '%s\n' 'ListenAddress 127.0.0.1' "HostKey $PWD/host_key" "AuthorizedKeysFile $PWD/authorized_keys" 'PidFile none' \
    'StrictModes no' 'PasswordAuthentication no' 'KbdInteractiveAuthentication no' 'UsePAM no' 'PermitRootLogin yes' \
    "TrustedUserCAKeys $PWD/ca.pub" >sshd_config
  [[ -d /run/sshd ]] || mkdir -m 755 /run/sshd
}
login() { # login OPTION...
  ssh -F none -p "$port" -o "UserKnownHostsFile=$PWD/known_hosts" -o StrictHostKeyChecking=accept-new -o LogLevel=ERROR \
    -o PreferredAuthentications=publickey "$@" 127.0.0.1 echo logged in
}
pages() { ssh-keygen -D "$module" | sort; }
agents_keys() { ssh-add -L | sort; }
certificate() { # certificate FILE OPTION...: signed by the key in the token
  ssh-keygen -q -s "$1.pub" "${@:2}" -I someone -n "$(id -un)" -V +1h user.pub && ssh-keygen -L -f user-cert.pub | grep -E 'Type|Signing CA'
}

client() {
  prepare_sshd
  step 'an EC key' server_key ec EC:prime256v1 01
  step 'an RSA key' server_key rsa RSA:2048 02
  step 'keys' pages
  ssh-keygen -D "$module" 2>/dev/null >authorized_keys
  grep ecdsa authorized_keys >ec.pub
  grep ssh-rsa authorized_keys >rsa.pub
  cp ec.pub ca.pub
  serve run_sshd
  step 'log in with a key of the token' login -o PKCS11Provider="$module" -o IdentitiesOnly=no
  step 'by RSA' login -o PKCS11Provider="$module" -o PubkeyAcceptedAlgorithms=rsa-sha2-256,rsa-sha2-512

  background ssh-agent -D -P '/usr/lib/*,/tmp/*,/home/*,'"$P11HA_BUILD/*" -a "$PWD/agent" </dev/null >/dev/null 2>&1
  agent=$!
  wait_for 20 test -S agent
  export SSH_AUTH_SOCK=$PWD/agent
  step 'into the agent' ssh-add -s "$module"
  step 'its keys' agents_keys
  step 'log in by the agent' login
  step 'sign by the agent' ssh-keygen -q -Y sign -n file -f ec.pub ca.pub
  printf 'someone %s\n' "$(cat ec.pub)" >signers
  step 'verified' bash -c 'ssh-keygen -Y verify -f signers -I someone -n file -s ca.pub.sig <ca.pub'
  ssh-keygen -q -t ed25519 -N '' -f user
  step 'certificate, by the agent' certificate ec -U
  step 'log in with it' login -o IdentityAgent=none -i user
  step 'certificate, by the token' certificate ec -D "$module"
  : >authorized_keys
  step 'log in with it' login -o IdentityAgent=none -i user
  step 'out of the agent' ssh-add -e "$module"
  attempt 'its keys' agents_keys
  unset SSH_AUTH_SOCK
  ended "$agent"
  ended "$server"
}


on_both client
