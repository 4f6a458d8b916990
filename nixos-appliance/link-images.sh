#!/bin/sh
# Links the images that the system's configuration declares into the images folder: FOLDER DECLARED, where DECLARED
# has a link by each image's name. Links into the store that are no longer declared go; what `bootstrapd images add`
# put there stays. A link is renamed into its place: the daemon finds the old image or the new one.
set -eu
folder=$1
declared=$2
failed=0
[ -d "$folder" ] || mkdir -m 0770 "$folder"
cd "$folder"

for name in *; do
    if [ ! -L "$name" ] || [ -L "$declared/$name" ]; then continue; fi
    case $(readlink "$name") in
    "${NIX_STORE_DIR:-/nix/store}"/*) rm -- "$name" ;;
    esac
done

for link in "$declared"/*; do
    [ -L "$link" ] || continue # there is none
    name=${link##*/}
    target=$(readlink "$link")
    if [ -e "$name" ] && [ ! -L "$name" ]; then
        echo "image $name: the system's configuration declares it, and $folder/$name was added by hand:" \
            "'bootstrapd images remove $name', or declare it by another name" >&2
        failed=1
    elif [ "$(readlink "$name" || true)" != "$target" ]; then # no rename without need: the daemon reads all anew
        ln -sfn -- "$target" ".new-$name"
        mv -T -- ".new-$name" "$name"
    fi
done
exit $failed
