#!/bin/sh
# Links the images that the system's configuration declares into the images folder: FOLDER NAME=STORE_PATH...
# Links into the store that are no longer declared go; what `bootstrapd images add` put there stays. A link is
# renamed into its place, so that the daemon finds the old image or the new one. Names are checked by module.nix.
set -eu
folder=$1
shift
cd "$folder"
failed=0

target_of() {
    for each in "$@"; do
        [ "${each%%=*}" = "$name" ] && printf '%s' "${each#*=}" && return
    done
}

for name in *; do
    [ -L "$name" ] || continue
    case $(readlink "$name") in
    "${NIX_STORE_DIR:-/nix/store}"/*) [ -n "$(target_of "$@")" ] || rm -- "$name" ;;
    esac
done

for each in "$@"; do
    name=${each%%=*}
    target=${each#*=}
    if [ -e "$name" ] && [ ! -L "$name" ]; then
        echo "image $name is declared in the system's configuration, and $folder/$name was added by hand: " \
            "'bootstrapd images remove $name', or declare it by another name" >&2
        failed=1
    elif [ "$(readlink "$name" || true)" != "$target" ]; then # no rename without need: the daemon would read all anew
        ln -sfn -- "$target" ".new-$name"
        mv -T -- ".new-$name" "$name"
    fi
done
exit $failed
