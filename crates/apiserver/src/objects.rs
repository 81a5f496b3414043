//! The stored objects of one kind: read, created, replaced and deleted in the form in which the kind is served.

use std::sync::Arc;

use bytes::Bytes;
use kinds::Kind;
use machinery::{Status, Value, meta};
use store::{Change, Error, Expect, Reread, Revision};

use crate::cache::Operation;
use crate::server::Server;
use crate::storage;

/// The objects of one kind.
#[derive(Clone, Copy)]
pub struct Objects<'a> {
    server: &'a Server,
    /// The kind.
    pub kind: &'static Kind,
}

/// An object as it is stored.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The object, with its resourceVersion.
    pub object: Arc<Value>,
    /// When it was written.
    pub revision: Revision,
    /// What the store holds.
    pub bytes: Bytes,
}

/// Somebody else was faster: read again.
#[derive(Debug)]
pub struct Raced;

impl<'a> Objects<'a> {
    /// The objects of `kind`.
    #[must_use]
    pub fn new(server: &'a Server, kind: &'static Kind) -> Self {
        Self { server, kind }
    }

    /// Where the object `name` is stored.
    #[must_use]
    pub fn key(&self, namespace: &str, name: &str) -> String {
        let root = crate::cache::ROOT;
        if self.kind.namespaced {
            format!("{root}{}/{namespace}/{name}", self.kind.storage)
        } else {
            format!("{root}{}/{name}", self.kind.storage)
        }
    }

