#!/bin/sh
# Runs after trunk has emitted its files and before they become dist/: names the build after their content, writes it
# into index.html and sw.js, and lists the files that the service worker keeps for offline use.
set -eu
command -v openssl >/dev/null || { echo "web/hook.sh needs openssl for the hashes of the files" >&2; exit 1; }
cd "$TRUNK_STAGING_DIR"

# wasm-opt 108, Debian's, exports the wrong table from what wasm-bindgen writes, and the page dies; 111 and later are
# right. Without `--disable-gc` 132 writes reference types that browsers before 2024 refuse.
optimizer=${WASM_OPT:-wasm-opt}
optimize() { # FILE LEVEL
    "$optimizer" "$2" --disable-gc "$1" -o "$1.smaller"
    mv "$1.smaller" "$1"
}
if [ "$TRUNK_PROFILE" = release ]; then
    version=$("$optimizer" --version 2>/dev/null | sed 's/[^0-9]*\([0-9]*\).*/\1/') || version=''
    if [ "${version:-0}" -ge 111 ]; then
        for file in pairtune*_bg.wasm; do optimize "$file" -Oz; done
        optimize worker_bg.wasm -O3
    else
        echo "wasm-opt ${version:-not found}, 111 or later is needed: the wasm stays as large as it is" >&2
        echo "  (npm install --global binaryen, or set WASM_OPT)" >&2
    fi
fi

files=$(find . -type f ! -name sw.js ! -name '*.d.ts' ! -name '*.map' ! -name '.*' | sed 's|^\./||' | LC_ALL=C sort)
hashes() { for file in $files; do printf '%s ' "$file"; openssl dgst -sha256 -r "$file"; done; }
build=$(hashes | openssl dgst -sha256 -r | cut -c 1-12)
bytes=$(wc -c <"$(ls pairtune*_bg.wasm)" | tr -d ' ')

fill() { # FILE SED-SCRIPT
    sed "$2" "$1" >"$1.filled"
    mv "$1.filled" "$1"
}

fill index.html "s/__BUILD__/$build/; s/__BYTES__/$bytes/"

list=''
for file in $files; do
    case $file in
    worker.js | worker_bg.wasm | worker_loader.js) url="$file?v=$build" ;;
    *) url=$file ;;
    esac
    list="$list[\"$url\", \"sha256-$(openssl dgst -sha256 -binary "$file" | openssl base64 -A)\"], "
done
fill sw.js "s/__BUILD__/$build/; s|/\*__FILES__\*/|$list|"

# Compressed beside the large files, for servers that send such files as they are (docs/the-page.md). They come last, so
# that neither the build's name nor the service worker's list has them. A page under test goes without.
if [ "$TRUNK_PROFILE" = release ] && [ "$optimizer" != none ]; then
    command -v brotli >/dev/null || echo "brotli is not found: the files are compressed by gzip alone" >&2
    for file in $files sw.js; do
        case $file in
        *.js | *.wasm)
            gzip -k9n "$file"
            if command -v brotli >/dev/null; then brotli -k -q 11 "$file"; fi
            ;;
        esac
    done
fi

echo "build $build, app $bytes bytes"
