// What a program with the official JavaScript client does when its server dies: it starts its informer again. Reads
// KUBECONFIG; works in the namespace of the first argument. Ends when the object `end` comes, and prints what its cache
// holds then.

import { CoreV1Api, KubeConfig, makeInformer } from "@kubernetes/client-node";

const PAUSE_MS = 50;
const namespace = process.argv[2];
const config = new KubeConfig();
config.loadFromDefault();
const core = config.makeApiClient(CoreV1Api);
const versions = new Map();
const gone = new Set();

const fail = (text) => {
  console.error(text);
  process.exit(1);
};

/** Each version of an object comes once, in order, and none after its end. */
const follows = (object) => {
  const { uid, name, resourceVersion } = object.metadata;
  const version = BigInt(resourceVersion);
  if (gone.has(uid)) fail(`${name} has an event and was gone`);
  if (versions.has(uid) && versions.get(uid) >= version) fail(`${name} comes twice at ${version}`);
  versions.set(uid, version);
  if (name === "end") end();
};

const informer = makeInformer(config, `/api/v1/namespaces/${namespace}/configmaps`, () =>
  core.listNamespacedConfigMap({ namespace }),
);
let deaths = 0;
let started = false;

const start = async () => {
  try {
    await informer.start();
    if (!started) console.log("following");
    started = true;
  } catch {
    again();
  }
};
const again = () => setTimeout(start, PAUSE_MS);
const end = () =>
  setImmediate(() => {
    if (deaths === 0) fail("the informer has not noticed the server's death");
    const strokes = informer.list().map((object) => `${object.metadata.name}=${object.data?.stroke ?? ""}`);
    console.log(strokes.sort().join(" "));
    console.log("javascript is content");
    process.exit(0);
  });

informer.on("add", follows);
informer.on("update", follows);
informer.on("delete", (object) => gone.add(object.metadata.uid));
informer.on("error", () => {
  deaths += 1;
  again();
});
await start();
