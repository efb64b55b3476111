#!/usr/bin/env bats
# What the programs are linked with: each shared library is mapped, relocated and kept up to date wherever the program runs.

load helpers

libraries_of() { # PROGRAM: the ones that it asks for itself, in the order of the alphabet
    readelf -d "$BIN/$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | sort | xargs
}

@test "no program brings libxml2 or ICU, and libarchive is a part of those that use it" {
    local program found=""
    for program in "$BIN"/knarr*; do
        [ -f "$program" ] && [ -x "$program" ] || continue
        # Apart because libsystemd brings its own: it runs for containers in systemd's units alone.
        [ "${program##*/}" != knarr-oci-unit ] || continue
        found="$found $(ldd "$program" 2>&1 | grep -oE 'lib(xml2|icu[a-z]*|archive|nettle|lzma|lz4|bz2|acl)\.so[.0-9]*' | sed "s|^|${program##*/}:|" | sort -u | xargs)"
    done
    [ -z "${found// /}" ] || { echo "$found"; false; }
}

@test "what unpacks images needs zlib, zstd and libcrypto alone, and what runs containers nothing" {
    [ "$(libraries_of knarr-unpack)" = "libc.so.6 libcrypto.so.3 libseccomp.so.2 libz.so.1 libzstd.so.1" ]
    [ "$(libraries_of knarr-oci)" = "" ]
    [ "$(libraries_of knarr-stage1)" = "" ]
}
