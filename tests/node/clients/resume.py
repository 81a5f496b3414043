"""What a controller with the official Python client does when its server dies: it goes on from the last version it saw.

Reads KUBECONFIG; works in the namespace of the first argument. Prints each event; ends when the object `end` comes.
"""

import sys
import time

import urllib3
from kubernetes import client, config, watch

NAMESPACE = sys.argv[1]
LIMIT_S = 60
PAUSE_S = 0.05


def follow(core, version):
    """Prints events from `version` until the connection breaks; gives the version of the last, or None at the end."""
    stream = watch.Watch().stream(
        core.list_namespaced_config_map, NAMESPACE, resource_version=version, timeout_seconds=LIMIT_S
    )
    try:
        for event in stream:
            found = event["object"]
            version = found.metadata.resource_version
            print(event["type"], found.metadata.name, (found.data or {}).get("stroke", ""), flush=True)
            if found.metadata.name == "end":
                return None
    except urllib3.exceptions.HTTPError:
        time.sleep(PAUSE_S)
    return version


config.load_kube_config()
CORE = client.CoreV1Api()
last = CORE.list_namespaced_config_map(NAMESPACE).metadata.resource_version
print("following", flush=True)
while last:
    last = follow(CORE, last)
print("python is content", flush=True)
