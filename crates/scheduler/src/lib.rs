//! Which node a pod runs on: queue, snapshot, cycle, one file a plugin.
