//! DELETE of a collection: every selected object, some at a time.

use std::sync::Arc;

use futures::future::join_all;
use kinds::Kind;
use machinery::{Status, Value};

use super::delete::{admit, delete_stored, options};
use super::list::page;
use crate::cache::{Item, Selection};
use crate::call::Call;
use crate::options::{DeleteOptions, ListOptions};
use crate::reply::{Body, Reply};
use crate::respond;
use crate::server::Server;

/// So many objects are deleted at a time; the store makes them durable together.
const AT_A_TIME: usize = 64;

/// Deletes what the selectors select and answers with the objects as they were.
///
/// # Errors
/// As a list and a deletion; an object that somebody else deleted first is no error.
pub async fn delete_collection(
    server: &Arc<Server>,
    call: &mut Call,
    kind: &'static Kind,
    body: Body,
) -> Result<Reply, Status> {
    let accepted = call.accepts_list()?;
    let chosen = ListOptions::parse(&call.query)?;
    let delete = options(call, body).await?;
    let selection = Selection::parse(kind, &call.info.namespace, &chosen.label_selector, &chosen.field_selector)?;
    let found = page(server, kind, &chosen, &selection).await?;
    for items in found.items.chunks(AT_A_TIME) {
        some(server, call, kind, items, &delete).await?;
    }
    let objects: Vec<Value> = found.items.iter().map(|item| item.value()).collect();
    respond::list(server, call, kind, objects, found.metadata(), accepted)
}

/// Deletes some objects at once. Those before one that is refused go all the same.
async fn some(
    server: &Server,
    call: &mut Call,
    kind: &'static Kind,
    items: &[Arc<Item>],
    options: &DeleteOptions,
) -> Result<(), Status> {
    let (mut admitted, mut refusal) = (Vec::with_capacity(items.len()), Ok(()));
    for item in items {
        match unless_gone(admit(server, call, kind, &item.namespace, &item.name, options.dry_run).await) {
            Ok(stored) => admitted.extend(stored),
            Err(status) => {
                refusal = Err(status);
                break;
            }
        }
    }
    let deletions = admitted.into_iter().map(|stored| delete_stored(server, kind, stored, options));
    for deleted in join_all(deletions).await {
        unless_gone(deleted)?;
    }
    refusal
}

/// That somebody else was first is no error.
fn unless_gone<T>(result: Result<T, Status>) -> Result<Option<T>, Status> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(status) if status.code == 404 => Ok(None),
        Err(status) => Err(status),
    }
}
