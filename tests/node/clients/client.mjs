// What a program with the official JavaScript client does: an informer that follows config maps while they come,
// change and go. Reads KUBECONFIG; works in the namespace of the first argument.

import { CoreV1Api, KubeConfig, makeInformer } from "@kubernetes/client-node";

const LIMIT_MS = 60_000;
const namespace = process.argv[2];
const config = new KubeConfig();
config.loadFromDefault();
const core = config.makeApiClient(CoreV1Api);
const seen = [];
let ring = () => {};
let done = false;

const note = (type) => (object) => {
  if (object.metadata.labels?.by !== "javascript") return;
  seen.push(`${type} ${object.metadata.name} ${object.data?.stroke ?? ""}`.trim());
  ring();
};

/** Waits until the informer has seen `line`. */
const sight = (line) =>
  new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`no "${line}" among ${JSON.stringify(seen)}`)), LIMIT_MS);
    ring = () => {
      if (!seen.includes(line)) return;
      clearTimeout(late);
      resolve();
    };
    ring();
  });

const object = (name, stroke) => ({ metadata: { name, labels: { by: "javascript" } }, data: { stroke } });

await core.createNamespacedConfigMap({ namespace, body: object("bow", "1") });
const path = `/api/v1/namespaces/${namespace}/configmaps`;
const informer = makeInformer(config, path, () => core.listNamespacedConfigMap({ namespace }));
informer.on("add", note("add"));
informer.on("update", note("update"));
informer.on("delete", note("delete"));
informer.on("error", (error) => {
  // The end of the watch that we ask for ourselves comes here too.
  if (done) return;
  console.error(error);
  process.exit(1);
});
await informer.start();
await sight("add bow 1");
await core.createNamespacedConfigMap({ namespace, body: object("stern", "2") });
await sight("add stern 2");
const held = await core.readNamespacedConfigMap({ name: "bow", namespace });
await core.replaceNamespacedConfigMap({ name: "bow", namespace, body: { ...held, data: { stroke: "3" } } });
await sight("update bow 3");
await core.deleteNamespacedConfigMap({ name: "stern", namespace });
await sight("delete stern 2");
if (informer.get("bow", namespace).data.stroke !== "3" || informer.get("stern", namespace)) {
  throw new Error("the informer's cache is not what the cluster has");
}
await core.deleteNamespacedConfigMap({ name: "bow", namespace });
await sight("delete bow 3");
done = true;
await informer.stop();
console.log("javascript is content");
process.exit(0);
