"""What a script with the official Python client does: create, read, change, watch, run a command, delete.

Reads KUBECONFIG; works in the namespace of the first argument. Ends with code 0 only if everything was as it must be.
"""

import sys
import threading

from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import stream

NAMESPACE = sys.argv[1]
LIMIT_S = 60


def expect(found, wanted):
    if found != wanted:
        raise SystemExit(f"found {found!r}, not {wanted!r}")


def objects(core):
    """Create, read, replace, patch, list by label, conflict, delete."""
    name = "from-python"
    made = core.create_namespaced_config_map(
        NAMESPACE, client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels={"by": "python"}), data={"a": "1"})
    )
    expect(made.data, {"a": "1"})
    stale = core.read_namespaced_config_map(name, NAMESPACE)
    fresh = core.patch_namespaced_config_map(name, NAMESPACE, {"data": {"b": "2"}})
    expect(fresh.data, {"a": "1", "b": "2"})
    try:
        core.replace_namespaced_config_map(name, NAMESPACE, stale)
        raise SystemExit("a stale write went through")
    except ApiException as error:
        expect((error.status, error.reason), (409, "Conflict"))
    listed = core.list_namespaced_config_map(NAMESPACE, label_selector="by=python")
    expect([item.metadata.name for item in listed.items], [name])
    core.delete_namespaced_config_map(name, NAMESPACE)
    try:
        core.read_namespaced_config_map(name, NAMESPACE)
        raise SystemExit("a deleted object is there")
    except ApiException as error:
        expect(error.status, 404)


def events(core):
    """A watch sees what happens after the list, in order."""
    version = core.list_namespaced_secret(NAMESPACE).metadata.resource_version

    def act():
        secret = client.V1Secret(metadata=client.V1ObjectMeta(name="watched"), string_data={"k": "v"})
        core.create_namespaced_secret(NAMESPACE, secret)
        core.patch_namespaced_secret("watched", NAMESPACE, {"metadata": {"labels": {"seen": "yes"}}})
        core.delete_namespaced_secret("watched", NAMESPACE)

    actor = threading.Thread(target=act)
    actor.start()
    seen = []
    follow = watch.Watch()
    for event in follow.stream(
        core.list_namespaced_secret, NAMESPACE, resource_version=version, timeout_seconds=LIMIT_S
    ):
        seen.append((event["type"], event["object"].metadata.name))
        if event["type"] == "DELETED":
            follow.stop()
    actor.join()
    expect(seen, [("ADDED", "watched"), ("MODIFIED", "watched"), ("DELETED", "watched")])


def commands(core):
    """A pod comes up and runs a command for us."""
    container = client.V1Container(name="main", image="busybox:1.35", command=["sleep", "3600"])
    spec = client.V1PodSpec(containers=[container], termination_grace_period_seconds=0)
    core.create_namespaced_pod(NAMESPACE, client.V1Pod(metadata=client.V1ObjectMeta(name="pythons-pod"), spec=spec))
    follow = watch.Watch()
    phases = follow.stream(
        core.list_namespaced_pod, NAMESPACE, field_selector="metadata.name=pythons-pod", timeout_seconds=LIMIT_S
    )
    for event in phases:
        if event["object"].status.phase == "Running":
            follow.stop()
    said = stream(
        core.connect_get_namespaced_pod_exec,
        "pythons-pod",
        NAMESPACE,
        command=["sh", "-c", "echo out; echo err >&2"],
        stderr=False,
        stdin=False,
        stdout=True,
        tty=False,
    )
    expect(said, "out\n")
    core.delete_namespaced_pod("pythons-pod", NAMESPACE)


config.load_kube_config()
CORE = client.CoreV1Api()
objects(CORE)
events(CORE)
commands(CORE)
print("python is content")
