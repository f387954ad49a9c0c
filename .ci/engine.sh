# A Docker engine and a base image for the tests, for machines that have none. Sourced by .ci/run.
#
# Needs root and Debian's packages. What is made is kept in CI_CACHE, outside the checkout, and made again when it
# is missing: the engine's data, which hold the base image and the images built in earlier runs.

CI_CACHE="${CI_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/harness-ci}"
ENGINE_RUN=""   # sockets and the process id of an engine of ours; empty when somebody else's answers
BASE_IMAGE="${HARNESS_TEST_BASE:-harness.test/python:3.11}"

engine_up() {
    if docker version >/dev/null 2>&1; then
        echo "A Docker engine answers already"
    else
        install_packages docker.io iptables containerd runc
        start_engine
    fi
    docker image inspect "$BASE_IMAGE" >/dev/null 2>&1 || make_base_image
    # No registry of images can be reached, so that the base is given by hand and builds use this machine's network.
    export HARNESS_TEST_BASE="$BASE_IMAGE"
    export HARNESS_DOCKER_BUILD_ARGS="BASE=$BASE_IMAGE"
    export HARNESS_DOCKER_BUILD_NETWORK=host
    export HARNESS_REQUIRE_DOCKER=1   # a test that needs the engine fails without it instead of being skipped
}

engine_down() {
    [ -n "$ENGINE_RUN" ] || return 0
    kill "$(cat "$ENGINE_RUN/pid")" 2>/dev/null || true
    wait "$ENGINE_JOB" 2>/dev/null || true
    # The engine leaves the namespace of its containers without a network mounted here.
    umount "$ENGINE_RUN"/exec/netns/* 2>/dev/null || true
    rm -rf "$ENGINE_RUN" || true
}

install_packages() {
    for package in "$@"; do
        dpkg -s "$package" >/dev/null 2>&1 && continue
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
        return
    done
}

start_engine() {
    ENGINE_RUN="$(mktemp -d)"
    mkdir -p "$CI_CACHE/docker"
    export DOCKER_HOST="unix://$ENGINE_RUN/docker.sock"
    dockerd --host "$DOCKER_HOST" --data-root "$CI_CACHE/docker" --exec-root "$ENGINE_RUN/exec" \
        --pidfile "$ENGINE_RUN/pid" >"$ENGINE_RUN/log" 2>&1 &
    ENGINE_JOB=$!
    for _ in $(seq 300); do
        docker version >/dev/null 2>&1 && return
        kill -0 "$ENGINE_JOB" 2>/dev/null || break
        sleep 0.2
    done
    echo "The Docker engine did not start:" >&2
    tail -n 20 "$ENGINE_RUN/log" >&2
    return 1
}

# Debian with Python, as an image: what `FROM ${BASE}` names where no public image can be had.
make_base_image() {
    local root mirror
    echo "Making the base image $BASE_IMAGE (once)"
    install_packages debootstrap
    mirror="$(find /etc/apt -name '*.list' -o -name '*.sources' | xargs cat |
        sed -n 's/^URIs: *//p; s/^deb \(\[[^]]*\] \)\?\([^ ]*\).*/\2/p' | sed -n 1p)"
    root="$(mktemp -d)"
    debootstrap --variant=minbase --include=python3,python3-venv,python3-pip,ca-certificates \
        bookworm "$root" "$mirror" >/dev/null
    ln -s python3 "$root/usr/bin/python"
    rm -f "$root"/usr/lib/python3*/EXTERNALLY-MANAGED   # as in the public Python images, pip installs into the system
    # pip in a build must trust, and look, where this machine does.
    cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
    [ ! -e /etc/pip.conf ] || cp /etc/pip.conf "$root/etc/pip.conf"
    rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
    tar -C "$root" -c . | docker import -c 'CMD ["python3"]' \
        -c 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' - "$BASE_IMAGE" >/dev/null
    rm -rf "$root"
}