    /// The object as it is now.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn find(&self, namespace: &str, name: &str) -> Result<Option<Stored>, Status> {
        let key = self.key(namespace, name);
        let found = self.read(&key, namespace, name).await?;
        Ok(found.map(|(bytes, revision)| {
            match self.server.recent.find(&key, revision).filter(|_| self.kind.stored_as.is_none()) {
                Some(object) => Stored { object, revision, bytes },
                None => self.stored(bytes, revision),
            }
        }))
    }

    /// What the store holds of the object now, and since when. The store is asked whatever the cache has, but need not
    /// send what is there already.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn read(&self, key: &str, namespace: &str, name: &str) -> Result<Option<(Bytes, Revision)>, Status> {
        let cached = self.server.cacher.of(self.kind).and_then(|resource| resource.get(namespace, name));
        let entry = match cached {
            None => self.timed(Operation::Get, self.server.store.get(key, None)).await.map(|(entry, _)| entry),
            Some(item) => match self.timed(Operation::Get, self.server.store.reread(key, item.revision)).await {
                Ok(Reread::Same) => return Ok(Some((item.bytes.clone(), item.revision))),
                Ok(Reread::Other(entry)) => Ok(entry),
                Err(error) => Err(error),
            },
        };
        Ok(entry.map_err(|error| storage::failure(&error))?.map(|entry| (entry.value, entry.revision)))
    }

    /// The object as it is now.
    ///
    /// # Errors
    /// 404 when there is none.
    pub async fn get(&self, namespace: &str, name: &str) -> Result<Stored, Status> {
        self.find(namespace, name).await?.ok_or_else(|| self.not_found(name))
    }

    /// The answer when there is no such object.
    #[must_use]
    pub fn not_found(&self, name: &str) -> Status {
        Status::not_found(self.kind.group_resource(), name)
    }

    /// Stored bytes in the form in which the kind is served.
    #[must_use]
    pub fn stored(&self, bytes: Bytes, revision: Revision) -> Stored {
        let mut object = storage::decode(&bytes, revision);
        if let Some(conversion) = &self.kind.stored_as {
            (conversion.from_stored)(&mut object);
            meta::set_type(&mut object, &self.kind.api_version(), self.kind.kind);
        }
        Stored { object: Arc::new(object), revision, bytes }
    }

    /// The bytes under which `object` is stored.
    #[must_use]
    pub fn encode(&self, object: &Value) -> Bytes {
        let Some(conversion) = &self.kind.stored_as else { return storage::encode(object) };
        let mut object = object.clone();
        (conversion.to_stored)(&mut object);
        meta::set_type(&mut object, &conversion.kind.api_version(), conversion.kind.kind);
        storage::encode(&object)
    }

    /// Stores a new object and sets its resourceVersion; what is only tried has none.
    ///
    /// # Errors
    /// 409 when there is one already.
    pub async fn create(&self, mut object: Value, dry_run: bool) -> Result<Stored, Status> {
        if !dry_run {
            if meta::resource_version(&object).parse::<u64>().is_ok_and(|version| version > 0) {
                return Err(Status::unknown("resourceVersion should not be set on objects to be created"));
            }
            object.remove_at(&["metadata", "resourceVersion"]);
        }
        let key = self.key(meta::namespace(&object), meta::name(&object));
        let bytes = self.encode(&object);
        if dry_run {
            let (namespace, name) = (meta::namespace(&object), meta::name(&object));
            return match self.read(&key, namespace, name).await? {
                Some((bytes, revision)) => Err(self.exists(&self.stored(bytes, revision).object)),
                None => Ok(Stored { object: Arc::new(object), revision: Revision(0), bytes }),
            };
        }
        match self.write(&key, Expect::Absent, bytes.clone(), &object).await {
            Ok(revision) => Ok(self.written(&key, object, revision, bytes)),
            Err(Error::Conflict { current: Some(entry) }) => {
                Err(self.exists(&self.stored(entry.value, entry.revision).object))
            }
            Err(error) => Err(storage::failure(&error)),
        }
    }

    /// Replaces what was read as `old` and sets the resourceVersion; what changes nothing is not written.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn replace(&self, old: &Stored, mut new: Value, dry_run: bool) -> Result<Result<Stored, Raced>, Status> {
        let bytes = self.encode(&new);
        let unchanged = bytes == old.bytes;
        meta::set_resource_version(&mut new, &old.revision.to_string());
        if dry_run || unchanged {
            return Ok(Ok(Stored { object: Arc::new(new), revision: old.revision, bytes }));
        }
        let key = self.key(meta::namespace(&new), meta::name(&new));
        match self.write(&key, Expect::Revision(old.revision), bytes.clone(), &new).await {
            Ok(revision) => Ok(Ok(self.written(&key, new, revision, bytes))),
            Err(Error::Conflict { .. }) => Ok(Err(Raced)),
            Err(error) => Err(storage::failure(&error)),
        }
    }

    /// What was stored just now; its tree is kept for the next write.
    fn written(&self, key: &str, mut object: Value, revision: Revision, bytes: Bytes) -> Stored {
        meta::set_resource_version(&mut object, &revision.to_string());
        let object = Arc::new(object);
        if self.kind.stored_as.is_none() {
            self.server.recent.keep(key, revision, bytes.len(), object.clone());
        }
        Stored { object, revision, bytes }
    }

    /// Deletes what was read as `old`.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn remove(&self, old: &Stored) -> Result<Result<Revision, Raced>, Status> {
        let key = self.key(meta::namespace(&old.object), meta::name(&old.object));
        let write = self.server.store.write(&key, Expect::Revision(old.revision), Change::Delete);
        match self.timed(Operation::Delete, write).await {
            Ok(revision) => {
                self.server.recent.forget(&key);
                Ok(Ok(revision))
            }
            Err(Error::Conflict { .. }) => Ok(Err(Raced)),
            Err(error) => Err(storage::failure(&error)),
        }
    }

    /// Stores the bytes of `object`. What is known of it is left for the cache, so that it parses nothing.
    async fn write(&self, key: &str, expect: Expect, bytes: Bytes, object: &Value) -> Result<Revision, Error> {
        let is_as_stored = self.kind.stored_as.is_none();
        if is_as_stored {
            self.server.cacher.expect(self.kind, key, &bytes, object);
        }
        let ttl = self.kind.expires.then_some(self.server.options.event_ttl);
        let operation = if expect == Expect::Absent { Operation::Create } else { Operation::Update };
        let done = self.timed(operation, self.server.store.write(key, expect, Change::Put { value: bytes, ttl })).await;
        if is_as_stored && done.is_err() {
            self.server.cacher.expect_no_more(key);
        }
        done
    }

    /// Asks the store, and counts that.
    async fn timed<T>(&self, what: Operation, asked: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let clock = &self.server.clock;
        let started = clock.instant();
        let answer = asked.await;
        if let Some(resource) = self.server.cacher.of(self.kind) {
            let failed = matches!(&answer, Err(error) if !matches!(error, Error::Conflict { .. }));
            resource.counts.asked(what, clock.instant() - started, failed);
        }
        answer
    }

    fn exists(&self, there: &Value) -> Status {
        let mut status = Status::already_exists(self.kind.group_resource(), meta::name(there));
        if meta::is_deleting(there) {
            status.message = format!("object is being deleted: {}", status.message);
        }
        status
    }
}
